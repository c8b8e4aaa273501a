"""A results dataset → a folder that a person can read and a paper can include: text, tables, pictures.

results.md                    all of it, with the pictures
results.csv significance.csv  the means and the tests, for programs
tables/<name>.md|tex|csv      as in the paper, and what the paper lacks
figures/<name>.svg|png
"""

import csv
import math
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hub_tools.evaluation import curves
from hub_tools.evaluation.further_tables import rules_table, shares_table
from hub_tools.evaluation.paper_tables import ReportError, paper_tables
from hub_tools.evaluation.pretraining_table import Runs, pretraining_table
from hub_tools.evaluation.score_figures import draw_differences, draw_rules, draw_scaling, draw_scores, draw_shares
from hub_tools.evaluation.significance import (
    compare_all,
    families,
    noise_sentences,
    noise_table,
    score_intervals,
    significance_table,
    verdicts,
)
from hub_tools.evaluation.statistics import Comparison
from hub_tools.evaluation.tables import MEANS, complete, is_quad, summarise, table
from hub_tools.evaluation.typesetting import (
    Table,
    markdown,
    markdown_text,
    to_csv,
    to_latex,
    to_markdown,
)


NOTE = (
    "F1 in percent, mean ± standard deviation over seeds, on `test_hard` (the official test set and the hard "
    "sentences; of quads, which have none, the official `test`); checkpoints chosen on validation. `paper`: malformed "
    "and invented items are dropped before counting; `strict`: they are false positives, and a repeat counts once. "
    "± and intervals cover fine-tuning seeds (intervals sentences too) of one pretrained student each, not the chance "
    "of pretraining. "
    "`mean` averages the configs. Implicit: sentences with an opinion that no opinion word tells. Multiple: sentences "
    "with more than one polarity."
)
DIFFERENCES = "Differences of F1 on All, paper rule, with 95 % intervals; better, worse and open as the tests say"
FIRST_TABLE = "How the students were pretrained before: the first of the tables below."
FEATURED = ("scores", "scores_quads", "differences", "shares", "reviews")  # pictures that a card shows


@dataclass(frozen=True)
class Asked:
    """What a report is to say. `reviews` and `parameters` map a model to (its line in the picture, its number)."""

    title: str
    baselines: Sequence[str] = ()  # the first model, if not given
    sampling: Sequence[str] = ()
    reviews: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    parameters: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    published: bool = True
    resamples: int = 10_000


@dataclass(frozen=True)
class Report:
    """What was written, for those who show it elsewhere."""

    baseline: str  # the first, where there are several
    header: list[str]
    lines: list[list[str]]
    tables: list[Table]
    pictures: dict[str, str]  # name → caption
    sentences: list[str]  # what the tests say, in words
    missing: list[str]
    text: str  # results.md

    def section(self, folder: str) -> str:
        """The part for a card that lies above `folder`, in which the report is."""
        shown = [
            f"![{self.pictures[name]}]({folder}/figures/{name}.png)" for name in FEATURED if name in self.pictures
        ]
        compact = compact_table(self.header, self.lines)
        more = f"Tables in the paper's layout, all tests and pictures: [{folder}/results.md]({folder}/results.md)."
        return "\n\n".join(["## Report", compact, NOTE, *map(markdown_text, self.sentences), *shown, more])


