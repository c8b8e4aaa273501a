"""What of the differences in a report is more than chance: tables and sentences from `statistics`, for all models."""

import math
from collections.abc import Mapping, Sequence

from hub_tools.benchmarks.configs import headline_split, subsets_of, task_of
from hub_tools.evaluation.paper_tables import config_name
from hub_tools.evaluation.statistics import (
    Comparison,
    StatisticsError,
    compare,
    holm,
    members,
    score_interval,
    score_runs,
)
from hub_tools.evaluation.tables import SUBSET_NAMES
from hub_tools.evaluation.typesetting import Block, Cell, Table, Value


LEVEL = 0.05


def compare_all(
    predictions: Sequence[Mapping], baseline: str, n: int = 10_000, but: Sequence[str] = ()
) -> tuple[list[Comparison], list[str]]:
    """
    The baseline against each other model, on every config and subset that both were run on, by the paper's rule.

    All its tests together are one family for Holm's correction: a report with four models has four times the chances
    to be lucky. Models that cannot be compared (runs that lack sentences, two models under one label) are named in the
    second part, with the reason.

    Args:
        predictions: as `tables.complete` gives them; only those of models trained on all sentences are used.
        n: resamples; 10,000 of 1,000 sentences and three seeds take about a second a test.
        but: models that were baselines before this one: their tests against it were theirs, the other way round.
    """
    whole = [row for row in predictions if row["train_share"] == 1]
    found, problems = [], []
    for model in dict.fromkeys(row["model"] for row in whole if row["model"] not in (baseline, *but)):
        try:
            found += compare(whole, baseline, model, n=n)
        except StatisticsError as error:
            problems.append(f"{model} is not compared with {baseline}: {error}.")
    adjusted = holm([comparison.p for comparison in found])
    return [comparison._replace(p_holm=p) for comparison, p in zip(found, adjusted, strict=True)], problems


def score_intervals(predictions: Sequence[Mapping], n: int = 2_000) -> dict[tuple[str, str, str], tuple[float, float]]:
    """
    (model, config, subset) → bounds of the 95 % interval of F1 over sentences and seeds, in percent; for pictures.

    A config that the runs of some model do not cover is left out.
    """
    runs: dict[str, dict[str, list[Mapping]]] = {}
    for row in predictions:
        if row["train_share"] == 1:
            runs.setdefault(row["config"], {}).setdefault(row["model"], []).append(row)
    found = {}
    for config, of_config in runs.items():
        try:
            scored = score_runs(config, of_config, task_of(config), "paper")
        except StatisticsError:
            continue  # `compare_all` names it
        for subset in subsets_of(config):
            chosen = members(scored.rows, task_of(config), subset, headline_split(config))
            for model, counts in scored.counts.items() if chosen is not None and len(chosen) else ():
                interval = score_interval(counts[:, chosen], n=n)
                found[model, config, subset] = (100 * interval.low, 100 * interval.high)
    return found


def significance_table(comparisons: Sequence[Comparison]) -> Table:
    """Difference, interval and p per config and subset, a block per model; in points of F1."""
    columns = [
        ("", "Config"), ("", "Subset"), ("", "Sentences"), ("", "Difference"), ("95 % interval", "from"),
        ("95 % interval", "to"), ("", "p"), ("", "p, Holm"), ("", "Verdict"),
    ]  # fmt: skip
    blocks: dict[tuple[str, str, int, int], list[list[Cell]]] = {}
    for found in comparisons:
        key = (found.model, found.baseline, found.seeds_model, found.seeds_baseline)
        points = [_points(value, True) for value in (found.difference, found.low, found.high)]
        blocks.setdefault(key, []).append(
            [*_place(found), *points, _p(found.p), _p(found.p_holm), verdict(found)]
        )  # fmt: skip
    seeds = "{} less {} (seeds: {} and {})"
    return Table(
        "significance",
        f"Differences of F1, paper rule, in points: {families(comparisons)}",
        columns,
        [Block(seeds.format(*key), lines) for key, lines in blocks.items()],
        "Intervals and p-values are over sentences and seeds together: paired resampling of sentences, with the "
        "seeds' noise. Seeds are those of fine-tuning: the chance of pretraining, of which each model had one, is in "
        "none of them. Of one seed each, they hold for these two trained models and not for the methods.",
        text_columns=2,
    )


