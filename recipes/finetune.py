"""
Fine-tunes students on the FSA benchmark, several seeds each, and scores them on its test sets.

Reads:  <namespace>/fsa-benchmark, and the models named (`label=repo`, or `label=repo@revision`).
Writes: <namespace>/fsa-results (scores and predictions), and for each label in `publish` and each config the student
        of the seed with the best validation F1: <namespace>/<name>-<config>.

accelerate launch recipes/finetune.py recipes/configs/demo/finetune.yaml
"""

from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path

from accelerate import PartialState
from datasets import Dataset, load_dataset
from transformers.utils import logging

from hub_tools.arguments import parse_arguments, run_stage
from hub_tools.evaluation.grid import Cell, CellStore
from hub_tools.evaluation.results import SUBSETS, prediction_rows, result_rows
from hub_tools.hub.cards import DatasetFacts, ModelFacts, Result, Teacher, dataset_card, model_card
from hub_tools.hub.push import push_dataset, push_model
from hub_tools.hub.runs import Run, find_finished_run, resolve_input, start_run
from hub_tools.students.finetuning import Finetuning, finetune, predict
from hub_tools.students.models import load_student, save_student


@dataclass
class Finetune(Finetuning):
    namespace: str = field(default="", metadata={"help": "user or organisation that owns the repos"})
    name: str = field(default="t5-sentiment", metadata={"help": "scored students are pushed as <name>-<config>"})
    hub: str = field(default="embedded", metadata={"help": "`embedded`, or the URL of a Hub"})
    private: bool = field(default=True, metadata={"help": "who may see results and students"})
    runs: str = field(default="build/runs", metadata={"help": "folder for finished cells"})
    models: list[str] = field(default_factory=list, metadata={"help": "label=repo or label=repo@revision"})
    configs: list[str] = field(default_factory=list, metadata={"help": "configs of the benchmark"})
    seeds: list[int] = field(default_factory=lambda: [42, 52, 62, 72, 82, 142, 152, 162, 172, 182])
    publish: list[str] = field(default_factory=list, metadata={"help": "labels whose scored students are pushed"})
    teachers: list[str] = field(default_factory=list, metadata={"help": "label=teacher+teacher, for the cards"})


def main() -> None:
    arguments = parse_arguments(Finetune)
    check(arguments)
    logging.set_verbosity_error()  # the trainer warns, run after run, of the tied weights that safetensors leaves out
    results, benchmark = f"{arguments.namespace}/fsa-results", f"{arguments.namespace}/fsa-benchmark"
    state = PartialState()
    models = {label: resolve_model(reference, arguments.namespace) for label, reference in named(arguments.models)}
    inputs = {benchmark: resolve_input(benchmark, "dataset")}
    inputs |= {f"{repo_id}@{label}": commit for label, (repo_id, commit) in models.items()}
    run = start_run("finetune", asdict(arguments), inputs)
    if find_finished_run(results, "dataset", run.digest):
        state.print(f"finetune: {results} holds the results of this very run; reused.")
        return

    cells = [
        Cell(label, *models[label], config, seed)
        for config in arguments.configs
        for label in models
        for seed in arguments.seeds
    ]
    settings = Finetuning(**{key: getattr(arguments, key) for key in Finetuning.__dataclass_fields__})
    store = CellStore(Path(arguments.runs) / "finetune", {"benchmark": inputs[benchmark], **asdict(settings)})
    for number, cell in enumerate(cells, 1):
        outcome = store.outcome(cell)
        found = "finished before" if outcome else "running"
        state.print(f"finetune: [{number}/{len(cells)}] {cell}: {found}", flush=True)
        if outcome is None:
            outcome = run_cell(cell, benchmark, inputs[benchmark], settings, store, arguments.publish, state)
            if state.is_main_process:
                store.prune([other for other in cells if (other.model, other.config) == (cell.model, cell.config)])
        if state.is_main_process and outcome:
            state.print(
                f"          test F1 {100 * headline(outcome, cell):.2f}, {outcome['seconds']:.0f} s", flush=True
            )

    for label, config in product(arguments.publish, arguments.configs):
        best = store.best([cell for cell in cells if (cell.model, cell.config) == (label, config)])
        if not store.student(best).is_dir():  # its cell was run before its label was to be published
            run_cell(best, benchmark, inputs[benchmark], settings, store, arguments.publish, state)

    if state.is_main_process:
        run = run.finish()
        push_results(results, cells, store, run, arguments)
        for label in arguments.publish:
            for config in arguments.configs:
                push_student(label, config, cells, store, benchmark, run, arguments)
        state.print(f"finetune: pushed {results}.")
    state.wait_for_everyone()


def check(arguments: Finetune) -> None:
    """Stops at once where the end, hours later, could not be reached."""
    for name in ("namespace", "configs", "seeds"):
        if not getattr(arguments, name):
            raise ValueError(f"`{name}` must be set.")
    labels = [label for label, _ in named(arguments.models)]
    unknown = sorted({*arguments.publish} - {*labels})
    if unknown:
        raise ValueError(f"`publish` names {', '.join(unknown)}, but the models are {', '.join(labels)}.")


def named(references: list[str]) -> list[tuple[str, str]]:
    """`["base=me/t5@step-0"]` → `[("base", "me/t5@step-0")]`."""
    pairs = [(label, reference) for label, _, reference in (text.partition("=") for text in references)]
    wrong = [label for label, reference in pairs if not reference]
    if wrong or not pairs or len(dict(pairs)) < len(pairs):
        raise ValueError(f"models must be distinct label=repo, e.g. base=google-t5/t5-base; found: {references}.")
    return pairs


