"""What the figures show beside a config's scores: averages over cells against data, and what the rules disagree on."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from hub_tools.evaluation.published import published
from hub_tools.evaluation.results import EXTRA_SCORES
from hub_tools.evaluation.tables import complete, headline, is_quad


class Point(NamedTuple):
    """F1 in percent at `x`: mean and standard deviation (n − 1; 0 of one seed) over seeds."""

    x: float
    mean: float
    sd: float
    seeds: int


def averages(rows: Iterable[Mapping], models: Sequence[str]) -> tuple[dict[tuple[str, float], Point], int]:
    """
    (model, share of train) → F1 by the paper's rule averaged over the cells (config × subset) that all of them have,
    as Figures 4 and 5 of the paper average Table 4's twelve cells; and how many cells these are. `x` is the share.

    Quads count only where there is nothing else.
    """
    found: dict[tuple[str, float], dict[tuple[str, str], dict[int, float]]] = {}
    scored = [row for row in complete(rows) if row["n_sentences"] and row["model"] in models]
    quads = all(is_quad(row["config"]) for row in scored)
    for row in scored:
        if row["split"] == headline(row["config"]) and is_quad(row["config"]) == quads:
            cells = found.setdefault((row["model"], row["train_share"]), {})
            cells.setdefault((row["config"], row["subset"]), {})[row["seed"]] = 100 * row["f1"]
    shared = set.intersection(*(set(cells) for cells in found.values())) if found else set()
    points = {}
    for key, cells in found.items() if shared else ():
        seeds = set.intersection(*(set(cells[cell]) for cell in shared))
        values = [statistics.mean(cells[cell][seed] for cell in shared) for seed in sorted(seeds)]
        if values:
            points[key] = Point(
                key[1], statistics.mean(values), statistics.stdev(values) if values[1:] else 0.0, len(values)
            )
    return points, len(shared)


def share_curves(rows: Sequence[Mapping]) -> tuple[dict[str, list[Point]], int]:
    """Model → points over the share of training sentences, of the models that were trained on several shares."""
    shares: dict[str, set[float]] = {}
    for row in complete(rows):
        shares.setdefault(row["model"], set()).add(row["train_share"])
    models = [model for model, found in shares.items() if len(found) > 1]
    points, cells = averages(rows, models)
    return {model: sorted(point for (name, _), point in points.items() if name == model) for model in models}, cells


def scaling_curves(
    rows: Sequence[Mapping], numbers: Mapping[str, tuple[str, float]]
) -> tuple[dict[str, list[Point]], int]:
    """Line → points over a number of reviews or parameters; `numbers`: model → (its line's name, its number)."""
    whole = [row for row in complete(rows) if row["train_share"] == 1]
    points, cells = averages(whole, list(numbers))
    curves: dict[str, list[Point]] = {}
    for model, (line, number) in numbers.items():
        if (model, 1.0) in points:
            curves.setdefault(line, []).append(points[model, 1.0]._replace(x=number))
    return {line: sorted(found) for line, found in curves.items()}, cells


def published_scaling() -> dict[str, list[Point]]:
    """Teacher → Table 4's averages without distillation and with 100 thousand and 1 million reviews."""
    lines = published(4).lines
    base = statistics.mean(lines[0].scores)
    sizes = {"Distil (ANL&RW)": 100_000, "Distil (ANL&RW, 1M)": 1_000_000}
    curves: dict[str, list[Point]] = {}
    for line in lines:
        if line.method in sizes:
            points = curves.setdefault(line.teacher, [Point(0, base, 0.0, 10)])
            points.append(Point(sizes[line.method], statistics.mean(line.scores), 0.0, 10))
    return curves


def rule_gaps(rows: Iterable[Mapping]) -> list[dict]:
    """
    Per config and model on all sentences, means over seeds, in percent: precision, recall and F1 by the paper's rule,
    strict F1, their difference `gap`, F1 by other rules if all runs have it; and per 100 items that were written, how
    many are malformed, invented, repeated.
    """
    cells: dict[tuple[str, str], list[Mapping]] = {}
    for row in complete(rows):
        if row["subset"] == "all" and row["split"] == headline(row["config"]) and row["train_share"] == 1:
            cells.setdefault((row["config"], row["model"]), []).append(row)
    found = []
    configs = list(dict.fromkeys(config for config, _ in cells))
    for (config, model), runs in sorted(cells.items(), key=lambda item: configs.index(item[0][0])):
        scores = {
            name: 100 * statistics.mean(run[name] for run in runs)
            for name in ("precision", "recall", "f1", "strict_f1", *EXTRA_SCORES)
            if all(run.get(name) is not None for run in runs)
        }
        written = sum(run["n_predicted"] + run["n_malformed"] + run["n_invented"] for run in runs)
        counts = {
            kind: 100 * sum(run[f"n_{kind}"] for run in runs) / max(1, written)
            for kind in ("malformed", "invented", "repeated")
        }
        found.append({"config": config, "model": model, **scores, "gap": scores["f1"] - scores["strict_f1"], **counts})
    return found
