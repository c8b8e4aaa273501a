"""
Draws the comparison from the results: tables in the paper's layout, tests, pictures, error browsers, model cards.

Reads:  <namespace>/fsa-results (scores and predictions), and from the repos of the students that were fine-tuned
        how they were pretrained.
Writes: <runs>/report/ (results.md, tables/, figures/, browsers/), the same under `report/` of <namespace>/fsa-results
        with its card, and the scores on the cards of `students`.

accelerate launch recipes/report.py recipes/configs/demo/report.yaml
"""

import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

from accelerate import PartialState
from datasets import get_dataset_config_names, load_dataset
from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.errors import RemoteEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError
from rich.console import Console
from rich.table import Table

from hub_tools.arguments import parse_arguments, run_stage
from hub_tools.benchmarks.card import CONFIGS
from hub_tools.benchmarks.configs import headline_split
from hub_tools.benchmarks.registration import task_id
from hub_tools.evaluation.error_pages import write_pages
from hub_tools.evaluation.pretraining_table import students_of
from hub_tools.evaluation.report import NOTE, Asked, make_report, read_numbers
from hub_tools.evaluation.tables import complete
from hub_tools.hub.errors import explained
from hub_tools.hub.eval_results import Result
from hub_tools.hub.push import push_report, push_scores
from hub_tools.hub.runs import RUN_FILE, Run, resolve_input


@dataclass
class Report:
    namespace: str = field(metadata={"help": "user or organisation that owns the repos"})
    title: str = field(metadata={"help": "what was compared, for tables and pictures"})
    hub: str = field(default="embedded", metadata={"help": "`embedded`, or the URL of a Hub"})
    private: bool = field(default=True, metadata={"help": "who may see the results"})
    runs: str = field(default="build/runs", metadata={"help": "folder for the report"})
    benchmark: str = field(
        default="", metadata={"help": "Hub id of what was scored on, for the cards; '': <namespace>/fsa-benchmark"}
    )
    baseline: list[str] = field(
        default_factory=list,
        metadata={"help": "labels that the others are compared with, each a family of tests; none: the first"},
    )
    sampling: list[str] = field(default_factory=list, metadata={"help": "labels of Table 6, ways to sample reviews"})
    reviews: list[str] = field(
        default_factory=list, metadata={"help": "label=number of reviews distilled from, or line:label=number"}
    )
    parameters: list[str] = field(
        default_factory=list, metadata={"help": "label=number of parameters, or line:label=number"}
    )
    published: bool = field(default=True, metadata={"help": "the paper's numbers beside, in blocks of their own"})
    resamples: int = field(default=10_000, metadata={"help": "of sentences and seeds, for each test"})
    browsers: bool = field(default=True, metadata={"help": "an HTML page of errors per config and model"})
    students: list[str] = field(
        default_factory=list, metadata={"help": "label=name: scores go on the cards of <namespace>/<name>-<config>"}
    )
    docs: str = field(default="", metadata={"help": "folder for a copy without sentences, e.g. .github/report"})


def main() -> None:
    arguments = parse_arguments(Report)
    if not PartialState().is_main_process:
        return
    students = read_students(arguments.students)
    asked = Asked(
        arguments.title,
        arguments.baseline,
        arguments.sampling,
        read_numbers(arguments.reviews),
        read_numbers(arguments.parameters),
        arguments.published,
        arguments.resamples,
    )
    results = f"{arguments.namespace}/fsa-results"
    revision = resolve_input(results, "dataset")
    rows = complete(load_dataset(results, "scores", revision=revision, split="results").to_list())
    predictions = complete(read_predictions(results, revision))
    run_file = hf_hub_download(results, RUN_FILE, repo_type="dataset", revision=revision)
    run = Run.from_json(Path(run_file).read_text(encoding="utf-8"))

    folder = Path(arguments.runs) / "report"
    report = make_report(rows, predictions, asked, folder, read_runs(rows))
    if arguments.docs:
        copy_report(folder, Path(arguments.docs))
    pages, problems = [], []
    if arguments.browsers:
        pages, problems = write_pages(rows, predictions, report.baseline, folder / "browsers")
    push_report(folder, results, report.section("report"), private=arguments.private)
    cards = {
        f"{arguments.namespace}/{name}-{config}": results_of(label, config, rows)
        for label, name in students.items()
        for config in dict.fromkeys(row["config"] for row in rows if row["model"] == label)
    }
    benchmark = arguments.benchmark or f"{arguments.namespace}/fsa-benchmark"
    told, absent = push_cards(cards, benchmark, results, run)

    show(arguments.title, report.header, report.lines)
    print("\n".join([NOTE, *report.sentences]))
    for line in [*report.missing, *problems, *absent]:
        print(f"Not in the report: {line}")
    print(f"report: {folder}/results.md with {len(report.tables)} tables, {len(report.pictures)} pictures and")
    print(f"        {len(pages)} error browsers; also under report/ of {results}. Scores on {told} model cards.")


