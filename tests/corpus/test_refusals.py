"""A corpus that must not train anything is refused with the reason, and a good one goes through untouched."""

from collections.abc import Iterator

import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from hub_tools.corpus.contamination import BenchmarkSentences
from hub_tools.corpus.refusals import check_pairs, checked, refuse_contaminated


SENTENCE = "The wine list, too, is huge!"
LONG = "We waited for an hour at the bar before they found us a small table near the kitchen door."
SENTENCES = BenchmarkSentences([("tsa-rest14/test/7", SENTENCE), ("asa-rest16/validation/3", LONG)])


def pair(number: int, **changes) -> dict:
    row = {"pair_id": f"p{number}", "review_id": f"r{number}", "input": f"Review {number}.", "target": "Fine.", "x": 1}
    return row | changes


def test_good_pairs_go_through_as_they_are_one_by_one():
    drawn: list[int] = []

    def stream() -> Iterator[dict]:
        for number in range(5):
            drawn.append(number)
            yield pair(number)

    through = checked(stream(), SENTENCES)
    assert next(through) == pair(0)
    assert drawn == [0], "nothing is read ahead"
    assert list(through) == [pair(number) for number in range(1, 5)]
    assert check_pairs(Dataset.from_list([pair(1), pair(2)])) == 2


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"text": "a", "target": "b"}, "no column pair_id, review_id, input; needed: .*; found: text, target"),
        (pair(1, input=""), r"Row 1 of the corpus \(pair p1\): its input is empty"),
        (pair(1, target=" \n\t"), "its target is empty"),
        (pair(1, input=None), "its input is None, not a text"),
        (pair(1, target=3), "its target is 3, not a text"),
    ],
    ids=["columns", "empty", "blank", "none", "number"],
)
def test_a_row_that_is_no_pair_is_refused_at_once(row: dict, told: str):
    through = checked([pair(0), row, pair(2)])
    next(through)
    with pytest.raises(ValueError, match=told):
        next(through)


def test_an_empty_corpus_is_refused():
    with pytest.raises(ValueError, match="holds no pair to train on"):
        check_pairs([])


def test_pairs_of_one_id_are_refused_by_their_rows():
    with pytest.raises(ValueError, match=r"2 pairs have the id of an earlier one \(rows 2, 4\)"):
        check_pairs([pair(0), pair(1), pair(0), pair(3), pair(0)])


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12))
def test_repeats_are_counted_as_a_set_counts_them(numbers: list[int]):
    repeats = len(numbers) - len(set(numbers))
    if not repeats:
        assert check_pairs(map(pair, numbers)) == len(numbers)
        return
    with pytest.raises(ValueError, match=rf"^{repeats} pairs have"):
        check_pairs(map(pair, numbers))


CONTAMINATED = [
    pair(1, input=f"He said: {SENTENCE} Then he left."),
    pair(2, target="so, the WINE list too is huge..."),
    pair(3, input=LONG.replace("small", "tiny"), target=SENTENCE),
]


@pytest.mark.parametrize("refuse", [check_pairs, refuse_contaminated])
def test_a_corpus_with_a_benchmark_sentence_is_refused_with_the_first_pairs_and_the_way_out(refuse):
    with pytest.raises(ValueError) as refusal:
        refuse([pair(0), *CONTAMINATED, pair(4)], SENTENCES)
    told = str(refusal.value)
    assert told.startswith("3 pairs contain a sentence that the benchmark validates or tests on: ")
    assert "p1 (tsa-rest14/test/7, exact), p2 (tsa-rest14/test/7, normalised), p3 (asa-rest16" in told
    assert "build_corpus.py" in told


def test_of_many_contaminated_pairs_the_first_are_named():
    with pytest.raises(ValueError, match=r"^9 pairs .*p4 \(tsa-rest14/test/7, exact\), …\. Scores"):
        check_pairs([pair(number, input=SENTENCE) for number in range(9)], SENTENCES)


def test_without_sentences_nobody_looks_for_them():
    assert check_pairs(CONTAMINATED) == 3
