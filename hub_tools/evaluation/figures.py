"""Results and training runs drawn: pictures for reports and cards."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from textwrap import fill

from hub_tools.evaluation.results import SUBSETS


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
