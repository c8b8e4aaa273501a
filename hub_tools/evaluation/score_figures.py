"""Scores drawn: bars per subset with intervals, what the rule changes, less training data, more reviews."""

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from hub_tools.evaluation.curves import Point
from hub_tools.evaluation.figures import legend, new_figure, styles
from hub_tools.evaluation.paper_tables import config_name
from hub_tools.evaluation.significance import verdict
from hub_tools.evaluation.statistics import Comparison
from hub_tools.evaluation.tables import MEANS, SUBSET_NAMES, SUBSETS, headline, is_quad


if TYPE_CHECKING:
    from matplotlib.axes import Axes

Intervals = Mapping[tuple[str, str, str], tuple[float, float]]  # (model, config, subset) → bounds in percent
VERDICTS = {"better": ("#0072B2", "^"), "worse": ("#D55E00", "v"), "open": ("#999999", "o")}
FEW = 3  # models whose bars are wide enough for a number


def draw_scores(
    summary: Sequence[Mapping], path: Path, title: str, quads: bool = False, intervals: Intervals | None = None
) -> None:
    """
    Bars of paper-rule F1 per config and subset, a colour a model, on each config's headline split.

    Whiskers are `intervals` where they are given, else one standard deviation over seeds. Configs of quads, which have
    subsets of their own, are drawn only with `quads`, and then alone.
    """
    chosen = [
        row
        for row in summary
        if row["config"] not in MEANS and row["split"] == headline(row["config"])
        and is_quad(row["config"]) == quads and row["train_share"] == 1
    ]  # fmt: skip
    configs, models = (list(dict.fromkeys(row[name] for row in chosen)) for name in ("config", "model"))
    columns = min(2, len(configs)) or 1
    rows = math.ceil(len(configs) / columns) or 1
    with new_figure(path, rows, columns, figsize=(0.8 + 4.1 * columns, 0.9 + 2.6 * rows), sharey=True) as (fig, axes):
        for axis, config in zip(axes, configs, strict=False):
            _bars(axis, [row for row in chosen if row["config"] == config], models, intervals or {})
            axis.set_title(config_name(config))
        for axis in axes[len(configs) :]:
            axis.set_visible(False)
        for axis in axes[::columns]:
            axis.set_ylabel("F1, paper rule (%)")
        top = max([row["f1_mean"] + row["f1_sd"] for row in chosen] + [high for _, high in (intervals or {}).values()])
        axes[0].set_ylim(0, top + 7)  # of all axes; the numbers stand above the bars
        legend(fig, axes[0], 4)
        fig.suptitle(fill(title, 48 * columns), fontsize=11)


def _bars(axis: "Axes", rows: Sequence[Mapping], models: Sequence[str], intervals: Intervals) -> None:
    """One config's bars; a model that was not scored on a subset leaves a gap, a subset without sentences is named."""
    present = [subset for subset in SUBSETS if any(row["subset"] == subset for row in rows)]
    width = 0.82 / max(1, len(models))
    here = [model for model in models if any(row["model"] == model for row in rows)]
    for model, (colour, hatch, _) in styles(models).items():
        cells = {row["subset"]: row for row in rows if row["model"] == model}
        own = [subset for subset in present if subset in cells]
        aside = (here.index(model) - (len(here) - 1) / 2) * width if model in here else 0
        places = [present.index(subset) + aside for subset in own]
        heights = [cells[subset]["f1_mean"] for subset in own]
        errors = [[], []]
        for subset, height in zip(own, heights, strict=True):
            around = (height - cells[subset]["f1_sd"], height + cells[subset]["f1_sd"])
            low, high = intervals.get((model, rows[0]["config"], subset), around)
            errors[0].append(max(0, height - low))
            errors[1].append(max(0, high - height))
        axis.bar(
            places, heights, width * 0.92, yerr=errors, label=model, color=colour, hatch=hatch, edgecolor="white",
            linewidth=0.5, error_kw={"elinewidth": 1, "capsize": 2, "ecolor": "#333333"},
        )  # fmt: skip
        for place, height, above in zip(places, heights, errors[1], strict=True) if len(models) <= FEW else ():
            axis.annotate(f"{height:.1f}", (place, height + above), (0, 2), textcoords="offset points", ha="center",
                          fontsize=7)  # fmt: skip
    axis.set_xticks(range(len(present)), [fill(SUBSET_NAMES[subset], 10) for subset in present])
    axis.grid(axis="y", linewidth=0.4, alpha=0.5)


