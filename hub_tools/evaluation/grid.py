"""Models × configs × seeds as cells that are computed once: a finished cell is kept on disk, a killed one is not."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cell:
    """One fine-tuning run. `revision` is the commit of the model that was resolved when the run was planned."""

    model: str
    repo_id: str
    revision: str
    config: str
    seed: int

    @property
    def task(self) -> str:
        """`tsa-rest14` → `tsa`."""
        return self.config.split("-")[0]

    def __str__(self) -> str:
        return f"{self.model} · {self.config} · seed {self.seed}"


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
        try:
            return json.loads((self.place(cell) / "outcome.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return None

    def keep(self, cell: Cell, outcome: Mapping[str, object], student: Path | None = None) -> None:
        """Keeps `outcome` (JSON values) and, if given, moves the folder `student` beside it: all or nothing."""
        draft = self.folder / f".draft-{self.place(cell).name}"
        shutil.rmtree(draft, ignore_errors=True)  # what a killed run left
        draft.mkdir(parents=True)
        if student is not None:
            shutil.move(student, draft / "student")
        (draft / "outcome.json").write_text(json.dumps(dict(outcome), ensure_ascii=False), encoding="utf-8")
        shutil.rmtree(self.place(cell), ignore_errors=True)
        os.replace(draft, self.place(cell))
        shutil.rmtree(self.work(cell), ignore_errors=True)

    def work(self, cell: Cell) -> Path:
        """Where the cell's run may write (one folder for all its processes) until `keep`, which removes it."""
        return self.folder / f".work-{self.place(cell).name}"

    def student(self, cell: Cell) -> Path:
        """The folder of the cell's kept student; it exists only where `keep` was given one and `prune` left it."""
        return self.place(cell) / "student"

    def best(self, cells: Sequence[Cell]) -> Cell:
        """The finished cell with the highest validation F1, the first of equals; its student need not be kept."""
        outcomes = {cell: self.outcome(cell) for cell in cells}
        return max(
            (cell for cell in cells if outcomes[cell] is not None), key=lambda cell: outcomes[cell]["validation_f1"]
        )

    def prune(self, cells: Sequence[Cell]) -> None:
        """Deletes the students of `cells` but the best one's: ten seeds of a large student are a lot of disk."""
        kept = [cell for cell in cells if self.student(cell).is_dir()]
        best = self.best(cells) if kept else None
        for cell in kept:
            if cell != best:
                shutil.rmtree(self.student(cell))
