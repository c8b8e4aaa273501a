"""Pretraining in miniature: what is read, in which order, and that kills, splits and processes change nothing."""

import hashlib
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker
from huggingface_hub import HfApi
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from hub_tools.hub.checkpoints import HubCheckpoints
from hub_tools.hub.embedded import EmbeddedHub
from hub_tools.students import checkpoints, pretraining
from hub_tools.students.packing import SummedLoss, padded
from hub_tools.students.pretraining import TrainingLog, hold_out, plan_step, precision, pretrain
from hub_tools.students.soft_loss import SoftLoss, SoftPairs, soft_batch
from hub_tools.students.soft_targets import write_soft_targets
from hub_tools.students.span_corruption import SpanCorrupted, with_sentinels
from hub_tools.students.steps import OutOfMemory, Steps, stop_on_interrupt
from hub_tools.students.tracking import track
from tests.students.miniature import SETTINGS, encoded_pairs, run, student


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
    return encoded_pairs(student()[1])


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# --- What is read ----------------------------------------------------------------------------------------------------


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


def gradients(encoded, pairs_per_forward, packing=True, max_grad_norm=0.0, **told):
    model = student()[0]
    catcher = Gradients(model)
    steps = Steps(model, encoded, Accelerator(**told), pairs_per_forward)
    assert steps.layout == "packed"
    if not packing:
        steps.layout, steps.collate = "padded", partial(padded, pad=0)
    return steps.train(0, list(range(20)), catcher, 0.0, max_grad_norm, 42), catcher.found


