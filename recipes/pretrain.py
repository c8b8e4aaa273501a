"""
Pretrains a student on the sentiment understanding corpus: this is the distillation; and the baselines that paper 1
compares it with. A YAML may list several runs (`sweep`): what is missing is run, what was stopped goes on.

Reads:  <namespace>/sentiment-understanding-corpus (or the `corpus` named, or an instruction dataset),
        <namespace>/fsa-benchmark if it is there, to refuse a corpus that holds its sentences, and a seq2seq
        checkpoint unless the student starts fresh.
Writes: <namespace>/<name>: the student; tag `step-0` is the same model before pretraining, to compare with.

accelerate launch recipes/pretrain.py recipes/configs/demo/pretrain.yaml
"""

import math
import shutil
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from accelerate import Accelerator, PartialState
from rich.console import Console
from rich.table import Table

from hub_tools.arguments import REPORTED, parse_sweep, run_stage
from hub_tools.corpus.reading import Tally
from hub_tools.distilling.arguments import Pretrain, chosen, settings_of
from hub_tools.distilling.card import kept_out, model_facts
from hub_tools.distilling.choice import hardest, masked, split, with_soft_targets
from hub_tools.distilling.inputs import encoded_folder, inputs_of, pairs_of, watched_benchmark
from hub_tools.distilling.start import make_start, push_start
from hub_tools.evaluation.figures import draw_losses
from hub_tools.hub.cards import model_card
from hub_tools.hub.checkpoints import HubCheckpoints
from hub_tools.hub.push import push_model, tag_revision
from hub_tools.hub.runs import find_finished_run, start_run
from hub_tools.students.account import lost, measured, numbers
from hub_tools.students.encoded import encode_corpus
from hub_tools.students.hardware import gains_from_bf16
from hub_tools.students.models import load_student, save_student
from hub_tools.students.pretraining import precision, pretrain
from hub_tools.students.sweep import Outcome, run_all, table
from hub_tools.students.tracking import track


def main() -> None:
    runs = chosen(parse_sweep(Pretrain))
    accelerator = Accelerator(mixed_precision=precision(runs[0].bf16, PartialState().device))
    alone = accelerator.num_processes == 1  # else others would wait for the one that failed
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
    run = start_run("pretrain", asdict(arguments), inputs_of(arguments))
    remote = HubCheckpoints(repo_id, run.digest, private=arguments.private) if arguments.push_checkpoints else None
    if finished := find_finished_run(repo_id, "model", run.digest):
        if remote and accelerator.is_main_process:
            remote.finish()
        accelerator.print(f"pretrain: {repo_id} was pretrained by this very run; reused.")
        return Outcome(arguments.name, "reused", finished.facts)
    folder = Path(arguments.runs) / f"pretrain-{run.digest[:12]}"

    watched = watched_benchmark(arguments)
    pairs, left_out = pairs_of(arguments, run.inputs, watched, refuse=accelerator.is_main_process)
    tally = Tally()
    if accelerator.is_local_main_process:
        make_start(arguments, pairs, run.inputs, folder / "start")
    accelerator.wait_for_everyone()
    model, tokenizer = load_student(str(folder / "start"))  # one tokenizer for all processes, and after a resume
    limits = {"max_input": arguments.max_input, "max_target": arguments.max_target}
    encoded = encode_corpus(tally.of(pairs), tokenizer, encoded_folder(arguments, run.inputs, tokenizer), **limits)
    training, validation = split(encoded, tally.stars, arguments)
    training = hardest(training, model, tokenizer, arguments, run, folder, accelerator)
    settings = settings_of(arguments, len(training))
    reviews, n_pairs, n_held_out = len(np.unique(training.reviews)), len(training), len(validation)
    if arguments.objective == "span-corruption":
        training, validation = masked(training, validation, tokenizer, settings)
    started = push_start(repo_id, folder / "start", arguments) if accelerator.is_main_process else ""
    training, loss, collate = with_soft_targets(training, model, tokenizer, arguments, run.inputs, accelerator)

    if arguments.track:
        track(accelerator, arguments.track, run.config)
    model, log = pretrain(
        model, training, validation, settings, accelerator, folder / "checkpoints",
        run=run.digest, remote=remote, loss=loss, collate=collate,
    )  # fmt: skip

    facts = numbers(log, settings, reviews, n_pairs) | {"benchmark": watched, "left_out": dict(left_out)}
    if accelerator.is_main_process:
        save_student(model, tokenizer, folder / "student")
        curves = {"training": log.losses, "held-out reviews": log.validation}
        draw_losses(curves, folder / "student" / "loss.png", f"{arguments.name}: {n_pairs:,} pairs")
        told = measured(log, settings, arguments.objective, n_held_out, gains_from_bf16(accelerator.device).why)
        told["lost to the limits and the tokenizer, of the whole corpus"] = lost(
            getattr(training, "cost", encoded.cost)
        )
        told |= kept_out(watched, left_out)
        card = model_facts(repo_id, arguments, run.finish(**facts), log, told, tally, model.num_parameters())
        tag_revision(repo_id, "step-0", started, "model")
        push_model(folder / "student", repo_id, card=model_card(card), private=arguments.private, run=card.run)
        if remote:
            remote.finish()
        shutil.rmtree(folder)  # all of it is on the Hub
        last = facts["validation_loss"]
        print(f"pretrain: pushed {repo_id}: validation loss {math.nan if last is None else last:.4f}.")
    accelerator.wait_for_everyone()  # a later run of a sweep may start from this student
    return Outcome(arguments.name, "trained", facts)


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
