"""
A teacher's likeliest pieces on disk: `ids.bin` and `masses.bin` (target tokens × k), `ends.npy`, `soft_targets.json`.

Of the k + 1 masses of a token (k pieces and the rest) all are kept but the first, which is what they lack to 1:
float16 is fine near 0 and coarse near 1, so it is the large one that must not be rounded. Tokens stand in the order
of the pairs. The JSON is written last: a folder without it is a draft, to be gone on with.
"""

import fcntl
import json
import logging
import mmap
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np


logger = logging.getLogger(__name__)

FACTS, PROGRESS, LOCK, ENDS = "soft_targets.json", "progress.json", "lock", "ends.npy"
IDS, MASSES = "ids.bin", "masses.bin"
READS = 1_000  # pairs between two looks at the memory that the maps take


class SoftTargets(Sequence):
    """
    `targets[i] → (ids (tokens × k) int64, probabilities (tokens × k) float32)`, likeliest first, of pair i's target.

    What a row of probabilities lacks to 1 is that of all other pieces. Probabilities are right to 2.5e-4, and where
    the first piece holds nearly all, to a thousandth of what it lacks. Mapped: only where pairs end is in memory.

    Attributes:
        folder: where they lie.
        temperature: that of the teacher's distributions.
        facts: `pairs, tokens, k, temperature, vocabulary, bytes_per_token, covered` (mean mass of the k pieces),
            `teacher_loss` (the teacher's own nats per target token, at temperature 1), `seconds` (of running it) and
            the digests `teacher` and `encoding`.
    """

    def __init__(self, folder: Path, facts: dict[str, Any], ends: np.ndarray):
        self.folder, self.facts, self.temperature, self._ends = folder, facts, float(facts["temperature"]), ends
        self._maps, arrays = [], []
        for name, dtype in ((IDS, ids_type(facts["vocabulary"])), (MASSES, np.float16)):
            with (folder / name).open("rb") as file:
                self._maps.append(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            arrays.append(np.frombuffer(self._maps[-1], dtype).reshape(facts["tokens"], facts["k"]))
        (self._ids, self._masses), self._reads = arrays, 0

    @staticmethod
    def finished(folder: Path) -> bool:
        """Whether `folder` holds them, and all of them."""
        return (Path(folder) / FACTS).is_file()

    @classmethod
    def open(cls, folder: Path) -> "SoftTargets":
        """
        Those that `write_soft_targets` finished in `folder` (the `SoftTargets.folder` of what it returned).

        Raises:
            ValueError: there are none, or not all yet, or the files are damaged.
        """
        folder = Path(folder)
        if not cls.finished(folder):
            raise ValueError(f"{folder} holds no finished soft targets: make them, or go on, with write_soft_targets.")
        try:
            facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            ends = np.load(folder / ENDS)
            if len(ends) != facts["pairs"] + 1 or ends[-1] != facts["tokens"]:
                raise ValueError(f"{ENDS} is of other pairs")
            return cls(folder, facts, ends)
        except (ValueError, KeyError, TypeError, EOFError, OSError) as error:
            raise ValueError(f"The soft targets in {folder} are damaged ({error}): delete the folder.") from error

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        index = range(len(self))[index]
        part = slice(self._ends[index], self._ends[index + 1])
        masses = self._masses[part].astype(np.float32)
        first = np.maximum(1 - masses.sum(-1, keepdims=True), 0)
        ids = self._ids[part].astype(np.int64)
        self._reads += 1
        if self._reads % READS == 0:  # pages once read count as ours, though the system may take them back
            for each in self._maps:
                each.madvise(mmap.MADV_DONTNEED)
        return ids, np.concatenate([first, masses[:, :-1]], -1)

    @property
    def lengths(self) -> np.ndarray:
        """Target tokens of each pair (pairs) int64."""
        return np.diff(self._ends)


class Draft:
    """
    Soft targets in the making, appended chunk by chunk; a context manager that holds the folder, and waits for it.

    A chunk is on the disk before it counts as done. What a killed run has left of one beyond is cut off.

    Args:
        folder: of these targets alone.
        lengths: (pairs) target tokens of each pair.
        facts: `k, temperature, vocabulary` and the digests.

    Raises:
        ValueError: what is in the folder is damaged.
        OSError: the disk has not enough room for all.
    """

    def __init__(self, folder: Path, lengths: np.ndarray, facts: dict[str, Any]):
        self.folder, self.ends = folder, np.concatenate([[0], lengths.cumsum()]).astype(np.int64)
        self._types = {IDS: np.dtype(ids_type(facts["vocabulary"])), MASSES: np.dtype(np.float16)}
        per_token = facts["k"] * sum(each.itemsize for each in self._types.values())
        self.facts = {"pairs": len(lengths), "tokens": int(self.ends[-1]), "bytes_per_token": per_token, **facts}
        self._done: dict[str, float] = {"pairs": 0, "covered": 0.0, "loss": 0.0, "seconds": 0.0}
        self._files: dict[str, IO[bytes]] = {}

    @property
    def pairs(self) -> int:
        """How many are done."""
        return int(self._done["pairs"])

    def __enter__(self) -> "Draft":
        self.folder.mkdir(parents=True, exist_ok=True)
        self._files[LOCK] = (self.folder / LOCK).open("wb")
        try:
            self._hold()
            if SoftTargets.finished(self.folder):  # by another process meanwhile
                self._done["pairs"] = self.facts["pairs"]
            else:
                self._go_on()
        except (ValueError, KeyError, FileNotFoundError) as error:
            self._close()
            raise ValueError(f"The draft in {self.folder} is damaged ({error}): delete the folder.") from error
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._close()

    def append(self, ids: np.ndarray, masses: np.ndarray, loss: float, pairs: int, seconds: float) -> None:
        """
        Keeps the next `pairs` pairs: on the disk when this returns. After the last ones the targets are finished.

        Args:
            ids: (tokens × k) the likeliest pieces.
            masses: (tokens × k + 1) their probabilities, and the rest in the last column.
            loss: the teacher's own, summed over the tokens.
            pairs: how many these are.
            seconds: how long they took.
        """
        for name, array in ((IDS, ids), (MASSES, masses[:, 1:])):
            self._files[name].write(array.astype(self._types[name]).tobytes())
            self._files[name].flush()
            os.fsync(self._files[name].fileno())
        covered = float((1 - masses[:, -1].astype(np.float64)).sum())
        new = {"pairs": pairs, "covered": covered, "loss": loss, "seconds": seconds}
        self._done = {name: self._done[name] + value for name, value in new.items()}
        if self.pairs < self.facts["pairs"]:
            self._write(PROGRESS, json.dumps(self._done).encode())
        else:
            self._finish()

    def _finish(self) -> None:
        means = {"covered": "covered", "teacher_loss": "loss"}
        facts = self.facts | {name: self._done[key] / self.facts["tokens"] for name, key in means.items()}
        with (self.folder / ENDS).open("wb") as file:
            np.save(file, self.ends)
            os.fsync(file.fileno())
        self._write(FACTS, json.dumps(facts | {"seconds": self._done["seconds"]}, indent=1).encode())
        (self.folder / PROGRESS).unlink(missing_ok=True)

    def _hold(self) -> None:
        try:
            fcntl.flock(self._files[LOCK], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("Waiting for the process that writes the soft targets in %s.", self.folder)
            fcntl.flock(self._files[LOCK], fcntl.LOCK_EX)

    def _go_on(self) -> None:
        if (self.folder / PROGRESS).is_file():
            self._done = json.loads((self.folder / PROGRESS).read_text(encoding="utf-8"))
        self._check_room()
        for name, dtype in self._types.items():
            size = int(self.ends[self.pairs]) * self.facts["k"] * dtype.itemsize
            self._files[name] = (self.folder / name).open("r+b" if self.pairs else "wb")
            if self._files[name].seek(0, os.SEEK_END) < size:
                raise ValueError(f"{name} is too short")
            self._files[name].truncate(size)
            self._files[name].seek(size)

    def _check_room(self) -> None:
        missing = int(self.ends[-1] - self.ends[self.pairs]) * self.facts["bytes_per_token"]
        free = shutil.disk_usage(self.folder).free
        if missing > free:
            raise OSError(
                f"The soft targets need another {missing / 1e9:.1f} GB, {self.folder} has {free / 1e9:.1f} GB: choose "
                f"a folder with more room, or a smaller k (now {self.facts['k']})."
            )

    def _write(self, name: str, content: bytes) -> None:
        with (self.folder / f"{name}.draft").open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(self.folder / f"{name}.draft", self.folder / name)

    def _close(self) -> None:
        for file in self._files.values():
            file.close()


def ids_type(vocabulary: int) -> type[np.unsignedinteger]:
    """The smallest that holds every id."""
    return np.uint16 if vocabulary <= 1 << 16 else np.uint32
