"""Sentences that a benchmark has in more than one place: what its own sets give away to each other."""

from collections.abc import Iterable, Mapping, Sequence

from .words import normalise


EVALUATED = ("validation", "test", "test_hard")
TRAINED = ("train", "validation")


def cross_set_leaks(benchmark: Mapping[str, Mapping[str, Sequence[str]]]) -> list[dict]:
    """Sentences that are evaluated in one split and trained or chosen on in another.

    Two sentences are one when they have the same words, whatever the case, punctuation and spacing; `word by word`
    counts those that are written alike too. Whoever fine-tunes on one config meets the rows of that config; whoever
    trains on several meets them all.

    Args:
        benchmark: config → split → sentences. `test_hard`, which holds all of `test`, takes its place.

    Returns:
        Rows `{"sentences of", "are also in", "sentences", "word by word"}`, only where there is one, in the
        benchmark's order.
    """
    rows = []
    for config, splits in benchmark.items():
        for split in EVALUATED:
            if split not in splits or (split == "test" and "test_hard" in splits):
                continue
            for other, others in benchmark.items():
                for trained in TRAINED:
                    if trained not in others or (config, split) == (other, trained):
                        continue
                    same = _shared(map(_words, splits[split]), map(_words, others[trained]))
                    if same:
                        rows.append(
                            {
                                "sentences of": f"{config} {split}",
                                "are also in": f"{other} {trained}",
                                "sentences": same,
                                "word by word": _shared(splits[split], others[trained]),
                            }
                        )
    return rows


def _words(sentence: str) -> str:
    return " ".join(normalise(sentence))


def _shared(sentences: Iterable[str], known: Iterable[str]) -> int:
    known = set(known)
    return sum(sentence in known for sentence in sentences)
