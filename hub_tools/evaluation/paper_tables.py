"""Our results in the layout of the paper's tables (arXiv 2412.18552: 4, 6, 12, 13), its own numbers in a block apart.

The paper's rule is the main table's, the strict rule has a table beside it. Published scores are of other students and
other teachers, by the paper's rule: they stand in the main table only, under a heading that says so.
"""

import statistics
from collections.abc import Mapping, Sequence

from hub_tools.evaluation.published import QUADS, SOURCE, PublishedTable, published
from hub_tools.evaluation.tables import value_of
from hub_tools.evaluation.typesetting import Block, Cell, Table, Value


RULES = {"paper": "f1", "strict": "strict_f1"}
SHORT = {"implicit": "Imp", "multiple": "Mul", "implicit_aspect": "Imp. aspect", "implicit_opinion": "Imp. opinion"}
TASKS = {"tsa": "TSA", "asa": "ASA", "acos": "ACOS", "asqp": "ASQP"}


class ReportError(ValueError):
    """A report that cannot be made as asked; the message says what the results hold."""


def paper_tables(
    summary: Sequence[Mapping], baseline: str, sampling: Sequence[str] = (), with_published: bool = True
) -> tuple[list[Table], list[str]]:
    """
    The paper's tables that the results have something for, and a sentence for each that they have nothing for.

    Args:
        summary: as `summarise` gives it; only models trained on all sentences are shown.
        baseline: the model whose average is printed as such; the others' is the difference to it, as in the paper.
        sampling: models of Table 6, which compares ways to sample the reviews.
        with_published: False where the data only has the shape of the benchmark, so that nothing compares.
    """
    whole = [row for row in summary if row["train_share"] == 1]
    models = list(dict.fromkeys(row["model"] for row in whole))
    unknown = sorted({baseline, *sampling} - {*models})
    if unknown:
        raise ReportError(f"no results of {', '.join(unknown)}; the results' models: {', '.join(models) or 'none'}.")
    models.sort(key=lambda model: model != baseline)
    tables, missing = [], []
    for number in (4, 6, 12, 13):
        layout = published(number)
        shown = [baseline, *(model for model in sampling if model != baseline)] if number == 6 else models
        if number == 6 and not sampling:
            missing.append("Table 6 (sampling schemes): `sampling` names no models.")
        elif not (lines := our_lines(whole, layout, shown, "f1")):
            places = ", ".join(dict.fromkeys(config for config, _ in layout.cells))
            missing.append(f"Table {number} ({layout.caption}): no results on {places}, split `{layout.split}`.")
        else:
            main = paper_table(whole, layout, lines, "paper", with_published)
            strict = our_lines(whole, layout, shown, RULES["strict"])
            tables += [main, paper_table(whole, layout, strict, "strict", False)]
    return [*tables, *quad_subsets(whole, models)], missing


def paper_table(
    summary: Sequence[Mapping], layout: PublishedTable, lines: list[list[Cell]], rule: str, with_published: bool
) -> Table:
    """One of the paper's tables: our lines, and below them the published ones."""
    averaged = layout.lines[0].average is not None
    columns = [("", "Method"), *columns_of(layout.cells), *([("", "Avg")] if averaged else [])]
    blocks = [Block(f"Ours, {rule} rule ({spread_text(summary)})", lines)]
    if with_published:
        apart = "other students and teachers, not to be ranked with ours"
        heading = f"{SOURCE}, Table {layout.number}: {apart}"
        blocks.append(Block(heading, published_lines(layout)))
    n = sum(value is not None for value in lines[0][1 : len(layout.cells) + 1])
    average = ""
    if averaged:
        average = f"Avg is the mean of the {n} cells that {lines[0][0]} has"
        average += ", and of the other models the difference to it." if len(lines) > 1 or with_published else "."
    name = f"table_{layout.number}" + ("" if rule == "paper" else f"_{rule}")
    title = f"{layout.caption} (F1 in percent, {rule} rule; layout of Table {layout.number})"
    return Table(name, title, columns, blocks, average)


def our_lines(
    summary: Sequence[Mapping], layout: PublishedTable, models: Sequence[str], score: str
) -> list[list[Cell]]:
    """A line per model that has any of the cells, the baseline (the first of `models`) first."""
    found = {
        (row["model"], row["config"], row["subset"]): value_of(row, score)
        for row in summary
        if row["split"] == layout.split
    }
    lines = []
    for model in models:
        values = [found.get((model, *cell)) for cell in layout.cells]
        if any(values):
            base = lines[0][1 : len(values) + 1] if lines else values
            average = [_average(values, base, signed=bool(lines))] if layout.lines[0].average is not None else []
            lines.append([model, *values, *average])
    return lines


def _average(values: Sequence[Value | None], base: Sequence[Value | None], signed: bool) -> Value | None:
    """The mean over the cells that the baseline has; of another model the difference, None if it lacks one of them."""
    pairs = [(value, other) for value, other in zip(values, base, strict=True) if other is not None]
    if any(value is None for value, _ in pairs):
        return None
    mean, reference = (statistics.mean(column) for column in zip(*((v.mean, b.mean) for v, b in pairs), strict=True))
    return Value(mean - reference, signed=True) if signed else Value(mean)


def published_lines(layout: PublishedTable) -> list[list[Cell]]:
    """The paper's lines, its teacher before the method."""
    lines = []
    for number, line in enumerate(layout.lines):
        method = f"{line.teacher}: {line.method}" if line.teacher else line.method
        average = [] if line.average is None else [Value(line.average, signed=number > 0)]
        lines.append([method, *map(Value, line.scores), *average])
    return lines


def quad_subsets(summary: Sequence[Mapping], models: Sequence[str]) -> list[Table]:
    """What Table 13 does not show: quads with implicit aspects, implicit opinions, several polarities."""
    names = ("all", "implicit_aspect", "implicit_opinion", "multiple")
    found = {(row["model"], row["config"], row["subset"]): row for row in summary if row["split"] == "test"}
    blocks = []
    for rule, score in RULES.items():
        lines = [
            [config_name(config), model, *(value_of(found.get((model, config, name)), score) for name in names)]
            for config in QUADS
            for model in models
        ]
        lines = [line for line in lines if any(line[2:])]
        blocks += [Block(f"Ours, {rule} rule ({spread_text(summary)})", lines)] if lines else []
    columns = [("", "Config"), ("", "Method"), *(("", SHORT.get(name, "All")) for name in names)]
    title = "Sentiment quads by subset (F1 in percent)"
    note = "Imp. aspect, Imp. opinion: sentences with a gold quad whose aspect, or opinion, is not written in them."
    return [Table("table_13_subsets", title, columns, blocks, note, text_columns=2)] if blocks else []


def columns_of(cells: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """`("tsa-rest14", "implicit")` → `("TSA-Rest14", "Imp")`; of one subset only, `("TSA", "Rest14")`."""
    if len({subset for _, subset in cells}) == 1:
        return [tuple(config_name(config).split("-")) for config, _ in cells]
    return [(config_name(config), SHORT.get(subset, "All")) for config, subset in cells]


def config_name(config: str) -> str:
    """`tsa-rest14` → `TSA-Rest14`."""
    task, _, corpus = config.partition("-")
    return f"{TASKS[task]}-{corpus.capitalize()}" if task in TASKS else config


def spread_text(summary: Sequence[Mapping]) -> str:
    """What stands behind a cell: "mean ± standard deviation over 3 seeds"."""
    seeds = sorted({row["seeds"] for row in summary})
    counts = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    return "1 seed" if seeds == [1] else f"mean ± standard deviation over {counts} seeds"