@pytest.mark.parametrize("packing", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("pairs_per_forward", [1, 3, 7, 20])
def test_neither_passes_nor_packing_change_a_loss_or_gradient(encoded, packing, pairs_per_forward):
    whole, wanted = gradients(encoded, 20, packing=False)
    outcome, found = gradients(encoded, pairs_per_forward, packing)
    assert outcome.loss == pytest.approx(whole.loss, rel=1e-6)
    for name, gradient in wanted.items():
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
    assert gradients(encoded, 6)[0].loss == pytest.approx(wanted, rel=1e-5)
    assert Steps(model, encoded[:1], Accelerator(), 3).validate(encoded) == pytest.approx(wanted, rel=1e-5)


def test_the_gradient_is_clipped_to_the_norm_that_is_set(encoded):
    _, found = gradients(encoded, 20, max_grad_norm=0.01)
    norm = math.sqrt(sum(float(gradient.pow(2).sum()) for gradient in found.values()))
    assert norm == pytest.approx(0.01, rel=1e-3)


def test_what_accelerate_was_told_of_gradient_accumulation_changes_no_gradient(encoded):
    """`accelerate launch --gradient_accumulation_steps 4`"""
    (_, wanted), (_, found) = gradients(encoded, 20), gradients(encoded, 20, gradient_accumulation_steps=4)
    assert Accelerator().gradient_accumulation_steps == 1  # the next test's
    assert all(torch.allclose(found[name], gradient, rtol=1e-5) for name, gradient in wanted.items())


def test_padding_is_what_was_computed_and_not_asked_for(encoded):
    outcome, _ = gradients(encoded, 20, packing=False)
    widest = sum(max(len(row[side]) for row in encoded) for side in (0, 1)) * len(encoded)
    real = sum(len(source) + len(target) for source, target in encoded)
    assert outcome.padding == pytest.approx(1 - real / widest, abs=1e-6)


def test_rows_may_bring_more_and_a_loss_of_their_own_reads_it(tmp_path, encoded):
    """Here a weight on each pair: of 0 on all pairs but one, so that only that one is learned."""
    rows = [(*row, float(index == 3)) for index, row in enumerate(encoded)]
    model = student()[0]

    class Weighted(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, batch):
            weights = batch.pop("weights")
            return SummedLoss(self.model)(batch) * weights.sum()

    def collate(rows, lay):
        return {**lay([row[:2] for row in rows]), "weights": torch.tensor([row[2] for row in rows])}

    settings = replace(SETTINGS, steps=4, pairs_per_forward=1, pairs_per_step=20, warmup_steps=0)
    before = Steps(model, encoded, Accelerator(), 3).validate(encoded[3:4])
    _, log = pretrain(
        model, rows, encoded[3:4], settings, Accelerator(), tmp_path, loss=Weighted(model), collate=collate
    )
    assert log.validation[-1][1] < 0.95 * before  # plain cross-entropy of a plain pair
    assert log.losses[0][1] < 1  # one pair's loss, shared out over the tokens of all


def test_the_loss_falls_and_the_log_tells_of_it(undisturbed):
    log = undisturbed[1]
    losses = [loss for _, loss in log.losses]
    assert sum(losses[-3:]) < 0.85 * sum(losses[:3])
    assert [step for step, _ in log.losses] == list(range(12))
    assert [step for step, _ in log.validation] == [4, 8, 12]
    assert log.validation[-1][1] < log.validation[0][1]
    assert log.resumed_at == []
    encoded = encoded_pairs(student()[1])
    chosen = [index for step in range(12) for index in plan_step(step, 20, 7, 42)]
    assert log.target_tokens == sum(len(encoded[index][1]) for index in chosen)
    assert log.input_tokens == sum(len(encoded[index][0]) for index in chosen)


# --- Kills -----------------------------------------------------------------------------------------------------------


def start(folder: Path, *more: str) -> subprocess.Popen:
    command = [sys.executable, SCRIPT, "--folder", folder, "--dropout_rate", "0.1", *more]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def wait_for(path: Path, process: subprocess.Popen) -> None:
    while process.poll() is None and not path.exists():
        time.sleep(0.01)


def goes_on_as_if_nothing_had_been(folder: Path, undisturbed, step: int) -> None:
    weights, log = run(folder, dropout_rate=0.1)
    assert log.resumed_at == ([step] if step else [])
    for name in ("losses", "validation", "padding", "input_tokens", "target_tokens"):
        assert getattr(log, name) == getattr(undisturbed[1], name)
    assert same(weights, undisturbed[0])
    assert written(folder) == ["step-0000009", "step-0000012"]


def written(folder: Path) -> list[str]:
    """What lies in the folder, but for its lock."""
    return sorted(path.name for path in folder.iterdir() if path.name != checkpoints.LOCK)


def test_a_run_that_is_killed_goes_on_and_ends_with_the_same_weights(tmp_path, undisturbed):
    killed = start(tmp_path, "--halt_at", "7")
    wait_for(tmp_path / "halted", killed)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    goes_on_as_if_nothing_had_been(tmp_path / "checkpoints", undisturbed, 6)


def test_a_run_that_is_killed_while_it_writes_a_checkpoint_goes_on_from_the_one_before(tmp_path, undisturbed):
    killed = start(tmp_path, "--die_writing", "6")
    _, said = killed.communicate()
    assert killed.returncode == -signal.SIGKILL, said
    assert written(tmp_path / "checkpoints") == ["partial", "step-0000003"]
    goes_on_as_if_nothing_had_been(tmp_path / "checkpoints", undisturbed, 3)


def gone_at(step, plan):
    """In place of `plan_step`: the end of a process before that step."""

    def planned(now, *rest):
        if now == step:
            raise RuntimeError("the machine is gone")
        return plan(now, *rest)

    return planned


def long_targets(model, tokenizer, folder):
    """Targets of more than 64 tokens, which CPUs read joined to one row."""
    return [(source, (target * 9)[:70]) for source, target in encoded_pairs(tokenizer)], {}


def masked_reviews(model, tokenizer, folder):
    """Three epochs of span corruption, each with masks of its own."""
    with_sentinels(model, tokenizer)
    return SpanCorrupted(encoded_pairs(tokenizer), tokenizer, seed=3, epochs=3), {}


def distributions(model, tokenizer, folder):
    """Pairs with a teacher's likeliest tokens."""
    rows = encoded_pairs(tokenizer)
    targets = write_soft_targets(student()[0], rows, folder / "soft", k=4, vocabulary=len(tokenizer))
    return SoftPairs(rows, targets), {"loss": SoftLoss(model, 0.5, targets.temperature), "collate": soft_batch}


@pytest.mark.parametrize(
    ("learned", "layout"),
    [(long_targets, "joined"), (masked_reviews, "packed"), (distributions, "packed")],
    ids=["joined", "span_corruption", "soft_targets"],
)
def test_whatever_it_learns_a_run_that_stops_goes_on_and_ends_with_the_same_weights(
    tmp_path, monkeypatch, learned, layout
):
    settings = replace(SETTINGS, steps=6, validate_every=3)

    def attempt(name):
        model, tokenizer = student(dropout_rate=0.1)
        rows, more = learned(model, tokenizer, tmp_path)
        held = [rows[index][:2] for index in range(3)]
        model, log = pretrain(model, rows, held, settings, Accelerator(), tmp_path / name, **more)
        return dict(model.named_parameters()), log

    wanted, told = attempt("undisturbed")
    monkeypatch.setattr(pretraining, "plan_step", gone_at(5, pretraining.plan_step))
    with pytest.raises(RuntimeError, match="the machine is gone"):
        attempt("stopped")
    monkeypatch.undo()
    weights, log = attempt("stopped")
    assert (log.resumed_at, log.layout) == ([3], layout)
    assert (log.losses, log.validation) == (told.losses, told.validation)
    assert same(weights, wanted)


def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before_and_nothing_else(tmp_path, undisturbed, caplog):
    shutil.copytree(undisturbed[2], tmp_path, dirs_exist_ok=True)
    with (tmp_path / "step-0000012" / "state.safetensors").open("r+b") as file:
        file.seek(-100, os.SEEK_END)
        file.write(b"x")
    goes_on_as_if_nothing_had_been(tmp_path, undisturbed, 9)
    assert "step-0000012 is damaged and passed over" in caplog.text


def test_a_half_written_checkpoint_is_ignored_and_cleared_away(tmp_path, undisturbed):
    half = tmp_path / "partial"
    half.mkdir(parents=True)
    (half / "state.safetensors").write_bytes(b"half a")
    goes_on_as_if_nothing_had_been(tmp_path, undisturbed, 0)


def test_a_finished_run_is_not_trained_further(undisturbed):
    weights, log = run(undisturbed[2], dropout_rate=0.1)
    assert log.resumed_at == [12]
    assert len(log.losses) == 12
    assert same(weights, undisturbed[0])


def test_the_processes_of_a_run_are_those_that_trained(undisturbed, tmp_path, monkeypatch):
    """A session that has nothing left to train may have fewer, and its card would count fewer GPUs."""
    read = TrainingLog.read
    monkeypatch.setattr(TrainingLog, "read", lambda recorded: read({**recorded, "processes": 8}))
    assert run(undisturbed[2], dropout_rate=0.1)[1].processes == 8
    shutil.copytree(undisturbed[2] / "step-0000009", tmp_path / "step-0000009")
    assert run(tmp_path, dropout_rate=0.1)[1].processes == 1


@pytest.mark.parametrize(
    ("call", "what", "kept"),
    [
        (15, "backward", ["step-0000003", "step-0000005"]),  # the last of the three passes of the fifth step
        (36, "backward", ["step-0000009", "step-0000012"]),
        (3, "validate", ["step-0000009", "step-0000012"]),  # after the last step
    ],
    ids=["amid_a_step", "amid_the_last_step", "in_the_last_validation"],
)
def test_ctrl_c_lets_the_step_end_and_keeps_it(tmp_path, undisturbed, monkeypatch, caplog, call, what, kept):
    computed, calls = getattr(Steps, what), []

    def interrupted(*these, **more):
        calls.append(1)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGINT)
        return computed(*these, **more)

    monkeypatch.setattr(Steps, what, interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, dropout_rate=0.1)
    monkeypatch.undo()
    step = int(kept[-1][-2:])
    assert f"Stopped at step {step} of 12" in caplog.text
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert written(tmp_path) == kept
    goes_on_as_if_nothing_had_been(tmp_path, undisturbed, step)


