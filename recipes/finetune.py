"""
Fine-tunes students on the FSA benchmark, several seeds each, and scores them on its test sets.

Reads:  <namespace>/fsa-benchmark (or the dataset that `benchmark` names), and the models named (`label=repo`, or
        `label=repo@revision`).
Writes: <namespace>/fsa-results (scores and predictions; rows of other runs stay), and for each label in `publish` and
        each config the student of the seed with the best validation F1: <namespace>/<name>-<config>. Locally
        <runs>/finetune: each finished cell (model × config × share of train × seed), and results.md as it goes.

accelerate launch recipes/finetune.py recipes/configs/demo/finetune.yaml
"""

from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path

from accelerate import PartialState
from datasets import Dataset, Features, Value
from rich.console import Console
from transformers.utils import logging

from hub_tools.arguments import parse_arguments, run_stage
from hub_tools.benchmarks.configs import headline_split, subsets_of
from hub_tools.evaluation.grid import Cell, CellStore
from hub_tools.evaluation.results import key_of, result_rows, united
from hub_tools.hub.cards import DatasetFacts, ModelFacts, Result, Teacher, dataset_card, model_card, stated_licence
from hub_tools.hub.push import PushConflict, push_dataset, push_model
from hub_tools.hub.runs import Run, hardware_in_words, resolve_input, start_run
from hub_tools.hub.tables import head_of, pushed_rows
from hub_tools.students.cells import Grid
from hub_tools.students.crew import News, run_cells
from hub_tools.students.finetuning import Finetuning
from hub_tools.students.progress import Progress


@dataclass
class Finetune(Finetuning):
    namespace: str = field(default="", metadata={"help": "user or organisation that owns the repos (required)"})
    name: str = field(default="t5-sentiment", metadata={"help": "scored students are pushed as <name>-<config>"})
    hub: str = field(default="embedded", metadata={"help": "`embedded`, or the URL of a Hub"})
    private: bool = field(default=True, metadata={"help": "who may see results and students"})
    runs: str = field(default="build/runs", metadata={"help": "folder for finished cells"})
    benchmark: str = field(
        default="", metadata={"help": "Hub id of a dataset with configs of its own; '': <namespace>/fsa-benchmark"}
    )
    models: list[str] = field(default_factory=list, metadata={"help": "label=repo or label=repo@revision (required)"})
    configs: list[str] = field(default_factory=list, metadata={"help": "configs of the benchmark (required)"})
    seeds: list[int] = field(
        default_factory=lambda: [42, 52, 62, 72, 82, 142, 152, 162, 172, 182],
        metadata={"help": "of the runs that each score is the mean of"},
    )
    train_shares: list[float] = field(
        default_factory=lambda: [1.0], metadata={"help": "shares of train that students learn from, e.g. 0.05 0.25 1"}
    )
    instructed: list[str] = field(
        default_factory=list, metadata={"help": "labels that read each sentence within an instruction (InstructABSA)"}
    )
    publish: list[str] = field(default_factory=list, metadata={"help": "labels whose scored students are pushed"})
    teachers: list[str] = field(default_factory=list, metadata={"help": "label=teacher+teacher, for the cards"})
    workers: int = field(default=1, metadata={"help": "cells at the same time, each with its share of cores or GPUs"})
    push_every: int = field(default=0, metadata={"help": "push results after this many cells too; 0: at the end only"})


