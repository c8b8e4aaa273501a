"""Several runs in a row: in order, each tried, all told."""

import logging
import weakref
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


def test_a_run_that_is_trained_but_not_pushed_hides_no_other_and_is_told_as_such():
    def train(run: Run) -> Outcome:
        return Outcome(run.name, "not pushed", {"steps": 5}, "the Hub is down") if run.name == "a" else later(run)

    heard, later = [], train_but("c", ValueError("no corpus"))
    with pytest.raises(RuntimeError) as caught:
        run_all(RUNS, train, heard.append, ERRORS, keep_going=False)  # no process waits for another
    assert states(heard) == {"a": "not pushed", "b": "trained", "c": "failed"}
    assert f"{caught.value}".splitlines() == [
        "1 of the sweep's runs failed:",
        "  c: no corpus",
        "1 of the sweep's runs are trained, but not pushed:",
        "  a: the Hub is down",
        "The same command runs what is missing.",
    ]
    with pytest.raises(RuntimeError, match=r"^the Hub is down$"):
        run_all(RUNS[:1], train, heard.append, ERRORS)


class Model:
    """Heavy; and part of a circle, as a model with hooks is."""

    def __init__(self) -> None:
        self.itself = self


@pytest.mark.parametrize("how", ["alone", "from another", "while another was handled", "in a circle"])
def test_a_failed_run_leaves_its_words_alone_in_memory(how):
    models, alive, heard = [], [], []

    def forward() -> None:
        model = Model()
        models.append(weakref.ref(model))
        raise ValueError("out of memory")

    def train(run: Run) -> Outcome:
        alive.append([model() is not None for model in models])
        if run.name == "b":
            return Outcome(run.name, "trained")
        try:
            forward()
        except ValueError as error:
            if how == "alone":
                raise
            if how == "from another":
                raise FloatingPointError("not finite") from error
            if how == "in a circle":
                error.__cause__ = last = FloatingPointError("not finite")
                raise last from error
            raise FloatingPointError("not finite")  # noqa: B904

    with pytest.raises(RuntimeError, match="1 of the sweep's runs failed"):
        run_all(RUNS[:2], train, heard.append, ERRORS)
    assert alive == [[], [False]]


def test_where_a_run_failed_is_shown_on_demand(monkeypatch, caplog):
    for trace, shown in (("", False), ("1", True)):
        caplog.clear()
        monkeypatch.setenv("FSA_TRACE", trace)
        with caplog.at_level(logging.WARNING), pytest.raises(RuntimeError):
            run_all(RUNS, train_but("b", ValueError("no corpus")), [].append, ERRORS)
        assert ("in train" in caplog.text) == shown


def test_an_error_without_words_fails_the_sweep_too():
    heard = []
    with pytest.raises(RuntimeError, match=r"1 of the sweep's runs failed:\n  b: FloatingPointError\n"):
        run_all(RUNS, train_but("b", FloatingPointError()), heard.append, ERRORS)
    assert states(heard)["b"] == "failed"
    for state in ("failed", "not pushed"):
        with pytest.raises(RuntimeError):
            run_all(RUNS, lambda run, state=state: Outcome(run.name, state), heard.append, ERRORS)


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
