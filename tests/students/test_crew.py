"""Cells computed by worker processes: all of them, each once, whoever is killed meanwhile."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from datasets import Dataset
from huggingface_hub import HfApi

from hub_tools.evaluation.grid import Cell, CellStore
from hub_tools.hub.push import push_dataset
from hub_tools.students import crew
from hub_tools.students.cells import Grid
from hub_tools.students.crew import run_cells
from hub_tools.students.finetuning import Epoch, Finetuning
from hub_tools.students.models import load_student
from tests.students.miniature import LESSONS
from tests.tiny_models import save_tiny_student


pytestmark = pytest.mark.usefixtures("forkserver")
ROOT = Path(__file__).resolve().parents[2]
ROWS = [
    {"id": str(number), "sentence": sentence, "text": text, "opinions": []}
    | {"hard": number == 4, "implicit": number == 2, "multiple": number == 3}
    for number, (sentence, text) in enumerate(LESSONS)
]
QUADS = [
    row | {"hard": False, "text": text}
    for row, text in zip(
        ROWS, ["food quality | positive | food | Good", *["food quality | negative | none | none"] * 4], strict=True
    )
]


@pytest.fixture(scope="module")
def student(tmp_path_factory) -> Path:
    texts = [text for pair in LESSONS for text in pair]
    return save_tiny_student(tmp_path_factory.mktemp("tiny") / "student", texts=texts)


@pytest.fixture
def grid(repo_id, tmp_path) -> Grid:
    test, train = Dataset.from_list(ROWS), Dataset.from_list([row | {"hard": False} for row in ROWS])
    tables = {"tsa-rest14": {"train": train, "validation": train, "test": train, "test_hard": test}}
    tables["asqp-rest16"] = dict.fromkeys(("train", "validation", "test"), Dataset.from_list(QUADS))
    push_dataset(tables, repo_id, "# benchmark\n")
    revision = HfApi().dataset_info(repo_id).sha
    settings = Finetuning(epochs=2, batch_size=2, lr=1e-3, max_length=8, test_num_beams=2)
    return Grid(repo_id, revision, settings, CellStore(tmp_path / "cells", {}), ("base",))


def cells_of(student: Path, seeds=(1, 2, 3), **changes) -> list[Cell]:
    given = {"model": "base", "config": "tsa-rest14", **changes}
    return [Cell(repo_id=str(student), revision="main", seed=seed, **given) for seed in seeds]


def run(grid, cells, workers, hear=lambda news: None):
    heard = []
    failed = run_cells(cells, grid, workers, lambda news: (heard.append(news), hear(news)))
    return failed, heard


def left_over(grid) -> list[str]:
    return sorted(path.name for path in grid.store.folder.glob(".*"))


def test_a_cell_here_and_the_same_cell_in_a_worker_come_to_the_same(grid, student, tmp_path):
    cells = cells_of(student, (1, 2))
    failed, heard = run(grid, cells, 2)
    assert not failed
    assert [news.what for news in heard if news.cell == cells[0]] == ["running", "epoch", "epoch", "finished"]
    assert all(isinstance(news.more, Epoch) for news in heard if news.what == "epoch")
    here = Grid(grid.benchmark, grid.revision, grid.settings, CellStore(tmp_path / "here", {}))
    assert run(here, cells, 1)[0] == []
    for cell in cells:
        outcome, again = grid.store.outcome(cell), here.store.outcome(cell)
        assert [row["prediction"] for row in outcome["predictions"]] == [
            row["prediction"] for row in again["predictions"]
        ]
        assert outcome["validation_f1_by_epoch"] == again["validation_f1_by_epoch"]
        assert outcome["train_loss"] == pytest.approx(again["train_loss"], rel=1e-5)
        assert not here.store.student(cell).exists()
        assert load_student(str(grid.store.student(cell)))[0].config.fsa_task == "tsa"
    assert left_over(grid) == []
    assert run(grid, cells, 2) == ([], [])  # nothing is computed twice


def test_a_killed_worker_is_told_with_its_cell_and_the_others_go_on(grid, student):
    cells = cells_of(student)
    killed = []

    def hear(news):
        if news.what == "running" and not killed:
            killed.append(news.cell)
            os.kill(int(grid.store.owner(news.cell)), signal.SIGKILL)

    failed, _ = run(grid, cells, 2, hear)
    assert [(news.cell, news.more) for news in failed] == [
        (killed[0], "its worker died (SIGKILL, most likely for want of memory)")
    ]
    assert [grid.store.outcome(cell) is not None for cell in cells] == [cell not in killed for cell in cells]
    failed, heard = run(grid, cells, 2)
    assert not failed
    assert {news.cell for news in heard} == set(killed)
    assert left_over(grid) == []


def test_a_cell_that_raises_is_told_and_its_trace_is_kept(grid, student):
    wrong, right = (
        Cell("base", "nobody/nothing", "main", "tsa-rest14", 1),
        *cells_of(student, (1,)),
    )
    for workers in (1, 2):
        failed, _ = run(grid, [wrong, right], workers)
        assert [news.cell for news in failed] == [wrong]
        assert "nobody/nothing" in failed[0].more
        assert grid.store.outcome(right)
    logs = "".join(path.read_text() for path in (grid.store.folder / "logs").iterdir())
    assert "Traceback" in logs


def test_a_cell_of_another_launch_is_left_to_it_and_waited_for(grid, student, monkeypatch):
    monkeypatch.setattr(crew, "PATIENCE", 0.2)
    cells = cells_of(student, (1, 2))
    claim = grid.store.claim(cells[0])
    for workers in (1, 2):
        looks = []

        def hear(news, looks=looks):
            if news.what == "elsewhere":
                looks.append(news.more)
                if len(looks) == 2:
                    grid.store.keep(cells[0], {"validation_f1": 0.5, "predictions": []})

        failed, heard = run(grid, cells, workers, hear)
        assert not failed
        assert looks[:2] == [str(os.getpid())] * 2
        assert not any(news.what == "running" and news.cell == cells[0] for news in heard)
        assert grid.store.outcome(cells[0])["validation_f1"] == 0.5
        grid.store.forget(cells[0])
    claim.release()


def test_shares_instructions_and_quads_are_cells_like_others(grid, student):
    (scarce,) = cells_of(student, (1,), train_share=0.4)
    (told,) = cells_of(student, (1,), input_form="instruction")
    (quads,) = cells_of(student, (1,), config="asqp-rest16")
    assert run(grid, [scarce, told, quads], 1)[0] == []
    config = load_student(str(grid.store.student(told)))[0].config
    assert (config.fsa_input_form, config.fsa_task) == ("instruction", "tsa")
    assert "{sentence}" in config.fsa_instruction
    assert load_student(str(grid.store.student(scarce)))[0].config.fsa_input_form == "plain"
    rows = grid.store.outcome(told)["predictions"]
    assert [row["sentence"] for row in rows] == [row["sentence"] for row in ROWS]
    assert len(grid.store.outcome(quads)["predictions"]) == 5


LAUNCH = """
import sys
from pathlib import Path
from hub_tools.evaluation.grid import Cell, CellStore
from hub_tools.students.cells import Grid
from hub_tools.students.crew import run_cells
from hub_tools.students.finetuning import Finetuning

