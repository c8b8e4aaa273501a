"""Several runs of one recipe in a row: each is tried, whatever became of those before, and all are told at the end."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from accelerate import PartialState
from accelerate.utils import gather_object


logger = logging.getLogger(__name__)

Arguments = TypeVar("Arguments")


@dataclass(frozen=True)
class Outcome:
    """What became of one run: `state` is "trained", "reused" (it was there already) or "failed"."""

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
        RuntimeError: some failed; with their reasons, after the others were tried.
    """
    if len(runs) == 1:
        train(runs[0])
        return
    outcomes: list[Outcome] = []
    failure: Exception | None = None
    try:
        for run in runs:
            try:
                outcomes.append(train(run))
            except errors as error:
                outcomes.append(Outcome(run.name, "failed", reason=f"{error}"))
                failure = failure or error.with_traceback(None)  # whose frames would keep a model in memory
                logger.warning("%s failed: %s", run.name, error)
                if not keep_going and not isinstance(error, CannotBegin):
                    break
    finally:
        tried = {outcome.name for outcome in outcomes}
        hear([*outcomes, *(Outcome(run.name, "missing") for run in runs if run.name not in tried)])
    if failure:
        raise RuntimeError(told(outcomes)) from failure


def told(outcomes: Iterable[Outcome]) -> str:
    """What failed, why, and how to go on."""
    failed = [outcome for outcome in outcomes if outcome.state == "failed"]
    reasons = "\n".join(f"  {outcome.name}: {outcome.reason}" for outcome in failed)
    return f"{len(failed)} of the sweep's runs failed:\n{reasons}\nThe same command runs what is missing."


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