def test_a_step_that_ends_by_ctrl_c_is_validated_when_the_run_goes_on(tmp_path, undisturbed, monkeypatch):
    """A validation may take longer than the launcher of several processes lets them live."""
    backward, calls = Steps.backward, []

    def interrupted(*these, **more):
        calls.append(1)
        if len(calls) == 12:  # the last pass of the fourth step, after which a validation is due
            os.kill(os.getpid(), signal.SIGINT)
        return backward(*these, **more)

    monkeypatch.setattr(Steps, "backward", interrupted)
    monkeypatch.setattr(Steps, "validate", lambda *_: pytest.fail("it validates"))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, dropout_rate=0.1)
    monkeypatch.undo()
    assert written(tmp_path) == ["step-0000003", "step-0000004"]
    goes_on_as_if_nothing_had_been(tmp_path, undisturbed, 4)


class Settled:
    """A remote that keeps what it is offered, and waited for."""

    reading = None

    def __init__(self):
        self.offered, self.settled = [], []

    def newest(self):
        return None

    def offer(self, checkpoint):
        self.offered.append(checkpoint.name)

    def settle(self, checkpoint):
        self.settled.append(checkpoint.name)


@pytest.mark.parametrize(
    ("call", "said", "offered", "settled"),
    [
        (5, KeyboardInterrupt, ["step-0000005"], ["step-0000005"]),
        (12, KeyboardInterrupt, [], ["step-0000012"]),  # which no student follows
        (6, FloatingPointError, ["step-0000006"], ["step-0000006"]),
        (0, FloatingPointError, [], []),
    ],
    ids=["ctrl_c", "ctrl_c_amid_the_last_step", "nan", "nan_at_once"],
)
def test_a_run_that_stops_waits_for_the_remote_to_have_its_last_checkpoint(
    tmp_path, monkeypatch, call, said, offered, settled
):
    train, remote = Steps.train, Settled()

    def stopped(self, step, *these):
        if said is KeyboardInterrupt and step + 1 == call:
            os.kill(os.getpid(), signal.SIGINT)
        if said is FloatingPointError and step == call:
            raise FloatingPointError("the loss is not finite")
        return train(self, step, *these)

    monkeypatch.setattr(Steps, "train", stopped)
    with pytest.raises(said):
        run(tmp_path, replace(SETTINGS, checkpoint_every=100, validate_every=100), remote=remote)
    assert (remote.offered, remote.settled) == (offered, settled)