benchmark, revision, folder, student = sys.argv[1:]
settings = Finetuning(epochs=2000, batch_size=2, lr=1e-3, max_length=8, test_num_beams=2)
grid = Grid(benchmark, revision, settings, CellStore(Path(folder), {}))
cells = [Cell("base", student, "main", "tsa-rest14", seed) for seed in (1, 2)]
run_cells(cells, grid, 2, lambda news: print(news.what, grid.store.owner(news.cell), flush=True))
"""


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split(")")[-1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes under /proc")
def test_workers_end_with_a_killed_launch_and_leave_their_cells_to_the_next(grid, student):
    launch = subprocess.Popen(
        [sys.executable, "-c", LAUNCH, grid.benchmark, grid.revision, grid.store.folder, student],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    running = set()
    for line in launch.stdout:
        what, owner = line.split()
        if what == "running":
            running.add(int(owner))
        if len(running) == 2:
            break
    assert len(running) == 2, launch.stderr.read()
    launch.kill()
    launch.wait(60)
    assert_given_up(grid, cells_of(student, (1, 2)), running)


def test_ctrl_c_ends_the_workers_and_keeps_what_is_finished(grid, student):
    settings = replace(grid.settings, epochs=2000)
    endless, first = replace(grid, settings=settings), cells_of(student, (1,))
    assert run(grid, first, 1)[0] == []
    running = set()

    def hear(news):
        if news.what == "running":
            running.add(int(grid.store.owner(news.cell)))
        if len(running) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(endless, [*first, *cells_of(student, (2, 3))], 2, hear)
    assert grid.store.outcome(first[0])
    assert_given_up(grid, cells_of(student, (2, 3)), running)


def assert_given_up(grid, cells, running):
    """The processes are gone, and their cells are free and not finished."""
    deadline = time.monotonic() + 30
    while any(map(is_alive, running)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_alive, running))
    for cell in cells:
        assert grid.store.outcome(cell) is None
        claim = grid.store.claim(cell)
        assert claim is not None
        claim.release()
