"""
Rows that may be drawn: in a file, with what finding repeats and drawing need of each in memory, some 30 bytes.
"""

import json
import tempfile
from array import array
from hashlib import blake2b
from pathlib import Path

import numpy as np

from .duplicates import NearDuplicates


_FIELDS = ("review_id", "domain", "text", "rating", "source", "licence")
_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False).encode  # json.dumps would make one for each row


class Candidates:
    """
    The rows that may be drawn, with what is needed to find repeats and to draw.

    Their files lie in `folder` and have no name there: they go with the process, however it ends.
    """

    def __init__(self, folder: Path, near_duplicates: float) -> None:
        self.digests = array("Q")
        self.stars = bytearray()
        self._ids = array("Q")
        self._offsets = array("Q")
        self._size = 0
        self._near = NearDuplicates(folder, near_duplicates) if near_duplicates else None
        self._file = tempfile.TemporaryFile(dir=folder)

    def __enter__(self) -> "Candidates":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self._near:
            self._near.close()

    def add(self, row: dict, stars: int) -> None:
        """Keep a row."""
        line = _encode([row.get(name, "") for name in _FIELDS]).encode() + b"\n"
        self._file.write(line)
        self._offsets.append(self._size)
        self._size += len(line)
        self.digests.append(_digest(row["text"]))
        self._ids.append(_digest(row["review_id"]))
        self.stars.append(stars)
        if self._near:
            self._near.add(row["text"])

    def row(self, position: int) -> dict:
        """The row added at a position."""
        self._file.seek(self._offsets[position])
        return dict(zip(_FIELDS, json.loads(self._file.readline()), strict=True))

    def distinct(self) -> tuple[np.ndarray, int, int]:
        """
        Positions of the rows that repeat no earlier one, in order, and the numbers of exact and of near-duplicates.

        Raises:
            ValueError: a review_id names two different texts.
        """
        digests = np.frombuffer(self.digests, np.uint64)
        stays = np.zeros(len(digests), bool)
        stays[_firsts(digests)] = True
        exact = int(len(stays) - stays.sum())
        near = 0
        self._refuse_shared_ids(np.flatnonzero(stays))
        if self._near:
            repeats = self._near.find(stays, lambda position: self.row(position)["text"])
            stays[repeats] = False
            near = len(repeats)
        return np.flatnonzero(stays), exact, near

    def _refuse_shared_ids(self, positions: np.ndarray) -> None:
        ids = np.frombuffer(self._ids, np.uint64)[positions]
        firsts = _firsts(ids)
        if len(firsts) == len(ids):
            return
        second = np.setdiff1d(np.arange(len(ids)), firsts)[0]
        first = np.flatnonzero(ids == ids[second])[0]
        one, other = self.row(positions[first]), self.row(positions[second])
        raise ValueError(
            f"review_id {one['review_id']!r} names two texts, in {one['source']} ({one['text']!r:.40}) and in "
            f"{other['source']} ({other['text']!r:.40}); make the ids unique, or name another `id_column`."
        )


def _firsts(values: np.ndarray) -> np.ndarray:
    """Position of the first of each value."""
    return np.unique(values, return_index=True)[1]


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
