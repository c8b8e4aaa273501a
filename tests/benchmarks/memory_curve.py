"""The picture of what the memory scripts measure: peak memory against the number of rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib


matplotlib.use("Agg")

from matplotlib import pyplot


Peaks = Mapping[str, Sequence[tuple[int, Mapping]]]  # way → (rows, what was measured, its "peak" in MB)


def draw_curve(
    found: Peaks, ways: Mapping[str, tuple[str, str, str]], rows: str, path: Path, libraries: float | None = None
) -> None:
    """A line a way; `ways`: way → (label, colour, marker), `libraries`: MB that are there before any row."""
    figure, axes = pyplot.subplots(figsize=(6.4, 3.6), layout="constrained")
    for name, points in found.items():
        label, colour, marker = ways[name]
        sizes, peaks = [size for size, _ in points], [result["peak"] for _, result in points]
        axes.plot(sizes, peaks, label=label, color=colour, marker=marker)
    if libraries is not None:
        axes.axhline(libraries, color="0.6", linewidth=0.8, linestyle="--", label="the libraries alone")
    axes.set(xscale="log", xlabel=rows, ylabel="peak memory (MB)", ylim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_formatter(lambda size, _: f"{size:,.0f}")
    axes.legend(frameon=False, loc="best")
    figure.savefig(path, dpi=150, metadata={"Software": None} if path.suffix == ".png" else None)
