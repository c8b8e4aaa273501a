"""
Pretrains a student on the sentiment understanding corpus: this is the distillation; and the baselines that paper 1
compares it with. A YAML may list several runs (`sweep`): what is missing is run, what was stopped goes on.

Reads:  <namespace>/sentiment-understanding-corpus (or the `corpus` named, or an instruction dataset),
        <namespace>/fsa-benchmark if it is there, to refuse a corpus that holds its sentences, and a seq2seq
        checkpoint unless the student starts fresh.
Writes: <namespace>/<name>: the student; tag `step-0` is the same model before pretraining, to compare with, and
        tags `run-<digest>` are students of other runs that it has replaced.

accelerate launch recipes/pretrain.py recipes/configs/demo/pretrain.yaml
"""

import math
import shutil
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from accelerate import Accelerator, PartialState
from accelerate.utils import broadcast_object_list
from rich.console import Console
from rich.table import Table

from hub_tools.arguments import REPORTED, parse_sweep, run_stage
from hub_tools.distilling.arguments import Pretrain, check_processes, chosen, settings_of
from hub_tools.distilling.card import kept_out, licences_of, model_facts
from hub_tools.distilling.choice import hardest, masked, split, with_soft_targets
from hub_tools.distilling.finished import find_unpushed, keep_finished, push_finished
from hub_tools.distilling.helpers import check_helpers
from hub_tools.distilling.inputs import inputs_of, pairs_of, read_corpus, watched_benchmark
from hub_tools.distilling.start import make_start, push_start
from hub_tools.evaluation.figures import draw_losses
from hub_tools.hub.cards import model_card
from hub_tools.hub.checkpoints import HubCheckpoints
from hub_tools.hub.errors import PushError
from hub_tools.hub.runs import Run, find_finished_run, start_run
from hub_tools.students.account import lost, measured, numbers, reason
from hub_tools.students.checkpoints import held
from hub_tools.students.models import load_student, save_student
from hub_tools.students.pretraining import precision, pretrain
from hub_tools.students.sweep import Outcome, all_or_none, run_all, table
from hub_tools.students.tracking import track


Found = TypeVar("Found")


def main() -> None:
    runs = chosen(parse_sweep(Pretrain))
    accelerator = Accelerator(mixed_precision=precision(runs[0].bf16, PartialState().device))
    alone = accelerator.num_processes == 1  # else others would wait for the one that failed, once it has begun
    run_all(runs, partial(one_of_several, accelerator=accelerator), partial(show, accelerator), REPORTED, alone)
    accelerator.end_training()


def one_of_several(arguments: Pretrain, accelerator: Accelerator) -> Outcome:
    """A run that leaves nothing in memory or in the log of the next, whatever becomes of it."""
    try:
        return pretrain_student(arguments, accelerator)
    finally:
        stop_tracking(accelerator)
        accelerator.free_memory()


def pretrain_student(arguments: Pretrain, accelerator: Accelerator) -> Outcome:
    """One student, from the corpus to the Hub; nothing if it is there already."""
    repo_id = f"{arguments.namespace}/{arguments.name}"
    run = of_main(lambda: start_run("pretrain", asdict(arguments), inputs_of(arguments)), accelerator)
    remote = HubCheckpoints(repo_id, run.digest, private=arguments.private) if arguments.push_checkpoints else None
    if found := reuse(arguments, run, remote, accelerator):
        return found
    folder = Path(arguments.runs) / f"pretrain-{run.digest[:12]}"
    with held(folder, accelerator):  # until the Hub has the student and the folder is gone: two would push it
        if found := reuse(arguments, run, remote, accelerator):  # from the one who held it until just now
            shutil.rmtree(folder, ignore_errors=True)
            return found
        return train_and_push(arguments, run, remote, folder, accelerator)


def reuse(arguments: Pretrain, run: Run, remote: HubCheckpoints | None, accelerator: Accelerator) -> Outcome | None:
    """What this very run came to, if the Hub has its student, whose checkpoints go then; else None."""
    repo_id = f"{arguments.namespace}/{arguments.name}"
    finished = of_main(lambda: find_finished_run(repo_id, "model", run.digest), accelerator)
    if not finished:
        return None
    if remote and accelerator.is_main_process:
        remote.finish()
    accelerator.print(f"pretrain: {repo_id} was pretrained by this very run; reused.")
    return Outcome(arguments.name, "reused", finished.facts)


def train_and_push(
    arguments: Pretrain, run: Run, remote: HubCheckpoints | None, folder: Path, accelerator: Accelerator
) -> Outcome:
    """The student from `folder`, where it is trained if it does not lie there, to the Hub."""
    repo_id = f"{arguments.namespace}/{arguments.name}"
    unpushed = of_main(lambda: find_unpushed(folder / "student", run.digest), accelerator)
    if unpushed:
        accelerator.print(f"pretrain: {repo_id} is trained, and lies in {folder / 'student'}; it is only pushed.")
        facts, started = unpushed.facts, ""
    else:
        facts, started = train(arguments, run, remote, folder, accelerator)
    failed = [push(folder, repo_id, arguments, remote, started) if accelerator.is_main_process else ""]
    reason = broadcast_object_list(failed)[0]  # all wait for it: a later run of a sweep may start from this student
    if not reason:
        last = facts["validation_loss"]
        accelerator.print(f"pretrain: pushed {repo_id}: validation loss {math.nan if last is None else last:.4f}.")
    return Outcome(arguments.name, "not pushed" if reason else "trained", facts, reason)


