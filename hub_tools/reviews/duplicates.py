"""
Near-duplicate texts: MinHash signatures on disk, candidates by banding, each checked by its exact Jaccard similarity.

Two texts are near-duplicates where the sets of their three-word runs overlap by at least the threshold (three, since
reviews are short: one word changed in eighty leaves 0.93, in twenty 0.71). Signatures only propose; as every proposal
is checked against the texts, none is dropped wrongly, and the number of bands follows from the chance of missing one.
"""

import math
import tempfile
from array import array
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from zlib import crc32

import numpy as np


RUN = 3  # words that make one element of a text's set
_HASHES = 64  # at most so many minima per text
_MISSED = 1e-3  # a pair exactly at the threshold goes unproposed no more often than this
_BATCH = 1024  # texts signed at a time
_REPRESENTATIVES = 4  # kept texts of one bucket that a newcomer is compared with
# Lower case, and a space for whatever is neither letter nor digit; bytes beyond ASCII are parts of letters.
_PLAIN = bytes(code if chr(code).isalnum() or code >= 0x80 else 32 for code in range(256)).lower()
_MULTIPLIERS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)


def mix(values: np.ndarray) -> np.ndarray:
    """Scatter 64-bit numbers: the finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def word_hashes(text: str) -> list[int]:
    """A number for each word, in lower case and without punctuation; a short text is filled up to one run."""
    plain = (text if text.isascii() else text.lower()).encode("utf-8", "replace").translate(_PLAIN)
    hashes = list(map(crc32, plain.split()))
    return hashes if len(hashes) >= RUN else [*hashes, *[0] * (RUN - len(hashes))]


def run_hashes(words: np.ndarray) -> np.ndarray:
    """(w,) word hashes → (w - RUN + 1,) hashes of each run of consecutive words."""
    count = len(words) - RUN + 1
    return mix(sum(words[i : i + count] * _MULTIPLIERS[i] for i in range(RUN)))


def similarity(first: str, second: str) -> float:
    """
    Jaccard similarity of two texts' sets of three-word runs.

    >>> similarity("The soup was hot, and good.", "the soup was hot and good")
    1.0
    """
    return _overlap(_runs(first), _runs(second))


def _runs(text: str) -> set[int]:
    return set(run_hashes(np.array(word_hashes(text), np.uint64)).tolist())


def _overlap(first: set[int], second: set[int]) -> float:
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared)


def plan_bands(threshold: float) -> tuple[int, int]:
    """
    Bands, and minima a band: a pair at similarity s shares a band with chance 1 - (1 - s^minima)^bands.

    Of the plans that miss a pair at the threshold no more often than `_MISSED`, with at most `_HASHES` minima in all,
    the one with most minima a band is the one that proposes the fewest pairs in vain.
    """
    best = (_HASHES, 1)
    for minima in range(1, _HASHES + 1):
        chance = threshold**minima
        bands = 1 if chance >= 1 else math.ceil(math.log(_MISSED) / math.log1p(-chance))
        if bands * minima <= _HASHES:
            best = (bands, minima)
    return best


class NearDuplicates:
    """
    Texts added one by one, then asked which of them repeat an earlier one.

    Of each text 4 bytes a band lie in a nameless file in `folder`; in memory there is one band at a time, 8 bytes a
    text.
    """

    def __init__(self, folder: Path, threshold: float) -> None:
        if not 0 < threshold <= 1:
            raise ValueError(f"near_duplicates is {threshold!r}; expected a share from 0 (keep all) to 1.")
        self.threshold = threshold
        self.bands, self.minima = plan_bands(threshold)
        steps = np.arange(1, 2 * self.bands * self.minima + 1, dtype=np.uint64) * _MULTIPLIERS[0]
        self._factors, self._offsets = mix(steps).astype(np.uint32).reshape(2, -1)
        self._factors |= np.uint32(1)
        self._words = array("I")
        self._lengths: list[int] = []
        self._blocks: list[int] = []  # texts in each block of the file
        self._file = tempfile.TemporaryFile(dir=folder)

    def add(self, text: str) -> None:
        """Sign the next text."""
        words = word_hashes(text)
        self._words.extend(words)
        self._lengths.append(len(words))
        if len(self._lengths) == _BATCH:
            self._flush()

    def find(self, eligible: np.ndarray, text: Callable[[int], str]) -> np.ndarray:
        """
        Positions of the texts that are near-duplicates of an earlier one that stays, in order.

        Args:
            eligible: (texts,) bool; the others neither stay nor are dropped.
            text: gives the text at a position.
        """
        self._flush()
        rows, buckets, count = self._shared_buckets(eligible)
        stays = np.full((count, _REPRESENTATIVES), -1, np.int32)
        edges = np.append(np.flatnonzero(np.diff(rows, prepend=-1)), len(rows))
        dropped: list[int] = []
        for start, end in pairwise(edges):
            row, own = int(rows[start]), buckets[start:end]
            others = stays[own]
            proposed = np.unique(others[others >= 0]).tolist()
            if proposed and self._repeats(text, row, proposed):
                dropped.append(row)
            else:
                free = others == -1
                open_ = free.any(axis=1)
                stays[own[open_], free.argmax(axis=1)[open_]] = row
        return np.array(dropped, np.int64)

    def close(self) -> None:
        self._file.close()

    def _repeats(self, text: Callable[[int], str], row: int, proposed: list[int]) -> bool:
        runs = _runs(text(row))
        return any(_overlap(runs, _runs(text(other))) >= self.threshold for other in proposed)

    def _shared_buckets(self, eligible: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        """Text and bucket of each membership in a bucket of several texts, in the order of texts; and how many."""
        found_rows, found_buckets, count = [], [], 0
        for band in range(self.bands):
            # Hash and position in one number: sorting it brings a bucket's texts together, in order, and in place.
            packed = self._band(band).astype(np.uint64) << np.uint64(32)
            packed |= np.arange(len(packed), dtype=np.uint64)
            packed = packed[eligible]
            packed.sort()
            keys = packed >> np.uint64(32)
            same = keys[1:] == keys[:-1]
            member = np.zeros(len(packed), bool)
            member[1:] |= same
            member[:-1] |= same
            first = member.copy()
            first[1:] &= ~same
            found_rows.append((packed[member] & np.uint64(0xFFFFFFFF)).astype(np.int32))
            found_buckets.append((np.cumsum(first)[member] + (count - 1)).astype(np.int32))
            count += int(first.sum())
        rows, buckets = np.concatenate(found_rows), np.concatenate(found_buckets)
        order = np.argsort(rows, kind="stable")
        return rows[order], buckets[order], count

    def _band(self, band: int) -> np.ndarray:
        """(texts,) uint32: one band's hash of every text."""
        column = np.empty(sum(self._blocks), np.uint32)
        offset = filled = 0
        for size in self._blocks:
            self._file.seek(offset + 4 * band * size)
            column[filled : filled + size] = np.frombuffer(self._file.read(4 * size), np.uint32)
            filled += size
            offset += 4 * self.bands * size
        return column

    def _flush(self) -> None:
        """Write the band hashes of the texts that wait, a block of (bands, texts)."""
        if not self._lengths:
            return
        lengths = np.array(self._lengths)
        runs = run_hashes(np.array(self._words, np.uint64))
        # A run that begins in a text's last two words would reach into the next text.
        inside = np.ones(len(runs) + RUN - 1, bool)
        for back in range(1, RUN):
            inside[np.cumsum(lengths) - back] = False
        runs = runs[inside[: len(runs)]].astype(np.uint32)
        counts = lengths - (RUN - 1)
        starts = np.cumsum(counts) - counts
        hashed = np.empty_like(runs)  # 32 bits: twice as fast, and what they confuse is compared in full later
        block = np.empty((self.bands, len(lengths)), np.uint32)
        for band in range(self.bands):
            key = np.zeros(len(lengths), np.uint64)
            for number in range(band * self.minima, (band + 1) * self.minima):
                np.multiply(runs, self._factors[number], out=hashed)
                hashed += self._offsets[number]
                key = mix(key + np.minimum.reduceat(hashed, starts))
            block[band] = key >> np.uint64(32)
        self._file.write(block.tobytes())
        self._blocks.append(len(lengths))
        self._words, self._lengths = array("I"), []
