"""The pairs that a student learns from, read row by row and as often as asked for: a corpus never lies in memory."""

import json
import math
import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from datasets import Dataset, IterableDataset, get_dataset_config_names, load_dataset
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from .contamination import BenchmarkSentences
from .rejoin import load_texts, rejoined


class Rows(Iterable[Mapping]):
    """What `make` gives, anew for everyone who reads.

    >>> rows = Rows(lambda: ({"n": n} for n in range(2)))
    >>> list(rows) == list(rows) == [{"n": 0}, {"n": 1}]
    True
    """

    def __init__(self, make: Callable[[], Iterable[Mapping]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[Mapping]:
        return iter(self._make())


def corpus_rows(
    corpus: str,
    revision: str,
    configs: Sequence[str] = (),
    *,
    reviews: str = "",
    teachers: Sequence[str] = (),
    streaming: bool = False,
) -> Rows:
    """
    The pairs of a sentiment understanding corpus; what was rejected is never read.

    Args:
        corpus: a dataset on the Hub, read at `revision`.
        configs: names of its configs; none: `both`, or all the parts of a corpus that has no variants.
        reviews: for a corpus of ids, where the texts of its reviews are: see `load_texts`.
        teachers: whose texts; none: everyone's.
        streaming: from the Hub row by row, so that the disk need not hold it; each reading downloads it.

    Raises:
        ValueError: an unknown config or teacher, or texts that are missing.
    """
    found = [name for name in get_dataset_config_names(corpus, revision=revision) if name != "rejected"]
    unknown = sorted(set(configs) - set(found))
    if unknown:
        raise ValueError(f"{corpus} has no config {', '.join(unknown)}; found: {', '.join(found)}.")
    names = list(configs) or (["both"] if "both" in found else found)
    parts = [load_dataset(corpus, name, revision=revision, split="train", streaming=streaming) for name in names]
    texts = load_texts(reviews) if reviews else None
    return Rows(lambda: _of_teachers(_joined(parts, corpus, texts), teachers, corpus))


def _joined(
    parts: Sequence[Dataset | IterableDataset], corpus: str, texts: Mapping[str, str] | None
) -> Iterator[Mapping]:
    """The rows of several configs, whole."""
    for part in parts:
        for row in part if texts is None else rejoined(part, texts):
            if row.get("input", "") is None:  # one without the column is refused with all it lacks, by who reads on
                raise ValueError(
                    f"{corpus} holds the ids of its reviews and not their texts. Give the reviews with `reviews`: the "
                    "repo of replies it was built from, or a .jsonl or .parquet file with review_id and text."
                )
            yield row


def _of_teachers(rows: Iterable[Mapping], teachers: Sequence[str], corpus: str) -> Iterator[Mapping]:
    found: Counter[str] = Counter()
    for row in rows:
        teacher = row.get("teacher") or ""
        found[teacher] += 1
        if not teachers or teacher in teachers:
            yield row
    if absent := sorted(set(teachers) - found.keys()):
        named = ", ".join(sorted(filter(None, found))) or "none is named in its column `teacher`"
        raise ValueError(f"{corpus} has nothing by {', '.join(absent)}; its teachers: {named}.")


def instruction_rows(dataset: str, revision: str, *, streaming: bool = False) -> Rows:
    """The rows of an instruction dataset's split `train`, at `revision`."""
    rows = load_dataset(dataset, revision=revision, split="train", streaming=streaming)
    return Rows(lambda: rows)


def without_sentences(
    pairs: Iterable[Mapping], sentences: BenchmarkSentences | None, skipped: Counter[str]
) -> Iterator[Mapping]:
    """Pairs that hold no sentence that a benchmark validates or tests on; the others are counted in `skipped`."""
    for pair in pairs:
        if sentences and (sentences.find(pair["input"]) or sentences.find(pair["target"])):
            skipped["benchmark sentence"] += 1
        else:
            yield pair


class Tally:
    """
    What passes by: how many pairs of which teacher, and the stars and the domain of each pair.

    Attributes:
        teachers: pairs by teacher, "" for those without one.
        domain_names: what the numbers in `domains` stand for; "" for pairs without one.
    """

    def __init__(self) -> None:
        self.teachers: Counter[str] = Counter()
        self.domain_names: list[str] = []
        self._stars, self._domains = array("b"), array("i")

    def of(self, pairs: Iterable[Mapping]) -> Iterator[Mapping]:
        """
        The same pairs, counted.

        Raises:
            ValueError: a rating that is no number of stars.
        """
        numbers = {name: number for number, name in enumerate(self.domain_names)}
        for number, pair in enumerate(pairs):
            domain = pair.get("domain") or ""
            self._stars.append(_stars_of(number, pair))
            if domain not in numbers:
                numbers[domain] = len(self.domain_names)
                self.domain_names.append(domain)
            self._domains.append(numbers[domain])
            self.teachers[pair.get("teacher") or ""] += 1
            yield pair

    @property
    def stars(self) -> np.ndarray:
        """(pairs) int8, in the order in which they passed; 0: none."""
        return np.array(self._stars, dtype=np.int8)

    @property
    def domains(self) -> np.ndarray:
        """(pairs) int32, positions in `domain_names`."""
        return np.array(self._domains, dtype=np.int32)

    def save(self, file: Path, key: str, left_out: Mapping[str, int]) -> None:
        """
        Keeps it for a run that needs not read the pairs again; written whole or not at all.

        Args:
            key: the pairs that passed, and what was looked for in them.
            left_out: how many pairs did not pass, by reason.
        """
        told = {"teachers": self.teachers, "domains": self.domain_names, "left_out": left_out}
        draft = file.with_name(f".{file.name}.{os.getpid()}")
        columns = {"stars": self.stars, "domains": self.domains}
        save_file(columns, draft, metadata={"key": key, "told": json.dumps(told)})
        os.replace(draft, file)

    @classmethod
    def load(cls, file: Path, key: str) -> tuple[Self, Counter[str]] | None:
        """What `save` kept under this key, and what was left out; None if there is nothing whole of it."""
        try:
            with safe_open(file, "numpy") as stored:
                facts = stored.metadata() or {}
                if facts.get("key") != key:
                    return None
                tally, told = cls(), json.loads(facts["told"])
                tally._stars = array("b", stored.get_tensor("stars").tobytes())
                tally._domains = array("i", stored.get_tensor("domains").tobytes())
        except (OSError, SafetensorError):
            return None
        tally.teachers, tally.domain_names = Counter(told["teachers"]), told["domains"]
        return tally, Counter(told["left_out"])


def _stars_of(number: int, pair: Mapping) -> int:
    """1 to 5, 0 for a pair without a rating."""
    rating = pair.get("rating")
    if rating is None or rating != rating:
        return 0
    if isinstance(rating, bool) or not isinstance(rating, int | float) or math.isinf(rating):
        raise ValueError(
            f"Row {number} of the corpus (pair {pair.get('pair_id')}): its rating is {rating!r}, not a number of "
            "stars from 1 to 5; leave it empty where there is none."
        )
    return min(5, max(1, int(rating + 0.5)))