def train(
    arguments: Pretrain, run: Run, remote: HubCheckpoints | None, folder: Path, accelerator: Accelerator
) -> tuple[dict[str, Any], str]:
    """
    Leaves the student, its card and its facts in `folder`; returns the facts, and the commit of the student before.

    What the Hub must be asked is asked before the first step: it may be down after the last one.
    """
    repo_id = f"{arguments.namespace}/{arguments.name}"
    with all_or_none(REPORTED):
        check_processes(arguments, sharded=accelerator.is_fsdp2)
        if arguments.track:
            track(accelerator, arguments.track, run.config)
        watched = watched_benchmark(arguments)
        if accelerator.is_local_main_process:
            make_start(arguments, pairs_of(arguments, run.inputs, watched)[0], run.inputs, folder / "start")
    with all_or_none(REPORTED):
        model, tokenizer = load_student(str(folder / "start"))  # one tokenizer for all processes, and after a resume
        check_helpers(arguments, run.inputs, tokenizer)
        if accelerator.is_local_main_process:
            read_corpus(arguments, run.inputs, watched, tokenizer)  # the others open what it leaves
    with all_or_none(REPORTED):
        encoded, tally, left_out = read_corpus(arguments, run.inputs, watched, tokenizer)
        training, validation = split(encoded, tally, arguments)
        settings_of(arguments, math.ceil(arguments.keep_share * len(training)))  # what it refuses, before any scoring
    with all_or_none(REPORTED):
        licences = licences_of(arguments, run.inputs)
        started = push_start(repo_id, folder / "start", arguments) if accelerator.is_main_process else ""
    training, told = hardest(training, model, tokenizer, arguments, run.inputs, accelerator)
    with all_or_none(REPORTED):
        settings = settings_of(arguments, len(training))
    reviews, n_pairs, n_held_out = len(np.unique(training.reviews)), len(training), len(validation)
    if arguments.objective == "span-corruption":
        training, validation = masked(training, validation, tokenizer, settings)
    training, loss, collate, soft = with_soft_targets(training, model, tokenizer, arguments, run.inputs, accelerator)

    model, log = pretrain(
        model, training, validation, settings, accelerator, folder / "checkpoints",
        run=run.digest, remote=remote, loss=loss, collate=collate,
    )  # fmt: skip

    facts = numbers(log, settings, reviews, n_pairs) | {"benchmark": watched, "left_out": dict(left_out)}
    if accelerator.is_main_process:
        save_student(model, tokenizer, folder / "student")
        curves = {"training": log.losses, "held-out reviews": log.validation}
        draw_losses(curves, folder / "student" / "loss.png", f"{arguments.name}: {n_pairs:,} pairs")
        why, device = reason(arguments.bf16, accelerator.device), accelerator.device.type
        told = measured(log, settings, arguments.objective, n_held_out, why, device) | told | soft
        cost = getattr(training, "cost", encoded.cost)
        told |= {"lost to the limits and the tokenizer, of the whole corpus": lost(cost)} | kept_out(watched, left_out)
        done, size = run.finish(**facts), model.num_parameters()
        card = model_card(model_facts(repo_id, arguments, done, log, told, tally, size, settings, licences))
        keep_finished(folder / "student", card, done)
    return facts, started


def push(folder: Path, repo_id: str, arguments: Pretrain, remote: HubCheckpoints | None, started: str) -> str:
    """Why the student in `folder` did not come to the Hub; "" if it did."""
    try:
        kept = push_finished(folder, repo_id, arguments, remote, started)
    except PushError as error:
        return f"{error}"
    if kept:
        earlier = kept.removeprefix("run-")
        print(f"pretrain: {repo_id} replaces the student of run {earlier}, which stays as revision {kept}.")
    return ""


def of_main(find: Callable[[], Found], accelerator: Accelerator) -> Found:
    """What the main process finds, for all: each by itself might hear another answer of the Hub, or has no folder."""
    with all_or_none(REPORTED):
        found = [find() if accelerator.is_main_process else None]
    return broadcast_object_list(found)[0]


def stop_tracking(accelerator: Accelerator) -> None:
    """Ends this run's log, so that the next run of a sweep has one of its own."""
    for tracker in accelerator.trackers:
        tracker.finish()
    accelerator.trackers.clear()


def show(accelerator: Accelerator, outcomes: list[Outcome]) -> None:
    """A sweep's runs in the terminal, those that are still missing too."""
    header, lines = table(outcomes)
    shown = Table(title="pretrain", title_justify="left")
    for number, name in enumerate(header):
        shown.add_column(name, justify="left" if number < 2 else "right", no_wrap=True)
    for line in lines:
        shown.add_row(*line)
    if accelerator.is_main_process:
        Console(width=max(100, Console().width)).print(shown)


if __name__ == "__main__":
    run_stage(main)
