"""Benchmark sentences are found in texts, exactly where a plain search would find them."""

import doctest

from hypothesis import given
from hypothesis import strategies as st

from hub_tools.corpus import contamination
from hub_tools.corpus.contamination import LEAST_WORDS, BenchmarkSentences, normalise


def test_the_docstrings_tell_the_truth():
    assert doctest.testmod(contamination).failed == 0


def test_case_punctuation_and_line_ends_do_not_hide_a_sentence():
    index = BenchmarkSentences(["The wine list, too, is huge!"])
    assert index.find("So: the WINE\nlist too is huge...") == ["The wine list, too, is huge!"]
    assert index.find("the wine lists too is huge") == []


def test_short_sentences_are_left_out_and_counted():
    index = BenchmarkSentences(["The food was great.", "The food was great here.", "the food was great here"])
    assert (index.indexed, index.skipped) == (1, 1)
    assert index.find("The food was great.") == []


words = st.lists(st.sampled_from(["a", "b", "c"]), max_size=12).map(" ".join)


@given(st.lists(words, max_size=6), words)
def test_the_index_agrees_with_a_plain_search(sentences: list[str], text: str):
    expected = {s for s in sentences if len(normalise(s)) >= LEAST_WORDS and f" {s} " in f" {text} "}
    assert set(BenchmarkSentences(sentences).find(text)) == expected
