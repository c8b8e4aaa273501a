"""What a pretraining run tells of itself afterwards: the facts of its card and of its run.json, made of its log."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from hub_tools.students.hardware import gains_from_bf16
from hub_tools.students.pretraining import Pretraining, TrainingLog


OBJECTIVES = {
    "distillation": "the teachers' analyses and rewrites of reviews, from the review (cross-entropy on every token)",
    "span-corruption": "DAPT: T5's span corruption on the reviews alone, no teacher",
    "rating": "rating prediction: a review's stars, in words, from its text",
    "instructions": "general distillation: responses to instructions of any kind",
}

LAYOUTS = {"padded": "one pair a row", "packed": "several pairs a row", "joined": "all pairs in one row"}
PRECISIONS = {"no": "float32", "bf16": "bf16 where autocast takes it, weights in float32"}


def numbers(log: TrainingLog, settings: Pretraining, reviews: int, pairs: int) -> dict[str, Any]:
    """The run in numbers, as run.json keeps them: what a table of several runs compares, too."""
    return {
        "reviews": reviews,
        "pairs": pairs,
        "steps": settings.steps,
        "processes": log.processes,
        "tokens": log.input_tokens + log.target_tokens,
        "hours": round(log.seconds / 3600, 3),
        "padding": round(mean_of(log.padding), 4),
        "training_loss": log.losses[-1][1] if log.losses else None,
        "validation_loss": log.validation[-1][1] if log.validation else None,
        "validation": log.validation,
        "resumed_at": log.resumed_at,
    }


def measured(
    log: TrainingLog,
    settings: Pretraining,
    objective: str,
    held_out: int,
    why_precision: str = "",
    device: str = "cpu",
) -> dict[str, str]:
    """
    The same in words, for the card: what was learned, how far, at what cost, and what happened on the way.

    `device` is the type of the processes' devices: each process of "cuda" has a GPU of its own.
    """
    shares = "" if not log.padding else f"{100 * mean_of(log.padding):.1f} % of the positions computed"
    return {
        "objective": OBJECTIVES.get(objective, objective),
        "optimiser steps": f"{settings.steps:,} of {settings.pairs_per_step} pairs each",
        "tokens read and written": f"{log.input_tokens:,} and {log.target_tokens:,}",
        "cost": cost(log, device),
        "speed": f"{statistics.median(speed for _, speed in log.speed):,.0f} tokens a second" if log.speed else "",
        "padding": shares + (f", {in_words(log.layout, LAYOUTS)}" if log.layout and shares else ""),
        "precision": in_words(log.precision, PRECISIONS) + (f" ({why_precision})" if why_precision else ""),
        "held out for validation": f"{held_out:,} pairs, by review",
        "interruptions": f"went on from step {', '.join(map(str, log.resumed_at))}" if log.resumed_at else "none",
    }


def reason(bf16: str, device: torch.device | str) -> str:
    """
    Why `precision` takes what it takes: `auto` goes by the device, else the user has decided.

    >>> reason("yes", "cpu"), reason("auto", "meta")
    ('asked for', 'nothing is known of bf16 on meta')
    """
    return gains_from_bf16(device).why if bf16 == "auto" else "asked for"


def cost(log: TrainingLog, device: str) -> str:
    """
    How long training took over all sessions, and on how much; a process of "cuda" is a GPU.

    >>> cost(TrainingLog(seconds=18_000, processes=8), "cuda")
    '5.00 hours on 8 GPUs, 40.00 GPU-hours'
    >>> cost(TrainingLog(seconds=1800, processes=1), "cpu")
    '0.50 hours on 1 process'
    """
    hours = log.seconds / 3600
    one, many = ("GPU", "GPUs") if device == "cuda" else ("process", "processes")
    said = f"{hours:.2f} hours on {log.processes} {one if log.processes == 1 else many}"
    if device == "cuda":
        said += f", {hours * log.processes:.2f} GPU-hours"
    # The log knows all hours, but the processes of the last session alone
    return said + (", if there were as many before each interruption" if log.resumed_at else "")


def in_words(recorded: str, words: Mapping[str, str]) -> str:
    """
    The log's `precision` or `layout`, which may have changed at a resume.

    >>> in_words("no, then bf16 from step 4000", PRECISIONS)
    'float32, then from step 4000 bf16 where autocast takes it, weights in float32'
    """
    parts = (part.partition(" from ") for part in recorded.split(", then "))
    return ", then ".join((f"from {since} " if since else "") + words.get(name, name) for name, _, since in parts)


def lost(cost: Mapping[str, int]) -> str:
    """What the limits and the tokenizer lost of the texts, in a sentence; "" where nothing is known."""
    words = {
        "truncated_inputs": "inputs cut",
        "cut_input_tokens": "tokens cut from them",
        "truncated_targets": "targets cut",
        "cut_target_tokens": "tokens cut from them",
        "unknown_tokens": "unknown tokens",
        "removed_marks": "special tokens spelled out in texts, made spaces",
        "dropped_characters": "characters that leave no token",
        "too_short": "reviews to train on too short to mask",
    }
    found = [f"{cost[name]:,} {said}" for name, said in words.items() if name in cost]
    whole = f" of {cost['tokens']:,} tokens kept in all" if "tokens" in cost else ""
    return f"{', '.join(found)};{whole}" if found and whole else ", ".join(found)


def curve(log: TrainingLog, most: int = 12) -> list[dict[str, Any]]:
    """
    Validation loss over the run, at most about `most` points, first and last among them: `step`, `training` (mean loss
    since the point before, that of single steps jumps), `validation`; nats per target token.
    """
    points, rows, before = thinned(log.validation, most), [], 0
    for step, loss in points:
        between = [value for at, value in log.losses if before <= at < step]
        rows.append(
            {
                "step": int(step),
                "training loss": f"{statistics.mean(between):.4f}" if between else "",
                "validation loss": f"{loss:.4f}",
            }
        )
        before = step
    return rows


def thinned(points: Sequence[Sequence[float]], most: int) -> list[Sequence[float]]:
    """Every so-manieth of `points`, and the last one.

    >>> thinned([[1, 5], [2, 4], [3, 3], [4, 2]], 2)
    [[2, 4], [4, 2]]
    """
    every = -(-len(points) // most) or 1
    return [point for number, point in enumerate(points, 1) if number % every == 0 or number == len(points)]


def mean_of(points: Sequence[Sequence[float]]) -> float:
    """Mean of the values of [step, value] pairs; 0 of none."""
    return statistics.fmean(value for _, value in points) if points else 0.0
