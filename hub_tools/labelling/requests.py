"""Which requests a labelling run wants, and which of them still have no reply: streamed, never held as a whole."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet

from hub_tools.teachers.journal import Journal
from hub_tools.teachers.request import Messages, Request, Teacher, requests_for
from hub_tools.teachers.request_ids import RequestIds


WINDOW = 10_000  # requests looked up in the journal at a time


@dataclass(frozen=True)
class Shard:
    """One of `count` jobs that share a run: it labels the reviews at positions `index`, `index + count`, …"""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read `i/n`, counted from 0; an empty text is the whole.

        Raises:
            ValueError: anything else.
        """
        if not text:
            return cls()
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if not found or not int(found[1]) < int(found[2]):
            raise ValueError(f"shard {text!r}: expected i/n with i from 0 to n - 1, such as 0/4 … 3/4")
        return cls(int(found[1]), int(found[2]))

    @property
    def suffix(self) -> str:
        """What its repo's and journal's names end in: '' for the whole."""
        return f"-{self.index}-of-{self.count}" if self.count > 1 else ""


def reviews_of(path: Path, shard: Shard) -> Iterator[dict]:
    """The shard's rows of a Parquet file of reviews, a few thousand in memory at a time."""
    position = 0
    for batch in parquet.ParquetFile(path).iter_batches(4096):
        for row in batch.to_pylist():
            if position % shard.count == shard.index:
                yield row
            position += 1


class Wanted:
    """The requests of a run: every prompt about every review, as the teacher would be asked.

    Args:
        reviews: called for a fresh iterator of review rows.
        builders: prompt name → function from a review's text to chat messages.
    """

    def __init__(
        self,
        reviews: Callable[[], Iterator[dict]],
        builders: Mapping[str, Callable[[str], Messages]],
        teacher: Teacher,
    ) -> None:
        self._reviews, self._builders, self._teacher = reviews, builders, teacher
        self.ids = RequestIds(request.request_id for request in self)

    def __iter__(self) -> Iterator[Request]:
        teacher = self._teacher
        return requests_for(self._reviews(), self._builders, teacher.name, teacher.revision, teacher.sampling)

    def __len__(self) -> int:
        return len(self.ids)

    def unanswered(self, journal: Journal) -> "Unanswered":
        """Those that the journal holds neither a reply nor a final failure of."""
        known, failed = journal.known(), journal.final_failures()
        answered = np.zeros(len(self), dtype=bool)
        done = lost = position = 0
        ids = (request.request_id for request in self)
        while window := list(islice(ids, WINDOW)):
            replied, refused = known.contains(window), failed.contains(window)
            answered[position : position + len(window)] = np.logical_or(replied, refused)
            done, lost, position = done + sum(replied), lost + sum(refused), position + len(window)
        return Unanswered(self, answered, done, lost)


@dataclass(frozen=True)
class Unanswered:
    """What is left of a run: iterate for the requests. `done`: replied already; `lost`: failed for good."""

    wanted: Wanted
    answered: np.ndarray  # bool, one per wanted request
    done: int
    lost: int

    def __len__(self) -> int:
        return len(self.answered) - self.done - self.lost

    def __iter__(self) -> Iterator[Request]:
        for request, answered in zip(self.wanted, self.answered, strict=True):
            if not answered:
                yield request
