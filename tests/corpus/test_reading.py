"""Pairs as a student reads them: of which configs and teachers, whole, as often as asked for."""

import math
import os
import uuid
from collections import Counter

import pytest
from datasets import Dataset
from huggingface_hub import HfApi

from hub_tools.corpus.contamination import BenchmarkSentences
from hub_tools.corpus.reading import Tally, _of_teachers, corpus_rows, without_sentences
from hub_tools.hub.push import push_dataset


@pytest.fixture
def corpus() -> str:
    return f"ns-{uuid.uuid4().hex[:8]}/corpus"


def test_pairs_are_those_of_the_configs_named_and_never_the_rejected(corpus):
    for config in ("lexicon-restaurant-analysis", "lexicon-restaurant-rewriting", "rejected"):
        Dataset.from_list([{"pair_id": config, "input": "a", "target": "b"}]).push_to_hub(corpus, config)
    commit = HfApi().dataset_info(corpus).sha
    rows = corpus_rows(corpus, commit)
    found = ["lexicon-restaurant-analysis", "lexicon-restaurant-rewriting"]
    assert [row["pair_id"] for row in rows] == [row["pair_id"] for row in rows] == found
    only = corpus_rows(corpus, commit, ["lexicon-restaurant-rewriting"])
    assert [row["pair_id"] for row in only] == ["lexicon-restaurant-rewriting"]
    assert [*corpus_rows(corpus, commit, streaming=True)] == [*rows]
    for unknown in ("mixtral-laptop-analysis", "rejected"):
        with pytest.raises(ValueError, match=rf"has no config {unknown}; found: lexicon-restaurant-analysis, lex"):
            corpus_rows(corpus, commit, [unknown])


def test_a_corpus_with_variants_is_read_as_both_prompts(corpus):
    rows = Dataset.from_list([{"pair_id": "1", "input": "a", "target": "b"}])
    push_dataset({"t-laptop-analysis": {"train": rows}}, corpus, "# c\n", unions={"both": ["t-laptop-analysis"]})
    assert len([*corpus_rows(corpus, "main")]) == len([*corpus_rows(corpus, "main", ["both"])]) == 1


def test_teachers_can_be_chosen(corpus):
    rows = [{"pair_id": f"{n}", "input": "a", "target": "b", "teacher": "xyz"[n % 3]} for n in range(7)]
    push_dataset({"both": {"train": Dataset.from_list(rows)}}, corpus, "# c\n")
    assert [row["pair_id"] for row in corpus_rows(corpus, "main", teachers=["x", "z"])] == ["0", "2", "3", "5", "6"]
    with pytest.raises(ValueError, match=rf"{corpus} has nothing by v, w; its teachers: x, y, z"):
        list(corpus_rows(corpus, "main", teachers=["w", "x", "v"]))


def test_rows_without_a_column_come_through_to_be_refused_with_all_they_lack(corpus):
    rows = [{"pair_id": "1", "target": "b", "teacher": None}, {"pair_id": "2", "target": "b", "teacher": "x"}]
    Dataset.from_list(rows).push_to_hub(corpus, "c")
    assert [row["pair_id"] for row in corpus_rows(corpus, "main")] == ["1", "2"]
    assert [row["pair_id"] for row in corpus_rows(corpus, "main", teachers=["x"])] == ["2"]
    with pytest.raises(ValueError, match="has nothing by y; its teachers: x"):
        [*corpus_rows(corpus, "main", teachers=["y"])]
    with pytest.raises(ValueError, match="its teachers: none is named in its column `teacher`"):
        [*_of_teachers([{"pair_id": "1"}], ["y"], corpus)]


@pytest.mark.parametrize("rating", ["5", math.inf, -math.inf, True, [5]])
def test_a_rating_that_is_no_number_of_stars_is_refused_with_its_row(rating):
    pairs = [{"pair_id": "a", "rating": math.nan}, {"pair_id": "b", "rating": rating}]
    with pytest.raises(ValueError, match=r"Row 1 of the corpus \(pair b\): its rating is .* not a number of stars"):
        [*Tally().of(pairs)]


def test_a_pair_that_holds_a_sentence_of_the_benchmark_is_left_out_and_counted():
    sentences, skipped = BenchmarkSentences([("7", "The pasta was really not bad.")]), Counter()
    pairs = [{"input": "a", "target": "He said: the pasta was really not bad!"}, {"input": "b", "target": "c"}]
    assert list(without_sentences(pairs, sentences, skipped)) == pairs[1:]
    assert skipped == {"benchmark sentence": 1}
    assert list(without_sentences(pairs, None, skipped)) == pairs


def test_a_tally_counts_what_passes_changes_nothing_and_can_be_kept(tmp_path):
    pairs = [
        {"teacher": "x", "rating": 4.5, "domain": "laptop"},
        {"teacher": "y", "rating": None, "domain": None},
        {"teacher": "x", "domain": "laptop"},
        {"rating": 0.2, "domain": "hotel"},
    ]
    tally = Tally()
    assert list(tally.of(pairs)) == pairs
    tally.save(tmp_path / "tally", "these", {"empty": 2})
    kept, left_out = Tally.load(tmp_path / "tally", "these")
    for each in (tally, kept):
        assert each.teachers == {"x": 2, "y": 1, "": 1}
        assert each.stars.tolist() == [5, 0, 0, 1]
        assert [each.domain_names[number] for number in each.domains] == ["laptop", "", "laptop", "hotel"]
    assert left_out == {"empty": 2}
    assert Tally.load(tmp_path / "tally", "others") is None
    os.truncate(tmp_path / "tally", 40)
    assert Tally.load(tmp_path / "tally", "these") is None
