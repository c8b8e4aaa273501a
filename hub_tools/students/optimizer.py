"""The optimiser and schedules of pretraining (paper 1, appendix C, and what its reference code does)."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch.optim import Optimizer


LEAST_SCALE = 1e-3  # tensors that are all but zero move, too
PART = 2**18  # weights whose squares a CPU adds up in float32: off by 1e-6, by 2e-5 where all are equal
FUSED = ("cpu", "cuda")  # devices for which torch has its AdamW kernel


class RMSScaledAdamW(Optimizer):
    """
    AdamW whose step is scaled, tensor by tensor, by the root mean square of the weights: `max(1e-3, RMS(p))`.

    This is the update that T5 was pretrained with (Adafactor's relative step) on top of Adam's moments, as nanoT5 and
    the reference code of paper 1 (arXiv 2412.18552) use it; with it, learning rates are about 1e-3, not 1e-5. Weight
    decay is decoupled and not scaled.

    Each tensor is read and written once, by torch's fused AdamW kernel, where there is one and it fits. Weights that
    FSDP2 has sharded (DTensor) are scaled by the root mean square of the whole tensor. Weights of 16 bits have moments
    of 32, yet most steps are too small to show in them: for mixed precision give the optimiser 32-bit weights.

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

    def update(self, group: dict, parameters: Sequence[torch.Tensor]) -> None:
        """`p ← p − lr · max(1e-3, RMS(p)) · m̂ / (√v + ε)`, then `p ← p − lr · wd · p`; bias correction as in Adam."""
        counts: dict[tuple, torch.Tensor] = {}  # the kernel wants the number of the step on its device
        for p, rate in zip(parameters, _rates(parameters, group["lr"]), strict=True):
            state = self.state[p]
            if not state:
                wide = torch.promote_types(p.dtype, torch.float32)
                state.update(
                    step=0, exp_avg=torch.zeros_like(p, dtype=wide), exp_avg_sq=torch.zeros_like(p, dtype=wide)
                )
            state["step"] += 1
            tensors = [_local(each) for each in (p, p.grad, state["exp_avg"], state["exp_avg_sq"])]
            weights = tensors[0]
            if not weights.numel():  # a shard of a tensor with fewer rows than there are processes
                continue
            if _fits_the_kernel(tensors):
                key = (weights.device, state["step"])
                if key not in counts:
                    counts[key] = torch.full((), state["step"], dtype=torch.float32, device=weights.device)
                _fused_step(tensors, state["step"], counts[key], rate, group)
            else:
                _written_out(tensors, state["step"], float(rate), group)
            if group["weight_decay"]:
                # Not times 1 − lr · wd, whose rounding in 32 bits would add up over thousands of steps
                weights.add_(weights, alpha=-group["lr"] * group["weight_decay"])

    def load_state_dict(self, state_dict: dict) -> None:
        """As torch does, but moments keep their 32 bits where weights have 16."""
        super().load_state_dict(state_dict)
        saved = [index for group in state_dict["param_groups"] for index in group["params"]]
        own = [p for group in self.param_groups for p in group["params"]]
        for index, p in zip(saved, own, strict=True):
            for name in ("exp_avg", "exp_avg_sq"):
                moment = state_dict["state"].get(index, {}).get(name)
                if moment is not None and moment.dtype != p.dtype:
                    self.state[p][name] = moment.to(p.device, copy=True)


def root_mean_squares(parameters: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """`max(1e-3, RMS(p))` of each tensor, as scalars on its device; for DTensors that of the whole tensor."""
    squares = [_sum_of_squares(_local(p)) for p in parameters]
    shards: dict[tuple, list[int]] = {}
    for index, p in enumerate(parameters):
        if hasattr(p, "to_local"):
            shards.setdefault((p.device_mesh, tuple(p.placements)), []).append(index)
    for (mesh, placements), indices in shards.items():
        whole = _summed_over_shards(torch.stack([squares[index] for index in indices]), mesh, placements)
        for index, value in zip(indices, whole.unbind(), strict=True):
            squares[index] = value
    roots = torch._foreach_sqrt(torch._foreach_div(squares, [float(max(1, p.numel())) for p in parameters]))
    return list(torch._foreach_clamp_min(roots, LEAST_SCALE))


def _rates(parameters: Sequence[torch.Tensor], lr: float) -> Iterator[torch.Tensor | float]:
    """
    `lr · max(1e-3, RMS(p))` of each tensor. On a CPU each is made when it is asked for, so that the kernel finds in
    the cache what the root mean square has just read; elsewhere all are made at once, in few calls.
    """
    if any(p.device.type != "cpu" or hasattr(p, "to_local") for p in parameters):
        yield from torch._foreach_mul(root_mean_squares(parameters), lr)
        return
    for p in parameters:
        yield lr * max(LEAST_SCALE, math.sqrt(float(_sum_of_squares(p)) / max(1, p.numel())))


def _sum_of_squares(weights: torch.Tensor) -> torch.Tensor:
    """Over a whole tensor. A CPU does it part by part: 25 million float32 added up in one go are off by up to 1e-3."""
    wide = torch.promote_types(weights.dtype, torch.float32)
    if weights.device.type == "cpu":
        parts = weights.reshape(-1).to(wide).split(PART)
        return torch.tensor(sum(float(torch.dot(part, part)) for part in parts), dtype=torch.float64)
    rows = torch.linalg.vector_norm(weights, dim=-1, dtype=wide) if weights.dim() > 1 else weights.to(wide)
    return rows.square().sum()


def _summed_over_shards(squares: torch.Tensor, mesh: object, placements: tuple) -> torch.Tensor:
    """Sums of squares of local shards → of whole tensors, for all tensors in one exchange."""
    from torch.distributed.tensor import DTensor, Partial, Replicate  # takes a second, and needs torch.distributed

    kinds = [Replicate() if each.is_replicate() else Partial() for each in placements]
    return DTensor.from_local(squares, mesh, kinds, run_check=False).full_tensor()


def _local(tensor: torch.Tensor) -> torch.Tensor:
    """This process's shard of a DTensor; any other tensor itself."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def _fits_the_kernel(tensors: Sequence[torch.Tensor]) -> bool:
    """It goes through memory as it lies, whatever the strides, and knows one type of number for all four tensors."""
    weights = tensors[0]
    return weights.device.type in FUSED and all(
        each.dtype == weights.dtype and each.device == weights.device and each.is_contiguous() for each in tensors
    )


def _fused_step(
    tensors: Sequence[torch.Tensor], step: int, count: torch.Tensor, rate: torch.Tensor | float, group: dict
) -> None:
    """Weights, gradient and both moments of one tensor, in one pass by torch's kernel."""
    weights, gradient, first, second = tensors
    beta1, beta2 = group["betas"]
    torch._fused_adamw_(
        [weights],
        [gradient],
        [first],
        [second],
        [],
        [count],
        lr=rate.float() if isinstance(rate, torch.Tensor) else rate,  # the CUDA kernel reads 32 bits
        beta1=beta1,
        beta2=beta2,
        weight_decay=0.0,  # the kernel's comes before the step
        eps=group["eps"] / math.sqrt(1 - beta2**step),  # the kernel adds it to the corrected root, we to the plain one
        amsgrad=False,
        maximize=False,
    )


def _written_out(tensors: Sequence[torch.Tensor], step: int, rate: float, group: dict) -> None:
    """The same for what the kernel does not take, in the moments' precision."""
    weights, gradient, first, second = tensors
    beta1, beta2 = group["betas"]
    gradient = gradient.to(first.dtype)
    first.lerp_(gradient, 1 - beta1)
    second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    size = rate * math.sqrt(1 - beta2**step) / (1 - beta1**step)
    weights.copy_(weights.to(first.dtype).addcdiv(first, second.sqrt().add_(group["eps"]), value=-size))


def learning_rate(step: int, *, schedule: str, lr: float, final_lr: float, steps: int, warmup_steps: int = 0) -> float:
    """
    The learning rate of optimiser step `step` (0-based) of `steps`.

    - `paper`: a cosine from `lr` (3e-3) to `final_lr` (1e-5), as paper 1 states.
    - `reference`: the same from `lr / 2`. With no warm-up, the schedule of the reference code on its pinned torch
      applies its linear part's first factor of 0.5 once and the cosine goes on from there, so the runs behind the
      paper's tables most likely started at 1.5e-3.

    `warmup_steps` (0 in the paper) rises linearly from `lr / warmup_steps` to `lr`, for students with random weights;
    with a warm-up nothing is halved, as in the reference code.

    Raises:
        ValueError: the schedule is neither `paper` nor `reference`.
    """
    if schedule not in {"paper", "reference"}:
        raise ValueError(f"schedule must be 'paper' or 'reference', got '{schedule}'.")
    peak = lr / 2 if schedule == "reference" and not warmup_steps else lr
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)
    return final_lr + (peak - final_lr) * (1 + math.cos(math.pi * min(1.0, progress))) / 2
