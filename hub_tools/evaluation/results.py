"""From predictions to result rows, from result rows to tables and figures."""

import statistics
from collections.abc import Mapping, Sequence
from itertools import cycle, product
from pathlib import Path
from textwrap import fill

from hub_tools.evaluation.scoring import score_texts


SUBSETS = ("all", "implicit", "multiple")
SCORES = ("precision", "recall", "f1", "strict_precision", "strict_recall", "strict_f1")
COUNTS = ("n_sentences", "n_gold", "n_predicted", "n_malformed", "n_invented", "n_repeated")


def prediction_rows(rows: Sequence[Mapping], predictions: Sequence[str], seed: int) -> list[dict]:
    """Benchmark rows and what a student wrote for them → prediction rows, in the contract's columns (plus `hard`)."""
    return [
        {
            "id": row["id"],
            "sentence": row["sentence"],
            "reference": row["text"],
            "prediction": prediction,
            "implicit": row["implicit"],
            "multiple": row["multiple"],
            "hard": row["hard"],
            "seed": seed,
        }
        for row, prediction in zip(rows, predictions, strict=True)
    ]


def result_rows(predictions: Sequence[Mapping], task: str, facts: Mapping[str, object]) -> list[dict]:
    """
    Scores one run's predictions: a row per split and subset, fractions in [0, 1] by both rules.

    Args:
        predictions: prediction rows of the split `test_hard`, the paper's; the official `test` is the part of it that
            is not marked `hard` (the paper's appendix reports it too), so one set of predictions serves both.
        task: `tsa` or `asa`.
        facts: further columns, the same on each row: model, config, seed, how the run came to be.
    """
    rows = []
    for split in ("test_hard", "test"):
        part = [row for row in predictions if split == "test_hard" or not row["hard"]]
        for subset in SUBSETS:
            chosen = [row for row in part if subset == "all" or row[subset]]
            scores = score_texts(
                [row["prediction"] for row in chosen],
                [row["reference"] for row in chosen],
                [row["sentence"] for row in chosen],
                None,
                None,
                task,
            )
            kept = {key: scores[key] for key in (*SCORES, *COUNTS)}
            rows.append({**facts, "split": split, "subset": subset, **kept})
    return rows


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


def draw_scores(summary: Sequence[Mapping], path: Path, title: str, split: str = "test_hard") -> None:
    """Bars of paper-rule F1 per config and subset, one colour a model, whiskers one standard deviation over seeds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    chosen = [row for row in summary if row["split"] == split and row["config"] != "mean"]
    configs = list(dict.fromkeys(row["config"] for row in chosen))
    models = list(dict.fromkeys(row["model"] for row in chosen))
    figure, axes = pyplot.subplots(
        1, len(configs), figsize=(1.2 + 2.9 * len(configs), 3.4), sharey=True, squeeze=False
    )
    colours = ["#9aa5b1", "#2563eb", "#d97706", "#059669"]
    width = 0.8 / max(1, len(models))
    for axis, config in zip(axes[0], configs, strict=True):
        for number, model in enumerate(models):
            cells = {row["subset"]: row for row in chosen if row["config"] == config and row["model"] == model}
            present = [subset for subset in SUBSETS if subset in cells]
            heights, errors = ([cells[subset][name] for subset in present] for name in ("f1_mean", "f1_sd"))
            places = [SUBSETS.index(subset) + (number - (len(models) - 1) / 2) * width for subset in present]
            colour = colours[number % len(colours)]
            bars = axis.bar(places, heights, width * 0.94, yerr=errors, label=model, color=colour, capsize=2)
            axis.bar_label(bars, fmt="%.0f", fontsize=7, padding=1)
        axis.set_title(config, fontsize=10)
        axis.set_xticks(range(len(SUBSETS)), [subset.capitalize() for subset in SUBSETS], fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("F1, paper's rule (%)")
    axes[0][-1].legend(frameon=False, fontsize=8)
    figure.suptitle(fill(title, 40 * len(configs)), fontsize=11, y=1.08)
    save_figure(figure, path)


def draw_losses(curves: Mapping[str, Sequence[Sequence[float]]], path: Path, title: str) -> None:
    """Loss in nats per target token over optimiser steps; `curves` maps a name to [step, loss] pairs."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(6, 3.2))
    for (name, points), colour in zip(curves.items(), cycle(("#9aa5b1", "#2563eb", "#d97706")), strict=False):
        marker = "o" if len(points) < 30 else None
        axis.plot(
            [p[0] for p in points], [p[1] for p in points], label=name, color=colour, marker=marker, linewidth=1.2
        )
    axis.set_xlabel("optimiser step")
    axis.set_ylabel("nats per target token")
    axis.set_title(title, fontsize=11)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8)
    save_figure(figure, path)


def save_figure(figure: "matplotlib.figure.Figure", path: Path) -> None:  # noqa: F821
    """Writes the figure as PNG (by `path`'s suffix) and lets go of it."""
    from matplotlib import pyplot

    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, bbox_inches="tight")
    pyplot.close(figure)