def draw_differences(comparisons: Sequence[Comparison], path: Path, title: str) -> None:
    """Each model less each baseline, in points of F1 with the 95 % interval, on all sentences: a panel a baseline."""
    panels: dict[str, list[Comparison]] = {}
    for found in comparisons:
        if found.subset == "all" and found.n_sentences:
            panels.setdefault(found.baseline, []).append(found)
    size = (1 + 4.6 * len(panels), 1.5 + 0.25 * max(map(len, panels.values()), default=0))
    with new_figure(path, 1, len(panels) or 1, figsize=size, sharex=True) as (figure, axes):
        for axis, (baseline, rows) in zip(axes, panels.items(), strict=False):
            axis.axvline(0, color="#333333", linewidth=0.8)
            for kind, (colour, marker) in VERDICTS.items():
                own = [place for place, found in enumerate(rows) if verdict(found) == kind]
                middle, low, high = (
                    [100 * getattr(rows[at], name) for at in own] for name in ("difference", "low", "high")
                )
                axis.hlines(own, low, high, color=colour, linewidth=2)
                axis.scatter(middle, own, color=colour, marker=marker, s=30, zorder=2, label=kind)
            axis.set_yticks(range(len(rows)), [f"{found.model} · {config_name(found.config)}" for found in rows])
            axis.set_ylim(len(rows) - 0.4, -0.6)
            axis.set_title(f"… less {baseline}")
            axis.set_xlabel("points of F1, all sentences")
            axis.grid(axis="x", linewidth=0.4, alpha=0.5)
        legend(figure, axes[0], len(VERDICTS))
        figure.suptitle(fill(title, 48 * max(1, len(panels))), fontsize=11)


def draw_rules(rows: Sequence[Mapping], path: Path, title: str) -> None:
    """
    What the choice of rule changes: per config and model F1 by the paper's and by the strict rule on the left, and on
    the right what the strict rule counts and the paper's does not, per 100 predicted items.

    Args:
        rows: as `curves.rule_gaps` gives them.
    """
    labels = [f"{config_name(row['config'])} · {row['model']}" for row in rows]
    height = 1.5 + 0.27 * len(rows)
    with new_figure(path, 1, 2, figsize=(9, height), sharey=True, width_ratios=(3, 2)) as (figure, (left, right)):
        places = range(len(rows))
        strict, paper = ([row[name] for row in rows] for name in ("strict_f1", "f1"))
        left.hlines(places, strict, paper, color="#bbbbbb", linewidth=2, zorder=1)
        left.scatter(strict, places, marker="D", color="#D55E00", label="F1, strict rule", s=28, zorder=2)
        left.scatter(paper, places, marker="o", color="#0072B2", label="F1, paper rule", s=32, zorder=2)
        for place, low, high in zip(places, strict, paper, strict=True):
            left.annotate(f"{low - high:+.1f}", (max(low, high), place), (7, 0), textcoords="offset points",
                          va="center", fontsize=7.5)  # fmt: skip
        left.set_yticks(places, labels)
        left.set_ylim(len(rows) - 0.4, -0.6)
        left.margins(x=0.12)
        left.set_xlabel("F1 (%), all sentences")
        begin = [0.0] * len(rows)
        kinds = {"malformed": "#999999", "invented": "#E69F00", "repeated": "#56B4E9"}
        for (kind, colour), hatch in zip(kinds.items(), ("", "//", ".."), strict=True):
            sizes = [row[kind] for row in rows]
            right.barh(
                places, sizes, 0.6, begin, label=kind, color=colour, hatch=hatch, edgecolor="white", linewidth=0.5
            )
            begin = [start + size for start, size in zip(begin, sizes, strict=True)]
        right.set_xlabel("per 100 predicted items")
        for axis in (left, right):
            axis.grid(axis="x", linewidth=0.4, alpha=0.5)
            axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, columnspacing=1, handletextpad=0.4)
        figure.suptitle(fill(title, 95), fontsize=11)