def main() -> None:
    arguments = parse_arguments(Finetune)
    check(arguments)
    logging.set_verbosity_error()  # loading warns, run after run, of the tied weights that safetensors leaves out
    results = f"{arguments.namespace}/fsa-results"
    benchmark = arguments.benchmark or f"{arguments.namespace}/fsa-benchmark"
    state = PartialState()
    models = {label: resolve_model(reference, arguments.namespace) for label, reference in named(arguments.models)}
    inputs = {benchmark: resolve_input(benchmark, "dataset")}
    inputs |= {f"{repo_id}@{label}": commit for label, (repo_id, commit) in models.items()}
    run = start_run("finetune", asdict(arguments), inputs)
    cells = plan(arguments, models)
    if holds(results, run, cells):
        state.print(f"finetune: {results} holds the results of this very run; reused.")
        return

    settings = Finetuning(**{key: getattr(arguments, key) for key in Finetuning.__dataclass_fields__})
    folder = Path(arguments.runs) / "finetune"
    store = CellStore(folder, {"benchmark": inputs[benchmark], **asdict(settings)})
    grid = Grid(benchmark, inputs[benchmark], settings, store, tuple(arguments.publish))
    groups = {cell.group: [other for other in cells if other.group == cell.group] for cell in cells}
    console = Console(quiet=not state.is_main_process)
    with Progress(cells, store, settings.epochs, folder / "results.md", console) as progress:
        unpushed = 0

        def hear(news: News) -> None:
            nonlocal unpushed
            progress.hear(news)
            if news.what == "finished" and state.is_main_process:
                store.prune(groups[news.cell.group])
                unpushed += 1
                if arguments.push_every and unpushed == arguments.push_every:
                    push_results(results, [cell for cell in cells if store.summary(cell)], store, run, arguments)
                    unpushed = 0

        failed = run_cells(cells, grid, arguments.workers, hear)
        if not failed and state.is_main_process:  # a best cell may have been run before its label was to be published
            lost = [
                best for own in published(arguments, groups) if not store.student(best := store.best(own)).is_dir()
            ]
            for cell in lost:
                store.forget(cell)
        state.wait_for_everyone()
        failed = failed or run_cells(cells, grid, arguments.workers, hear)
    if failed:
        raise RuntimeError(report(failed, folder))
    if state.is_main_process:
        run = run.finish()
        for own in published(arguments, groups):
            push_student(own, groups, store, benchmark, run, arguments)
        push_results(results, cells, store, run, arguments)
        state.print(f"finetune: pushed {results}; the table is {folder}/results.md.")
    state.wait_for_everyone()


def check(arguments: Finetune) -> None:
    """Stops at once where the end, hours later, could not be reached."""
    for name in ("namespace", "configs", "seeds", "train_shares"):
        if not getattr(arguments, name):
            raise ValueError(f"`{name}` must be set.")
    labels = [label for label, _ in named(arguments.models)]
    for name in ("publish", "instructed"):
        unknown = sorted({*getattr(arguments, name)} - {*labels})
        if unknown:
            raise ValueError(f"`{name}` names {', '.join(unknown)}, but the models are {', '.join(labels)}.")
    if len(arguments.publish) > 1:
        raise ValueError(f"`publish` may name one model, since <name>-<config> has room for one: {arguments.publish}.")
    wrong = [share for share in arguments.train_shares if not 0 < share <= 1]
    if wrong:
        raise ValueError(f"`train_shares` must be above 0 and at most 1, found {', '.join(map(str, wrong))}.")
    if arguments.publish and 1.0 not in arguments.train_shares:
        raise ValueError("`publish` asks for students that had all of train: put 1.0 into `train_shares`, or drop it.")
    if arguments.workers < 1:
        raise ValueError(f"`workers` must be at least 1, found {arguments.workers}.")


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


def plan(arguments: Finetune, models: dict[str, tuple[str, str]]) -> list[Cell]:
    """The cells of the run, those that differ in the seed only one after another."""
    return [
        Cell(label, *models[label], config, seed, share, "instruction" if label in arguments.instructed else "plain")
        for config, label, share, seed in product(arguments.configs, models, arguments.train_shares, arguments.seeds)
    ]


def holds(results: str, run: Run, cells: list[Cell]) -> bool:
    """Whether the repo holds this very run's rows of all its cells; other runs' rows may stand beside them."""
    rows = pushed_rows(results).get("scores", {}).get("results", [])
    return {key_of(cell.facts()) for cell in cells} <= {key_of(row) for row in rows if row.get("run") == run.digest}


def published(arguments: Finetune, groups: dict[tuple, list[Cell]]) -> list[list[Cell]]:
    """The cells, one list a config, whose best student is pushed: of a label in `publish`, with all of train."""
    return [own for (label, _, share, _), own in groups.items() if label in arguments.publish and share == 1]


def report(failed: list[News], folder: Path) -> str:
    """What failed and how to go on."""
    reasons = "\n".join(f"  {news.cell}: {news.more}" for news in failed)
    return (
        f"{len(failed)} cells failed, all others are finished and kept:\n{reasons}\nTraces are in {folder}/logs (or"
        " above). The same command runs the failed ones again; with fewer `workers` each has more memory."
    )


