"""What a run tells of itself: numbers for run.json, words and a table for the card."""

import doctest
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tools.students import account
from hub_tools.students.account import cost, curve, lost, measured, numbers, reason, thinned
from hub_tools.students.hardware import Gain
from hub_tools.students.pretraining import PRECISIONS, Pretraining, TrainingLog


SETTINGS = Pretraining(steps=4, pairs_per_step=3)


def test_the_examples_hold():
    assert doctest.testmod(account).failed == 0


@pytest.fixture
def log() -> TrainingLog:
    return TrainingLog(
        losses=[[0, 4.0], [1, 3.0], [2, 2.0], [3, 1.0]],
        validation=[[2, 3.5], [4, 1.5]],
        padding=[[0, 0.02], [1, 0.04], [2, 0.02], [3, 0.04]],
        speed=[[0, 50.0], [1, 1000.0], [2, 1200.0], [3, 1100.0]],
        input_tokens=1000,
        target_tokens=3000,
        seconds=1800.0,
        resumed_at=[2],
        layout="joined",
        processes=2,
    )


def test_a_run_in_numbers_is_json_and_has_the_last_losses(log):
    facts = json.loads(json.dumps(numbers(log, SETTINGS, reviews=6, pairs=12)))
    assert facts == {
        "reviews": 6, "pairs": 12, "steps": 4, "processes": 2, "tokens": 4000, "hours": 0.5, "padding": 0.03,
        "training_loss": 1.0, "validation_loss": 1.5, "validation": [[2, 3.5], [4, 1.5]], "resumed_at": [2],
    }  # fmt: skip
    assert numbers(TrainingLog(), SETTINGS, 0, 0)["validation_loss"] is None


def test_a_run_in_words(log):
    told = measured(log, SETTINGS, "rating", 40, "the CPU has no bf16 units")
    assert told["objective"].startswith("rating prediction")
    assert told["optimiser steps"] == "4 of 3 pairs each"
    assert told["cost"] == "0.50 hours on 2 processes, if there were as many before each interruption"
    assert told["speed"] == "1,050 tokens a second"
    assert told["padding"] == "3.0 % of the positions computed, all pairs in one row"
    assert told["precision"] == "float32 (the CPU has no bf16 units)"
    assert told["held out for validation"] == "40 pairs, by review"
    assert told["interruptions"] == "went on from step 2"
    empty = measured(TrainingLog(), SETTINGS, "rating", 0)
    assert (empty["padding"], empty["speed"]) == ("", "")
    assert empty["interruptions"] == "none"


def test_gpus_are_counted_once_and_hours_before_an_interruption_are_said_to_be_guessed(log):
    whole = replace(log, seconds=18_000, processes=8, resumed_at=[])
    told = measured(whole, SETTINGS, "rating", 0, "", "cuda")
    assert told["cost"] == "5.00 hours on 8 GPUs, 40.00 GPU-hours"
    assert cost(replace(whole, processes=1), "cuda") == "5.00 hours on 1 GPU, 5.00 GPU-hours"
    assert cost(replace(whole, resumed_at=[2]), "cuda").endswith(", if there were as many before each interruption")


def test_a_precision_that_was_asked_for_has_no_other_reason(monkeypatch):
    """As with `bf16: yes` on a CPU: that it has no bf16 units is the reason of the opposite."""
    monkeypatch.setattr(account, "gains_from_bf16", lambda device: Gain(False, "the CPU has no bf16 units"))
    assert [reason(bf16, "cpu") for bf16 in PRECISIONS] == ["the CPU has no bf16 units", "asked for", "asked for"]


def test_a_run_that_went_on_another_way_says_both(log):
    log.computes(layout="packed", precision="bf16")
    told = measured(log, SETTINGS, "rating", 0)
    assert told["precision"] == "float32, then from step 2 bf16 where autocast takes it, weights in float32"
    assert told["padding"].endswith("all pairs in one row, then from step 2 several pairs a row")


def test_the_curve_has_the_mean_training_loss_between_validations(log):
    assert curve(log) == [
        {"step": 2, "training loss": "3.5000", "validation loss": "3.5000"},
        {"step": 4, "training loss": "1.5000", "validation loss": "1.5000"},
    ]
    assert curve(TrainingLog()) == []


@given(st.integers(0, 60), st.integers(1, 20))
def test_a_thinned_curve_keeps_its_end_and_not_many_more_points_than_asked_for(n, most):
    points = [[step, 0.0] for step in range(n)]
    found = thinned(points, most)
    assert found[-1:] == points[-1:]
    assert len(found) <= most
    assert [point for point in points if point in found] == found


def test_what_the_tokenizer_lost_is_a_sentence():
    cost = {"truncated_inputs": 2, "cut_input_tokens": 1234, "unknown_tokens": 0, "tokens": 50_000, "other": 3}
    assert lost(cost) == "2 inputs cut, 1,234 tokens cut from them, 0 unknown tokens; of 50,000 tokens kept in all"
    assert lost({}) == ""
