"""From result rows to tables: means and spreads over seeds, and the comparison of models."""

import statistics
from collections.abc import Mapping, Sequence
from itertools import product

from hub_tools.evaluation.results import SCORES, SUBSETS


def summarise(rows: Sequence[Mapping]) -> list[dict]:
    """
    Result rows → one row per model, config, split and subset: mean and standard deviation (of the sample, n − 1) over
    seeds, in percent, by both rules; `config` "mean" averages the configs a model was run on, seed by seed. A subset
    without sentences is left out: its score of 1 means nothing.
    """
    cells: dict[tuple, dict[int, dict]] = {}
    for row in (row for row in rows if row["n_sentences"]):
        cells.setdefault((row["model"], row["config"], row["split"], row["subset"]), {})[row["seed"]] = row
    for model, split, subset in dict.fromkeys((key[0], key[2], key[3]) for key in list(cells)):
        parts = [cell for key, cell in cells.items() if (key[0], *key[2:]) == (model, split, subset)]
        seeds = set.intersection(*(set(cell) for cell in parts))
        cells[(model, "mean", split, subset)] = {
            seed: {score: statistics.mean(cell[seed][score] for cell in parts) for score in SCORES} for seed in seeds
        }
    return [
        {
            **dict(zip(("model", "config", "split", "subset"), key, strict=True)),
            "seeds": len(cell),
            **{f"{score}_{name}": value for score in SCORES for name, value in spread(cell, score).items()},
        }
        for key, cell in cells.items()
        if cell
    ]


def spread(cell: Mapping[int, Mapping], score: str) -> dict[str, float]:
    """Mean and sample standard deviation of `score` over a cell's seeds, in percent; with one seed, 0."""
    values = [100 * row[score] for row in cell.values()]
    return {"mean": statistics.mean(values), "sd": statistics.stdev(values) if len(values) > 1 else 0.0}


def table(summary: Sequence[Mapping], split: str = "test_hard") -> tuple[list[str], list[list[str]]]:
    """
    The comparison as (header, lines): a line per config, subset and rule, a column per model with `F1 ± sd` in percent
    (no sd of a single seed, "–" where there is nothing to score), and the difference of two models.
    """
    chosen = [row for row in summary if row["split"] == split]
    header = ["config", "subset", "rule"]
    models = list(dict.fromkeys(row["model"] for row in chosen))
    cells = {(row["config"], row["subset"], row["model"]): row for row in chosen}
    lines = []
    for config, subset in product(dict.fromkeys(row["config"] for row in chosen), SUBSETS):
        for rule, score in (("paper", "f1"), ("strict", "strict_f1")):
            values = [cells.get((config, subset, model)) for model in models]
            lines.append([config, subset.capitalize(), rule, *(cell_text(value, score) for value in values)])
            if len(models) == 2:
                means = [value[f"{score}_mean"] for value in values if value]
                lines[-1].append(f"{means[1] - means[0]:+.2f}" if len(means) == 2 else "–")
    seeds = {model: max(row["seeds"] for row in chosen if row["model"] == model) for model in models}
    header += [f"{model} ({seeds[model]} seeds)" for model in models]
    return [*header, *(["difference"] if len(models) == 2 else [])], lines


def cell_text(summarised: Mapping | None, score: str) -> str:
    """`"81.25 ± 0.50"`, without the spread where one seed has none, "–" where nothing was scored."""
    if summarised is None:
        return "–"
    mean, sd = (f"{summarised[f'{score}_{name}']:.2f}" for name in ("mean", "sd"))
    return f"{mean} ± {sd}" if summarised["seeds"] > 1 else mean


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A GitHub table, the text columns to the left and numbers to the right."""
    rule = [":--" if column < 3 else "--:" for column in range(len(header))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *lines))
