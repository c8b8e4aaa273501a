"""Pretraining and fine-tuning in miniature, for tests: importable, and a script that `accelerate launch` can start.

accelerate launch tests/students/miniature.py --folder <folder> [--student <fine-tuned student>]
    [--halt_at 7: sleep before that step] [--die_writing 6: be killed amid that step's checkpoint]
    [--repo me/student: copy checkpoints there, and after the first one wait for a line on standard input]

writes into the folder: `checkpoints/`, `log.json`, `weights.safetensors`, and for each process `read-<process>.json`:
`read`, per step, per forward pass, the encoded pairs that it read, and `offered`, the checkpoints that it would have
pushed. Then it goes on from step 9 once more, is stopped by a loss that is not finite at step 11, and started again:
`poisoned/` has the checkpoints, `read-<process>.json` what was `said`, and `off`, how far from the same weights it
ends. With `--student` it also fine-tunes that one on `ROWS`, at a learning rate of 0, and writes
`finetuned-<process>.json`: validation facts, optimiser steps, predictions. With `--corpus <namespace/name>` it runs
`recipes/pretrain.py` on that one, and writes `pushed-<process>.json`: the repo of each commit that it made on the Hub.
"""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedType, PartialState
from huggingface_hub import HfApi
from safetensors.torch import save_file

from hub_tools.arguments import parse_arguments
from hub_tools.hub.checkpoints import HubCheckpoints
from hub_tools.students import checkpoints, pretraining
from hub_tools.students.encoding import Encoder
from hub_tools.students.finetuning import Finetuning, finetune, predict
from hub_tools.students.models import fresh_student, load_student
from hub_tools.students.packing import Encoded
from hub_tools.students.pretraining import Pretraining, TrainingLog, pretrain
from hub_tools.students.steps import Steps
from tests.recipes.recipe_files import load_recipe


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


def encoded_pairs(tokenizer) -> list[Encoded]:
    """PAIRS as token ids, whole."""
    rows = [(pair["review_id"], pair["input"], pair["target"]) for pair in PAIRS]
    batch, _ = Encoder(tokenizer, 128, 400).encode(rows)
    return list(zip(batch["source"].to_pylist(), batch["target"].to_pylist(), strict=True))


def run(
    folder: Path, settings: Pretraining = SETTINGS, dropout_rate: float = 0.0, **more
) -> tuple[dict[str, torch.Tensor], TrainingLog]:
    """Pretrains from the start, or from the newest checkpoint in `folder`; returns the weights and the log."""
    model, tokenizer = student(dropout_rate)
    encoded = encoded_pairs(tokenizer)
    model, log = pretrain(model, encoded, encoded[:3], settings, Accelerator(), folder, **more)
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


class Witness:
    """In place of a Hub: keeps the names of the checkpoints that this process offers."""

    reading = None

    def __init__(self) -> None:
        self.offered: list[str] = []

    def offer(self, checkpoint: Path) -> None:
        self.offered.append(checkpoint.name)

    def newest(self) -> None:
        return None


@dataclass
class Run:
    folder: str
    dropout_rate: float = 0.0
    halt_at: int = -1
    die_writing: int = -1
    repo: str = ""
    student: str = ""
    corpus: str = ""


class Shy(HubCheckpoints):
    """Copies before it returns; the first time it then makes the file `copied` and waits until it is told to go on."""

    def __init__(self, repo: str, folder: Path) -> None:
        super().__init__(repo, "")
        self.sign = folder / "copied"

    def offer(self, checkpoint: Path) -> None:
        super().offer(checkpoint)
        self.wait()
        if not self.sign.exists():
            self.sign.touch()
            sys.stdin.readline()


def die_writing(step: int) -> None:
    """Has this process killed in the middle of the file that holds the state of `step`."""
    save_whole = checkpoints.save

    def save(folder: Path, found: int, *rest, **more) -> Path:
        if found == step:
            checkpoints.save_file = write_half
        return save_whole(folder, found, *rest, **more)

    def write_half(tensors: dict[str, torch.Tensor], path: Path) -> None:
        save_file(tensors, path)
        os.truncate(path, path.stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)

    checkpoints.save = save