def read_students(texts: list[str]) -> dict[str, str]:
    """`["distilled=t5-sentiment"]` → `{"distilled": "t5-sentiment"}`, the name that finetune published them by."""
    pairs = {label: name for label, _, name in (text.partition("=") for text in texts)}
    if not all(pairs.values()) or len(pairs) < len(texts):
        raise ValueError(f"students must be distinct label=name, e.g. distilled=t5-sentiment-base; found: {texts}.")
    return pairs


def read_predictions(results: str, revision: str) -> list[dict]:
    """The prediction rows of all splits; none where the repo holds none."""
    if "predictions" not in get_dataset_config_names(results, revision=revision):
        return []
    splits = load_dataset(results, "predictions", revision=revision)
    return [row for split in splits.values() for row in split.to_list()]


def read_runs(rows: list[dict]) -> dict[tuple[str, str], dict]:
    """
    (repo, commit) → the pretraining run that left these weights there, of the students that were fine-tuned; models
    that nobody pretrained with this project, or that are gone, are left out.
    """
    found = {}
    for _, repo_id, commit in students_of(rows):
        with explained(f"read {RUN_FILE} of model {repo_id}"):
            try:
                text = Path(hf_hub_download(repo_id, RUN_FILE, revision=commit)).read_text(encoding="utf-8")
                run = Run.from_json(text)
            except (RemoteEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError, ValueError):
                continue  # a Hub that does not answer is neither: what it has is not known
        if run.stage == "pretrain":
            found[repo_id, commit] = asdict(run)
    return found


def copy_report(folder: Path, docs: Path) -> None:
    """Copies the report to where a repository keeps its docs. Error browsers, which quote sentences, stay away."""
    if docs.is_dir() and any(docs.iterdir()) and not (docs / "results.md").is_file():
        raise ValueError(f"{docs} holds other files than a report; give an empty folder or an earlier report's.")
    for part in ("figures", "tables"):
        shutil.rmtree(docs / part, ignore_errors=True)
    shutil.copytree(folder, docs, dirs_exist_ok=True, ignore=shutil.ignore_patterns("browsers"))


def results_of(label: str, config: str, rows: list[dict]) -> list[Result]:
    """A model's results on one config's headline split, a value per seed; subsets without sentences are left out."""
    split = headline_split(config)
    own = [row for row in rows if (row["model"], row["config"], row["split"]) == (label, config, split)]
    form = max((row["input_form"] for row in own), default="plain")  # "plain", where a label was run in both
    own = [row for row in own if row["train_share"] == 1 and row["input_form"] == form and row["n_sentences"]]
    found = []
    for subset in dict.fromkeys(row["subset"] for row in own):
        part = [row for row in own if row["subset"] == subset]
        f1, strict = ([row[name] for row in part] for name in ("f1", "strict_f1"))
        found.append(Result(config, subset, f1, strict, split, part[0]["n_sentences"]))
    return found


def push_cards(cards: dict[str, list[Result]], benchmark: str, results: str, run: Run) -> tuple[int, list[str]]:
    """Puts scores on the cards of the students that are on the Hub: how many, and a sentence for each that is not."""
    told, absent = 0, []
    for repo_id, scores in cards.items():
        if not HfApi().repo_exists(repo_id):
            absent.append(f"scores on the card of {repo_id}: there is no such model.")
        elif scores:
            registered = scores[0].config in CONFIGS  # a set of one's own has no tasks in eval.yaml
            push_scores(
                repo_id,
                scores,
                benchmark,
                task_id=task_id if registered else None,
                benchmark_revision=run.inputs.get(benchmark),
                source=f"{constants.ENDPOINT}/datasets/{results}",
                date=run.finished,
            )
            told += 1
    return told, absent


def show(title: str, header: list[str], lines: list[list[str]]) -> None:
    """The table in the terminal, a rule between configs."""
    shown = Table(title=title, title_justify="left")
    for number, name in enumerate(header):
        shown.add_column(name, justify="left" if number < 3 else "right", no_wrap=True)
    for line, following in zip(lines, [*lines[1:], None], strict=True):
        shown.add_row(*line, end_section=following is not None and following[0] != line[0])
    wide = Console(width=1000).measure(shown).maximum  # a log has no width of its own, and no column may be cut
    Console(width=max(wide, Console().width)).print(shown)


if __name__ == "__main__":
    run_stage(main)
