"""
How fast a step of the RMS-scaled AdamW is, beside its update tensor by tensor in Python (as the reference code of
paper 1 has it) and over lists of tensors (`torch._foreach_*`), on the shapes of T5-small and T5-base.

python tests/benchmarks/optimizer_speed.py [--rounds 7] [--threads 1 2] [--sizes small base]

Each round runs the three, one after the other; the table shows medians by the clock and of the processor's time, which
counts both threads, and how far apart the three end.
"""

import argparse
import math
import statistics
import time

import torch
from torch.optim import Optimizer
from transformers import T5Config, T5ForConditionalGeneration

from hub_tools.students.optimizer import RMSScaledAdamW


SIZES = {
    "small": {"d_model": 512, "d_ff": 2048, "num_layers": 6, "num_heads": 8},
    "base": {"d_model": 768, "d_ff": 3072, "num_layers": 12, "num_heads": 12},
}


class TensorByTensor(RMSScaledAdamW):
    """The update as one writes it down, ten operations a tensor."""

    def update(self, group: dict, parameters: list[torch.Tensor]) -> None:
        beta1, beta2 = group["betas"]
        for p in parameters:
            state = prepared(self, p)
            first, second = state["exp_avg"], state["exp_avg_sq"]
            first.mul_(beta1).add_(p.grad, alpha=1 - beta1)
            second.mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
            size = group["lr"] * math.sqrt(1 - beta2 ** state["step"]) / (1 - beta1 ** state["step"])
            size *= max(1e-3, float(p.norm()) / math.sqrt(p.numel()))
            p.addcdiv_(first, second.sqrt().add_(group["eps"]), value=-size)


class Lists(RMSScaledAdamW):
    """The same, each operation over all tensors at once."""

    def update(self, group: dict, parameters: list[torch.Tensor]) -> None:
        beta1, beta2 = group["betas"]
        states, gradients = [prepared(self, p) for p in parameters], [p.grad for p in parameters]
        first, second = [each["exp_avg"] for each in states], [each["exp_avg_sq"] for each in states]
        torch._foreach_lerp_(first, gradients, 1 - beta1)
        torch._foreach_mul_(second, beta2)
        torch._foreach_addcmul_(second, gradients, gradients, 1 - beta2)
        roots = torch._foreach_sqrt(second)
        torch._foreach_add_(roots, group["eps"])
        sizes = []
        for state, norm, p in zip(states, torch._foreach_norm(parameters), parameters, strict=True):
            size = group["lr"] * math.sqrt(1 - beta2 ** state["step"]) / (1 - beta1 ** state["step"])
            sizes.append(-size * max(1e-3, float(norm) / math.sqrt(p.numel())))
        torch._foreach_addcdiv_(parameters, first, roots, sizes)


def prepared(optimizer: Optimizer, p: torch.Tensor) -> dict:
    """The state of a tensor, one step on."""
    state = optimizer.state[p]
    if not state:
        state.update(step=0, exp_avg=torch.zeros_like(p), exp_avg_sq=torch.zeros_like(p))
    state["step"] += 1
    return state


WAYS = {"tensor by tensor": TensorByTensor, "lists": Lists, "ours": RMSScaledAdamW}


def parameters_of(size: str) -> list[torch.nn.Parameter]:
    """Tensors of a T5's shapes with weights and gradients of a usual size, the same on every call."""
    torch.manual_seed(0)
    with torch.device("meta"):
        model = T5ForConditionalGeneration(T5Config(vocab_size=32101, decoder_start_token_id=0, **SIZES[size]))
    parameters = [torch.nn.Parameter(0.05 * torch.randn(p.shape)) for p in model.parameters()]
    for p in parameters:
        p.grad = 0.01 * p.detach() + 1e-4
    return parameters


def after_steps(way: type[RMSScaledAdamW], size: str, steps: int = 3) -> torch.Tensor:
    parameters = parameters_of(size)
    optimizer = way(parameters, lr=3e-3)
    for _ in range(steps):
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in parameters])


def measure(size: str, threads: int, rounds: int) -> None:
    torch.set_num_threads(threads)
    parameters = parameters_of(size)
    optimizers = {name: way(parameters, lr=3e-3) for name, way in WAYS.items()}
    for p in parameters:  # one state for all three: T5-base three times over takes 11 GB
        prepared(optimizers["ours"], p)
        for optimizer in optimizers.values():
            optimizer.state[p] = optimizers["ours"].state[p]
    clock: dict[str, list[float]] = {name: [] for name in WAYS}
    processor: dict[str, list[float]] = {name: [] for name in WAYS}
    for number in range(rounds + 1):
        for name, optimizer in optimizers.items():
            began, used = time.perf_counter(), time.process_time()
            optimizer.step()
            if number:
                clock[name].append(time.perf_counter() - began)
                processor[name].append(time.process_time() - used)
    count = sum(p.numel() for p in parameters)
    print(f"T5-{size}: {len(parameters)} tensors, {count / 1e6:.1f} million weights, {threads} threads")
    for name in WAYS:
        shown = []
        for label, times in (("clock", clock), ("processor", processor)):
            median, plain = (statistics.median(times[each]) for each in (name, "tensor by tensor"))
            shown.append(f"{label} {1e3 * median:6.0f} ms ({plain / median:4.2f} x)")
        print(f"  {name:17} {', '.join(shown)}", flush=True)


def compare(size: str) -> None:
    """That all end with the same weights; the plain ways add a large tensor's squares up in 32 bits, ours does not."""
    plain = after_steps(TensorByTensor, size)
    for name in list(WAYS)[1:]:
        apart = float((after_steps(WAYS[name], size) - plain).norm() / plain.norm())
        print(f"T5-{size}, after 3 steps: {name} and tensor by tensor differ by {apart:.1e} of the weights' length")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    arguments = parser.parse_args()
    for size in arguments.sizes:
        for threads in arguments.threads:
            measure(size, threads, arguments.rounds)
        compare(size)


if __name__ == "__main__":
    main()
