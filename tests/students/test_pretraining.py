"""Pretraining in miniature: what is read, in which order, and that kills, splits and processes change nothing."""

import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from hub_tools.students import pretraining
from hub_tools.students.optimizer import RMSScaledAdamW
from hub_tools.students.pretraining import (
    Pretraining,
    encode_pairs,
    hold_out,
    plan_step,
    pretrain,
    train_step,
    truncate,
    validation_loss,
)
from tests.students.miniature import PAIRS, SETTINGS, run, student


ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tests" / "students" / "miniature.py"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture(autouse=True)
def one_thread():
    """As the scripts that these tests start: sums of floats depend on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Weights, log and folder of a run from start to end, with dropout."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("undisturbed")
    return *run(folder, dropout_rate=0.1), folder


@pytest.fixture(scope="module")
def encoded():
    return encode_pairs(PAIRS, student()[1])[0]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# --- What is read ----------------------------------------------------------------------------------------------------


def test_line_breaks_are_one_sign_on_both_sides():
    tokenizer = student()[1]
    pair = {"input": "Loved the lamb!\nIt came late.", "target": "Opinion Target 1: lamb\r\nSentiment: positive\n"}
    ((source, target),), _ = encode_pairs([pair], tokenizer)
    newline = tokenizer.convert_tokens_to_ids("[NL]")
    assert (source.count(newline), target.count(newline)) == (1, 2)


def test_what_is_too_long_is_cut_counted_and_still_ends():
    tokenizer = student()[1]
    whole, nothing_lost = encode_pairs(PAIRS, tokenizer)
    assert nothing_lost["truncated_inputs"] == nothing_lost["truncated_targets"] == 0
    assert nothing_lost["tokens"] == sum(len(source) + len(target) for source, target in whole)
    limit = min(len(target) for _, target in whole) + 1
    cut, cost = encode_pairs(PAIRS, tokenizer, max_input=10, max_target=limit)
    assert cost["truncated_inputs"] == sum(len(source) > 10 for source, _ in whole) > 0
    assert cost["truncated_targets"] == sum(len(target) > limit for _, target in whole) > 0
    assert all(source[-1] == target[-1] == tokenizer.eos_token_id for source, target in cut)
    assert {len(source) for source, _ in cut} == {10}


def test_signs_outside_the_vocabulary_are_counted():
    assert encode_pairs([{"input": "Loved ☃ it", "target": "☃"}], student()[1])[1]["unknown_tokens"] == 2
    assert encode_pairs([], student()[1]) == (
        [],
        {"truncated_inputs": 0, "truncated_targets": 0, "unknown_tokens": 0, "tokens": 0},
    )


@given(ids=st.lists(st.integers(2, 99), max_size=30), limit=st.integers(1, 20))
def test_truncation_keeps_the_beginning_and_the_end_mark(ids, limit):
    ids = [*ids, 1]
    cut = truncate(ids, limit, 1)
    assert len(cut) == min(limit, len(ids))
    assert cut[-1] == 1
    assert cut[:-1] == ids[: len(cut) - 1]


@given(reviews=st.lists(st.integers(0, 8), min_size=1, max_size=40), n=st.integers(0, 50), seed=st.integers(0, 1000))
def test_what_is_held_out_shares_no_review_with_what_is_trained_on(reviews, n, seed):
    pairs = [{"review_id": f"r{review}", "pair_id": number} for number, review in enumerate(reviews)]
    training, validation = hold_out(pairs, n, seed)
    assert not {pair["review_id"] for pair in training} & {pair["review_id"] for pair in validation}
    assert sorted(pair["pair_id"] for pair in training + validation) == list(range(len(pairs)))
    assert training
    assert (training, validation) == hold_out(pairs, n, seed)
    largest = max(Counter(reviews).values())
    assert len(validation) < n + largest
    if len(validation) < n:  # all the reviews but one were not enough
        assert len({pair["review_id"] for pair in training}) == 1


# --- In which order --------------------------------------------------------------------------------------------------


@given(n_pairs=st.integers(1, 50), pairs_per_step=st.integers(1, 60), seed=st.integers(0, 1000))
def test_every_epoch_reads_every_pair_once(n_pairs, pairs_per_step, seed):
    steps = [plan_step(step, n_pairs, pairs_per_step, seed) for step in range(3 * n_pairs // pairs_per_step + 1)]
    assert {len(step) for step in steps} == {pairs_per_step}
    order = [index for step in steps for index in step]
    for epoch in range(len(order) // n_pairs):
        assert sorted(order[epoch * n_pairs : (epoch + 1) * n_pairs]) == list(range(n_pairs))


def test_epochs_and_seeds_differ_and_a_step_does_not_depend_on_what_was_asked_before():
    first = [plan_step(step, 20, 7, 42) for step in range(30)]
    flat = [index for step in first for index in step]
    assert flat[:20] != flat[20:40]
    assert first[0] != plan_step(0, 20, 7, 43)
    assert [plan_step(step, 20, 7, 42) for step in reversed(range(30))] == first[::-1]


# --- What is computed ------------------------------------------------------------------------------------------------


class Gradients:
    """In place of an optimiser: keeps the gradients that it would have used."""

    def __init__(self, model):
        self.model, self.param_groups, self.found = model, [{"lr": 0.0}], {}

    def step(self):
        self.found = {name: weight.grad.clone() for name, weight in self.model.named_parameters()}

    def zero_grad(self, set_to_none):
        self.model.zero_grad(set_to_none=set_to_none)


def gradients(encoded, pairs_per_forward):
    model = student()[0]
    catcher = Gradients(model)
    settings = Pretraining(steps=1, pairs_per_step=20, pairs_per_forward=pairs_per_forward, max_grad_norm=0.0)
    return train_step(model, catcher, 0.0, 0, range(20), encoded, settings, Accelerator()), catcher.found


def test_splitting_a_step_into_passes_changes_neither_loss_nor_gradient(encoded):
    whole_loss, whole = gradients(encoded, 20)
    for pairs_per_forward in (1, 3, 7):
        loss, found = gradients(encoded, pairs_per_forward)
        assert loss == pytest.approx(whole_loss, rel=1e-6)
        for name, gradient in whole.items():
            assert torch.allclose(found[name], gradient, rtol=1e-4, atol=1e-6), name


def test_the_loss_is_the_mean_over_all_target_tokens_as_transformers_has_it(encoded):
    """One pair at a time, no padding, labels as the library wants them; weighted by their number of tokens."""
    model = student()[0].eval()
    with torch.no_grad():
        each = [
            (len(target), model(input_ids=torch.tensor([source]), labels=torch.tensor([target])).loss.item())
            for source, target in encoded
        ]
    wanted = sum(tokens * loss for tokens, loss in each) / sum(tokens for tokens, _ in each)
    assert gradients(encoded, 6)[0] == pytest.approx(wanted, rel=1e-5)
    assert validation_loss(model, encoded, SETTINGS, Accelerator()) == pytest.approx(wanted, rel=1e-5)


def test_the_gradient_is_clipped_to_the_norm_that_is_set(encoded):
    model = student()[0]
    catcher = Gradients(model)
    settings = Pretraining(steps=1, pairs_per_step=20, max_grad_norm=0.01)
    train_step(model, catcher, 0.0, 0, range(20), encoded, settings, Accelerator())
    norm = math.sqrt(sum(float(gradient.pow(2).sum()) for gradient in catcher.found.values()))
    assert norm == pytest.approx(0.01, rel=1e-3)


def test_the_loss_falls_and_the_log_tells_of_it(undisturbed):
    log = undisturbed[1]
    losses = [loss for _, loss in log.losses]
    assert sum(losses[-3:]) < 0.85 * sum(losses[:3])
    assert [step for step, _ in log.losses] == list(range(12))
    assert [step for step, _ in log.validation] == [4, 8, 12]
    assert log.validation[-1][1] < log.validation[0][1]
    assert log.resumed_at == []
    encoded = encode_pairs(PAIRS, student()[1])[0]
    chosen = [index for step in range(12) for index in plan_step(step, 20, 7, 42)]
    assert log.target_tokens == sum(len(encoded[index][1]) for index in chosen)
    assert log.input_tokens == sum(len(encoded[index][0]) for index in chosen)


# --- Kills and processes ---------------------------------------------------------------------------------------------


def test_a_run_that_is_killed_goes_on_and_ends_with_the_same_weights(tmp_path, undisturbed):
    command = [sys.executable, SCRIPT, "--folder", tmp_path, "--dropout_rate", "0.1", "--halt_at", "7"]
    killed = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    checkpoints = tmp_path / "checkpoints"
    while killed.poll() is None and not (checkpoints / "step-0000006").exists():
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL

    weights, log = run(checkpoints, dropout_rate=0.1)
    assert log.resumed_at == [6]
    assert log.losses == undisturbed[1].losses
    assert log.validation == undisturbed[1].validation
    assert (log.input_tokens, log.target_tokens) == (undisturbed[1].input_tokens, undisturbed[1].target_tokens)
    assert same(weights, undisturbed[0])
    assert [path.name for path in checkpoints.iterdir()] == ["step-0000012"]


def test_a_half_written_checkpoint_is_ignored_and_cleared_away(tmp_path, undisturbed):
    half = tmp_path / "partial"
    half.mkdir(parents=True)
    (half / "state.safetensors").write_bytes(b"half a")
    weights, log = run(tmp_path, dropout_rate=0.1)
    assert log.resumed_at == []
    assert same(weights, undisturbed[0])
    assert not half.exists()


def test_a_finished_run_is_not_trained_further(undisturbed):
    weights, log = run(undisturbed[2], dropout_rate=0.1)
    assert log.resumed_at == [12]
    assert len(log.losses) == 12
    assert same(weights, undisturbed[0])


def test_a_loss_that_is_not_finite_stops_with_its_step_and_keeps_the_checkpoint(tmp_path, undisturbed, monkeypatch):
    honest, plan = pretraining.summed_loss, pretraining.plan_step
    step_now = []
    monkeypatch.setattr(pretraining, "plan_step", lambda step, *rest: step_now.append(step) or plan(step, *rest))
    monkeypatch.setattr(
        pretraining, "summed_loss", lambda *inputs: honest(*inputs) * (math.nan if step_now[-1] == 7 else 1.0)
    )
    with pytest.raises(FloatingPointError, match=r"not finite at step 7 .*lower lr \(0.01\)"):
        run(tmp_path, dropout_rate=0.1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000006"]
    monkeypatch.undo()
    assert same(run(tmp_path, dropout_rate=0.1)[0], undisturbed[0])


def test_a_gradient_that_is_not_finite_stops_before_it_spoils_a_weight(tmp_path, encoded):
    model = student()[0]
    calls = []
    model.shared.weight.register_hook(lambda g: calls.append(1) or (g * math.inf if len(calls) > 5 else g))
    with pytest.raises(FloatingPointError, match=r"not finite at step 1"):
        pretrain(model, encoded, [], replace(SETTINGS, checkpoint_every=1), Accelerator(), tmp_path)
    assert all(weight.isfinite().all() for weight in model.parameters())
    state = load_file(tmp_path / "step-0000001" / "state.safetensors")
    assert all(tensor.isfinite().all() for tensor in state.values())


def test_a_checkpoint_holds_weights_moments_and_no_pickle(tmp_path, encoded):
    model = student()[0]
    pretrain(model, encoded, [], replace(SETTINGS, steps=2), Accelerator(), tmp_path)
    folder = tmp_path / "step-0000002"
    assert sorted(path.name for path in folder.iterdir()) == ["log.json", "state.safetensors"]
    names = [name for name, _ in model.named_parameters()]
    state = load_file(folder / "state.safetensors")
    assert set(state) == {f"{kind}.{name}" for kind in ("weight", "exp_avg", "exp_avg_sq") for name in names}
    restored = student()[0]
    assert pretraining.restore(tmp_path, restored, RMSScaledAdamW(restored.parameters()))[1] == 2
    assert same(dict(restored.named_parameters()), dict(model.named_parameters()))


@pytest.mark.parametrize("name", ["steps", "pairs_per_step", "pairs_per_forward", "validate_every"])
def test_impossible_settings_are_refused_by_name(name):
    with pytest.raises(ValueError, match=rf"{name} must be at least 1, found 0"):
        replace(SETTINGS, **{name: 0})


def test_nothing_to_train_on_is_said_so(tmp_path):
    with pytest.raises(ValueError, match="no pair to train on"):
        pretrain(student()[0], [], [], SETTINGS, Accelerator(), tmp_path)
