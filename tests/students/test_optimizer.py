"""The optimiser against its update written out tensor by tensor, the schedules against their closed forms."""

import copy
import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_tools.students.optimizer import RMSScaledAdamW, learning_rate, root_mean_squares
from tests.students import sharded_step
from tests.tiny_models import SENTENCES, tiny_model, tiny_tokenizer


class PlainUpdate:
    """One tensor's update as paper 1 (arXiv 2412.18552) reports its optimiser, one line a formula."""

    def __init__(self, weight: torch.Tensor, weight_decay: float = 0.0):
        self.weight, self.decay = weight.detach().clone(), weight_decay
        self.first, self.second, self.steps = torch.zeros_like(weight), torch.zeros_like(weight), 0
        self.largest = float(weight.detach().norm())

    def step(self, gradient: torch.Tensor, lr: float) -> None:
        self.steps += 1
        self.first = 0.9 * self.first + 0.1 * gradient
        self.second = 0.999 * self.second + 0.001 * gradient**2
        correction = math.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps)
        scale = max(1e-3, float(self.weight.pow(2).mean().sqrt()))
        self.weight = self.weight - lr * correction * scale * self.first / (self.second.sqrt() + 1e-6)
        self.weight = self.weight - lr * self.decay * self.weight
        self.largest = max(self.largest, float(self.weight.norm()))

    def distance(self, found: torch.Tensor) -> float:
        """Relative to the greatest length that the weights had on their way: a single weight may pass through 0."""
        return float((found.detach() - self.weight).norm()) / self.largest


def parameter(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32, size: float = 0.05):
    draw = torch.Generator().manual_seed(seed)
    return torch.nn.Parameter(size * torch.randn(*shape, generator=draw, dtype=torch.float64).to(dtype))


def random_gradients(parameters: list[torch.nn.Parameter], seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    for p in parameters:
        p.grad = torch.randn(p.shape, generator=draw).to(p.dtype)


@settings(max_examples=20)
@given(
    shapes=st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=3), min_size=1, max_size=4),
    size=st.sampled_from([0.0, 1e-5, 0.05, 1.0, 30.0]),
    gradient_size=st.sampled_from([1e-7, 1e-3, 1.0, 1e4]),
    weight_decay=st.sampled_from([0.0, 0.01, 0.3]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 2**31),
)
def test_100_steps_equal_the_update_written_out(shapes, size, gradient_size, weight_decay, dtype, seed):
    weights = [parameter(*shape, seed=seed + n, dtype=dtype, size=size) for n, shape in enumerate(shapes)]
    plain = [PlainUpdate(weight, weight_decay) for weight in weights]
    optimizer = RMSScaledAdamW(weights, lr=3e-3, weight_decay=weight_decay)
    for step in range(100):
        rate = learning_rate(step, schedule="paper", lr=3e-3, final_lr=1e-5, steps=100)
        optimizer.param_groups[0]["lr"] = rate
        random_gradients(weights, seed + step)
        for weight, update in zip(weights, plain, strict=True):
            weight.grad *= gradient_size
            update.step(weight.grad, rate)
        optimizer.step()
    for weight, update in zip(weights, plain, strict=True):
        assert update.distance(weight) < 1e-6


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_a_tiny_t5_with_clipped_gradients_trains_as_with_the_update_written_out(weight_decay):
    tokenizer = tiny_tokenizer()
    model = tiny_model(tokenizer).train()
    batch = tokenizer(list(SENTENCES[:1]), padding=True, return_tensors="pt")
    optimizer = RMSScaledAdamW(model.parameters(), lr=3e-3, weight_decay=weight_decay)
    plain = {name: PlainUpdate(weight, weight_decay) for name, weight in model.named_parameters()}
    losses = []
    for _ in range(100):
        loss = model(**batch, labels=batch.input_ids).loss
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        for name, weight in model.named_parameters():
            plain[name].step(weight.grad, 3e-3)
        optimizer.step()
        optimizer.zero_grad()
        losses.append((loss.item(), float(norm)))
    assert losses[0][1] > 0.5
    assert losses[-1][0] < losses[0][0] / 2
    for name, weight in model.named_parameters():
        assert plain[name].distance(weight) < 1e-6, name


def test_the_scale_of_a_tensor_of_millions_is_exact():
    weight = parameter(5_000, 2_000)
    wanted = float(weight.detach().double().square().mean().sqrt())
    assert float(root_mean_squares([weight.detach()])[0]) == pytest.approx(wanted, rel=1e-6)


def test_groups_have_their_own_rates_and_decays():
    groups = [{"params": [parameter(3, 4)], "lr": 1e-2}, {"params": [parameter(5, seed=1)], "weight_decay": 0.3}]
    plain = [PlainUpdate(groups[0]["params"][0]), PlainUpdate(groups[1]["params"][0], 0.3)]
    optimizer = RMSScaledAdamW(groups, lr=3e-3)
    for seed in range(10):
        random_gradients([group["params"][0] for group in groups], seed)
        for update, group, rate in zip(plain, groups, (1e-2, 3e-3), strict=True):
            update.step(group["params"][0].grad, rate)
        optimizer.step()
    for update, group in zip(plain, groups, strict=True):
        assert update.distance(group["params"][0]) < 1e-6


