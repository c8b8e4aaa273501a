"""The sentences that a benchmark on the Hub validates and tests on."""

import uuid

from datasets import Dataset

from hub_tools.corpus.evaluated import benchmark_sentences
from hub_tools.hub.push import push_dataset


def test_the_sentences_are_those_of_every_evaluated_split_and_no_other():
    def rows(*sentences: str) -> Dataset:
        return Dataset.from_list(
            [{"id": str(n), "sentence": sentence, "text": ""} for n, sentence in enumerate(sentences)]
        )

    splits = {
        "train": rows("This very sentence is one to learn."),
        "validation": rows("This very sentence is one to choose by."),
        "test": rows("This very sentence is one to score."),
        "test_hard": rows("This very sentence is one to score.", "This very sentence is one that is hard."),
    }
    repo_id = f"n{uuid.uuid4().hex[:8]}/fsa-benchmark"
    commit = push_dataset({"a": splits, "b": splits}, repo_id, "# b\n")
    push_dataset({"c": splits}, repo_id, "# b\n")  # a later one, which is not asked for
    sentences = benchmark_sentences(repo_id, commit)
    assert sentences.indexed == 3
    assert not sentences.find("This very sentence is one to learn.")
    assert sentences.find("This very sentence is one to choose by.")[0].ids == ("a/validation/0", "b/validation/0")
    assert sentences.find("This very sentence is one to score.")[0].ids == ("a/test_hard/0", "b/test_hard/0")
