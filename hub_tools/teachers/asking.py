"""The loop that asks: a teacher's answers into the journal as they come, within the budget, until it is stopped.

SIGINT (Ctrl-C) and SIGTERM (a job scheduler) stop it once in flight is answered and recorded; a second one, at once.
"""

import logging
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from types import FrameType, TracebackType
from typing import Any

from .costs.budget import Budget
from .journal import Journal
from .request import Answers, Request, Teacher


logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """While it is entered, the first signal to stop is heard and remembered; the second raises KeyboardInterrupt.

    Args:
        at_once: the first one does, too: where what is in flight may take a day and is found again anyway.
    """

    def __init__(self, at_once: bool = False) -> None:
        self.asked, self.at_once = False, at_once
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Stop":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._hear) for number in SIGNALS}
        return self

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.asked or self.at_once:
            raise KeyboardInterrupt
        self.asked = True
        logger.warning("stopping: no further request is begun, what is in flight is finished. Once more: at once")

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def until(self, requests: Iterable[Request]) -> Iterator[Request]:
        """The requests, until a signal is heard."""
        requests = iter(requests)
        while not self.asked and (request := next(requests, None)) is not None:
            yield request


def ask(
    teacher: Teacher,
    requests: Iterable[Request],
    journal: Journal,
    budget: Budget,
    stop: Stop,
    after: Callable[[Answers], None] = lambda answers: None,
) -> None:
    """Ask for every request and record what comes; returns when all are answered, or a signal or the budget stops it.

    Args:
        requests: those that have no reply yet; taken one by one, as the teacher can work on them.
        budget: ends the requests before a limit would be passed. It reserves the worst case of what is in flight; when
            that has come back cheaper, there is room again: hence rounds.
        after: called when answers are on the disk.

    Raises:
        Exception: what the teacher raises when it cannot go on. What was recorded stays.
    """
    requests = iter(requests)
    taken = 0

    def counted(these: Iterator[Request]) -> Iterator[Request]:
        nonlocal taken
        for request in these:
            taken += 1
            yield request

    while True:
        taken = 0
        for answers in teacher.replies(counted(stop.until(budget.within(requests)))):
            failures = answers.failures
            if not answers.rows and not len(journal):  # before the first reply it may be the settings that are refused
                failures = [replace(failure, final=False) for failure in failures]
            journal.record(answers.rows, failures)
            budget.settle(answers)
            after(answers)
        if not taken or stop.asked or budget.stopped is None:
            return
