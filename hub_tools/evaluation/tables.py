"""From result rows to means and spreads over seeds, and the comparison of models that the terminal shows."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from itertools import product

from hub_tools.benchmarks.configs import headline_split, is_quads
from hub_tools.evaluation.results import EXTRA_SCORES, SCORES
from hub_tools.evaluation.typesetting import MISSING, Value, shown


SUBSETS = ("all", "implicit", "implicit_aspect", "implicit_opinion", "multiple")
SUBSET_NAMES = {
    "all": "All",
    "implicit": "Implicit",
    "implicit_aspect": "Implicit aspect",
    "implicit_opinion": "Implicit opinion",
    "multiple": "Multiple",
}
QUAD_TASKS = ("acos", "asqp")
MEANS = (
    "mean",
    "mean of quads",
)  # of the configs of four opinions' fields one cannot take a mean with the other tasks'
OTHER_RULES = ("partial_f1", "instructabsa_f1", "absa_quad_f1")
OF_OLD = {"train_share": 1.0, "input_form": "plain"}  # what rows are that were written before these columns
PLACE = ("model", "config", "train_share", "split", "subset")


def complete(rows: Iterable[Mapping]) -> list[dict]:
    """
    Result or prediction rows with the columns that older results lack. Where a label was run with both input forms,
    the models that read an instruction are told apart: "base" and "base, instruction".
    """
    filled = [{**row, **{key: value for key, value in OF_OLD.items() if row.get(key) is None}} for row in rows]
    forms = {(row["model"], row["input_form"]) for row in filled}
    both = {model for model, form in forms if form == "instruction" and (model, "plain") in forms}
    for row in filled:
        if row["model"] in both and row["input_form"] == "instruction":
            row["model"] = f"{row['model']}, instruction"
    return filled


def is_quad(config: str) -> bool:
    """Whether a config, or a mean of configs, is of quads, which have subsets and a headline split of their own."""
    return config == MEANS[1] if config in MEANS else is_quads(config)


def headline(config: str) -> str:
    """The split of a config's, or a mean's, main scores: `test_hard` as in the paper, of quads the official `test`."""
    return headline_split(config) if config not in MEANS else ("test" if is_quad(config) else "test_hard")


def summarise(rows: Iterable[Mapping]) -> list[dict]:
    """
    Result rows → one row per model, config, share of the training sentences, split and subset: mean and standard
    deviation (of the sample, n − 1) over seeds, in percent, by both rules and by those others that were computed.

    `config` "mean" averages the configs seed by seed, "mean of quads" those of quads, for the models that were run on
    all of them. A subset without sentences is left out: its score of 1 means nothing.
    """
    cells: dict[tuple, dict[int, Mapping]] = {}
    for row in complete(rows):
        if row["n_sentences"]:
            cells.setdefault(tuple(row[name] for name in PLACE), {})[row["seed"]] = row
    cells |= _means(cells)
    return [
        {
            **dict(zip(PLACE, key, strict=True)),
            "seeds": len(cell),
            **{f"{score}_{name}": value for score in _scores(cell) for name, value in spread(cell, score).items()},
        }
        for key, cell in cells.items()
        if cell
    ]


def _means(cells: Mapping[tuple, Mapping[int, Mapping]]) -> dict[tuple, dict[int, dict]]:
    """The cells of the configs' means; a seed counts if every config has it."""
    families: dict[tuple, list[str]] = {}
    for _, config, share, split, subset in cells:
        family = (MEANS[is_quad(config)], share, split, subset)
        families.setdefault(family, []).append(config)
    found = {}
    for (mean, *place), configs in families.items():
        for model in dict.fromkeys(key[0] for key in cells):
            parts = [cells.get((model, config, *place)) for config in dict.fromkeys(configs)]
            if all(parts):
                seeds = [seed for seed in parts[0] if all(seed in part for part in parts)]
                scores = [score for score in _scores(parts[0]) if all(score in _scores(part) for part in parts)]
                found[(model, mean, *place)] = {
                    seed: {score: statistics.mean(part[seed][score] for part in parts) for score in scores}
                    for seed in seeds
                }
    return found


def _scores(cell: Mapping[int, Mapping]) -> list[str]:
    """The scores that all seeds of a cell have."""
    return [score for score in (*SCORES, *EXTRA_SCORES) if all(row.get(score) is not None for row in cell.values())]


def spread(cell: Mapping[int, Mapping], score: str) -> dict[str, float]:
    """Mean and sample standard deviation of `score` over a cell's seeds, in percent; with one seed, 0."""
    values = [100 * row[score] for row in cell.values()]
    return {"mean": statistics.mean(values), "sd": statistics.stdev(values) if len(values) > 1 else 0.0}


def value_of(summarised: Mapping | None, score: str = "f1") -> Value | None:
    """A summary row's mean and spread; no spread of a single seed, None where nothing was scored."""
    if summarised is None or f"{score}_mean" not in summarised:
        return None
    return Value(summarised[f"{score}_mean"], summarised[f"{score}_sd"] if summarised["seeds"] > 1 else None)


def table(summary: Sequence[Mapping], split: str | None = None) -> tuple[list[str], list[list[str]]]:
    """
    The comparison as (header, lines): a line per config, subset and rule, a column per model with `F1 ± sd` in percent
    (no sd of a single seed, "–" where there is nothing to score), and the difference of two models.

    `split` is each config's own main one (see `headline`) unless it is given; models trained on a share of the
    sentences are not shown.
    """
    chosen = [row for row in summary if row["split"] == (split or headline(row["config"])) and row["train_share"] == 1]
    models = list(dict.fromkeys(row["model"] for row in chosen))
    cells = {(row["config"], row["subset"], row["model"]): row for row in chosen}
    configs = sorted(dict.fromkeys(row["config"] for row in chosen), key=is_quad)
    kinds = [is_quad(config) for config in configs if config not in MEANS]
    lines = []
    for config, subset in product(configs, SUBSETS):
        if config in MEANS and kinds.count(is_quad(config)) == 1:
            continue  # it would repeat its only config
        values = [cells.get((config, subset, model)) for model in models]
        if not any(values) and (is_quad(config) or "implicit_" in subset):
            continue
        for rule, score in (("paper", "f1"), ("strict", "strict_f1")):
            shown_values = [shown(value_of(value, score)) for value in values]
            lines.append([config, SUBSET_NAMES[subset], rule, *shown_values])
            if len(models) == 2:
                means = [value[f"{score}_mean"] for value in values if value]
                lines[-1].append(f"{means[1] - means[0]:+.2f}" if len(means) == 2 else MISSING)
    seeds = {model: max(row["seeds"] for row in chosen if row["model"] == model) for model in models}
    header = ["config", "subset", "rule", *(f"{model} ({seeds[model]} seeds)" for model in models)]
    return [*header, *(["difference"] if len(models) == 2 else [])], lines
