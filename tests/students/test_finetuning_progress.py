"""How far a grid is, as lines, as a table in a terminal, and as a table on disk."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from hub_tools.evaluation.grid import Cell, CellStore
from hub_tools.students.crew import News
from hub_tools.students.finetuning import Epoch
from hub_tools.students.progress import Progress


CELLS = [Cell("base", "me/t5", "c0ffee", "tsa-rest14", seed) for seed in (1, 2, 3)]
CELLS += [Cell("told", "me/t5", "c0ffee", "tsa-rest14", 1, 0.25, "instruction")]
EPOCH = Epoch(f1=0.25, strict_f1=0.2, loss=1.0, train_seconds=8.0, validation_seconds=1.0)


def keep(store, cell, f1):
    outcome = {"validation_f1": 0.5, "f1": f1, "strict_f1": f1 / 2, "seconds": 9.4, "predictions": []}
    store.keep(cell, outcome)


@pytest.fixture
def store(tmp_path) -> CellStore:
    store = CellStore(tmp_path / "cells", {})
    keep(store, CELLS[0], 0.4)
    return store


def follow(store, file, console):
    with Progress(CELLS, store, 3, file, console) as progress:
        progress.hear(News(CELLS[1], "running"))
        progress.hear(News(CELLS[2], "running"))
        progress.hear(News(CELLS[1], "epoch", EPOCH))
        progress.hear(News(CELLS[1], "epoch", EPOCH))
        now = progress.table().columns[-1]._cells
        keep(store, CELLS[1], 0.6)
        progress.hear(News(CELLS[1], "finished"))
        progress.hear(News(CELLS[2], "failed", "its worker died ([/SIGKILL])"))
        progress.hear(News(CELLS[3], "elsewhere", "123"))
    return now


def test_where_there_is_no_terminal_each_cell_is_a_line(store, tmp_path):
    out = io.StringIO()
    follow(store, tmp_path / "results.md", Console(file=out))
    assert out.getvalue().splitlines() == [
        "finetune: 4 cells, 1 finished before.",
        "finetune: [1/4] base · tsa-rest14 · seed 2: running",
        "finetune: [1/4] base · tsa-rest14 · seed 3: running",
        "finetune: [2/4] base · tsa-rest14 · seed 2: test F1 60.00, validation 50.00, 9 s",
        "finetune: [2/4] base · tsa-rest14 · seed 3: FAILED: its worker died ([/SIGKILL])",
        "finetune: [2/4] told · tsa-rest14 · 25% of train · seed 1: process 123 of another launch is at work on it;"
        " asked again later",
    ]


def test_a_terminal_shows_a_table_and_only_what_went_wrong_as_lines(store, tmp_path):
    out = io.StringIO()
    now = follow(store, tmp_path / "results.md", Console(file=out, force_terminal=True, width=160))
    assert now == ["seed 2: 2 of 3 epochs, validation 25.00; seed 3: 0 of 3 epochs", ""]
    shown = out.getvalue()
    assert "50.00 ± 14.14" in shown
    assert "FAILED: its worker died ([/SIGKILL])" in shown
    assert "seed 2: running" not in shown


def test_the_table_on_disk_has_every_runs_cells(store, tmp_path):
    earlier = replace(CELLS[0], config="asqp-rest16")
    keep(CellStore(store.folder, {"another": "run"}), earlier, 0.1)
    follow(store, tmp_path / "runs" / "results.md", Console(file=io.StringIO()))
    lines = (tmp_path / "runs" / "results.md").read_text(encoding="utf-8").splitlines()
    assert lines[2] == "| config | model | train | seeds | validation F1 | test F1 | strict | s per seed |"
    assert "| tsa-rest14 | base | 100% | 2 of 2 | 50.00 ± 0.00 | 50.00 ± 14.14 | 25.00 ± 7.07 | 9 |" in lines
    assert "| asqp-rest16 | base | 100% | 1 of 1 | 50.00 | 10.00 | 5.00 | 9 |" in lines


def test_another_process_than_the_main_one_writes_nothing(store, tmp_path):
    follow(store, tmp_path / "results.md", Console(file=io.StringIO(), quiet=True))
    assert not (tmp_path / "results.md").exists()