def test_a_second_ctrl_c_waits_for_no_remote(tmp_path, monkeypatch):
    remote = Settled()

    def twice(*_):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Steps, "train", twice)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, remote=remote)
    assert remote.settled == []


def test_a_second_ctrl_c_stops_at_once():
    with stop_on_interrupt() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_second_launch_of_a_run_is_refused_while_the_first_one_trains(tmp_path):
    folder = tmp_path / "checkpoints"
    with (
        checkpoints.held(folder, Accelerator()),
        pytest.raises(ValueError, match=f"another process trains this run in {folder}, or pushes it; wait for it"),
    ):
        run(folder)
    assert run(folder, replace(SETTINGS, steps=1))[1].resumed_at == []


def test_a_run_that_goes_on_in_another_precision_and_layout_says_so_and_its_log_tells_all(tmp_path, encoded, caplog):
    def go(steps):
        model = student()[0]
        return pretrain(model, encoded, [], replace(SETTINGS, steps=steps), Accelerator(), tmp_path)[1]

    def tell(step, **how):
        """As if the checkpoint's steps had been computed so."""
        path = tmp_path / f"step-{step:07d}"
        log, record = (json.loads((path / name).read_text()) for name in (checkpoints.LOG, checkpoints.RECORD))
        log["log"] |= how
        (path / checkpoints.LOG).write_text(json.dumps(log))
        record["sha256"][checkpoints.LOG] = hashlib.sha256((path / checkpoints.LOG).read_bytes()).hexdigest()
        (path / checkpoints.RECORD).write_text(json.dumps(record))

    assert (go(1).precision, go(2).layout) == ("no", "packed")
    assert "other bits" not in caplog.text
    tell(2, precision="bf16", layout="padded")
    assert go(2).precision == "bf16"  # all steps were
    log = go(3)
    assert (log.precision, log.layout) == ("bf16, then no from step 2", "padded, then packed from step 2")
    assert "layout was 'padded', and is 'packed' from step 2 on" in caplog.text
    assert "precision was 'bf16', and is 'no' from step 2 on" in caplog.text
    assert go(4).precision == "bf16, then no from step 2"
    tell(4, precision="bf16, then no from step 2, then bf16 from step 3")
    assert go(5).precision == "bf16, then no from step 2, then bf16 from step 3, then no from step 4"


