"""Several runs of one recipe in a row: each is tried, whatever became of those before, and all are told at the end."""

import gc
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from accelerate import PartialState
from accelerate.utils import gather_object


logger = logging.getLogger(__name__)

Arguments = TypeVar("Arguments")

MISSED = {"failed": "failed", "not pushed": "are trained, but not pushed"}  # states without a student on the Hub


@dataclass(frozen=True)
class Outcome:
    """
    What became of one run: `state` is "trained", "reused" (it was there already), "not pushed" (it is trained, and the
    Hub does not have it) or "failed"; of the last two there is a `reason`.
    """

    name: str
    state: str
    facts: Mapping[str, Any] = field(default_factory=dict)  # what it measured, as its run.json keeps it
    reason: str = ""


class CannotBegin(ValueError):
    """A run that no process has begun to train, for a reason that all of them know: none waits for another in it."""


@contextmanager
def all_or_none(errors: tuple[type[Exception], ...]) -> Iterator[None]:
    """
    A block that all processes pass, or none: what one of them fails with in it, all of them fail with at its end.

    The block itself may hold nothing that processes do together. With one process it changes nothing.

    Raises:
        CannotBegin: one of `errors` was raised in some process; with the reason of the first such one.
    """
    failure = None
    try:
        yield
    except errors as error:
        if PartialState().num_processes == 1:
            raise
        failure = error
    reasons = gather_object([failure and (str(failure) or type(failure).__name__)])
    if told := [reason for reason in reasons if reason]:
        raise CannotBegin(told[0]) from failure


def run_all(
    runs: Sequence[Arguments],
    train: Callable[[Arguments], Outcome],
    hear: Callable[[list[Outcome]], None],
    errors: tuple[type[Exception], ...],
    keep_going: bool = True,
) -> None:
    """
    Trains each of `runs`, in order, so that a later one may start from what an earlier one wrote.

    Args:
        train: runs one, or finds that it was run before.
        hear: gets all outcomes at the end, also when stopped in between.
        errors: what a run may fail with. With one run only nothing is caught.
        keep_going: False where other processes take part: they may wait inside a run that has failed here, so that
            none follows it. After one that no process has begun (`CannotBegin`) the others are tried in any case.

    Raises:
        RuntimeError: some failed or are not pushed; with their reasons, after the others were tried.
    """
    if len(runs) == 1:
        outcome = train(runs[0])
        if outcome.state in MISSED:
            raise RuntimeError(outcome.reason)
        return
    outcomes: list[Outcome] = []
    failure: Exception | None = None
    try:
        for run in runs:
            try:
                outcome = train(run)
                outcomes.append(outcome)
                if outcome.state in MISSED:
                    logger.warning("%s is trained, but not pushed: %s", run.name, outcome.reason)
            except errors as error:
                reason = f"{error}" or type(error).__name__
                outcomes.append(Outcome(run.name, "failed", reason=reason))
                trace = bool(os.environ.get("FSA_TRACE"))  # which `run_stage` promises, and nothing keeps until then
                logger.warning("%s failed: %s", run.name, reason, exc_info=trace)
                forget_frames(error)
                failure = failure or error
                if not keep_going and not isinstance(error, CannotBegin):
                    break
    finally:
        tried = {outcome.name for outcome in outcomes}
        hear([*outcomes, *(Outcome(run.name, "missing") for run in runs if run.name not in tried)])
    if any(outcome.state in MISSED for outcome in outcomes):
        raise RuntimeError(told(outcomes)) from failure


def forget_frames(error: BaseException) -> None:
    """
    Has `error`, and those that led to it, keep their words alone: the frames of one would hold a failed run's model,
    its optimiser and its graph in memory while the later runs train.
    """
    linked: list[BaseException | None] = [error]
    seen: set[int] = set()
    while linked:
        link = linked.pop()
        if link is None or id(link) in seen:  # a chain may bite its tail
            continue
        seen.add(id(link))
        link.__traceback__ = None
        linked += [link.__cause__, link.__context__]
    gc.collect()  # a model and its hooks may hold each other


def told(outcomes: Sequence[Outcome]) -> str:
    """What failed or is not pushed, why, and how to go on."""
    lines = []
    for state, words in MISSED.items():
        if those := [outcome for outcome in outcomes if outcome.state == state]:
            lines.append(f"{len(those)} of the sweep's runs {words}:")
            lines += [f"  {outcome.name}: {outcome.reason}" for outcome in those]
    return "\n".join([*lines, "The same command runs what is missing."])


def table(outcomes: Sequence[Outcome]) -> tuple[list[str], list[list[str]]]:
    """Header and lines: of each run its name, what became of it, and what it measured."""
    columns = {
        "reviews": "reviews",
        "pairs": "pairs",
        "steps": "steps",
        "tokens": "tokens seen",
        "hours": "hours",
        "validation_loss": "validation loss",
    }
    lines = [
        [outcome.name, outcome.state, *(_shown(outcome.facts.get(name)) for name in columns)] for outcome in outcomes
    ]
    return ["run", "state", *columns.values()], lines


def _shown(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
