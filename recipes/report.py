"""
Draws the comparison from the results: tables in the terminal, Markdown and pictures, and the same on the Hub.

Reads:  <namespace>/fsa-results.
Writes: <runs>/report/{results.md, scores.png}, and both under `report/` of <namespace>/fsa-results with its card.

accelerate launch recipes/report.py recipes/configs/demo/report.yaml
"""

from dataclasses import dataclass, field
from pathlib import Path

from accelerate import PartialState
from datasets import load_dataset
from rich.console import Console
from rich.table import Table

from hub_tools.arguments import parse_arguments, run_stage
from hub_tools.evaluation.score_figures import draw_scores
from hub_tools.evaluation.tables import summarise, table
from hub_tools.evaluation.typesetting import markdown
from hub_tools.hub.push import push_report
from hub_tools.hub.runs import resolve_input


@dataclass
class Report:
    namespace: str = field(metadata={"help": "user or organisation that owns the repos"})
    title: str = field(metadata={"help": "what was compared, for tables and pictures"})
    hub: str = field(default="embedded", metadata={"help": "`embedded`, or the URL of a Hub"})
    private: bool = field(default=True, metadata={"help": "who may see the results"})
    runs: str = field(default="build/runs", metadata={"help": "folder for the report"})


def main() -> None:
    arguments = parse_arguments(Report)
    if not PartialState().is_main_process:
        return
    results = f"{arguments.namespace}/fsa-results"
    revision = resolve_input(results, "dataset")
    rows = load_dataset(results, "scores", revision=revision, split="results").to_list()
    summary = summarise(rows)
    header, lines = table(summary)

    folder = Path(arguments.runs) / "report"
    text = f"{arguments.title}\n\n{markdown(header, lines)}\n\n{NOTE}\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.md").write_text(text, encoding="utf-8")
    draw_scores(summary, folder / "scores.png", arguments.title)
    section = f"## Report\n\n{text}\n![F1 per config and subset](report/scores.png)"
    push_report(folder, results, section, private=arguments.private)
    show(arguments.title, header, lines)
    print(f"{NOTE}\nreport: {folder}/results.md and scores.png; on the Hub under report/ of {results}.")


NOTE = (
    "F1 in percent on `test_hard` (the official test set and the hard sentences), mean ± standard deviation over "
    "seeds; checkpoints chosen on validation. `paper`: malformed and invented items are dropped before counting; "
    "`strict`: they are false positives, and a repeat counts once. `mean` averages the configs."
)


def show(title: str, header: list[str], lines: list[list[str]]) -> None:
    """The table in the terminal, a rule between configs."""
    shown = Table(title=title, title_justify="left")
    for number, name in enumerate(header):
        shown.add_column(name, justify="left" if number < 3 else "right", no_wrap=True)
    for line, following in zip(lines, [*lines[1:], None], strict=True):
        shown.add_row(*line, end_section=following is not None and following[0] != line[0])
    Console(width=max(100, Console().width)).print(shown)


if __name__ == "__main__":
    run_stage(main)