def make_report(
    rows: Iterable[Mapping], predictions: Iterable[Mapping], asked: Asked, folder: Path, runs: Runs | None = None
) -> Report:
    """
    Writes the report; an earlier one in `folder` is replaced when the new one is whole.

    Args:
        rows: result rows, of the runs of all models; columns of today that older ones lack have their usual meaning.
        predictions: prediction rows of the same runs, for tests and intervals; without them there are none.
        runs: the pretraining runs of the students, as far as their repos tell.

    Raises:
        ReportError: no results of models trained on all sentences, or `asked` names a model without results, or a
            baseline twice.
    """
    rows, predictions = complete(rows), complete(predictions)
    models = list(dict.fromkeys(row["model"] for row in rows if row["train_share"] == 1))
    if not models:
        raise ReportError("the results hold no model that was trained on all sentences.")
    baselines = list(asked.baselines) or models[:1]
    if len(set(baselines)) < len(baselines):
        raise ReportError(f"a model is a baseline once; found: {', '.join(baselines)}.")
    for label in [*baselines, *asked.sampling, *asked.reviews, *asked.parameters]:
        if label not in models:
            raise ReportError(f"no results of {label!r}; the models with results: {', '.join(models)}.")
    rows.sort(key=lambda row: (*baselines, row["model"]).index(row["model"]))
    summary = summarise(rows)
    tables, missing = paper_tables(summary, baselines[0], asked.sampling, asked.published)
    pretrained = pretraining_table(rows, runs or {})
    tables = pretrained + tables
    missing += [] if pretrained else ["How the students were pretrained: their repos do not tell."]
    comparisons, problems = compared(predictions, baselines, asked.resamples) if predictions else ([], [])
    missing += problems + ([] if predictions else ["Tests and intervals: the results hold no predictions."])
    tables += ([significance_table(comparisons), noise_table(comparisons)] if comparisons else []) + [
        rules_table(rows)
    ]
    tables += shares_table(rows)

    draft = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        pictures = draw(rows, summary, predictions, asked, draft / "figures")
        if len(baselines) > 1 and comparisons:  # of one, `scores` shows the differences
            draw_differences(comparisons, draft / "figures" / "differences", asked.title)
            pictures["differences"] = DIFFERENCES
        header, lines = table(summary)
        several = [f"Compared with {' and with '.join(baselines)}: {families(comparisons)}."]
        sentences = several if len(baselines) > 1 and comparisons else []
        sentences += verdicts(comparisons) + noise_sentences(comparisons)
        made = " ".join(filter(None, [origin(rows), FIRST_TABLE if pretrained else ""]))
        text = report_text(asked.title, header, lines, tables, pictures, sentences, missing, made)
        report = Report(baselines[0], header, lines, tables, pictures, sentences, missing, text)
        write(report, summary, comparisons, draft)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return report


def compared(
    predictions: Sequence[Mapping], baselines: Sequence[str], resamples: int
) -> tuple[list[Comparison], list[str]]:
    """Each baseline against all other models but earlier baselines, and a sentence for each that cannot be."""
    comparisons, problems = [], []
    for number, baseline in enumerate(baselines):
        found, unable = compare_all(predictions, baseline, resamples, but=baselines[:number])
        comparisons += found
        problems += unable
    return comparisons, problems


def draw(
    rows: Sequence[Mapping], summary: Sequence[Mapping], predictions: Sequence[Mapping], asked: Asked, folder: Path
) -> dict[str, str]:
    """The pictures that there is something for: name → caption."""
    intervals = score_intervals(predictions, min(asked.resamples, 2000))
    whiskers = "95 % intervals over sentences and seeds" if intervals else "one standard deviation over seeds"
    configs = {row["config"] for row in summary} - {*MEANS}
    drawn = {}
    for name, quads in (("scores", False), ("scores_quads", True)):
        if any(is_quad(config) == quads for config in configs):
            draw_scores(summary, folder / name, asked.title, quads, intervals)
            drawn[name] = f"F1 per config and subset, paper rule; whiskers: {whiskers}"
    draw_rules(curves.rule_gaps(rows), folder / "rules", asked.title)
    drawn["rules"] = "F1 by the paper's and the strict rule, and what only the strict rule counts"
    shares, cells = curves.share_curves(rows)
    if any(shares.values()):
        draw_shares(shares, folder / "shares", asked.title, f"mean of {cells} cells")
        drawn["shares"] = "F1 with a share of the training sentences; bands: one standard deviation over seeds"
    for name, numbers in (("reviews", asked.reviews), ("parameters", asked.parameters)):
        lines, cells = curves.scaling_curves(rows, numbers)
        if lines:
            published = curves.published_scaling() if asked.published and name == "reviews" else None
            unit = "reviews distilled from" if name == "reviews" else "parameters of the student"
            draw_scaling(lines, folder / name, asked.title, f"mean of {cells} cells", unit, published)
            drawn[name] = f"F1 against the number of {unit}"
    return drawn