def resolve_model(reference: str, namespace: str) -> tuple[str, str]:
    """A model's repo (in `namespace` unless it says another) and the commit that its revision stands for now."""
    repo_id, _, revision = reference.partition("@")
    repo_id = repo_id if "/" in repo_id else f"{namespace}/{repo_id}"
    return repo_id, resolve_input(repo_id, "model", revision or None)


def run_cell(
    cell: Cell,
    benchmark: str,
    revision: str,
    settings: Finetuning,
    store: CellStore,
    publish: list[str],
    state: PartialState,
) -> dict:
    """Fine-tunes and scores one cell; the main process keeps its outcome, and its student if it may be published."""
    data = load_dataset(benchmark, cell.config, revision=revision)
    model, tokenizer = load_student(cell.repo_id, cell.revision)
    work = store.work(cell)
    trainer, facts = finetune(
        model,
        tokenizer,
        {split: data[split].to_list() for split in ("train", "validation")},
        cell.task,
        cell.seed,
        settings,
        work,
    )
    rows = data["test_hard"].to_list()
    outcome = {**facts, "predictions": prediction_rows(rows, predict(trainer, tokenizer, rows), cell.seed)}
    if state.is_main_process:
        student = work / "student" if cell.model in publish else None
        if student:
            save_student(trainer.model, tokenizer, student)
        store.keep(cell, outcome, student)
    state.wait_for_everyone()
    return outcome


def headline(outcome: dict, cell: Cell) -> float:
    """Paper-rule F1 on all of `test_hard`."""
    return result_rows(outcome["predictions"], cell.task, {})[0]["f1"]


def push_results(results: str, cells: list[Cell], store: CellStore, run: Run, arguments: Finetune) -> None:
    """Pushes one row per model × config × split × subset × seed, and every prediction."""
    scores, predictions = [], []
    facts = {
        "git_revision": run.git_revision,
        "run": run.digest,
        "hardware": str(run.hardware),
        "libraries": str(run.libraries),
    }
    for cell in cells:
        outcome = store.outcome(cell)
        shared = {"model": cell.model, "repo_id": cell.repo_id, "revision": cell.revision, "config": cell.config}
        measured = {"validation_f1": outcome["validation_f1"], "seconds": outcome["seconds"], **facts}
        scores += result_rows(outcome["predictions"], cell.task, {**shared, "seed": cell.seed, **measured})
        predictions += [{**shared, **row} for row in outcome["predictions"]]
    tables = {
        "scores": {"results": Dataset.from_list(scores)},
        "predictions": {"test_hard": Dataset.from_list(predictions)},
    }
    card = dataset_card(
        DatasetFacts(
            repo_id=results,
            kind="results",
            title="FSA results",
            summary="Scores and predictions of fine-tuned students. Checkpoints were chosen on validation F1.",
            configs={name: {split: len(rows) for split, rows in splits.items()} for name, splits in tables.items()},
            run=run,
        )
    )
    push_dataset(tables, results, card, private=arguments.private, run=run)


def push_student(
    label: str, config: str, cells: list[Cell], store: CellStore, benchmark: str, run: Run, arguments: Finetune
) -> None:
    """Pushes the student of the seed with the best validation F1; its card gives the scores of all seeds."""
    own = [cell for cell in cells if (cell.model, cell.config) == (label, config)]
    best = store.best(own)
    teachers = dict(named(arguments.teachers)).get(label, "") if arguments.teachers else ""
    repo_id = f"{arguments.namespace}/{arguments.name}-{config}"
    facts = ModelFacts(
        repo_id=repo_id,
        title=f"{arguments.name}-{config}",
        task=best.task,
        summary=f"{best.repo_id} fine-tuned on {config} of the FSA benchmark (seed {best.seed}, which had the best "
        f"validation F1 of {len(own)}).",
        base_model=best.repo_id,
        datasets=[benchmark],
        benchmark=benchmark,
        teachers=[Teacher(name, is_llm=name != "lexicon") for name in teachers.split("+") if name],
        hyperparameters={key: getattr(arguments, key) for key in Finetuning.__dataclass_fields__},
        run=run,
        results=[
            result
            for other in dict.fromkeys(cell.model for cell in cells)
            for result in results_of(other, config, cells, store, None if other == label else other)
        ],
    )
    push_model(store.student(best), repo_id, card=model_card(facts), private=arguments.private, run=run)


def results_of(label: str, config: str, cells: list[Cell], store: CellStore, system: str | None) -> list[Result]:
    """The card's results of one model on one config: All, Implicit and Multiple of `test_hard`, a value per seed."""
    own = [cell for cell in cells if (cell.model, cell.config) == (label, config)]
    rows = [row for cell in own for row in result_rows(store.outcome(cell)["predictions"], cell.task, {})]
    chosen = {
        subset: [row for row in rows if row["split"] == "test_hard" and row["subset"] == subset] for subset in SUBSETS
    }
    return [
        Result(
            config=config,
            subset=subset,
            f1=[row["f1"] for row in part],
            strict_f1=[row["strict_f1"] for row in part],
            sentences=part[0]["n_sentences"],
            system=system,
        )
        for subset, part in chosen.items()
        if part[0]["n_sentences"]  # of nothing, all would be right
    ]


if __name__ == "__main__":
    run_stage(main)