def draw_shares(curves: Mapping[str, Sequence[Point]], path: Path, title: str, of: str) -> None:
    """F1 against the share of the training sentences (Figure 5 of the paper); points of `of`, "mean of 12 cells"."""
    with new_figure(path, figsize=(6.2, 3.9)) as (figure, (axis,)):
        shares = sorted({point.x for points in curves.values() for point in points})
        axis.set_xscale("log")
        _lines(axis, curves)
        axis.minorticks_off()
        axis.set_xticks(shares, [f"{100 * share:g} %" for share in shares])
        axis.set_xlabel("share of the training sentences")
        axis.set_ylabel(f"F1, paper rule (%),\n{of}")
        axis.grid(linewidth=0.4, alpha=0.5)
        legend(figure, axis, 4)
        axis.set_title(fill(title, 75))


def draw_scaling(
    curves: Mapping[str, Sequence[Point]],
    path: Path,
    title: str,
    of: str,
    unit: str,
    published: Mapping[str, Sequence[Point]] | None = None,
) -> None:
    """F1 against a number of reviews or of parameters, the `unit` (Figure 4 of the paper); published points apart."""
    panels = [("Ours", curves), *([("Published, arXiv 2412.18552", published)] if published else [])]
    with new_figure(path, 1, len(panels), figsize=(1 + 4.2 * len(panels), 3.7)) as (figure, axes):
        for axis, (name, lines) in zip(axes, panels, strict=True):
            numbers = sorted({point.x for points in lines.values() for point in points})
            places = {number: _place(number, numbers) for number in numbers}
            _lines(axis, {key: [point._replace(x=places[point.x]) for point in line] for key, line in lines.items()})
            axis.set_xticks([places[number] for number in numbers], [short_number(number) for number in numbers])
            axis.set_xlabel(unit)
            axis.grid(linewidth=0.4, alpha=0.5)
            axis.set_title(name if len(panels) > 1 else fill(title, 55))
            axis.set_ylabel(f"F1, paper rule (%),\n{of if name == 'Ours' else 'mean of 12 cells'}")
            if len(lines) > 1:
                axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3, columnspacing=1)
        if len(panels) > 1:
            figure.suptitle(fill(title, 95), fontsize=11)


def _place(number: float, numbers: Sequence[float]) -> float:
    """Where a number stands: its logarithm, and 0 one power of ten before the smallest other."""
    positive = [other for other in numbers if other > 0]
    return math.log10(number) if number > 0 else math.log10(min(positive, default=10)) - 1


def _lines(axis: "Axes", curves: Mapping[str, Sequence[Point]]) -> None:
    """A line a name, with a band of one standard deviation over seeds where there are several."""
    looks = zip(styles([*curves]).values(), cycle(("-", "--", "-.", ":")), strict=False)
    for (name, points), ((colour, _, mark), dash) in zip(curves.items(), looks, strict=False):
        points = sorted(points)
        xs, means, sds = ([point[place] for point in points] for place in range(3))
        axis.plot(xs, means, dash, color=colour, marker=mark, markersize=5, linewidth=1.4, label=name)
        if any(sds):
            low, high = ([mean + sign * sd for mean, sd in zip(means, sds, strict=True)] for sign in (-1, 1))
            axis.fill_between(xs, low, high, color=colour, alpha=0.18, linewidth=0)


def short_number(number: float) -> str:
    """`100000` → `"100K"`."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:g}"