def report_text(
    title: str,
    header: Sequence[str],
    lines: Sequence[Sequence[str]],
    tables: Sequence[Table],
    pictures: Mapping[str, str],
    sentences: Sequence[str],
    missing: Sequence[str],
    made: str = "",
) -> str:
    """results.md: the comparison, what the tests say, pictures, the paper's tables, what is missing."""
    parts = [f"# {markdown_text(title)}", compact_table(header, lines), NOTE, *([made] if made else [])]
    if sentences:
        parts += ["## What is more than chance", "\n".join(f"- {markdown_text(line)}" for line in sentences)]
    parts += [
        "## Pictures",
        *(f"![{caption}](figures/{name}.png)\n\n{caption}." for name, caption in pictures.items()),
    ]
    parts += ["## Tables", *(to_markdown(one) for one in tables)]
    parts += ["## Not in this report", "\n".join(f"- {line}" for line in missing)] if missing else []
    return "\n\n".join(part.strip() for part in parts) + "\n"


def origin(rows: Iterable[Mapping]) -> str:
    """At which revisions of this project, and on what, the results were computed, as their rows tell; "" if not."""
    told = {
        name: dict.fromkeys(str(row[name]) for row in rows if row.get(name)) for name in ("git_revision", "hardware")
    }
    found = [
        f"{name.replace('_', ' ')} {', '.join(value[:200] for value in values)}"
        for name, values in told.items()
        if values
    ]
    return f"Fine-tuned and scored by `recipes/finetune.py`: {markdown_text('; '.join(found))}." if found else ""


def compact_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """The comparison as Markdown, labels escaped."""
    return markdown([*map(markdown_text, header)], [[*map(markdown_text, line)] for line in lines])


def write(report: Report, summary: Sequence[Mapping], comparisons: Sequence[Comparison], folder: Path) -> None:
    """The text, and each table in its three forms."""
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    (folder / "results.md").write_text(report.text, encoding="utf-8")
    write_csv(summary, folder / "results.csv")
    if comparisons:
        write_csv([comparison._asdict() for comparison in comparisons], folder / "significance.csv")
    for one in report.tables:
        for suffix, form in (("md", to_markdown), ("tex", to_latex), ("csv", to_csv)):
            (folder / "tables" / f"{one.name}.{suffix}").write_text(form(one), encoding="utf-8")


def write_csv(rows: Sequence[Mapping], path: Path) -> None:
    """Rows as CSV, with every column that one of them has."""
    names = dict.fromkeys(name for row in rows for name in row)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(names), lineterminator="\n")
        writer.writeheader()
        writer.writerows([{key: rounded(value) for key, value in row.items()} for row in rows])


def rounded(value: object) -> object:
    """Six digits after the point are more than any score has; nan, of nothing, is an empty cell."""
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else round(value, 6)


def read_numbers(texts: Sequence[str]) -> dict[str, tuple[str, float]]:
    """
    `["base=0", "with:distilled=1e5"]` → `{"base": ("ours", 0.0), "distilled": ("with", 100000.0)}`.

    Raises:
        ReportError: not `label=number` or `line:label=number`, or a negative number.
    """
    found = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        line, _, label = name.rpartition(":")
        try:
            value = float(number)
        except ValueError:
            value = -1
        if not label or not 0 <= value < float("inf"):
            raise ReportError(f"expected label=number or line:label=number, e.g. distilled=100000; found {text!r}.")
        found[label] = (line or "ours", value)
    return found