def test_the_bar_tells_loss_and_speed_up_to_the_last_step_and_is_not_drawn_at_each(tmp_path, capfd):
    _, log = run(tmp_path, replace(SETTINGS, pairs_per_step=1, validate_every=12, checkpoint_every=12))
    drawn = capfd.readouterr().err.split("\r")
    assert len(drawn) < 6
    told = re.search(r"pretrain: 100%.* 12/12 \[.*, loss=([\d.]+), lr=.*, tokens/s=(\d+)\]", drawn[-1])
    assert float(told[1]) == pytest.approx(log.losses[-1][1], abs=1e-3)
    assert float(told[2]) == pytest.approx(log.speed[-1][1], abs=1)


class Kept(GeneralTracker):
    """In place of trackio: keeps what it gets."""

    name, requires_logging_directory, tracker = "kept", False, None

    def __init__(self):
        super().__init__()
        self.got = []

    def store_init_configuration(self, values):
        pass

    def log(self, values, step, **more):
        self.got.append((step, values))


def test_a_tracker_gets_every_step_and_the_validations_where_they_are(tmp_path, encoded):
    tracker = Kept()
    accelerator = Accelerator(log_with=tracker)
    accelerator.init_trackers("pretraining")
    _, log = pretrain(student()[0], encoded, encoded[:3], SETTINGS, accelerator, tmp_path)
    assert [[step, values["loss"]] for step, values in tracker.got] == log.losses
    assert [values["lr"] for _, values in tracker.got] == [SETTINGS.rate(step) for step in range(12)]
    assert [[step, round(values["tokens/s"], 1)] for step, values in tracker.got] == log.speed
    assert [[step, round(values["padding"], 4)] for step, values in tracker.got] == log.padding
    validated = [[step + 1, values["validation loss"]] for step, values in tracker.got if "validation loss" in values]
    assert validated == log.validation
    assert [step for step, _ in validated] == [4, 8, 12]


def test_with_compile_every_pass_goes_through_torch_compile_and_has_the_same_loss(tmp_path, monkeypatch):
    """What torch makes of it is left out: to trace a T5 takes half a minute."""
    asked, calls = [], []

    def traced(what, **how):
        asked.append(how)
        return lambda *these, **more: calls.append(1) or what(*these, **more)

    few = replace(SETTINGS, steps=2, pairs_per_step=6)
    wanted = run(tmp_path / "plain", few)[1]
    monkeypatch.setattr(torch, "compile", traced)
    found = run(tmp_path / "compiled", replace(few, compile=True))[1]
    assert asked == [{"dynamic": True}]  # else each number of tokens would be compiled anew
    assert len(calls) == 2 * 2 + 1  # two passes a step, and the validation's
    for kind in ("losses", "validation"):
        assert [step for step, _ in getattr(found, kind)] == [step for step, _ in getattr(wanted, kind)]
        losses = ([loss for _, loss in getattr(log, kind)] for log in (found, wanted))
        assert next(losses) == pytest.approx(next(losses), rel=1e-5)


# --- Losses that are not finite, and memory --------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_stops_with_step_pass_and_pairs_and_keeps_the_checkpoints(
    tmp_path, undisturbed, encoded
):
    """The loss of pair 11 becomes one when step 7 reads it; where, plan and passes say."""
    chosen = plan_step(7, 20, 7, 42)
    poisoned = encoded[chosen[2]]
    steps = Steps(student()[0], encoded, Accelerator(), 3)
    passes = steps.passes(chosen, steps.lengths)
    (number,) = [number for number, rows in enumerate(passes) if chosen[2] in rows]
    step_now = []

    class Poisoned(SummedLoss):
        def forward(self, batch):
            return super().forward(batch) * (math.nan if batch.pop("poison").any() else 1)

    def collate(rows, lay):
        poison = torch.tensor([len(step_now) == 8 and row == poisoned for row in rows])
        return {**lay(rows), "poison": poison}

    class Bare(Poisoned):
        def forward(self, batch):
            return super().forward(dict(batch))

    def attempt():
        model = student(0.1)[0]
        counted = replace(SETTINGS)
        object.__setattr__(counted, "rate", lambda step: step_now.append(step) or SETTINGS.rate(step))
        pretrain(model, encoded, encoded[:3], counted, Accelerator(), tmp_path, loss=Bare(model), collate=collate)

    pairs = ", ".join(map(str, passes[number]))
    with pytest.raises(
        FloatingPointError,
        match=rf"the loss is not finite at step 7, in forward pass {number + 1} of 3 \(pairs {pairs} of the 20 "
        rf"to train on; counted from 0\)\. It changed no weight: the last good state lies in {tmp_path} \(step 7\)\. "
        r"The same command .* the same pairs again; .* lr \(now 0.01\) .* are another run, which begins at step 0\.$",
    ):
        attempt()
    assert written(tmp_path) == ["step-0000006", "step-0000007"]
    goes_on_as_if_nothing_had_been(tmp_path, undisturbed, 7)