def push_results(results: str, cells: list[Cell], store: CellStore, run: Run, arguments: Finetune) -> None:
    """
    Pushes one row per model × config × share × split × subset × seed, and every prediction.

    Rows that other runs pushed stay, but those of the same cells, which these replace.
    """
    scores: list[dict] = []
    predictions: dict[str, list[dict]] = {}
    facts = {
        "git_revision": run.git_revision,
        "run": run.digest,
        "hardware": hardware_in_words(run.hardware),
        "libraries": str(run.libraries),
    }
    for cell in cells:
        outcome = store.outcome(cell)
        measured = {"validation_f1": outcome["validation_f1"], "seconds": outcome["seconds"], **facts}
        scores += result_rows(outcome["predictions"], cell.config, {**cell.facts(), **measured})
        shared = {name: value for name, value in cell.facts().items() if name != "seed"}
        predictions.setdefault(headline_split(cell.config), []).extend(
            {**shared, **row} for row in outcome["predictions"]
        )
    while True:
        head = head_of(results)
        tables = with_rows(pushed_rows(results, head), scores, predictions)
        try:
            push_dataset(tables, results, card(results, tables, run), private=arguments.private, run=run, onto=head)
            return
        except PushConflict:  # another run has just pushed its rows, which shall stay
            continue


def with_rows(earlier: dict, scores: list[dict], predictions: dict[str, list[dict]]) -> dict[str, dict[str, Dataset]]:
    """The tables of the results repo: `earlier` ones with these rows, which replace those of the same cells."""
    kept = earlier.get("predictions", {})
    return {
        "scores": {"results": Dataset.from_list(united(earlier.get("scores", {}).get("results", []), scores))},
        "predictions": {
            split: Dataset.from_list(united(kept.get(split, []), predictions.get(split, [])), PREDICTIONS)
            for split in ("test_hard", "test")
            if kept.get(split) or predictions.get(split)
        },
    }


def card(results: str, tables: dict[str, dict[str, Dataset]], run: Run) -> str:
    """The text of the results repo's README.md."""
    return dataset_card(
        DatasetFacts(
            repo_id=results,
            kind="results",
            title="FSA results",
            summary="Scores and predictions of fine-tuned students. Checkpoints were chosen on validation F1.",
            configs={name: {split: len(rows) for split, rows in splits.items()} for name, splits in tables.items()},
            run=run,
        )
    )


# Said outright: rows of different runs meet in one file, and a flag may be unknown in all of them.
PREDICTIONS = Features(
    dict.fromkeys(("model", "repo_id", "revision", "config"), Value("string"))
    | {"train_share": Value("float64"), "input_form": Value("string")}
    | dict.fromkeys(("id", "sentence", "reference", "prediction"), Value("string"))
    | dict.fromkeys(("implicit", "multiple", "hard"), Value("bool"))
    | {"seed": Value("int64")}
)


def push_student(
    own: list[Cell], groups: dict[tuple, list[Cell]], store: CellStore, benchmark: str, run: Run, arguments: Finetune
) -> None:
    """Pushes the student of the seed with the best validation F1; its card gives the scores of all seeds."""
    best = store.best(own)
    label, config, *_ = best.group
    teachers = dict(named(arguments.teachers)).get(label, "") if arguments.teachers else ""
    repo_id = f"{arguments.namespace}/{arguments.name}-{config}"
    facts = ModelFacts(
        repo_id=repo_id,
        title=f"{arguments.name}-{config}",
        task=best.task,
        summary=f"{best.repo_id} fine-tuned on {config} of the FSA benchmark (seed {best.seed}, which had the best "
        f"validation F1 of {len(own)}).",
        base_model=best.repo_id,
        licence=stated_licence(best.repo_id, "model", best.revision),
        datasets=[benchmark],
        benchmark=benchmark,
        teachers=[Teacher(name, is_llm=name != "lexicon") for name in teachers.split("+") if name],
        hyperparameters={key: getattr(arguments, key) for key in Finetuning.__dataclass_fields__},
        run=run,
        results=[
            result
            for other, cells in groups.items()
            if other[1:3] == best.group[1:3]
            for result in results_of(cells, store, None if other == best.group else other[0])
        ],
        has_instruction=best.input_form == "instruction",
    )
    push_model(store.student(best), repo_id, card=model_card(facts), private=arguments.private, run=run)


def results_of(cells: list[Cell], store: CellStore, system: str | None) -> list[Result]:
    """The card's results of one model on one config: its subsets on the split that stands for it, a value per seed."""
    config = cells[0].config
    split = headline_split(config)
    rows = [row for cell in cells for row in result_rows(store.outcome(cell)["predictions"], config, {}, [split])]
    chosen = {subset: [row for row in rows if row["subset"] == subset] for subset in subsets_of(config)}
    return [
        Result(
            config=config,
            subset=subset,
            f1=[row["f1"] for row in part],
            strict_f1=[row["strict_f1"] for row in part],
            split=split,
            sentences=part[0]["n_sentences"],
            system=system,
        )
        for subset, part in chosen.items()
        if part[0]["n_sentences"]  # of nothing, all would be right
    ]


if __name__ == "__main__":
    run_stage(main)