def poisoned(folder: Path, accelerator: Accelerator) -> tuple[str, dict[str, torch.Tensor]]:
    """What is said of a loss that is not finite at step 11, and the weights after another start, from there."""
    if accelerator.is_main_process:
        shutil.copytree(folder / "checkpoints" / "step-0000009", folder / "poisoned" / "step-0000009")
    accelerator.wait_for_everyone()
    settings, backward = replace(SETTINGS, checkpoint_every=100), Steps.backward

    def spoilt(steps: Steps, *these, **more) -> tuple[torch.Tensor, int]:
        loss, positions = backward(steps, *these, **more)
        return loss * float("nan"), positions

    def rate(step: int) -> float:
        Steps.backward = spoilt if step == 11 else backward
        return SETTINGS.rate(step)

    counted = replace(settings)
    object.__setattr__(counted, "rate", rate)
    said = ""
    try:
        run(folder / "poisoned", counted)
    except FloatingPointError as error:
        said = f"{error}"
    Steps.backward = backward
    return said, run(folder / "poisoned", settings)[0]


def pretrain_by_recipe(corpus: str, folder: Path) -> list[str]:
    """Runs the recipe as a process of several, on a fresh student; returns the repos that this one committed to."""
    pushed, commit = [], HfApi.create_commit

    def counted(api: HfApi, repo_id: str, *these, **more):
        pushed.append(repo_id)
        return commit(api, repo_id, *these, **more)

    HfApi.create_commit = counted
    namespace = corpus.partition("/")[0]
    options = {"namespace": namespace, "name": "by-two", "corpus": corpus, "runs": folder / "runs", "bf16": "no"}
    options |= {"steps": 2, "pairs_per_step": 4, "pairs_per_forward": 2, "validation_pairs": 2}
    options |= {"vocab_size": 150, "d_model": 16, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    sys.argv = ["pretrain.py", *(f"--{name}={value}" for name, value in options.items())]
    load_recipe("pretrain").main()
    return pushed


def main() -> None:
    arguments = parse_arguments(Run)
    torch.set_num_threads(1)
    folder = Path(arguments.folder)
    remote = Shy(arguments.repo, folder) if arguments.repo else Witness()
    read: list[list] = []
    plan = pretraining.plan_step

    def watched_plan(step: int, *rest) -> list[int]:
        if step == arguments.halt_at:
            (folder / "halted").touch()
            time.sleep(600)  # to be killed here
        read.append([])
        return plan(step, *rest)

    def watched_collate(rows: list, lay: Callable) -> dict[str, torch.Tensor]:
        read[-1].append(rows)
        return lay(rows)

    pretraining.plan_step = watched_plan
    die_writing(arguments.die_writing)
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        # accelerate does FSDP for accelerators only: it takes these two CPU processes for GPUs, and FSDP2 itself
        # knows better.
        PartialState().distributed_type = DistributedType.MULTI_GPU
    accelerator = Accelerator()
    weights, log = run(
        folder / "checkpoints", dropout_rate=arguments.dropout_rate, collate=watched_collate, remote=remote
    )
    found = {"read": [*read], "offered": getattr(remote, "offered", []), "fsdp2": accelerator.is_fsdp2}
    if accelerator.num_processes > 1:
        found["said"], mended = poisoned(folder, accelerator)
        found["off"] = max(float((weights[name] - weight).abs().max()) for name, weight in mended.items())
    (folder / f"read-{accelerator.process_index}.json").write_text(json.dumps(found), encoding="utf-8")
    if accelerator.is_main_process:
        (folder / "log.json").write_text(json.dumps(asdict(log)), encoding="utf-8")
        save_file(weights, folder / "weights.safetensors")
    accelerator.wait_for_everyone()
    if arguments.student:
        found = finetune_frozen(arguments.student)
        (folder / f"finetuned-{accelerator.process_index}.json").write_text(json.dumps(found), encoding="utf-8")
    if arguments.corpus:
        found = pretrain_by_recipe(arguments.corpus, folder)
        (folder / f"pushed-{accelerator.process_index}.json").write_text(json.dumps(found), encoding="utf-8")
    else:
        accelerator.end_training()


if __name__ == "__main__":
    main()
