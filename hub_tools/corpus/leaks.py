"""Sentences that a benchmark has in more than one place: what its own sets give away to each other."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from .words import normalise


EVALUATED = ("validation", "test", "test_hard")
TRAINED = ("train", "validation")

Benchmark = Mapping[str, Mapping[str, Sequence[str]]]


class Leak(NamedTuple):
    """How many sentences of an evaluated split are also in what is trained or chosen on in `other`."""

    config: str
    split: str
    other: str
    sentences: int  # the same words, whatever the case, punctuation and spacing
    exact: int  # those that are written alike too


def cross_set_leaks(benchmark: Benchmark) -> list[dict]:
    """Sentences that are evaluated in one split and trained or chosen on in another, as a table.

    Whoever fine-tunes on one config meets the rows of that config; whoever trains on several meets them all.

    Args:
        benchmark: config → split → sentences.

    Returns:
        A row per evaluated split that shares a sentence, in the benchmark's order: `{"evaluated": "<config>
        <split>", "of", <each config>: "7 (2)"}`, which reads: 7 of its sentences are also in that config's train or
        validation, 2 of them written alike; None for none. Of `validation` what counts is train alone.
    """
    found: dict[tuple[str, str], dict[str, str]] = {}
    for leak in leaks(benchmark):
        found.setdefault((leak.config, leak.split), {})[leak.other] = f"{leak.sentences} ({leak.exact})"
    return [
        {"evaluated": f"{config} {split}", "of": len(benchmark[config][split])}
        | {other: cells.get(other) for other in benchmark}
        for (config, split), cells in found.items()
    ]


def leaks(benchmark: Benchmark) -> Iterator[Leak]:
    """Every leak of at least one sentence. `test_hard`, which holds all of `test`, takes its place."""
    words = {
        config: {split: [" ".join(normalise(sentence)) for sentence in rows] for split, rows in splits.items()}
        for config, splits in benchmark.items()
    }
    for config, splits in benchmark.items():
        for split in EVALUATED:
            if split not in splits or (split == "test" and "test_hard" in splits):
                continue
            for other in benchmark:
                same, exact = (_shared(texts[config][split], texts[other], split) for texts in (words, benchmark))
                if same:
                    yield Leak(config, split, other, same, exact)


def _shared(sentences: Sequence[str], splits: Mapping[str, Sequence[str]], split: str) -> int:
    seen = {sentence for name in TRAINED if name in splits and name != split for sentence in splits[name]}
    return sum(sentence in seen for sentence in sentences)
