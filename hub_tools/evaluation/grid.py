"""
Models × configs × shares of train × seeds as cells that are computed once: a finished cell is kept on disk, a killed
one is not, and a cell that another process is at work on is left to it.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hub_tools.benchmarks.configs import task_of


@dataclass(frozen=True)
class Cell:
    """One fine-tuning run. `revision` is the commit of the model that was resolved when the run was planned."""

    model: str
    repo_id: str
    revision: str
    config: str
    seed: int
    train_share: float = 1.0
    input_form: str = "plain"  # or "instruction"

    @property
    def task(self) -> str:
        """`tsa-rest14` → `tsa`."""
        return task_of(self.config)

    @property
    def group(self) -> tuple[str, str, float, str]:
        """What the cells that differ in their seed only have in common."""
        return self.model, self.config, self.train_share, self.input_form

    def facts(self) -> dict[str, object]:
        """The columns of result and prediction rows that say which cell they are of."""
        return {
            "model": self.model,
            "repo_id": self.repo_id,
            "revision": self.revision,
            "config": self.config,
            "seed": self.seed,
            "train_share": self.train_share,
            "input_form": self.input_form,
        }

    def __str__(self) -> str:
        share = f" · {self.train_share:.0%} of train" if self.train_share < 1 else ""
        return f"{self.model} · {self.config}{share} · seed {self.seed}"


class Claim:
    """The right to compute a cell, for as long as this process lives or until `release`."""

    def __init__(self, path: Path, handle: int):
        self.path, self.handle = path, handle

    def release(self) -> None:
        """Lets others have the cell."""
        self.path.unlink(missing_ok=True)  # while it is still locked, or it could be another's by now
        os.close(self.handle)


class CellStore:
    """
    Finished cells in `folder`, one sub-folder each, named by the digest of all that decides the outcome: the cell,
    the benchmark's commit and the hyper-parameters. Change any of them and nothing stale is found.
    """

    def __init__(self, folder: Path, decides: Mapping[str, object]):
        self.folder = folder
        self.decides = dict(decides)

    def place(self, cell: Cell) -> Path:
        """Where the cell is kept, once it is finished."""
        facts = json.dumps([asdict(cell), self.decides], sort_keys=True, default=str)
        return self.folder / hashlib.sha256(facts.encode()).hexdigest()[:20]

    def outcome(self, cell: Cell) -> dict | None:
        """What `keep` was given, or None if the cell is not finished (or its record cannot be read)."""
        return _read(self.place(cell) / "outcome.json")

    def summary(self, cell: Cell) -> dict | None:
        """As `outcome`, without the predictions, and with the `cell`: quick to read."""
        return _read(self.place(cell) / "summary.json")

    def keep(self, cell: Cell, outcome: Mapping[str, object], student: Path | None = None) -> None:
        """Keeps `outcome` (JSON values) and, if given, moves the folder `student` beside it: all or nothing."""
        draft = self.folder / f".draft-{self.place(cell).name}"
        shutil.rmtree(draft, ignore_errors=True)  # what a killed run left
        draft.mkdir(parents=True)
        if student is not None:
            shutil.move(student, draft / "student")
        summary = {"cell": asdict(cell)} | {name: value for name, value in outcome.items() if name != "predictions"}
        for name, record in (("summary", summary), ("outcome", dict(outcome))):
            (draft / f"{name}.json").write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")
        shutil.rmtree(self.place(cell), ignore_errors=True)
        os.replace(draft, self.place(cell))
        shutil.rmtree(self.work(cell), ignore_errors=True)

    def forget(self, cell: Cell) -> None:
        """Makes the cell one that is not finished."""
        shutil.rmtree(self.place(cell), ignore_errors=True)

    def work(self, cell: Cell) -> Path:
        """Where the cell's run may write (one folder for all its processes) until `keep`, which removes it."""
        return self.folder / f".work-{self.place(cell).name}"

    def student(self, cell: Cell) -> Path:
        """The folder of the cell's kept student; it exists only where `keep` was given one and `prune` left it."""
        return self.place(cell) / "student"

    def claim(self, cell: Cell) -> Claim | None:
        """
        The right to compute the cell, or None if a living process has it (`owner` says which).

        A claim is a lock on a file, which ends with its process however that ends: none is ever stale.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._claim_file(cell)
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                return None
            try:
                is_same = os.fstat(handle).st_ino == path.stat().st_ino
            except FileNotFoundError:
                is_same = False
            if is_same:
                os.ftruncate(handle, 0)
                os.write(handle, str(os.getpid()).encode())
                return Claim(path, handle)
            os.close(handle)  # its owner released it, and the file with it, between the two lines above

    def owner(self, cell: Cell) -> str:
        """The process that wrote the cell's claim, as its id in digits; "" if there is none."""
        try:
            return self._claim_file(cell).read_text(encoding="utf-8")
        except OSError:
            return ""

    def best(self, cells: Sequence[Cell]) -> Cell:
        """The finished cell with the highest validation F1, the first of equals; its student need not be kept."""
        finished = {cell: summary for cell in cells if (summary := self.summary(cell)) is not None}
        return max(finished, key=lambda cell: finished[cell]["validation_f1"])

    def prune(self, cells: Sequence[Cell]) -> None:
        """Deletes the students of `cells` but the best one's: ten seeds of a large student are a lot of disk."""
        kept = [cell for cell in cells if self.student(cell).is_dir()]
        best = self.best(cells) if kept else None
        for cell in kept:
            if cell != best:
                shutil.rmtree(self.student(cell), ignore_errors=True)  # another launch may be at it too

    def summaries(self) -> list[dict]:
        """Of every finished cell in the folder, whatever run it was of; of equal cells the newest one's."""
        found = sorted(self.folder.glob("*/summary.json"), key=lambda path: path.stat().st_mtime)
        newest = {}
        for summary in filter(None, map(_read, found)):
            cell = summary["cell"]
            newest[tuple(cell[name] for name in ("model", "config", "seed", "train_share", "input_form"))] = summary
        return list(newest.values())

    def _claim_file(self, cell: Cell) -> Path:
        return self.folder / f".claim-{self.place(cell).name}"


def _read(path: Path) -> dict | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
