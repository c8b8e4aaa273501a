"""
What one optimiser step of pretraining computes, and one validation: passes forward and back, on one process or many.

A step's loss is the mean over all its target tokens, over all forward passes and processes, so without dropout it and
its gradient are the same number however the step is cut, but for the order in which floats are added. Dropout draws
anew for each pass and process: cut otherwise, they are the same in expectation.
"""

import math
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn
from torch.distributed.fsdp import FSDPModule
from transformers import PreTrainedModel

from hub_tools.students.dropout import quicken_dropout
from hub_tools.students.hardware import is_short_memory
from hub_tools.students.packing import Batch, SummedLoss, layout
from hub_tools.students.step_plan import forward_passes, lengths_of, shares


Collate = Callable[..., Batch]

DROPOUTS = ("dropout_rate", "dropout", "attention_dropout", "activation_dropout")  # as configs call them
TRIED = 8  # pairs on which it is seen whether packing is the same as padding


class OutOfMemory(RuntimeError):
    """A forward or backward pass did not fit; the message says what to lower."""


class Share(NamedTuple):
    """What this process computes of a pass, and whether it counts: who has no pair still takes part, with weight 0."""

    pairs: list[int]
    weight: float


@dataclass(frozen=True)
class StepOutcome:
    """Of one step: nats per target token, share of the batches' positions that are padding, who asked to stop."""

    loss: float
    padding: float
    stop: bool = False


