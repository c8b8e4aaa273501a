"""Scores as a model repo tells them: `model-index` in its card's metadata, and `.eval_results/*.yaml`.

Both say the same: the first is what cards have had for long, the second is what a dataset that is registered as a
benchmark (its `eval.yaml` lists the tasks) makes a leaderboard of. Each value is a mean over seeds, in per cent.

    scores = Scores(results, "me/fsa-benchmark", task_id=hub_tools.benchmarks.registration.task_id)
    model_index(scores), eval_files(scores)

This room knows no benchmark: how a task is called there is the caller's to say, as a function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import yaml
from huggingface_hub import EvalResult, EvalResultEntry, ModelCard, eval_result_entries_to_yaml


FOLDER = ".eval_results"
RULES = {"f1": "paper", "strict_f1": "strict"}
SUBSETS = ("all", "implicit", "implicit_aspect", "implicit_opinion", "multiple")
TASK_NAMES = {  # by what configs begin with
    "tsa": "target sentiment analysis",
    "asa": "aspect sentiment analysis",
    "acos": "aspect sentiment quadruple extraction",
    "asqp": "aspect sentiment quadruple extraction",
}


@dataclass(frozen=True)
class Result:
    """Scores of one system on one subset, one value per seed, as fractions of 1 (both rules, same seeds)."""

    config: str
    subset: str
    f1: Sequence[float]
    strict_f1: Sequence[float]
    split: str = "test_hard"  # "test" for quads, which have no hard sentences
    sentences: int | None = None
    system: str | None = None  # None: the model of the card; else the name of what it is compared with

    def __post_init__(self) -> None:
        if self.subset not in SUBSETS:
            raise ValueError(f"subset of a result should be one of {', '.join(SUBSETS)}, found {self.subset!r}")
        if not self.f1 or len(self.f1) != len(self.strict_f1):
            raise ValueError(
                f"a result needs f1 and strict_f1 of the same seeds, found {len(self.f1)} and {len(self.strict_f1)}"
                f" ({self.config}, {self.subset})"
            )


@dataclass(frozen=True)
class Scores:
    """Results of one model on one benchmark; those of other systems among them are not told."""

    results: Sequence[Result]
    benchmark: str  # Hub id of the dataset
    # (config, subset, rule, split) → id of the task in the benchmark's eval.yaml; without it there is no such file.
    task_id: Callable[[str, str, str, str], str] | None = None
    benchmark_revision: str | None = None  # its commit
    source: str | None = None  # URL of the repo that holds every seed's scores and predictions
    date: str | None = None  # ISO 8601: when it was measured; the Hub takes the commit's time without it

    def each(self) -> Iterator[tuple[Result, str, Sequence[float]]]:
        """Every (result, rule, values over seeds) of the model itself, in the order of the results."""
        for result in self.results:
            for key, rule in RULES.items():
                if result.system is None:
                    yield result, rule, getattr(result, key)


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation (n − 1) over seeds, in per cent."""
    text = f"{100 * mean(values):.2f}"
    return f"{text} ± {100 * stdev(values):.2f}" if len(values) > 1 else text


def model_index(scores: Scores) -> list[EvalResult]:
    """The entries of `model-index`: config, split, rule and subset are in each."""
    return [
        EvalResult(
            task_type="text-generation",
            task_name=TASK_NAMES.get(result.config.partition("-")[0]),
            dataset_type=scores.benchmark,
            dataset_name=f"FSA benchmark, {result.config}",
            dataset_config=result.config,
            dataset_split=result.split,
            dataset_revision=scores.benchmark_revision,
            metric_type="f1",
            metric_name=f"F1 ({rule} rule), {result.subset}",
            metric_value=_value(values),
            metric_args={"rule": rule, "subset": result.subset, "seeds": len(values)},
            source_name="Every seed's scores and predictions" if scores.source else None,
            source_url=scores.source,
        )
        for result, rule, values in scores.each()
    ]


def with_model_index(card: str, scores: Scores, repo_id: str) -> str:
    """The card with these scores in its metadata; the text as it stands if it says them already.

    Entries about other datasets stay, in front. A card that had no `model-index` is named as its repo.

    Raises:
        ValueError: the metadata is no valid YAML, or its `model-index` cannot be read.
    """
    parsed = ModelCard(card, ignore_metadata_errors=False)
    others = [entry for entry in parsed.data.eval_results or [] if entry.dataset_type != scores.benchmark]
    entries = [*others, *model_index(scores)]
    if entries == (parsed.data.eval_results or []):
        return card
    parsed.data.eval_results = entries or None
    parsed.data.model_name = parsed.data.model_name or repo_id.rpartition("/")[2]
    named = parsed.data.metrics or []
    parsed.data.metrics = list(dict.fromkeys([*([named] if isinstance(named, str) else named), "f1"]))
    return str(parsed)


def eval_entries(scores: Scores) -> list[EvalResultEntry]:
    """The same scores as entries of `.eval_results/*.yaml`, each with a note of how it was measured.

    Raises:
        ValueError: whatever `task_id` raises for a config, subset or split that the benchmark does not list.
    """
    if scores.task_id is None:
        return []
    return [
        EvalResultEntry(
            dataset_id=scores.benchmark,
            task_id=scores.task_id(result.config, result.subset, rule, result.split),
            value=_value(values),
            dataset_revision=scores.benchmark_revision,
            date=scores.date,
            source_url=scores.source,
            source_name="Every seed's scores and predictions" if scores.source else None,
            notes=_note(result, rule, values),
        )
        for result, rule, values in scores.each()
    ]


def eval_files(scores: Scores) -> dict[str, bytes]:
    """Path in the model's repo → content: one file per benchmark, none where there is no entry."""
    entries = eval_entries(scores)
    if not entries:
        return {}
    text = yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True, width=110)
    return {f"{FOLDER}/{scores.benchmark.partition('/')[2] or scores.benchmark}.yaml": text.encode()}


def _value(values: Sequence[float]) -> float:
    return round(100 * mean(values), 2)


def _note(result: Result, rule: str, values: Sequence[float]) -> str:
    sentences = f", {result.sentences:,} sentences" if result.sentences is not None else ""
    seeds = f"mean ± standard deviation of {len(values)} seeds" if len(values) > 1 else "one seed"
    return (
        f"F1 in per cent by the {rule} rule; split {result.split}, subset {result.subset}{sentences}; {seeds}:"
        f" {spread(values)}; checkpoints chosen on validation"
    )
