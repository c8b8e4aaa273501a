"""
What a corpus must not be when a student trains on it. Told before the first step, with the reason and the way out.

for pair in checked(pairs, benchmark_sentences("me/fsa-benchmark")): ...
"""

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from .contamination import BenchmarkSentences


COLUMNS = ("pair_id", "review_id", "input", "target")
NAMED = 5  # ids of a long list that a message names


def checked(pairs: Iterable[Mapping], sentences: BenchmarkSentences | None = None) -> Iterator[Mapping]:
    """
    Yields the pairs on while it looks at them, so that a corpus that streams is read once.

    Columns and texts are judged row by row; what takes all rows to tell, after the last one. Memory: 8 bytes a pair.

    Args:
        pairs: rows of the corpus.
        sentences: what a benchmark evaluates on; None skips that question.

    Raises:
        ValueError: a column is missing; an input or target is empty; there is no pair; two pairs have one id; a pair
            contains one of the sentences.
    """
    ids, contaminated = array("Q"), _Contaminated(sentences)
    for number, pair in enumerate(pairs):
        _refuse_row(number, pair)
        ids.append(int.from_bytes(hashlib.blake2b(str(pair["pair_id"]).encode(), digest_size=8).digest(), "big"))
        contaminated.look(pair)
        yield pair
    if not ids:
        raise ValueError("The corpus holds no pair to train on; its `rejected` config says why replies were left out.")
    _refuse_repeats(np.frombuffer(ids, np.uint64))
    contaminated.refuse()


def check_pairs(pairs: Iterable[Mapping], sentences: BenchmarkSentences | None = None) -> int:
    """Looks at all pairs as `checked` does, and returns how many there are."""
    return sum(1 for _ in checked(pairs, sentences))


def refuse_contaminated(pairs: Iterable[Mapping], sentences: BenchmarkSentences) -> None:
    """
    Looks for benchmark sentences alone.

    Raises:
        ValueError: a pair contains one; it tells how many do, and names the first.
    """
    contaminated = _Contaminated(sentences)
    for pair in pairs:
        contaminated.look(pair)
    contaminated.refuse()


class _Contaminated:
    """The pairs that contain an evaluated sentence, as they come."""

    def __init__(self, sentences: BenchmarkSentences | None) -> None:
        self._sentences = sentences
        self._count = 0
        self._first: list[str] = []

    def look(self, pair: Mapping) -> None:
        if self._sentences is None:
            return
        if found := self._sentences.find(pair["input"]) or self._sentences.find(pair["target"]):
            self._count += 1
            if self._count <= NAMED:
                self._first.append(f"{pair['pair_id']} ({found[0].ids[0]}, {found[0].how})")

    def refuse(self) -> None:
        if self._count:
            raise ValueError(
                f"{self._count} pairs contain a sentence that the benchmark validates or tests on: "
                f"{', '.join(self._first)}{', …' if self._count > NAMED else ''}. Scores of a student that trained on "
                "them would mean nothing. Build the corpus with recipes/build_corpus.py, which keeps them out, with "
                "this benchmark; of a corpus made otherwise, take these pairs out."
            )


def _refuse_row(number: int, pair: Mapping) -> None:
    if missing := [name for name in COLUMNS if name not in pair]:
        raise ValueError(
            f"The corpus has no column {', '.join(missing)}; needed: {', '.join(COLUMNS)}; found: {', '.join(pair)}."
        )
    for side in ("input", "target"):
        text = pair[side]
        if not isinstance(text, str) or not text.strip():
            what = "is empty" if isinstance(text, str) else f"is {text!r}, not a text"
            raise ValueError(f"Row {number} of the corpus (pair {pair['pair_id']}): its {side} {what}; leave it out.")


def _refuse_repeats(ids: np.ndarray) -> None:
    """`ids`: a number per pair (pairs), uint64."""
    order = np.argsort(ids, kind="stable")
    later = order[1:][ids[order[1:]] == ids[order[:-1]]]
    if later.size:
        named = ", ".join(str(number) for number in np.sort(later)[:NAMED])
        raise ValueError(
            f"{later.size} pairs have the id of an earlier one (rows {named}{', …' if later.size > NAMED else ''}): "
            "name configs of the corpus that share no pair."
        )