def test_a_tensor_that_joins_later_counts_its_own_steps():
    early, late = parameter(4, 4), parameter(4, seed=1)
    plain = [PlainUpdate(early), PlainUpdate(late)]
    optimizer = RMSScaledAdamW([early, late])
    for seed in range(6):
        random_gradients([early, late], seed)
        if seed < 3:
            late.grad = None
        for weight, update in zip((early, late), plain, strict=True):
            if weight.grad is not None:
                update.step(weight.grad, 3e-3)
        optimizer.step()
    assert [optimizer.state[p]["step"] for p in (early, late)] == [6, 3]
    assert plain[0].distance(early) < 1e-6
    assert plain[1].distance(late) < 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_state_saved_and_loaded_goes_on_to_the_same_bits(dtype):
    def steps(weight: torch.nn.Parameter, optimizer: RMSScaledAdamW, seeds: range) -> torch.Tensor:
        for seed in seeds:
            random_gradients([weight], seed)
            optimizer.step()
        return weight.detach().clone()

    weight = parameter(6, 7, dtype=dtype)
    optimizer = RMSScaledAdamW([weight], weight_decay=0.01)
    half = steps(weight, optimizer, range(5))
    saved = copy.deepcopy(optimizer.state_dict())
    assert {name: type(value) for name, value in saved["state"][0].items()} == {
        "step": int,
        "exp_avg": torch.Tensor,
        "exp_avg_sq": torch.Tensor,
    }
    whole = steps(weight, optimizer, range(5, 10))
    again = torch.nn.Parameter(half)
    resumed = RMSScaledAdamW([again], lr=1.0)
    resumed.load_state_dict(saved)
    assert torch.equal(steps(again, resumed, range(5, 10)), whole)
    assert resumed.state[again]["exp_avg"].dtype == torch.float32


def test_weights_of_16_bits_move_as_those_of_32_that_are_rounded_after_each_step():
    weight = parameter(16, 16, dtype=torch.bfloat16, size=1.0)
    optimizer = RMSScaledAdamW([weight], lr=0.1)
    plain = PlainUpdate(weight.float())
    for seed in range(20):
        random_gradients([weight], seed)
        plain.step(weight.grad.float(), 0.1)
        plain.weight = plain.weight.bfloat16().float()
        optimizer.step()
    assert plain.distance(weight.float()) < 2e-3  # where rounding goes either way


def test_how_a_tensor_lies_in_memory_does_not_matter():
    turned = torch.nn.Parameter(parameter(5, 4).detach().t())
    straight = torch.nn.Parameter(turned.detach().contiguous())
    gradient_turned = torch.nn.Parameter(turned.detach().contiguous())
    weights = [turned, straight, gradient_turned]
    optimizer = RMSScaledAdamW(weights, weight_decay=0.1)
    for seed in range(5):
        random_gradients(weights[:1], seed)
        straight.grad = turned.grad.contiguous()
        gradient_turned.grad = straight.grad.t().contiguous().t()
        optimizer.step()
    assert not turned.is_contiguous()
    assert torch.allclose(turned, straight, rtol=1e-6, atol=0)
    assert torch.allclose(gradient_turned, straight, rtol=1e-6, atol=0)


@pytest.mark.usefixtures("forkserver")
def test_weights_cut_over_two_processes_are_scaled_by_the_whole_tensor(tmp_path):
    torch.multiprocessing.start_processes(sharded_step.compare, (str(tmp_path),), nprocs=2, start_method="forkserver")


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


def test_the_reference_schedule_is_what_a_cosine_of_torch_makes_of_a_first_rate_that_was_halved():
    """torch's scheduler goes on from the rate that it finds, which an older torch had halved by then."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=3e-3)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=200, eta_min=1e-5)
    optimizer.param_groups[0]["lr"] *= 0.5
    for step in range(200):
        assert rate(step, "reference", 200) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        cosine.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-5)


def test_the_warm_up_rises_in_equal_steps_to_the_peak_and_the_cosine_begins_there():
    rates = [rate(step, "paper", 100, warmup_steps=4) for step in range(100)]
    assert rates[:5] == pytest.approx([0.75e-3, 1.5e-3, 2.25e-3, 3e-3, 3e-3])
    assert rates[52] == pytest.approx((3e-3 + 1e-5) / 2)
    assert all(later < earlier for earlier, later in pairwise(rates[4:]))


def test_with_a_warm_up_the_reference_schedule_halves_nothing():
    assert [rate(step, "reference", 100, warmup_steps=4) for step in range(100)] == [
        rate(step, "paper", 100, warmup_steps=4) for step in range(100)
    ]


def test_an_unknown_schedule_is_refused():
    with pytest.raises(ValueError, match=r"'paper' or 'reference', got 'linear'"):
        rate(0, "linear")
