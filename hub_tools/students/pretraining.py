"""
Pretraining on the sentiment understanding corpus: review in, teacher's text out, cross-entropy on every target token
(paper 1, arXiv 2412.18552, section 2.2 and equation 1; sizes and optimiser as in its reference code).

`pretrain` is the loop. Which pairs a step reads is `step_plan`'s, what it computes `steps`', how batches are laid out
`packing`'s, and how a run survives its end `checkpoints`'.
"""

import logging
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from accelerate import Accelerator
from torch import nn
from torch.distributed.tensor import DTensor
from tqdm.auto import tqdm
from transformers import PreTrainedModel

from hub_tools.students import checkpoints
from hub_tools.students.checkpoints import Remote
from hub_tools.students.hardware import gains_from_bf16
from hub_tools.students.optimizer import RMSScaledAdamW, learning_rate
from hub_tools.students.step_plan import hold_out, plan_step
from hub_tools.students.steps import Collate, StepOutcome, Steps, stop_on_interrupt


__all__ = ["Pretraining", "TrainingLog", "hold_out", "plan_step", "precision", "pretrain"]

logger = logging.getLogger(__name__)

PRECISIONS = ("auto", "yes", "no")


@dataclass
class Pretraining:
    """What decides the weights that come out, with the paper's values as defaults."""

    steps: int
    pairs_per_step: int = 100
    pairs_per_forward: int = 20
    lr: float = 3e-3
    final_lr: float = 1e-5
    schedule: str = "paper"
    warmup_steps: int = 0
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    validate_every: int = 2000
    checkpoint_every: int = 2000
    seed: int = 42
    compile: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "pairs_per_step", "pairs_per_forward", "validate_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}.")
        if not 0 < self.lr < math.inf:
            raise ValueError(f"lr must be a number above 0, found {self.lr}.")
        for name in ("final_lr", "warmup_steps", "max_grad_norm", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a number of at least 0, found {getattr(self, name)}.")
        self.rate(0)  # refuses an unknown schedule

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        names = ("schedule", "lr", "final_lr", "steps", "warmup_steps")
        return learning_rate(step, **{name: getattr(self, name) for name in names})


@dataclass
class TrainingLog:
    """
    What the card tells of the run, each list one of [step, value].

    `losses` and `validation` are nats per target token (validation after so many steps), `padding` the share of
    computed positions that were, `speed` input and target tokens a second, of which padding is none. `layout` and
    `precision` (as accelerate calls it) tell all there were, in order: "no, then bf16 from step 4000"; so does `cut`,
    of pairs a pass and processes, for a model with dropout, which draws anew for each pass and process.
    """

    losses: list[list[float]] = field(default_factory=list)
    validation: list[list[float]] = field(default_factory=list)
    padding: list[list[float]] = field(default_factory=list)
    speed: list[list[float]] = field(default_factory=list)
    input_tokens: int = 0
    target_tokens: int = 0
    seconds: float = 0.0
    resumed_at: list[int] = field(default_factory=list)
    layout: str = ""
    precision: str = "no"
    cut: str = ""
    processes: int = 1

    @classmethod
    def read(cls, recorded: Mapping[str, Any]) -> Self:
        """What a checkpoint keeps of it; fields that this version does not know are left out."""
        return cls(**{name: value for name, value in recorded.items() if name in cls.__dataclass_fields__})

    def computes(self, **how: str) -> list[str]:
        """Notes how it computes (`layout`, `precision`) from the last resume on; returns what is not as before."""
        step = self.resumed_at[-1] if self.resumed_at else 0
        changes = []
        for name, now in how.items():
            told = getattr(self, name)
            before = told.rpartition(", then ")[2].partition(" from step ")[0]
            if not step or not told:
                setattr(self, name, now)
            elif now != before:
                setattr(self, name, f"{told}, then {now} from step {step}")
                changes.append(f"{name} was '{before}', and is '{now}' from step {step} on")
        return changes

    def add(self, step: int, outcome: StepOutcome, inputs: int, targets: int, speed: float) -> None:
        """What a step came to."""
        self.losses.append([step, outcome.loss])
        self.padding.append([step, round(outcome.padding, 4)])
        self.speed.append([step, round(speed, 1)])
        self.input_tokens += inputs
        self.target_tokens += targets


def precision(bf16: str, device: torch.device) -> str:
    """
    `mixed_precision` for `Accelerator`: "bf16" or "no".

    Args:
        bf16: `yes`, `no`, or `auto`: where the device gains from it.

    Raises:
        ValueError: `bf16` is none of these.
    """
    if bf16 not in PRECISIONS:
        raise ValueError(f"bf16 must be one of {', '.join(PRECISIONS)}, found '{bf16}'.")
    return "bf16" if bf16 == "yes" or (bf16 == "auto" and gains_from_bf16(device)) else "no"


def pretrain(
    model: PreTrainedModel,
    training: Sequence,
    validation: Sequence,
    settings: Pretraining,
    accelerator: Accelerator,
    folder: Path,
    *,
    run: str = "",
    remote: Remote | None = None,
    loss: nn.Module | None = None,
    collate: Collate | None = None,
) -> tuple[PreTrainedModel, TrainingLog]:
    """
    Trains `model` for `settings.steps` optimiser steps and returns it with its log.

    Dropout is seeded by pass, so a run killed at any moment and started again ends as an undisturbed one: it goes on
    from the newest whole checkpoint in `folder`, or from that of `remote` if it is of a later step. Where it goes on
    in another precision or layout it ends with other bits, which a warning and the log tell. Ctrl-C lets the step end,
    writes its checkpoint and waits a minute for `remote` to have it; a second one stops at once. Several processes are
    killed by their launcher 30 s after Ctrl-C (`TORCH_ELASTIC_SHUTDOWN_TIMEOUT` in its environment: so many seconds),
    whatever they do: if that is too short, the run goes on from the checkpoint before.

    Args:
        training, validation: (source ids, target ids) of each pair, unpadded; a list, or `EncodedPairs`, whose
            `.lengths` spare a look at every pair.
        folder: for checkpoints.
        run: digest of all that decides the outcome; a checkpoint of another run is refused.
        remote: where checkpoints also go, such as `hub_tools.hub.checkpoints.HubCheckpoints`.
        loss: a module that holds `model`, and whose call turns a batch into the loss summed over its target tokens, to
            learn from more than the text (`soft_loss.SoftLoss`). Validation has the plain cross-entropy in any case.
        collate: makes the batches of `loss`: `collate(rows, lay=…)`, where `lay` makes those of plain pairs (see
            `packing.layout`); rows may then hold more than two sides.

    Raises:
        ValueError: there is nothing to train on, the checkpoint in `folder` is of another run, or another process
            trains there.
        RuntimeError: `folder` has no checkpoint, and `remote` cannot be asked for one.
        FloatingPointError: a loss or gradient is not finite; step, pass and pairs are named, and the state before that
            step is kept as a checkpoint.
        OutOfMemory: says what to lower.
        KeyboardInterrupt: after a Ctrl-C, also one in the last step, whose checkpoint is written as any other's.
    """
    if not len(training):
        raise ValueError("The corpus holds no pair to train on; see the `rejected` config of the corpus for reasons.")
    if loss is not None and accelerator.is_fsdp2:
        raise ValueError("A loss of one's own needs the whole model in every process: train it with DDP, not FSDP2.")
    with checkpoints.held(folder, accelerator):
        steps = Steps(model, training, accelerator, settings.pairs_per_forward, loss, collate, settings.compile)
        found = checkpoints.find(folder, accelerator, run, remote)
        if found:
            checkpoints.load_weights(found, model)
            logger.info("Going on from %s (step %d of %d).", folder, found.step, settings.steps)
        unsharded = deepcopy(model) if accelerator.is_fsdp2 else model
        optimizer = RMSScaledAdamW(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
        if settings.compile:
            steps.loss.compile(dynamic=True)  # the number of tokens differs from batch to batch
        steps.loss, _ = accelerator.prepare(steps.loss, optimizer)
        log, start = TrainingLog(), 0
        if found:
            checkpoints.load_optimizer(found, model, optimizer)
            log, start = TrainingLog.read(found.log), found.step
            log.resumed_at.append(start)
            del found
        if start < settings.steps:
            changes = log.computes(layout=steps.layout, precision=accelerator.mixed_precision, cut=steps.cut())
            if changes and accelerator.is_main_process:
                logger.warning("Going on, though to other bits: %s.", "; ".join(changes))
            log.processes = accelerator.num_processes  # of those that train; a push alone may have fewer
        kept = start

        def keep(done: int) -> None:
            nonlocal kept
            kept = done
            spare = remote.reading if remote else None
            path = checkpoints.save(folder, done, model, optimizer, asdict(log), accelerator, run, spare)
            # The student itself follows the last one.
            if remote and accelerator.is_main_process and done < settings.steps:
                remote.offer(path)

        def settle() -> None:
            """The remote's copy may be all that stays of this machine. All wait: the first to end ends the others."""
            if remote and accelerator.is_main_process and kept > start:
                remote.settle(checkpoints.path_of(folder, kept))
            accelerator.wait_for_everyone()

        try:
            stopped = _go_through(steps, optimizer, validation, settings, log, start, keep)
        except FloatingPointError as error:
            done = log.losses[-1][0] + 1 if log.losses else 0
            if done > kept and not _spoiled(model, accelerator):
                keep(done)
            settle()
            state = f"lies in {folder} (step {kept})" if kept else "is the student as it began"
            raise FloatingPointError(
                f"{error}. It changed no weight: the last good state {state}. The same command goes on from it, and "
                f"meets the same pairs again; other settings, such as a lower lr (now {settings.lr}) or more "
                f"warmup_steps (now {settings.warmup_steps}), are another run, which begins at step 0."
            ) from error
        if stopped:
            settle()
            raise KeyboardInterrupt
        if accelerator.is_fsdp2:
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    unsharded.get_parameter(name).copy_(checkpoints.whole(parameter))
        return unsharded, log


def _go_through(
    steps: Steps,
    optimizer: torch.optim.Optimizer,
    validation: Sequence,
    settings: Pretraining,
    log: TrainingLog,
    start: int,
    keep: Callable[[int], None],
) -> bool:
    """
    The loop: steps, validations and checkpoints from `start` to the end, told in `log` and on a bar; whether Ctrl-C
    stopped it.

    A step that ends by Ctrl-C is not validated, for that may take longer than a launcher lets it live; it is when the
    run goes on from it, with the same weights.
    """
    accelerator, began, done = steps.accelerator, time.time() - log.seconds, start

    def validated(done: int) -> dict[str, float]:
        """The validation after `done` steps, if one is due and missing."""
        due = done == settings.steps or done % settings.validate_every == 0
        if not (len(validation) and due and done) or (log.validation and log.validation[-1][0] == done):
            return {}
        log.validation.append([done, steps.validate(validation)])
        logger.info("step %d: validation loss %.4f", *log.validation[-1])
        return {"validation loss": log.validation[-1][1]}

    passes = getattr(steps.rows, "epochs", 1)  # of span corruption: each has masks of its own
    with _bar(settings.steps, start, accelerator.is_main_process) as bar, stop_on_interrupt() as stop:
        if missing := validated(start):
            accelerator.log(missing, step=start - 1)
        for step in range(start, settings.steps):
            chosen = plan_step(step, len(steps.rows), settings.pairs_per_step, settings.seed, passes)
            rate, clock = settings.rate(step), time.perf_counter()
            outcome = steps.train(
                step, chosen, optimizer, rate, settings.max_grad_norm, settings.seed, lambda: stop.asked
            )
            inputs, targets = steps.lengths[chosen].sum(axis=0).tolist()
            speed = (inputs + targets) / (time.perf_counter() - clock)
            log.add(step, outcome, inputs, targets, speed)
            log.seconds = time.time() - began
            facts = {"loss": outcome.loss, "lr": rate, "tokens/s": speed, "padding": outcome.padding}
            done, last = step + 1, step + 1 == settings.steps
            shown = {"loss": f"{outcome.loss:.3f}", "lr": f"{rate:.1e}", "tokens/s": f"{speed:.0f}"}
            bar.set_postfix(shown, refresh=False)  # at once it would be at every step, whatever `mininterval`
            bar.update()
            if not outcome.stop:
                facts |= validated(done)
            accelerator.log(facts, step=step)
            if last or outcome.stop or done % settings.checkpoint_every == 0:
                keep(done)
            if outcome.stop:
                break
    stopped = checkpoints.agreed(stop.asked, accelerator)  # in the last step too, or in its validation
    if stopped and accelerator.is_main_process:
        logger.warning("Stopped at step %d of %d, whose checkpoint is written.", done, settings.steps)
    return stopped


def _spoiled(model: nn.Module, accelerator: Accelerator) -> bool:
    """Whether a weight is not finite, in any process: such a state would replace a good one."""
    shares = (weight.to_local() if isinstance(weight, DTensor) else weight for weight in model.parameters())
    return checkpoints.agreed(not all(bool(share.isfinite().all()) for share in shares), accelerator)


def _bar(steps: int, start: int, shown: bool) -> tqdm:
    return tqdm(
        total=steps,
        initial=start,
        desc="pretrain",
        unit="step",
        disable=not shown,
        mininterval=0.5 if sys.stderr.isatty() else 15,  # a log file need not hold every step
    )