def test_pairs_to_blame_are_named_in_the_corpus_too_where_the_rows_can_tell(encoded):
    class View(list):
        def where(self, index):
            return 100 + index

    steps = Steps(student()[0], View(encoded), Accelerator(), 3)
    said = steps.blame(7, None, [[4, 0], [9]], "gradient")
    pairs = "pairs 4, 0, 9 of the 20 to train on, which are rows 104, 100, 109 of the encoded corpus"
    assert said == f"the gradient is not finite at step 7, in the sum of all forward passes ({pairs}; counted from 0)"


def test_a_gradient_that_is_not_finite_stops_before_it_spoils_a_weight(tmp_path, encoded, monkeypatch):
    model = student()[0]
    before, calls, saved, save = [], [], [], checkpoints.save

    def spoil(gradient):
        calls.append(1)
        if len(calls) == 6:  # three passes a step, one gradient a pass: the last pass of step 1
            before.extend(weight.detach().clone() for weight in model.parameters())
        return gradient * math.inf if len(calls) in (6, 9) else gradient  # 9: computed once more, to be found

    model.shared.weight.register_hook(spoil)
    monkeypatch.setattr(checkpoints, "save", lambda *these: saved.append(these[1]) or save(*these))
    with pytest.raises(FloatingPointError, match=r"the gradient is not finite at step 1, in forward pass 3 of 3"):
        pretrain(model, encoded, [], replace(SETTINGS, checkpoint_every=1), Accelerator(), tmp_path)
    assert all(torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True))
    assert saved == [1]  # not twice
    state = load_file(tmp_path / "step-0000001" / "state.safetensors")
    assert all(torch.equal(state[f"weight.{name}"], weight) for name, weight in model.named_parameters())


@pytest.mark.parametrize(
    ("step", "said", "kept"),
    [(0, "is the student as it began", []), (3, r"lies in .* \(step 2\)", ["step-0000002"])],
    ids=["beginning", "overflow"],
)
def test_neither_the_beginning_nor_a_weight_that_is_not_finite_is_kept(tmp_path, encoded, step, said, kept):
    """An optimiser overflows, as it were, after the last checkpoint; or the first loss is not finite."""
    model, calls = student()[0], []

    class Bad(SummedLoss):
        def forward(self, batch):
            calls.append(1)
            if len(calls) <= 3 * step:  # three passes a step
                return super().forward(batch)
            with torch.no_grad():
                self.model.shared.weight[5] = math.inf
            return super().forward(batch) * math.nan

    with pytest.raises(FloatingPointError, match=rf"at step {step}, .* the last good state {said}\. The same"):
        pretrain(model, encoded, [], replace(SETTINGS, checkpoint_every=2), Accelerator(), tmp_path, loss=Bad(model))
    assert written(tmp_path) == kept


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: not enough memory: you tried to"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        MemoryError(),
    ],
    ids=["gpu", "cpu_windows", "cpu", "python"],
)
def test_where_memory_is_short_it_is_said_what_to_lower(tmp_path, encoded, error):
    class Full(SummedLoss):
        def forward(self, batch):
            raise error

    model = student()[0]
    longest = max(len(target) for _, target in encoded)
    with pytest.raises(OutOfMemory, match=rf"pairs_per_forward \(now 3; .*max_target .* has {longest} tokens"):
        pretrain(model, encoded, [], SETTINGS, Accelerator(), tmp_path, loss=Full(model))


def test_other_errors_are_left_as_they_are(tmp_path, encoded):
    class Broken(SummedLoss):
        def forward(self, batch):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    model = student()[0]
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        pretrain(model, encoded, [], SETTINGS, Accelerator(), tmp_path, loss=Broken(model))


# --- The Hub ---------------------------------------------------------------------------------------------------------


