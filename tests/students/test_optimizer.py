"""The optimiser against its update written out tensor by tensor, the schedules against their closed forms."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_tools.students.optimizer import RMSScaledAdamW, learning_rate
from tests.tiny_models import SENTENCES, tiny_model, tiny_tokenizer


class PlainUpdate:
    """One tensor's update as paper 1 (arXiv 2412.18552) reports its optimiser, one line a formula."""

    def __init__(self, weight: torch.Tensor, weight_decay: float = 0.0):
        self.weight, self.decay = weight.detach().clone(), weight_decay
        self.first, self.second, self.steps = torch.zeros_like(weight), torch.zeros_like(weight), 0

    def step(self, gradient: torch.Tensor, lr: float) -> None:
        self.steps += 1
        self.first = 0.9 * self.first + 0.1 * gradient
        self.second = 0.999 * self.second + 0.001 * gradient**2
        correction = math.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps)
        scale = max(1e-3, float(self.weight.pow(2).mean().sqrt()))
        self.weight = self.weight - lr * correction * scale * self.first / (self.second.sqrt() + 1e-6)
        self.weight = self.weight - lr * self.decay * self.weight


def distance(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Relative to the length of `wanted`."""
    return float((found - wanted).norm() / wanted.norm())


@settings(max_examples=20)
@given(
    shapes=st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=3), min_size=1, max_size=4),
    size=st.sampled_from([0.0, 1e-5, 0.05, 1.0, 30.0]),
    gradient_size=st.sampled_from([1e-7, 1e-3, 1.0, 1e4]),
    weight_decay=st.sampled_from([0.0, 0.01, 0.3]),
    seed=st.integers(0, 2**31),
)
def test_100_steps_equal_the_update_written_out(shapes, size, gradient_size, weight_decay, seed):
    draw = torch.Generator().manual_seed(seed)
    weights = [torch.nn.Parameter(size * torch.randn(*shape, generator=draw, dtype=torch.float64)) for shape in shapes]
    plain = [PlainUpdate(weight, weight_decay) for weight in weights]
    optimizer = RMSScaledAdamW(weights, lr=3e-3, weight_decay=weight_decay)
    for step in range(100):
        rate = learning_rate(step, schedule="paper", lr=3e-3, final_lr=1e-5, steps=100)
        optimizer.param_groups[0]["lr"] = rate
        for weight, update in zip(weights, plain, strict=True):
            weight.grad = gradient_size * torch.randn(*weight.shape, generator=draw, dtype=torch.float64)
            update.step(weight.grad, rate)
        optimizer.step()
    for weight, update in zip(weights, plain, strict=True):
        assert distance(weight.detach(), update.weight) < 1e-6


def test_a_tiny_t5_trains_as_with_the_update_written_out():
    tokenizer = tiny_tokenizer()
    model = tiny_model(tokenizer).train()
    batch = tokenizer(list(SENTENCES), padding=True, return_tensors="pt")
    optimizer = RMSScaledAdamW(model.parameters(), lr=3e-3)
    plain = {name: PlainUpdate(weight) for name, weight in model.named_parameters()}
    losses = []
    for _ in range(100):
        loss = model(**batch, labels=batch.input_ids).loss
        loss.backward()
        for name, weight in model.named_parameters():
            plain[name].step(weight.grad, 3e-3)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    for name, weight in model.named_parameters():
        assert distance(weight.detach(), plain[name].weight) < 1e-6, name


def test_weights_near_zero_move_by_the_least_scale():
    weight = torch.nn.Parameter(torch.zeros(4))
    weight.grad = torch.ones(4)
    RMSScaledAdamW([weight], lr=1.0).step()
    # first step: moments 0.1 and 0.001, corrected to 1 and 1; the scale is 1e-3 where the weights are 0
    assert weight.tolist() == pytest.approx([-1e-3] * 4, rel=1e-4)


def test_tensors_without_a_gradient_stay_and_closures_give_their_loss():
    moved, still = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    optimizer = RMSScaledAdamW([moved, still], weight_decay=0.1)

    def closure() -> torch.Tensor:
        loss = moved.sum()
        loss.backward()
        return loss

    assert float(optimizer.step(closure).detach()) == 2.0
    assert still.tolist() == [1.0, 1.0]
    assert max(moved.tolist()) < 1.0


@pytest.mark.parametrize(
    "wrong", [{"lr": -1.0}, {"eps": -1e-6}, {"betas": (0.9, 1.0)}, {"betas": (-0.1, 0.9)}, {"weight_decay": -1.0}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=r"RMSScaledAdamW needs"):
        RMSScaledAdamW([torch.nn.Parameter(torch.ones(1))], **wrong)


def rate(step: int, schedule: str, steps: int = 20_000, **changes) -> float:
    return learning_rate(step, **{"schedule": schedule, "lr": 3e-3, "final_lr": 1e-5, "steps": steps, **changes})


def test_the_papers_schedule_goes_from_3e_3_to_1e_5_by_a_cosine():
    assert rate(0, "paper") == 3e-3
    assert rate(10_000, "paper") == pytest.approx((3e-3 + 1e-5) / 2)
    assert rate(20_000, "paper") == pytest.approx(1e-5)


def test_the_reference_schedule_starts_at_half_of_it():
    assert rate(0, "reference") == 1.5e-3
    assert rate(10_000, "reference") == pytest.approx(7.55e-4)
    assert rate(20_000, "reference") == pytest.approx(1e-5)


@given(steps=st.integers(1, 50_000), data=st.data(), schedule=st.sampled_from(["paper", "reference"]))
def test_both_schedules_equal_their_closed_form(steps, data, schedule):
    step = data.draw(st.integers(0, steps))
    peak = {"paper": 3e-3, "reference": 1.5e-3}[schedule]
    wanted = 1e-5 + 0.5 * (peak - 1e-5) * (1 + math.cos(math.pi * step / steps))
    assert rate(step, schedule, steps) == pytest.approx(wanted, rel=1e-12)


def test_the_warm_up_rises_in_equal_steps_to_the_peak_and_the_cosine_begins_there():
    rates = [rate(step, "paper", 100, warmup_steps=4) for step in range(100)]
    assert rates[:5] == pytest.approx([0.75e-3, 1.5e-3, 2.25e-3, 3e-3, 3e-3])
    assert rates[52] == pytest.approx((3e-3 + 1e-5) / 2)
    assert all(later < earlier for earlier, later in pairwise(rates[4:]))


def test_an_unknown_schedule_is_refused():
    with pytest.raises(ValueError, match=r"'paper' or 'reference', got 'linear'"):
        rate(0, "linear")
