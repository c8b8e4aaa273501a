"""Benchmark sentences are found in texts, exactly where a plain search would find them."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tools.corpus import contamination
from hub_tools.corpus.contamination import LEAST_WORDS, BenchmarkSentences, Finding
from hub_tools.corpus.words import normalise


LONG = "We waited for an hour at the bar before they found us a small table near the kitchen door."


def test_the_docstrings_tell_the_truth():
    assert doctest.testmod(contamination).failed == 0


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("So: the WINE\nlist too is huge... ", "normalised"),
        ("He said: The wine list, too, is huge! Then he left.", "exact"),
        ("the wine lists too is huge", None),
    ],
)
def test_case_punctuation_and_line_ends_do_not_hide_a_sentence(text: str, how: str | None):
    found = BenchmarkSentences([("7", "The wine list, too, is huge!")]).find(text)
    assert found == ([Finding(how, ("7",))] if how else [])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (LONG.replace("small", "tiny"), True),
        (f"I was told: {LONG[LONG.index('before') :]}", True),
        (LONG[: LONG.index("the bar")], False),
        (LONG.replace("an", "one").replace("found", "gave").replace("near", "by"), False),
    ],
)
def test_an_edited_sentence_is_found_by_its_runs_of_words(text: str, found: bool):
    assert BenchmarkSentences([("7", LONG)]).find(text) == ([Finding("n-gram", ("7",))] if found else [])


def test_a_sentence_of_several_sets_is_one_with_all_its_ids():
    index = BenchmarkSentences([("a/1", LONG), ("b/2", LONG.upper()), ("a/3", "The food was great.")])
    assert (index.indexed, index.skipped) == (1, 1)
    assert index.find(LONG) == [Finding("exact", ("a/1", "b/2"))]
    assert index.find("The food was great.") == []


words = st.lists(st.sampled_from(["a", "b", "c"]), max_size=12).map(" ".join)


@given(st.lists(words, max_size=6), words)
def test_the_index_agrees_with_a_plain_search(sentences: list[str], text: str):
    expected = {s for s in sentences if len(normalise(s)) >= LEAST_WORDS and f" {s} " in f" {text} "}
    found = BenchmarkSentences((sentence, sentence) for sentence in sentences).find(text)
    assert {finding.ids[0] for finding in found if finding.how == "exact"} == expected
    assert all(finding.how != "normalised" for finding in found)
