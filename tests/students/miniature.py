"""Pretraining and fine-tuning in miniature, for tests: importable, and a script that `accelerate launch` can start.

accelerate launch tests/students/miniature.py --folder <folder> [--halt_at 7] [--student <fine-tuned student>]

writes into the folder: `checkpoints/`, `log.json`, `weights.safetensors`, and for each process `read-<process>.json`:
per step, per forward pass, the encoded pairs that it read. With `--student` it also fine-tunes that one on `ROWS`, at
a learning rate of 0, and writes `finetuned-<process>.json`: validation facts, optimiser steps, predictions.
"""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors.torch import save_file

from hub_tools.arguments import parse_arguments
from hub_tools.students import pretraining
from hub_tools.students.finetuning import Finetuning, finetune, predict
from hub_tools.students.models import fresh_student, load_student
from hub_tools.students.pretraining import Encoded, Pretraining, TrainingLog, encode_pairs, pretrain


DISHES = ("pasta", "Pad Thai", "soup of the day", "lamb", "cheese cake with a lot of cherries")
PAIRS = [
    {
        "pair_id": f"{number}-{prompt}",
        "review_id": f"r{number}",
        "input": f"{opening} the {dish}!\nIt came late{', very late' * (number % 3)}.",
        "target": f'Opinion Target 1: "{dish}"\nSentiment: positive' if prompt == "analysis" else f"I like {dish}.",
    }
    for number, (dish, opening) in enumerate((dish, opening) for opening in ("Loved", "Try") for dish in DISHES)
    for prompt in ("analysis", "rewriting")
]
SETTINGS = Pretraining(
    steps=12,
    pairs_per_step=7,  # 7 of 20 pairs a step: epochs end within steps
    pairs_per_forward=3,
    lr=1e-2,
    warmup_steps=2,
    validate_every=4,
    checkpoint_every=3,
)


def student(dropout_rate: float = 0.0):
    """A model of about 30 thousand parameters and its tokenizer: the same ones on every call."""
    texts = [pair[side].replace("\n", "[NL]") for pair in PAIRS for side in ("input", "target")]
    return fresh_student(
        texts,
        vocab_size=160,
        d_model=32,
        d_ff=48,
        num_layers=1,
        num_heads=2,
        dropout_rate=dropout_rate,
        seed=7,
    )


def run(
    folder: Path, settings: Pretraining = SETTINGS, dropout_rate: float = 0.0
) -> tuple[dict[str, torch.Tensor], TrainingLog]:
    """Pretrains from the start, or from the newest checkpoint in `folder`; returns the weights and the log."""
    model, tokenizer = student(dropout_rate)
    encoded, _ = encode_pairs(PAIRS, tokenizer)
    model, log = pretrain(model, encoded, encoded[:3], settings, Accelerator(), folder)
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}, log


LESSONS = [
    ("Good food.", "food | positive"),
    ("The waiter that we had on that long evening was awful.", "waiter | negative"),
    ("A bar.", "bar | neutral"),
    ("The soup was cold, and so was the tea.", "soup | negative ; tea | negative"),
    ("We left.", ""),
]
ROWS = [{"sentence": sentence, "text": text} for sentence, text in LESSONS]


def finetune_frozen(student_folder: str, **changes) -> tuple[dict[str, float], int, list[str]]:
    """Validation facts, optimiser steps and predictions on `ROWS` of a student that may not learn anything."""
    model, tokenizer = load_student(student_folder)
    settings = Finetuning(
        **{"epochs": 2, "lr": 0.0, "batch_size": 2, "eval_batch_size": 2, "max_length": 20, **changes}
    )
    student = finetune(model, tokenizer, {"train": ROWS, "validation": ROWS}, "tsa", 1, settings)
    return student.facts(), student.steps, predict(student.model, tokenizer, ROWS, settings)


@dataclass
class Run:
    folder: str
    dropout_rate: float = 0.0
    halt_at: int = -1
    student: str = ""


def main() -> None:
    arguments = parse_arguments(Run)
    torch.set_num_threads(1)
    accelerator, folder = Accelerator(), Path(arguments.folder)
    read: list[list] = []
    plan, collate = pretraining.plan_step, pretraining.collate

    def watched_plan(step: int, *rest) -> list[int]:
        if step == arguments.halt_at:
            time.sleep(600)  # to be killed here
        read.append([])
        return plan(step, *rest)

    def watched_collate(rows: Encoded, model) -> dict[str, torch.Tensor]:
        if model.training:
            read[-1].append(rows)
        return collate(rows, model)

    pretraining.plan_step, pretraining.collate = watched_plan, watched_collate
    weights, log = run(folder / "checkpoints", dropout_rate=arguments.dropout_rate)
    (folder / f"read-{accelerator.process_index}.json").write_text(json.dumps(read), encoding="utf-8")
    if accelerator.is_main_process:
        (folder / "log.json").write_text(json.dumps(asdict(log)), encoding="utf-8")
        save_file(weights, folder / "weights.safetensors")
    accelerator.wait_for_everyone()
    if arguments.student:
        found = finetune_frozen(arguments.student)
        (folder / f"finetuned-{accelerator.process_index}.json").write_text(json.dumps(found), encoding="utf-8")
    accelerator.end_training()


if __name__ == "__main__":
    main()
