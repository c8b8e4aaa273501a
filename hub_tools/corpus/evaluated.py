"""The sentences that a benchmark on the Hub validates and tests on: nothing that is trained on may hold one."""

from collections.abc import Iterator, Mapping

from datasets import Dataset, get_dataset_config_names, load_dataset

from .contamination import BenchmarkSentences
from .leaks import EVALUATED


def load_sentences(benchmark: str, revision: str | None = None) -> dict[str, dict[str, Dataset]]:
    """Config → split → `id` and `sentence` of its rows."""
    return {
        config: dict(load_dataset(benchmark, config, revision=revision).select_columns(["id", "sentence"]))
        for config in get_dataset_config_names(benchmark, revision=revision)
    }


def evaluated(sentences: Mapping[str, Mapping[str, Dataset]]) -> Iterator[tuple[str, str]]:
    """Ids and texts of all that is validated or tested on, the added hard sentences included."""
    for config, splits in sentences.items():
        for split in EVALUATED:
            if split in splits and not (split == "test" and "test_hard" in splits):  # which holds all of `test`
                yield from ((f"{config}/{split}/{row['id']}", row["sentence"]) for row in splits[split])


def benchmark_sentences(benchmark: str, revision: str | None = None) -> BenchmarkSentences:
    """All of them, to look for."""
    return BenchmarkSentences(evaluated(load_sentences(benchmark, revision)))
