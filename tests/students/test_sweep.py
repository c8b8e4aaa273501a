"""Several runs in a row: in order, each tried, all told."""

from dataclasses import dataclass

import pytest

from hub_tools.students.sweep import Outcome, run_all, table


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
