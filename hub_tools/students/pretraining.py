"""
Pretraining on the sentiment understanding corpus: review in, teacher's text out, cross-entropy on every target token
(paper 1, arXiv 2412.18552, section 2.2 and equation 1; sizes and optimiser as in its reference code).
"""

import json
import logging
import math
import random
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy
from tqdm.auto import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hub_tools.students.models import escape_newlines
from hub_tools.students.optimizer import RMSScaledAdamW, learning_rate


logger = logging.getLogger(__name__)

IGNORED = -100


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

    def __post_init__(self) -> None:
        for name in ("steps", "pairs_per_step", "pairs_per_forward", "validate_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}.")


@dataclass
class TrainingLog:
    """What the card tells of the run: `losses` and `validation` are lists of [step, nats per target token]."""

    losses: list[list[float]] = field(default_factory=list)
    validation: list[list[float]] = field(default_factory=list)
    input_tokens: int = 0
    target_tokens: int = 0
    seconds: float = 0.0
    resumed_at: list[int] = field(default_factory=list)


Encoded = list[tuple[list[int], list[int]]]


def encode_pairs(
    pairs: Sequence[dict], tokenizer: PreTrainedTokenizerBase, max_input: int = 128, max_target: int = 400
) -> tuple[Encoded, dict[str, int]]:
    """
    Pair rows → token ids, unpadded, truncated to `max_input` and `max_target` tokens (the end mark included).

    No task prefix: analyses and rewrites of one review share its text as input, as in the paper. Also returns what
    the limits and the vocabulary cost: `truncated_inputs`, `truncated_targets`, `unknown_tokens`, `tokens`.
    """
    inputs = tokenizer([escape_newlines(pair["input"]) for pair in pairs])["input_ids"] if pairs else []
    targets = tokenizer(text_target=[escape_newlines(pair["target"]) for pair in pairs])["input_ids"] if pairs else []
    end = tokenizer.eos_token_id
    losses = {
        "truncated_inputs": sum(len(ids) > max_input for ids in inputs),
        "truncated_targets": sum(len(ids) > max_target for ids in targets),
        "unknown_tokens": sum(ids.count(tokenizer.unk_token_id) for ids in [*inputs, *targets]),
        "tokens": sum(len(ids) for ids in [*inputs, *targets]),
    }
    return [
        (truncate(source, max_input, end), truncate(target, max_target, end))
        for source, target in zip(inputs, targets, strict=True)
    ], losses


def truncate(ids: list[int], limit: int, end: int) -> list[int]:
    """The first `limit` ids, the last of them `end`."""
    return ids if len(ids) <= limit else [*ids[: limit - 1], end]


def hold_out(pairs: Sequence[dict], n: int, seed: int) -> tuple[list[dict], list[dict]]:
    """
    Splits pair rows into (training, validation) with about `n` pairs in validation, by review: an analysis must not
    be validated against a student that has read the rewrite of the same review.
    """
    reviews = sorted({pair["review_id"] for pair in pairs})
    random.Random(seed).shuffle(reviews)
    held: set[str] = set()
    by_review: dict[str, int] = {}
    for pair in pairs:
        by_review[pair["review_id"]] = by_review.get(pair["review_id"], 0) + 1
    count = 0
    for review_id in reviews:
        if count >= n or len(held) >= len(reviews) - 1:
            break
        held.add(review_id)
        count += by_review[review_id]
    training = [pair for pair in pairs if pair["review_id"] not in held]
    return training, [pair for pair in pairs if pair["review_id"] in held]


def plan_step(step: int, n_pairs: int, pairs_per_step: int, seed: int) -> list[int]:
    """
    The pairs of optimiser step `step`: consecutive slices of a seeded shuffle, a new one every epoch.

    A pure function of its arguments, so a resumed run and a run on any number of processes see the same batches.
    """
    chosen: list[int] = []
    position = step * pairs_per_step
    while len(chosen) < pairs_per_step:
        epoch, offset = divmod(position + len(chosen), n_pairs)
        chosen += shuffled(n_pairs, seed, epoch)[offset : offset + pairs_per_step - len(chosen)]
    return chosen


_SHUFFLES: dict[tuple[int, int, int], list[int]] = {}


def shuffled(n: int, seed: int, epoch: int) -> list[int]:
    """The order of epoch `epoch`; the last two are kept, since a step asks for one or two of them."""
    key = (n, seed, epoch)
    if key not in _SHUFFLES:
        while len(_SHUFFLES) > 1:
            _SHUFFLES.pop(next(iter(_SHUFFLES)))
        order = list(range(n))
        random.Random(f"{seed}:{epoch}").shuffle(order)
        _SHUFFLES[key] = order
    return _SHUFFLES[key]


