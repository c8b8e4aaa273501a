"""Two models compared on every config and subset, from the prediction rows that fine-tuning runs push.

rows = load_dataset("<ns>/fsa-results", "predictions", split="train")
for found in compare(rows, "t5-base", "t5-sentiment-base"):
    ...  # found.difference, found.p_holm, found.smallest_difference
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hub_tools.benchmarks.configs import headline_split, subsets_of, task_of
from hub_tools.evaluation.results import is_in
from hub_tools.evaluation.rules import check_rule, sentence_counts
from hub_tools.evaluation.statistics.resampling import NOTHING, holm, paired_test, smallest_difference
from hub_tools.evaluation.statistics.variation import StatisticsError, mean_f1


# What a model must have been in one way only to be one system; the defaults are those of rows from before the columns.
SYSTEM = {"repo_id": None, "revision": None, "train_share": 1.0, "input_form": "plain"}


class Comparison(NamedTuple):
    """One test: a model against a baseline on one subset. Scores and differences are fractions."""

    config: str
    split: str
    subset: str
    baseline: str
    model: str
    rule: str
    n_sentences: int
    seeds_baseline: int
    seeds_model: int
    f1_baseline: float  # mean over seeds
    f1_model: float
    difference: float  # model less baseline
    low: float  # of the 95 % interval
    high: float
    p: float
    p_holm: float  # adjusted over all tests that `compare` returned together
    noise_bound: float  # a difference below it cannot be told from none
    smallest_difference: float  # one of this size is found four times in five


class Scored(NamedTuple):
    """One or more systems on one config, on the same sentences."""

    rows: list[Mapping]  # a prediction row per sentence, of any seed: for its flags and reference
    counts: dict[str, np.ndarray]  # model → shape (seeds, sentences, 4)


def compare(
    rows: Iterable[Mapping],
    baseline: str,
    model: str,
    task_of_config: Callable[[str], str] = task_of,
    rule: str = "paper",
    split: str | None = None,
    n: int = 10_000,
    seed: int = 0,
) -> list[Comparison]:
    """Tests `model` against `baseline` on each config and subset of which both have predictions.

    All the tests are one family for Holm's correction: eight configs and their subsets are some thirty chances to be
    lucky. So ask for what was planned, and not again and again.

    Args:
        rows: prediction rows, in any order: `model, config, id, sentence, reference, prediction, implicit, multiple,
            hard, seed` and, where known, `repo_id, revision, train_share, input_form`.
        task_of_config: a config's task; the part before the first hyphen, if not given.
        rule: one of `hub_tools.evaluation.rules.RULES`.
        split: "test" for the official test sets, without hard sentences; by default each config's headline split.
        n, seed: as for `paired_test`.

    Returns:
        In the configs' order, then the subsets'. An empty subset has nan everywhere, and does not count for Holm; a
        subset whose flags are not known (None) is left out, and so is a config that one of the two was not run on.

    Raises:
        StatisticsError: no config that both were run on; rows of several kinds of run under one name; a sentence
            without a prediction in some run, with two in one, or with two references.
    """
    check_rule(rule)
    if split not in (None, "test", "test_hard"):
        raise StatisticsError(f"unknown split {split!r}; allowed: test, test_hard, or None for each config's headline")
    by_config = _by_config(rows, (baseline, model))
    drafts = []
    for config in by_config:
        task, part = task_of_config(config), split or headline_split(config)
        scored = score_runs(config, by_config[config], task, rule)
        for subset in subsets_of(config):
            chosen = members(scored.rows, task, subset, part)
            if chosen is not None:
                a, b = (scored.counts[name][:, chosen] for name in (baseline, model))
                drafts.append(_compared((config, part, subset, baseline, model, rule), a, b, n, seed))
    adjusted = holm([draft.p for draft in drafts])
    return [draft._replace(p_holm=p) for draft, p in zip(drafts, adjusted, strict=True)]


def score_runs(config: str, runs: Mapping[str, Iterable[Mapping]], task: str, rule: str) -> Scored:
    """Counts of each model's runs on one config, sentence by sentence in one order; `runs` maps a model to its rows.

    Raises:
        StatisticsError: as for `compare`.
    """
    check_rule(rule)
    tables = {model: _by_seed(f"{config}: model {model!r}", rows) for model, rows in runs.items()}
    known: dict[str, Mapping] = {}
    for table in tables.values():
        for by_id in table.values():
            for id_, row in by_id.items():
                first = known.setdefault(id_, row)
                if (row["sentence"], row["reference"]) != (first["sentence"], first["reference"]):
                    raise StatisticsError(
                        f"{config}: sentence {id_!r} has two references or texts, {first['reference']!r} and "
                        f"{row['reference']!r}; compare runs on one revision of the benchmark"
                    )
    for model, table in tables.items():
        for number, by_id in table.items():
            if missing := [id_ for id_ in known if id_ not in by_id]:
                examples = ", ".join(map(repr, missing[:3]))
                raise StatisticsError(
                    f"{config}: model {model!r}, seed {number}, has no prediction for {len(missing):,} of "
                    f"{len(known):,} sentences (e.g. {examples}); a pair is compared on the same sentences"
                )
    rows = list(known.values())
    counts = {
        model: np.array([_counts([by_id[id_] for id_ in known], task, rule) for by_id in table.values()], dtype=float)
        for model, table in tables.items()
    }
    return Scored(rows, {model: array.reshape(-1, len(rows), 4) for model, array in counts.items()})


def members(rows: Sequence[Mapping], task: str, subset: str, split: str = "test_hard") -> np.ndarray | None:
    """Places of the rows that belong to a subset of a split, shape (members,); None where its flags are not known.

    `test_hard` is all rows, `test` those that are not marked hard.
    """
    if subset in ("implicit", "multiple") and any(row.get(subset) is None for row in rows):
        return None
    return np.array(
        [
            place
            for place, row in enumerate(rows)
            if (split == "test_hard" or not row.get("hard")) and is_in(row, subset, task)
        ],
        dtype=int,
    )


def _compared(names: tuple[str, ...], a: np.ndarray, b: np.ndarray, n: int, seed: int) -> Comparison:
    found = paired_test(a, b, n, seed)
    scores = (mean_f1(a), mean_f1(b)) if a.shape[1] else (NOTHING, NOTHING)
    bounds = (smallest_difference(a, b, power, seed=seed) for power in (0.5, 0.8))
    return Comparison(*names, a.shape[1], len(a), len(b), *scores, *found, NOTHING, *bounds)


def _by_config(rows: Iterable[Mapping], models: Sequence[str]) -> dict[str, dict[str, list[Mapping]]]:
    """Config → model → rows, of the configs that all of the models were run on, in the order they came."""
    if len(set(models)) < len(models):
        raise StatisticsError(f"a model is compared with another one; found {models[0]!r} twice")
    found: dict[str, dict[str, list[Mapping]]] = {}
    names = set()
    for row in rows:
        names.add(row["model"])
        if row["model"] in models:
            found.setdefault(row["config"], {}).setdefault(row["model"], []).append(row)
    common = {config: runs for config, runs in found.items() if len(runs) == len(models)}
    if not common:
        had = {name: [config for config, runs in found.items() if name in runs] for name in models}
        each = "; ".join(f"{name!r}: {', '.join(configs) or 'none'}" for name, configs in had.items())
        raise StatisticsError(f"no config with predictions of both ({each}); models there are: {_listed(names)}")
    return common


def _by_seed(where: str, rows: Iterable[Mapping]) -> dict[int, dict[str, Mapping]]:
    """Seed → id → row of one system, in the order of the seeds."""
    table: dict[int, dict[str, Mapping]] = {}
    kinds: dict[str, set] = {name: set() for name in SYSTEM}
    for row in rows:
        for name, usual in SYSTEM.items():
            value = row.get(name)
            kinds[name].add(usual if value is None else value)
        if table.setdefault(row["seed"], {}).setdefault(row["id"], row) is not row:
            raise StatisticsError(f"{where}, seed {row['seed']}, has two predictions for sentence {row['id']!r}")
    for name, values in kinds.items():
        if len(values) > 1:
            raise StatisticsError(f"{where} has rows of several {name}: {_listed(values)}; give the rows of one")
    return dict(sorted(table.items()))


def _listed(values: Iterable[object]) -> str:
    return ", ".join(sorted(map(str, values))) or "none"


def _counts(rows: Sequence[Mapping], task: str, rule: str) -> list[tuple[float, ...]]:
    columns = ([row[name] for row in rows] for name in ("prediction", "reference", "sentence"))
    return sentence_counts(*columns, task, rule)
