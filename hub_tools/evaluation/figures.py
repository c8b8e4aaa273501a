"""Pictures of training runs and of scores, for reports and cards: readable without colour, the same bytes each time.

Every `draw_…` writes `path`; without a suffix both `path.svg` and `path.png`. SVGs hold no date and no random ids, so
that a picture in a repository changes only where the numbers do.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which people with any kind of colour vision tell apart; hatches and marks for print.
COLOURS = ("#999999", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
HATCHES = ("", "//", "..", "\\\\", "xx", "--", "++", "oo")
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
STYLE = {
    "svg.hashsalt": "fsa",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "text.parse_math": False,  # a "$" in a label is a "$"
}


@contextmanager
def new_figure(
    path: Path, rows: int = 1, columns: int = 1, **options: object
) -> Iterator[tuple["Figure", list["Axes"]]]:
    """A figure and its axes row by row, written to `path` at the end."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with pyplot.rc_context(STYLE):
        figure, axes = pyplot.subplots(rows, columns, squeeze=False, layout="constrained", **options)
        try:
            yield figure, list(axes.flat)
            path.parent.mkdir(parents=True, exist_ok=True)
            for target in [path] if path.suffix else [path.with_suffix(".svg"), path.with_suffix(".png")]:
                metadata = {"Date": None} if target.suffix == ".svg" else {"Software": None}
                figure.savefig(target, dpi=150, metadata=metadata)
        finally:
            pyplot.close(figure)


def styles(names: Sequence[str]) -> dict[str, tuple[str, str, str]]:
    """Name → (colour, hatch, mark); from the ninth name on they come again."""
    return dict(zip(names, cycle(zip(COLOURS, HATCHES, MARKS, strict=True)), strict=False))


def legend(figure: "Figure", axis: "Axes", columns: int) -> None:
    """One legend for all axes, below them, so that it covers nothing."""
    handles, labels = axis.get_legend_handles_labels()
    if len(labels) > 1:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(columns, len(labels)))


def draw_losses(curves: Mapping[str, Sequence[Sequence[float]]], path: Path, title: str) -> None:
    """Loss in nats per target token over optimiser steps; `curves` maps a name to [step, loss] pairs."""
    with new_figure(path, figsize=(6, 3.2)) as (figure, (axis,)):
        for (name, points), (colour, _, mark) in zip(curves.items(), styles([*curves]).values(), strict=True):
            shown = mark if len(points) < 30 else None
            steps, losses = ([point[place] for point in points] for place in (0, 1))
            axis.plot(steps, losses, label=name, color=colour, marker=shown, markersize=4, linewidth=1.2)
        axis.set_xlabel("optimiser step")
        axis.set_ylabel("nats per target token")
        axis.set_title(fill(title, 75))
        axis.grid(axis="y", linewidth=0.4, alpha=0.5)
        legend(figure, axis, 4)
