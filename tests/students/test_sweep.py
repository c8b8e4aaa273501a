"""Several runs in a row: in order, each tried, all told."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from hub_tools.students import sweep
from hub_tools.students.sweep import CannotBegin, Outcome, all_or_none, run_all, table


@dataclass
class Run:
    name: str


RUNS = [Run("a"), Run("b"), Run("c")]
ERRORS = (ValueError, FloatingPointError)


def states(heard: list[list[Outcome]]) -> dict[str, str]:
    (outcomes,) = heard
    return {outcome.name: outcome.state for outcome in outcomes}


def train_but(failing: str, error: Exception):
    def train(run: Run) -> Outcome:
        if run.name == failing:
            raise error
        return Outcome(run.name, "trained")

    return train


def test_a_failed_run_hides_no_other():
    heard = []
    with pytest.raises(
        RuntimeError, match=r"1 of the sweep's runs failed:\n  b: not finite\nThe same command"
    ) as caught:
        run_all(RUNS, train_but("b", FloatingPointError("not finite")), heard.append, ERRORS)
    assert states(heard) == {"a": "trained", "b": "failed", "c": "trained"}
    assert isinstance(caught.value.__cause__, FloatingPointError)


def test_where_other_processes_take_part_the_first_failure_ends_it():
    heard = []
    with pytest.raises(RuntimeError, match="1 of the sweep's runs failed"):
        run_all(RUNS, train_but("b", ValueError("x")), heard.append, ERRORS, keep_going=False)
    assert states(heard) == {"a": "trained", "b": "failed", "c": "missing"}


def test_a_run_that_no_process_has_begun_hides_no_other_wherever_it_is():
    heard = []
    with pytest.raises(RuntimeError, match="1 of the sweep's runs failed:\n  b: no such corpus"):
        run_all(RUNS, train_but("b", CannotBegin("no such corpus")), heard.append, ERRORS, keep_going=False)
    assert states(heard) == {"a": "trained", "b": "failed", "c": "trained"}


def test_what_another_process_cannot_begin_none_begins(monkeypatch):
    """Two processes, of which this one is the first; that the real ones gather is accelerate's to test."""
    others = iter([None, "no such corpus", None])
    monkeypatch.setattr(sweep, "PartialState", lambda: SimpleNamespace(num_processes=2))
    monkeypatch.setattr(sweep, "gather_object", lambda own: [*own, next(others)])
    with all_or_none(ERRORS):
        passed = True
    assert passed
    with pytest.raises(CannotBegin, match=r"^no such corpus$"), all_or_none(ERRORS):
        passed = "here, and yet"
    assert passed == "here, and yet"
    with pytest.raises(CannotBegin, match=r"^mine$") as caught, all_or_none(ERRORS):
        raise ValueError("mine")
    assert type(caught.value.__cause__) is ValueError
    with pytest.raises(TypeError, match=r"^a bug$"), all_or_none(ERRORS):
        raise TypeError("a bug")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), TypeError("a bug")], ids=["ctrl-c", "bug"])
def test_what_no_run_reports_goes_through_and_what_is_missing_is_told(error):
    heard = []
    with pytest.raises(type(error)):
        run_all(RUNS, train_but("b", error), heard.append, ERRORS)
    assert states(heard) == {"a": "trained", "b": "missing", "c": "missing"}


def test_a_single_run_needs_no_table_and_keeps_its_own_error():
    heard = []
    run_all(RUNS[:1], train_but("b", ValueError()), heard.append, ERRORS)
    with pytest.raises(ValueError, match=r"^mine$"):
        run_all(RUNS[:1], train_but("a", ValueError("mine")), heard.append, ERRORS)
    with pytest.raises(ValueError, match=r"^mine$"), all_or_none(ERRORS):
        raise ValueError("mine")
    assert heard == []


def test_the_table_shows_what_was_measured_and_a_dash_where_nothing_is_known():
    outcomes = [
        Outcome("a", "reused", {"reviews": 10_000, "steps": 5, "hours": 1.23456, "validation_loss": 0.98765, "x": 1}),
        Outcome("b", "failed", {}, "why"),
    ]
    header, lines = table(outcomes)
    assert header == ["run", "state", "reviews", "pairs", "steps", "tokens seen", "hours", "validation loss"]
    assert lines == [
        ["a", "reused", "10,000", "–", "5", "–", "1.235", "0.9877"],
        ["b", "failed", *["–"] * 6],
    ]