class Steps:
    """
    The passes of a run over `rows`.

    Args:
        model: the student, before accelerate or FSDP2 wraps it.
        rows: (source ids, target ids, …) each; what follows the target is `collate`'s.
        accelerator: the processes.
        pairs_per_forward: of one pass, over all processes together.
        loss, collate: see `pretrain`.
        compiled: whether `torch.compile` shall see the passes.

    Attributes:
        layout: the name of what lays out the batches of plain pairs: `padded`, `packed` or `joined`.
        drops: whether the model has dropout, so that how a step is cut decides the bits of its gradient.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        rows: Sequence,
        accelerator: Accelerator,
        pairs_per_forward: int,
        loss: nn.Module | None = None,
        collate: Collate | None = None,
        compiled: bool = False,
    ) -> None:
        self.rows, self.accelerator, self.pairs_per_forward = rows, accelerator, pairs_per_forward
        self.lengths = lengths_of(rows)
        tried = [rows[index][:2] for index in range(min(TRIED, len(rows)))]
        self.lay = layout(model.to(accelerator.device), tried, model.config.pad_token_id, compiled)
        self.layout = self.lay.func.__name__
        if not compiled:
            quicken_dropout(model)
        self.collate = partial(collate, lay=self.lay) if collate else self.lay
        self.loss = loss or SummedLoss(model)
        self.plain = None if loss is None else SummedLoss(model)  # for validation
        self.drops = any(getattr(model.config, name, 0) for name in DROPOUTS)

    def passes(self, chosen: Sequence[int], lengths: np.ndarray) -> list[list[int]]:
        """The pairs of each forward pass over `chosen`."""
        return forward_passes(chosen, lengths, self.pairs_per_forward, alike=self.layout == "padded")

    def cut(self) -> str:
        """How a step is cut, in words, where dropout makes another model of another cut; else nothing."""
        count = self.accelerator.num_processes
        processes = f"{count} process" + "es" * (count > 1)
        return f"{self.pairs_per_forward} pairs a pass on {processes}" if self.drops else ""

    def put(self, batch: Batch) -> Batch:
        """The tensors of a pass on this process's device."""
        return {name: tensor.to(self.accelerator.device, non_blocking=True) for name, tensor in batch.items()}

    def shared(self, passes: Sequence[Sequence[int]], lengths: np.ndarray) -> list[Share]:
        """This process's share of each pass of a step. Without a pair it takes the shortest: all compute, or none."""
        cut = shares(passes, lengths, self.accelerator.num_processes, alike=self.layout == "padded")
        mine = [parts[self.accelerator.process_index] for parts in cut]
        return [
            Share(pairs, 1.0) if pairs else Share(list(indices[:1]), 0.0)
            for pairs, indices in zip(mine, passes, strict=True)
        ]

    def backward(self, share: Share, tokens: int, seed: int, synchronise: bool) -> tuple[torch.Tensor, int]:
        """One pass forward and back; the loss of this process's pairs, and the positions computed."""
        batch = self.collate([self.rows[index] for index in share.pairs])
        positions = batch["input_ids"].numel() + batch["labels"].numel()
        torch.manual_seed(seed + self.accelerator.process_index)
        accelerator = self.accelerator
        with nullcontext() if synchronise else accelerator.no_sync(self.loss):
            with accelerator.autocast():
                loss = self.loss(self.put(batch)) * share.weight
            # The gradients are averaged over processes, and divided by what `accelerate launch` was told of gradient
            # accumulation, which there is none of here; the mean must be over the step's tokens.
            undone = accelerator.num_processes * accelerator.gradient_accumulation_steps
            accelerator.backward(loss * undone / tokens)
        return loss.detach(), positions if share.weight else 0

    def train(
        self,
        step: int,
        chosen: Sequence[int],
        optimizer: torch.optim.Optimizer,
        rate: float,
        max_grad_norm: float,
        seed: int,
        stopping: Callable[[], bool] = lambda: False,
    ) -> StepOutcome:
        """
        One optimiser step over the rows `chosen`; every process takes its share of each forward pass.

        `stopping` is asked once, after the last pass: the outcome says whether any process was to stop by then.

        Raises:
            FloatingPointError: a loss or gradient is not finite; no weight has been changed.
            OutOfMemory: a pass does not fit.
        """
        self.loss.train()
        passes, tokens = self.passes(chosen, self.lengths), int(self.lengths[chosen, 1].sum())
        mine = self.shared(passes, self.lengths)
        # All that processes tell each other of a step, in one exchange: losses by pass, positions, the wish to stop
        told = torch.zeros(len(passes) + 2, device=self.accelerator.device)
        positions = 0
        with self.explained(step):
            for number, share in enumerate(mine):
                last = number + 1 == len(passes)
                loss, computed = self.backward(share, tokens, pass_seed(seed, step, number), synchronise=last)
                told[number] = loss
                positions += computed
            norm = self.accelerator.clip_grad_norm_(list(self.loss.parameters()), max_grad_norm or math.inf)
            told[-2], told[-1] = positions, float(stopping())
            *losses, positions, stop = self.accelerator.reduce(told, reduction="sum").tolist()
        bad = [number for number, loss in enumerate(losses) if not math.isfinite(loss)]
        if bad or not math.isfinite(norm):
            optimizer.zero_grad(set_to_none=True)
            number = bad[0] if bad else self.pass_to_blame(step, mine, tokens, seed)
            raise FloatingPointError(self.blame(step, number, passes, "loss" if bad else "gradient"))
        for group in optimizer.param_groups:
            group["lr"] = rate
        with self.explained(step):
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        real = int(self.lengths[chosen].sum())
        return StepOutcome(sum(losses) / tokens, 1 - real / max(1, positions), stop > 0)

    def pass_to_blame(self, step: int, mine: Sequence[Share], tokens: int, seed: int) -> int | None:
        """The first pass whose own gradient is not finite: they are computed once more, one by one, as they were."""
        for number, share in enumerate(mine):
            self.loss.zero_grad(set_to_none=True)
            self.backward(share, tokens, pass_seed(seed, step, number), synchronise=True)
            norm = self.accelerator.clip_grad_norm_(list(self.loss.parameters()), math.inf)
            if not math.isfinite(norm):
                self.loss.zero_grad(set_to_none=True)
                return number
        self.loss.zero_grad(set_to_none=True)
        return None

    def blame(self, step: int, number: int | None, passes: Sequence[Sequence[int]], what: str) -> str:
        """Where `what` is not finite: pairs by their number among `rows` and, where these tell it, in the corpus."""
        if number is None:
            pairs, place = [index for each in passes for index in each], "the sum of all forward passes"
        else:
            pairs, place = list(passes[number]), f"forward pass {number + 1} of {len(passes)}"
        told = f"pairs {_listed(pairs)} of the {len(self.rows)} to train on"
        if where := getattr(self.rows, "where", None):
            told += f", which are rows {_listed([where(pair) for pair in pairs])} of the encoded corpus"
        return f"the {what} is not finite at step {step}, in {place} ({told}; counted from 0)"

    @torch.no_grad()
    def validate(self, rows: Sequence) -> float:
        """Nats per target token over `rows`, by plain cross-entropy, shared out over the processes."""
        judge = self.plain or self.loss
        judge.eval()
        lengths = lengths_of(rows)
        total = torch.zeros((), device=self.accelerator.device)
        for share in self.shared(self.passes(range(len(rows)), lengths), lengths):
            batch = self.put(self.lay([rows[index][:2] for index in share.pairs]))
            with self.accelerator.autocast():
                total += judge(batch) * share.weight
        for module in judge.modules():
            if isinstance(module, FSDPModule):
                module.reshard()  # else the outermost keeps what it gathered, under the names of its own weights
        return float(self.accelerator.reduce(total, reduction="sum")) / int(lengths[:, 1].sum())

    @contextmanager
    def explained(self, step: int) -> Iterator[None]:
        """Turns what torch says when memory is short into what to lower."""
        try:
            yield
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            text = str(error) or "no memory"
            if not is_short_memory(error):
                raise
            raise OutOfMemory(
                f"memory is short at step {step}, on {self.accelerator.device}. Lower pairs_per_forward (now "
                f"{self.pairs_per_forward}; the run goes on from its newest checkpoint, with the same gradients but "
                f"for what dropout draws), or max_target (the longest target here has "
                f"{int(self.lengths[:, 1].max())} tokens). ({text.splitlines()[0]})"
            ) from error


def pass_seed(seed: int, step: int, number: int) -> int:
    """Of the dropout of a pass: the same after a resume."""
    return (seed * 1_000_003 + step * 10_007 + number * 101) % 2**62


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:20])) + (" …" if len(numbers) > 20 else "")


class Stop:
    """Whether the user asked to stop: the first Ctrl-C lets the step end and its checkpoint be written."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """What the signal calls; a second Ctrl-C stops at once."""
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def stop_on_interrupt() -> Iterator[Stop]:
    """Within the block Ctrl-C only notes the wish. Signals come to the main thread; elsewhere nothing changes."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGINT, stop)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
