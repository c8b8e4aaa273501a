"""The optimiser and schedules of pretraining (paper 1, appendix C, and what its reference code does)."""

import math
from collections.abc import Callable, Iterable

import torch
from torch.optim import Optimizer


class RMSScaledAdamW(Optimizer):
    """
    AdamW whose step is scaled, tensor by tensor, by the root mean square of the weights: `max(1e-3, RMS(p))`.

    This is the update that T5 was pretrained with (Adafactor's relative step) on top of Adam's moments, as nanoT5 and
    the reference code of paper 1 (arXiv 2412.18552) use it; with it, learning rates are about 1e-3, not 1e-5. Weight
    decay is decoupled and not scaled. Runs over lists of tensors (`torch._foreach_*`), not tensor by tensor.

    Args:
        params: tensors or parameter groups.
        lr: relative step; 3e-3 in the paper.
        betas: decay of the two moments.
        eps: added to the root of the second moment, outside the root.
        weight_decay: decoupled; 0 in the paper.
    """

    def __init__(
        self,
        params: Iterable[torch.Tensor],
        lr: float = 3e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ):
        if lr < 0 or eps < 0 or not all(0 <= beta < 1 for beta in betas) or weight_decay < 0:
            raise ValueError(
                f"RMSScaledAdamW needs lr >= 0, eps >= 0, weight_decay >= 0 and betas in [0, 1); "
                f"got lr={lr}, eps={eps}, weight_decay={weight_decay}, betas={betas}."
            )
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], torch.Tensor] | None = None) -> torch.Tensor | None:
        """One update of every tensor that has a gradient; returns the closure's loss, if there is a closure."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                self.update(group, parameters)
        return loss

    def update(self, group: dict, parameters: list[torch.Tensor]) -> None:
        """`p ← p − lr · max(1e-3, RMS(p)) · m̂ / (√v + ε)`, then `p ← p − lr · wd · p`; bias correction as in Adam."""
        for p in parameters:
            if not self.state[p]:
                self.state[p] = {"step": 0, "exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
        states = [self.state[p] for p in parameters]
        for state in states:
            state["step"] += 1
        gradients = [p.grad for p in parameters]
        first, second = [s["exp_avg"] for s in states], [s["exp_avg_sq"] for s in states]
        beta1, beta2 = group["betas"]
        torch._foreach_lerp_(first, gradients, 1 - beta1)
        torch._foreach_mul_(second, beta2)
        torch._foreach_addcmul_(second, gradients, gradients, 1 - beta2)
        denominators = torch._foreach_sqrt(second)
        torch._foreach_add_(denominators, group["eps"])
        norms = torch._foreach_norm(parameters)
        sizes = [
            group["lr"] * math.sqrt(1 - beta2 ** s["step"]) / (1 - beta1 ** s["step"])
            * max(1e-3, float(norm) / math.sqrt(p.numel()))
            for s, norm, p in zip(states, norms, parameters, strict=True)
        ]  # fmt: skip
        torch._foreach_addcdiv_(parameters, first, denominators, [-size for size in sizes])
        if group["weight_decay"]:
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])


def learning_rate(step: int, *, schedule: str, lr: float, final_lr: float, steps: int, warmup_steps: int = 0) -> float:
    """
    The learning rate of optimiser step `step` (0-based) of `steps`.

    - `paper`: a cosine from `lr` (3e-3) to `final_lr` (1e-5), as paper 1 states.
    - `reference`: the same from `lr / 2`. With no warm-up, the schedule of the reference code on its pinned torch
      applies its linear part's first factor of 0.5 once and the cosine goes on from there, so the runs behind the
      paper's tables most likely started at 1.5e-3.

    `warmup_steps` (0 in the paper) rises linearly from `lr / warmup_steps`, for students with random weights.

    Raises:
        ValueError: the schedule is neither `paper` nor `reference`.
    """
    if schedule not in {"paper", "reference"}:
        raise ValueError(f"schedule must be 'paper' or 'reference', got '{schedule}'.")
    peak = lr / 2 if schedule == "reference" else lr
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)
    return final_lr + (peak - final_lr) * (1 + math.cos(math.pi * min(1.0, progress))) / 2
