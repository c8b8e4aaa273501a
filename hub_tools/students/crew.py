"""
Cells of the grid, computed one after another in this process, or by worker processes at the same time.

A worker holds a claim on its cell (`CellStore.claim`), so that no two launches on one folder compute it twice. What a
worker says goes to the listener as `News`; a worker that dies is replaced, and its cell counts as failed, as does one
that raised. When the launching process ends, however it ends, so do its workers.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import NamedTuple

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from transformers.utils import logging

from hub_tools.evaluation.grid import Cell
from hub_tools.students.cells import Grid, run_cell
from hub_tools.students.finetuning import Epoch


PATIENCE = 2.0  # seconds between looks at cells that another launch is at work on


class News(NamedTuple):
    """What happened to a cell: "running", "epoch" (with the epoch), "finished", "elsewhere" or "failed" (and why)."""

    cell: Cell
    what: str
    more: Epoch | str | None = None


Listener = Callable[[News], None]


def run_cells(cells: Sequence[Cell], grid: Grid, workers: int, hear: Listener) -> list[News]:
    """
    Computes the cells that are not finished, and returns the news of those that failed.

    With several processes under `accelerate launch`, they share each cell and `workers` counts for nothing; with one,
    `workers` processes each take the next cell. With one worker the cells are computed in this process.
    """
    missing = [cell for cell in cells if grid.store.outcome(cell) is None]
    failed: list[News] = []

    def listen(news: News) -> None:
        if news.what == "failed":
            failed.append(news)
        hear(news)

    if missing and (workers == 1 or PartialState().num_processes > 1):
        _run_here(missing, grid, listen)
    elif missing:
        with _Crew(grid, min(workers, len(missing)), listen) as crew:
            crew.work_through(missing)
    return failed


def attempt(cell: Cell, grid: Grid, hear: Listener) -> None:
    """Computes a cell if nobody else does; all that can happen is told as news."""
    state = PartialState()
    claim = grid.store.claim(cell) if state.is_main_process else None
    # All processes must agree: claimed, or finished by another launch in the meantime, or being computed there
    found = [bool(claim), state.is_main_process and grid.store.outcome(cell) is not None]
    if state.num_processes > 1:
        broadcast_object_list(found)
    is_ours, is_finished = found
    owner = grid.store.owner(cell)
    if is_ours and not is_finished:
        try:
            hear(News(cell, "running"))
            run_cell(cell, grid, lambda epoch: hear(News(cell, "epoch", epoch)))
            news = News(cell, "finished")
        except Exception as error:
            if state.num_processes > 1:
                raise  # the other processes may be waiting for this one within the cell
            traceback.print_exc()
            news = News(cell, "failed", f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
    else:
        news = News(cell, "finished") if is_finished else News(cell, "elsewhere", owner)
    if claim:
        claim.release()
    hear(news)


def _run_here(cells: Sequence[Cell], grid: Grid, hear: Listener) -> None:
    left = deque(cells)
    elsewhere = 0  # in a row

    def listen(news: News) -> None:
        nonlocal elsewhere
        elsewhere = elsewhere + 1 if news.what == "elsewhere" else 0
        if news.what == "elsewhere":
            left.append(news.cell)
        hear(news)

    while left:
        attempt(left.popleft(), grid, listen)
        if left and elsewhere >= len(left):
            time.sleep(PATIENCE)


@dataclass
class _Worker:
    """A process that computes the cells it is sent, one at a time."""

    number: int
    process: BaseProcess
    pipe: Connection
    cell: Cell | None = field(default=None)


class _Crew:
    """Worker processes, and what is left for them to do."""

    def __init__(self, grid: Grid, size: int, hear: Listener):
        self.grid, self.hear, self.left = grid, hear, deque[Cell]()
        # A clean process that has imported what a worker needs, and from which workers are forked: they start at once
        # and inherit no threads, locks or CUDA context of this one
        methods = multiprocessing.get_all_start_methods()
        self.context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        if "forkserver" in methods:
            self.context.set_forkserver_preload([__name__])
        self.means = max(1, torch.get_num_threads() // size), PartialState().device.type == "cpu"
        self.workers = [self.hire(number) for number in range(size)]

    def hire(self, number: int) -> _Worker:
        """Starts the worker of this number."""
        ours, theirs = self.context.Pipe()
        log = self.grid.store.folder / "logs" / f"worker-{number}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        process = self.context.Process(target=_serve, args=(theirs, self.grid, number, *self.means, str(log)))
        process.start()
        theirs.close()
        return _Worker(number, process, ours)

    def work_through(self, cells: Sequence[Cell]) -> None:
        """Until every cell is finished or has failed."""
        self.left.extend(cells)
        later: list[Cell] = []  # being computed by another launch
        while self.left or later or any(worker.cell for worker in self.workers):
            for worker in self.workers:
                if worker.cell is None and self.left:
                    worker.cell = self.left.popleft()
                    with contextlib.suppress(BrokenPipeError):  # it died idle: the wait below sees it
                        worker.pipe.send(worker.cell)
            ready = wait([worker.pipe for worker in self.workers if worker.cell], PATIENCE if later else None)
            for worker in [worker for worker in self.workers if worker.pipe in ready]:
                self.receive(worker, later)
            if not ready:
                self.left.extend(later)
                later.clear()

    def receive(self, worker: _Worker, later: list[Cell]) -> None:
        """Passes on what a worker says, or that it died."""
        try:
            news = worker.pipe.recv()
        except (EOFError, ConnectionResetError):
            worker.process.join()
            cell, worker.cell = worker.cell, None
            self.hear(News(cell, "failed", f"its worker died ({_ending(worker.process.exitcode)})"))
            self.workers[worker.number] = self.hire(worker.number)
            return
        if news.what in ("finished", "failed", "elsewhere"):
            worker.cell = None
        if news.what == "elsewhere":
            later.append(news.cell)
        self.hear(news)

    def __enter__(self) -> "_Crew":
        return self

    def __exit__(self, error: type | None, *_: object) -> None:
        for worker in self.workers:
            worker.pipe.close()  # an idle worker goes home by itself, and tidies up
            if error:
                worker.process.terminate()
        for worker in self.workers:
            worker.process.join(10)
            worker.process.kill()


def _ending(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        return f"{name}, most likely for want of memory" if name == "SIGKILL" else name
    return f"exit status {exit_code}"


def _serve(pipe: Connection, grid: Grid, number: int, threads: int, on_cpu: bool, log: str) -> None:
    """A worker's life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the launching process too, and it ends us
    threading.Thread(target=_die_with_parent, daemon=True).start()
    with open(log, "a", encoding="utf-8") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(threads)
    if PartialState(cpu=on_cpu).device.type == "cuda":
        torch.cuda.set_device(number % torch.cuda.device_count())
    while True:
        try:
            cell = pipe.recv()
        except EOFError:
            return
        attempt(cell, grid, pipe.send)


def _die_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