def forwards(chosen: Sequence[int], encoded: Encoded, pairs_per_forward: int) -> Iterator[list[int]]:
    """Cuts a step's pairs, sorted by length, into forward passes: less padding, the same gradient."""
    ordered = sorted(chosen, key=lambda index: (len(encoded[index][1]), len(encoded[index][0]), index))
    for start in range(0, len(ordered), pairs_per_forward):
        yield ordered[start : start + pairs_per_forward]


def collate(rows: Encoded, model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """`input_ids`, `attention_mask` (rows, longest input), `decoder_input_ids`, `labels` (rows, longest target)."""
    pad, begin, device = model.config.pad_token_id, model.config.decoder_start_token_id, model.device
    width_in, width_out = max(len(source) for source, _ in rows), max(len(target) for _, target in rows)
    inputs = torch.tensor([source + [pad] * (width_in - len(source)) for source, _ in rows], device=device)
    mask = torch.tensor([[1] * len(source) + [0] * (width_in - len(source)) for source, _ in rows], device=device)
    read = [[begin, *target[:-1], *[pad] * (width_out - len(target))] for _, target in rows]
    labels = torch.tensor([target + [IGNORED] * (width_out - len(target)) for _, target in rows], device=device)
    return {
        "input_ids": inputs,
        "attention_mask": mask,
        "decoder_input_ids": torch.tensor(read, device=device),
        "labels": labels,
    }


def summed_loss(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Cross-entropy in nats, summed over the real target tokens of the batch."""
    labels = batch["labels"].flatten()
    logits = model(**{key: value for key, value in batch.items() if key != "labels"}, use_cache=False).logits
    return cross_entropy(logits.flatten(0, 1).float(), labels, ignore_index=IGNORED, reduction="sum")


def pretrain(
    model: PreTrainedModel,
    training: Encoded,
    validation: Encoded,
    settings: Pretraining,
    accelerator: Accelerator,
    folder: Path,
) -> tuple[PreTrainedModel, TrainingLog]:
    """
    Trains `model` for `settings.steps` optimiser steps and returns it with its log.

    A step's loss is the mean over all its target tokens, over all forward passes and processes: the same number on
    one process or many. Dropout is seeded per step, so a run killed at any moment and started again from the newest
    checkpoint in `folder` ends as an undisturbed one.

    Raises:
        ValueError: there is nothing to train on.
        FloatingPointError: a loss or gradient is not finite; the newest checkpoint is kept and the step is named.
    """
    if not training:
        raise ValueError("The corpus holds no pair to train on; see the `rejected` config of the corpus for reasons.")
    model.to(accelerator.device)
    optimizer = RMSScaledAdamW(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    log, start = restore(folder, model, optimizer)
    if start:
        logger.info("Going on from %s (step %d of %d).", folder, start, settings.steps)
    wrapped = accelerator.prepare_model(model)
    bar = tqdm(
        total=settings.steps,
        initial=start,
        desc="pretrain",
        unit="step",
        disable=not accelerator.is_main_process,
        mininterval=0.5 if sys.stderr.isatty() else 15,  # a log file need not hold every step
    )
    began, counted, launched = time.time() - log.seconds, log.target_tokens, time.time()
    for step in range(start, settings.steps):
        chosen = plan_step(step, len(training), settings.pairs_per_step, settings.seed)
        rate = learning_rate(
            step,
            schedule=settings.schedule,
            lr=settings.lr,
            final_lr=settings.final_lr,
            steps=settings.steps,
            warmup_steps=settings.warmup_steps,
        )
        loss = train_step(wrapped, optimizer, rate, step, chosen, training, settings, accelerator)
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"The loss or its gradient is not finite at step {step} (pairs {chosen[:5]}…). The newest checkpoint "
                f"in {folder} is kept; lower lr ({settings.lr}) or raise warmup_steps ({settings.warmup_steps}) and "
                "start again."
            )
        log.losses.append([step, loss])
        log.input_tokens += sum(len(training[index][0]) for index in chosen)
        log.target_tokens += sum(len(training[index][1]) for index in chosen)
        log.seconds = time.time() - began
        bar.update()
        speed = (log.target_tokens - counted) / max(1e-9, time.time() - launched)
        bar.set_postfix(loss=f"{loss:.3f}", lr=f"{rate:.1e}", **{"target tokens/s": f"{speed:.0f}"})
        last = step + 1 == settings.steps
        if validation and (last or (step + 1) % settings.validate_every == 0):
            log.validation.append([step + 1, validation_loss(model, validation, settings, accelerator)])
            logger.info("step %d: validation loss %.4f", *log.validation[-1])
        if last or (step + 1) % settings.checkpoint_every == 0:
            checkpoint(folder, step + 1, model, optimizer, log, accelerator)
    bar.close()
    return accelerator.unwrap_model(wrapped), log


def train_step(
    model: torch.nn.Module,
    optimizer: RMSScaledAdamW,
    rate: float,
    step: int,
    chosen: Sequence[int],
    encoded: Encoded,
    settings: Pretraining,
    accelerator: Accelerator,
) -> float:
    """
    One optimiser step over `chosen`; every process takes its share of each forward pass.

    Returns nats per token, or NaN where a gradient is not finite; then no weight has been changed.
    """
    model.train()
    torch.manual_seed(settings.seed * 1_000_003 + step * 101 + accelerator.process_index)
    tokens = sum(len(encoded[index][1]) for index in chosen)
    passes = list(forwards(chosen, encoded, settings.pairs_per_forward))
    total = torch.zeros((), device=accelerator.device)
    for number, indices in enumerate(passes):
        mine = indices[accelerator.process_index :: accelerator.num_processes]
        # A process without a pair still takes part, with weight 0: gradients are exchanged by all or none.
        batch = collate([encoded[index] for index in (mine or indices[:1])], accelerator.unwrap_model(model))
        # Gradients are exchanged once a step, in its last pass.
        with accelerator.no_sync(model) if number + 1 < len(passes) else nullcontext(), accelerator.autocast():
            loss = summed_loss(model, batch) * (1.0 if mine else 0.0)
        # DDP averages over processes; the mean must be over the step's tokens.
        accelerator.backward(loss * accelerator.num_processes / tokens)
        total += loss.detach()
    norm = accelerator.clip_grad_norm_(model.parameters(), settings.max_grad_norm or math.inf)
    finite = math.isfinite(norm)
    if finite:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(accelerator.reduce(total, reduction="sum")) / tokens if finite else math.nan


@torch.no_grad()
def validation_loss(
    model: PreTrainedModel, encoded: Encoded, settings: Pretraining, accelerator: Accelerator
) -> float:
    """Nats per target token over the held-out pairs, shared out over the processes."""
    model.eval()
    total = torch.zeros((), device=accelerator.device)
    for indices in forwards(range(len(encoded)), encoded, settings.pairs_per_forward):
        mine = indices[accelerator.process_index :: accelerator.num_processes]
        if mine:
            with accelerator.autocast():
                total += summed_loss(model, collate([encoded[index] for index in mine], model))
    return float(accelerator.reduce(total, reduction="sum")) / sum(len(target) for _, target in encoded)


def checkpoint(
    folder: Path,
    step: int,
    model: PreTrainedModel,
    optimizer: RMSScaledAdamW,
    log: TrainingLog,
    accelerator: Accelerator,
) -> None:
    """
    Writes weights and moments as safetensors into `folder/step-N`, whole or not at all, and drops the older one.

    Only the main process writes; the others wait, so that none runs ahead of a checkpoint that may fail.
    """
    if accelerator.is_main_process:
        names = {parameter: name for name, parameter in model.named_parameters()}
        tensors = {f"weight.{name}": parameter.detach().cpu() for parameter, name in names.items()}
        for parameter, state in optimizer.state.items():
            tensors[f"exp_avg.{names[parameter]}"] = state["exp_avg"].cpu()
            tensors[f"exp_avg_sq.{names[parameter]}"] = state["exp_avg_sq"].cpu()
        partial, final = folder / "partial", folder / f"step-{step:07d}"
        shutil.rmtree(partial, ignore_errors=True)  # what a killed run left
        partial.mkdir(parents=True)
        save_file(tensors, partial / "state.safetensors")
        (partial / "log.json").write_text(json.dumps({"step": step, **log.__dict__}), encoding="utf-8")
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        for older in folder.glob("step-*"):
            if older != final:
                shutil.rmtree(older, ignore_errors=True)
    accelerator.wait_for_everyone()


def restore(folder: Path, model: PreTrainedModel, optimizer: RMSScaledAdamW) -> tuple[TrainingLog, int]:
    """Loads the newest whole checkpoint of `folder` into `model` and `optimizer`; (empty log, 0) without one."""
    found = sorted(folder.glob("step-*")) if folder.is_dir() else []
    if not found:
        return TrainingLog(), 0
    tensors = load_file(found[-1] / "state.safetensors")
    recorded = json.loads((found[-1] / "log.json").read_text(encoding="utf-8"))
    step = recorded.pop("step")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[f"weight.{name}"])
            if f"exp_avg.{name}" in tensors:
                optimizer.state[parameter] = {
                    "step": step,
                    "exp_avg": tensors[f"exp_avg.{name}"].to(parameter.device),
                    "exp_avg_sq": tensors[f"exp_avg_sq.{name}"].to(parameter.device),
                }
    log = TrainingLog(**recorded)
    log.resumed_at.append(step)
    return log, step
