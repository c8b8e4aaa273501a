"""Cells are computed once: a finished one is found again, a killed or changed one is not."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from hub_tools.evaluation.grid import Cell, CellStore


CELL = Cell("distilled", "me/t5-sentiment", "c0ffee", "tsa-rest14", 42)
DECIDES = {"benchmark": "abc123", "lr": 3e-4, "epochs": 20}


@pytest.fixture
def store(tmp_path) -> CellStore:
    return CellStore(tmp_path / "cells", DECIDES)


def write_student(store: CellStore, cell: Cell, weights: str = "weights") -> Path:
    folder = store.work(cell) / "student"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_text(weights)
    return folder


def keep(store: CellStore, seed: int, validation_f1: float, student: bool = True) -> Cell:
    cell = replace(CELL, seed=seed)
    store.keep(cell, {"validation_f1": validation_f1}, write_student(store, cell) if student else None)
    return cell


def names(store: CellStore) -> set[str]:
    return {path.name for path in store.folder.iterdir()}


def test_a_cell_says_its_task_and_name():
    assert CELL.task == "tsa"
    assert str(CELL) == "distilled · tsa-rest14 · seed 42"


def test_a_finished_cell_is_found_by_another_process(store):
    assert store.outcome(CELL) is None
    store.keep(
        CELL, {"validation_f1": 0.5, "predictions": [{"sentence": "Größe: très 好"}]}, write_student(store, CELL)
    )
    again = CellStore(store.folder, {"epochs": 20, "lr": 3e-4, "benchmark": "abc123"})
    assert again.outcome(CELL) == {"validation_f1": 0.5, "predictions": [{"sentence": "Größe: très 好"}]}
    assert (again.student(CELL) / "model.safetensors").read_text() == "weights"


@pytest.mark.parametrize("change", [{"lr": 1e-3}, {"epochs": 21}, {"benchmark": "def456"}, {"train_share": 0.1}])
def test_other_hyper_parameters_or_benchmark_find_nothing_stale(store, change):
    keep(store, 42, 0.5)
    assert CellStore(store.folder, {**DECIDES, **change}).outcome(CELL) is None


@pytest.mark.parametrize(
    "change", [{"seed": 43}, {"revision": "beef"}, {"config": "asa-rest16"}, {"repo_id": "you/t5"}, {"model": "base"}]
)
def test_another_cell_is_not_this_one(store, change):
    keep(store, 42, 0.5)
    assert store.outcome(replace(CELL, **change)) is None


def test_what_a_killed_run_left_is_no_outcome_and_goes_when_its_cell_is_finished(store):
    write_student(store, CELL, "half trained")
    draft = store.folder / f".draft-{store.place(CELL).name}"
    (draft / "student").mkdir(parents=True)
    (draft / "outcome.json").write_text('{"validation_f1": 0.9')
    assert store.outcome(CELL) is None

    # The cell runs again; trainers write into the folder that is there.
    (store.work(CELL) / "student" / "model.safetensors").write_text("trained")
    store.keep(CELL, {"validation_f1": 0.5}, store.work(CELL) / "student")
    assert names(store) == {store.place(CELL).name}
    assert (store.student(CELL) / "model.safetensors").read_text() == "trained"


def test_an_outcome_that_cannot_be_read_is_no_outcome_and_can_be_replaced(store):
    keep(store, 42, 0.5)
    (store.place(CELL) / "outcome.json").write_text('{"validation_f1":')
    assert store.outcome(CELL) is None
    assert store.outcome(keep(store, 42, 0.25)) == {"validation_f1": 0.25}


def test_two_runs_in_one_folder_do_not_share_a_place(store):
    places = [store.work(replace(CELL, seed=seed)) for seed in (1, 2)]
    assert places[0] != places[1]
    assert places[0] == CellStore(store.folder, DECIDES).work(replace(CELL, seed=1))


def test_the_best_is_chosen_by_validation_and_is_the_first_of_equals(store):
    cells = [keep(store, seed, f1) for seed, f1 in ((1, 0.25), (2, 0.5), (3, 0.5))]
    unfinished = replace(CELL, seed=4)
    assert store.best([*cells, unfinished]) == cells[1]
    assert store.best(cells[::-1]) == cells[2]


def test_pruning_keeps_the_students_of_the_best_and_all_outcomes(store):
    cells = [keep(store, seed, f1) for seed, f1 in ((1, 0.25), (2, 0.75), (3, 0.5))]
    store.prune([*cells, replace(CELL, seed=4)])
    assert [store.student(cell).is_dir() for cell in cells] == [False, True, False]
    assert [store.outcome(cell)["validation_f1"] for cell in cells] == [0.25, 0.75, 0.5]
    store.prune(cells)
    assert store.student(cells[1]).is_dir()


def test_a_best_cell_whose_student_was_not_kept_is_still_the_best(store):
    """So that the recipe runs it again, and does not publish the second best."""
    best, second = keep(store, 1, 0.75, student=False), keep(store, 2, 0.5)
    assert store.best([best, second]) == best
    store.prune([best, second])
    assert not store.student(second).exists()


def test_pruning_before_anything_is_finished_does_nothing(store):
    store.prune([CELL])
    assert not store.folder.exists()


def test_outcomes_are_json_on_disk(store):
    cell = keep(store, 42, 0.5)
    assert json.loads((store.place(cell) / "outcome.json").read_text()) == {"validation_f1": 0.5}


def test_summaries_leave_the_predictions_out_and_of_equal_cells_the_newest_counts(store):
    assert store.summary(CELL) is None
    store.keep(CELL, {"validation_f1": 0.5, "predictions": [{"sentence": "a"}]})
    assert store.summary(CELL) == {"cell": asdict(CELL), "validation_f1": 0.5}
    other = CellStore(store.folder, {**DECIDES, "lr": 1.0})
    other.keep(CELL, {"validation_f1": 0.75, "predictions": []})
    scarce = replace(CELL, train_share=0.25)
    other.keep(scarce, {"validation_f1": 0.25, "predictions": []})
    os.utime(other.place(CELL) / "summary.json", (2e9, 2e9))
    assert {summary["validation_f1"] for summary in store.summaries()} == {0.75, 0.25}


def test_a_forgotten_cell_is_not_finished(store):
    store.forget(keep(store, 42, 0.5))
    assert store.outcome(CELL) is None


# --- Claims ----------------------------------------------------------------------------------------------------------

HOLD = """
import sys, time
from pathlib import Path
from hub_tools.evaluation.grid import Cell, CellStore
claim = CellStore(Path(sys.argv[1]), {"lr": 3e-4, "epochs": 20, "benchmark": "abc123"}).claim(Cell(*sys.argv[2:6], 42))
print(claim is not None, flush=True)
time.sleep(600)
"""


def test_a_cell_is_claimed_by_one_at_a_time(store):
    first = store.claim(CELL)
    assert first is not None
    assert store.claim(CELL) is None
    assert store.owner(CELL) == str(os.getpid())
    other = store.claim(replace(CELL, seed=43))
    other.release()
    first.release()
    assert names(store) == set()
    again = store.claim(CELL)
    assert again is not None
    again.release()
    assert store.owner(CELL) == ""


def test_a_killed_owners_claim_is_free(store):
    arguments = [str(store.folder), CELL.model, CELL.repo_id, CELL.revision, CELL.config]
    owner = subprocess.Popen([sys.executable, "-c", HOLD, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout.readline() == "True\n"
        assert store.claim(CELL) is None
        assert store.owner(CELL) == str(owner.pid)
    finally:
        owner.kill()
        owner.wait()
    claim = store.claim(CELL)
    assert claim is not None
    assert store.owner(CELL) == str(os.getpid())
    claim.release()