def families(comparisons: Sequence[Comparison]) -> str:
    """What Holm's correction is over, in words: the tests against each baseline are a family of their own."""
    baselines = dict.fromkeys(found.baseline for found in comparisons)
    counts = {baseline: _tests(comparisons, baseline) for baseline in baselines}
    if len(counts) == 1:
        return f"{counts.popitem()[1]}, one family for Holm's correction"
    parts = " and ".join(f"{count} against {baseline}" for baseline, count in counts.items())
    return f"{parts}, a family each for Holm's correction"


def _tests(comparisons: Sequence[Comparison], baseline: str) -> str:
    """How many there were against it: nothing is tested on a subset without sentences."""
    count = sum(found.n_sentences > 0 for found in comparisons if found.baseline == baseline)
    return "1 test" if count == 1 else f"{count} tests"


def noise_table(comparisons: Sequence[Comparison]) -> Table:
    """What each subset can show: below which difference it is chance's, and which is found 4 times in 5."""
    worst: dict[tuple[str, str], tuple[float, float, Comparison]] = {}
    for found in comparisons:
        if found.n_sentences:
            known = worst.get((found.config, found.subset))
            bounds = (*noise_bounds(found), found)
            worst[found.config, found.subset] = bounds if known is None else max(known, bounds, key=lambda one: one[0])
    lines: list[list[Cell]] = [
        [*_place(found), _points(noise), _points(sure)] for noise, sure, found in worst.values()
    ]
    columns = [("", "Config"), ("", "Subset"), ("", "Sentences"), ("", "Noise below"), ("", "Found 4 times in 5")]
    title = "What a subset can show, in points of F1 with this many sentences and seeds"
    return Table("noise", title, columns, [Block("", lines)], "Of several comparisons, the noisiest.", text_columns=2)


def noise_bounds(found: Comparison) -> tuple[float, float]:
    """
    The noise bound of a comparison, at least half its interval's width, and the difference found four times in five.

    Of two or three seeds the interval, whose tails are those of few seeds, is wider than the bound: a report that
    called 4 points more than noise and then left 5 open would contradict itself.
    """
    noise = max(found.noise_bound, (found.high - found.low) / 2)
    return noise, found.smallest_difference + noise - found.noise_bound


def noise_sentences(comparisons: Sequence[Comparison], at_most: int = 3) -> list[str]:
    """The subsets that can show least, in words."""
    lines = [line for block in noise_table(comparisons).blocks for line in block.lines if line[3] is not None]
    lines.sort(key=lambda line: -line[3].mean)
    return [
        f"{subset} on {config} has {sentences} sentences: "
        f"differences below {noise.mean:.1f} points cannot be told from chance."
        for config, subset, sentences, noise, _ in lines[:at_most]
    ]


def verdict(found: Comparison) -> str:
    """`better`, `worse` or `open` at the level of 5 % after Holm's correction; "–" where there is nothing."""
    if math.isnan(found.p_holm):
        return "–"
    if found.p_holm >= LEVEL:
        return "open"
    return "better" if found.difference > 0 else "worse"


def _place(found: Comparison) -> list[Cell]:
    return [config_name(found.config), SUBSET_NAMES[found.subset], f"{found.n_sentences:,}"]


def _points(value: float, signed: bool = False) -> Value | None:
    return None if math.isnan(value) else Value(100 * value, signed=signed)


def _p(value: float) -> str | None:
    return None if math.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def verdicts(comparisons: Sequence[Comparison]) -> list[str]:
    """How often each model differs from a baseline, in words."""
    found: dict[tuple[str, str], list[str]] = {}
    for comparison in comparisons:
        found.setdefault((comparison.model, comparison.baseline), []).append(verdict(comparison))
    return [
        f"{model} against {baseline}: better on {of.count('better')}, worse on {of.count('worse')} and open on "
        f"{of.count('open')} of {len(of) - of.count('–')} config-subsets "
        f"(5 %, Holm over {_tests(comparisons, baseline)})."
        for (model, baseline), of in found.items()
    ]