class Waiting(HubCheckpoints):
    """Copies before it returns, so that the test knows what is on the Hub."""

    def offer(self, checkpoint):
        super().offer(checkpoint)
        assert self.wait(60)


RUN = "0123456789abcdef" * 4


def test_a_fresh_machine_goes_on_from_the_hub_and_ends_with_the_same_weights(
    tmp_path, undisturbed, repo_id, monkeypatch
):
    monkeypatch.setattr(pretraining, "plan_step", gone_at(7, pretraining.plan_step))
    with pytest.raises(RuntimeError, match="the machine is gone"):
        run(tmp_path / "one", dropout_rate=0.1, run=RUN, remote=Waiting(repo_id, RUN))
    monkeypatch.undo()
    weights, log = run(tmp_path / "two", dropout_rate=0.1, run=RUN, remote=Waiting(repo_id, RUN))
    assert log.resumed_at == [6]
    assert same(weights, undisturbed[0])
    # Another run begins at its own beginning, and the last checkpoint is not copied: the student follows it.
    _, log = run(tmp_path / "three", replace(SETTINGS, steps=1), run="f" * 64, remote=Waiting(repo_id, "f" * 64))
    assert log.resumed_at == []
    [commit] = HfApi().list_repo_commits(repo_id, revision="checkpoints-0123456789ab")
    assert commit.title == "step 9"
    # Back on the first machine, whose own checkpoint is of step 6
    assert run(tmp_path / "one", dropout_rate=0.1, run=RUN, remote=Waiting(repo_id, RUN))[1].resumed_at == [6, 9]


def test_a_hub_that_is_shut_down_mid_run_does_not_stop_it(tmp_path, undisturbed):
    """In a process of its own, whose clients know that Hub only."""
    with EmbeddedHub(tmp_path / "hub") as hub:
        environment = {**ENVIRONMENT, **hub.environment, "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        process = subprocess.Popen(
            [sys.executable, SCRIPT, "--folder", tmp_path, "--dropout_rate", "0.1", "--repo", "tests/shut-down"],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        wait_for(tmp_path / "copied", process)  # step 3
    _, said = process.communicate("the Hub is down\n", timeout=120)
    assert process.returncode == 0, said
    assert "step-0000006 was not copied to the Hub; the next one will be tried" in said
    assert same(load_file(tmp_path / "weights.safetensors"), undisturbed[0])


# --- Refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["steps", "pairs_per_step", "pairs_per_forward", "validate_every"])
def test_impossible_settings_are_refused_by_name(name):
    with pytest.raises(ValueError, match=rf"{name} must be at least 1, found 0"):
        replace(SETTINGS, **{name: 0})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lr": 0.0}, "lr must be a number above 0, found 0.0"),
        ({"lr": math.nan}, "lr must be a number above 0, found nan"),
        ({"final_lr": -1e-5}, "final_lr must be a number of at least 0, found -1e-05"),
        ({"warmup_steps": -1}, "warmup_steps must be a number of at least 0, found -1"),
        ({"max_grad_norm": -1.0}, "max_grad_norm must be a number of at least 0, found -1.0"),
        ({"weight_decay": math.inf}, "weight_decay must be a number of at least 0, found inf"),
        ({"schedule": "papr"}, "schedule must be 'paper' or 'reference', got 'papr'"),
    ],
)
def test_settings_that_no_run_could_end_well_with_are_refused_by_name_and_value(changes, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        replace(SETTINGS, **changes)


def test_nothing_to_train_on_is_said_so(tmp_path):
    with pytest.raises(ValueError, match="no pair to train on"):
        pretrain(student()[0], [], [], SETTINGS, Accelerator(), tmp_path)


@pytest.mark.parametrize(
    ("bf16", "gains", "wanted"),
    [("yes", False, "bf16"), ("no", True, "no"), ("auto", True, "bf16"), ("auto", False, "no")],
)
def test_bf16_is_taken_where_it_gains_or_is_asked_for(monkeypatch, bf16, gains, wanted):
    monkeypatch.setattr(pretraining, "gains_from_bf16", lambda device: gains)
    assert precision(bf16, torch.device("cpu")) == wanted


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="bf16 must be one of auto, yes, no, found 'true'"):
        precision("true", torch.device("cpu"))


def test_tracking_without_trackio_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="trackio, which is not installed"):
        track(Accelerator(), "pretraining", {})
