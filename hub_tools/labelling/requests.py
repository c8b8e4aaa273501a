"""Which requests a labelling run wants, and which of them still have no reply: streamed, never held as a whole."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as arrow
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

    def part(self, rows: Iterable[dict]) -> Iterator[dict]:
        """The shard's rows."""
        return islice(rows, self.index, None, self.count)


WHOLE = Shard()


def reviews_of(path: Path) -> Iterator[dict]:
    """The rows of a Parquet file of reviews, a few thousand in memory at a time."""
    for batch in parquet.ParquetFile(path).iter_batches(4096):
        yield from batch.to_pylist()


class Asked(Protocol):
    """What a run asks for."""

    def review_ids(self, request_ids: Sequence[str]) -> list[str | None]:
        """The review that each request is about; None for requests that the run does not make."""
        ...


class Wanted:
    """The requests of a run, every prompt about every review, and which of them still have no reply.

    Args:
        reviews: called for a fresh iterator of review rows.
        builders: prompt name → function from a review's text to chat messages.
        teacher: who would be asked.
        journal: what has been answered.
        ask_refused: ask again also what failed for good.

    Attributes:
        reviews: the argument.
        replied: how many the journal holds a reply to.
        refused: how many it holds only a final failure of.
    """

    def __init__(
        self,
        reviews: Callable[[], Iterator[dict]],
        builders: Mapping[str, Callable[[str], Messages]],
        teacher: Teacher,
        journal: Journal,
        ask_refused: bool = False,
    ) -> None:
        self.reviews, self._builders, self._teacher = reviews, builders, teacher
        self.replied = self.refused = 0
        self._answered: list[np.ndarray] = []
        self._reviews_of: list[arrow.Array] = []
        failed = RequestIds() if ask_refused else journal.final_failures()
        keys = np.frombuffer(b"".join(map(bytes.fromhex, self._looked_up(journal.known(), failed))), dtype="S16")
        self._order = np.argsort(keys)
        self._keys = keys[self._order]
        self._review_ids = arrow.chunked_array(self._reviews_of, arrow.string())

    def _looked_up(self, known: RequestIds, failed: RequestIds) -> Iterator[str]:
        requests = self._requests()
        while window := [(request.request_id, request.review_id) for request in islice(requests, WINDOW)]:
            ids, review_ids = zip(*window, strict=True)
            replied, refused = np.array(known.contains(ids)), np.array(failed.contains(ids))
            self._answered.append(replied | refused)
            self._reviews_of.append(arrow.array(review_ids))
            self.replied += int(replied.sum())
            self.refused += int((refused & ~replied).sum())
            yield from ids

    def _requests(self, skip: Iterable[bool] = ()) -> Iterator[Request]:
        teacher = self._teacher
        return requests_for(self.reviews(), self._builders, teacher.name, teacher.revision, teacher.sampling, skip)

    def review_ids(self, request_ids: Sequence[str]) -> list[str | None]:
        """As the run's own sample names the reviews: a journal may know the same text by another id."""
        if not request_ids or not len(self._keys):
            return [None] * len(request_ids)
        sought = np.array([bytes.fromhex(request_id) for request_id in request_ids], dtype="S16")
        places = np.minimum(np.searchsorted(self._keys, sought), len(self._keys) - 1)
        found = self._keys[places] == sought
        return self._review_ids.take(arrow.array(self._order[places], mask=~found)).to_pylist()

    def __len__(self) -> int:
        """How many requests there are in all."""
        return sum(map(len, self._answered))

    @property
    def left(self) -> int:
        """How many are to be asked for."""
        return len(self) - self.replied - self.refused

    def unanswered(self) -> Iterator[Request]:
        """The requests that are to be asked for, in order."""
        return self._requests(chain.from_iterable(self._answered))


class Recorded:
    """Replies that exist already, as what a run asks for."""

    def __init__(self, replies: Iterable[Mapping]) -> None:
        self._review_ids = {row["request_id"]: row["review_id"] for row in replies}

    def review_ids(self, request_ids: Sequence[str]) -> list[str | None]:
        """As the replies say."""
        return [self._review_ids.get(request_id) for request_id in request_ids]
