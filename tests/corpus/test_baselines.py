"""Pairs of what distillation is compared with: reviews, ratings, instructions."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tools.corpus.baselines import (
    INSTRUCTION,
    RATING,
    SPAN_CORRUPTION,
    find_columns,
    instruction_pairs,
    rating_pairs,
    rating_text,
    review_pairs,
)
from hub_tools.corpus.pairs import pair_id
from hub_tools.corpus.refusals import check_pairs


COLUMNS = [
    "pair_id",
    "review_id",
    "domain",
    "rating",
    "prompt",
    "teacher",
    "input",
    "target",
    "source",
    "licence",
]  # fmt: skip
LAMINI = [
    {"instruction": "Name a fish.", "response": "Trout.", "instruction_source": "alpaca"},
    {"instruction": "Name a bird.", "response": "  ", "instruction_source": "flan"},
    {"instruction": None, "response": "Owl.", "instruction_source": "flan"},
    {"instruction": "Name a fish.", "response": "Trout.", "instruction_source": "p3"},
    {"instruction": "Name a fish.", "response": "Salmon.", "instruction_source": "p3"},
]
ALPACA = [
    {"instruction": "Sum up.", "input": "A long text.", "output": "Short.", "text": "all of it"},
    {"instruction": "Say hello.", "input": "", "output": "Hello.", "text": "all of it"},
]


def corpus_row(review, prompt="analysis", rating=4.0, text=None):
    """A pair of a distillation corpus."""
    return {
        "pair_id": f"{review}-{prompt}",
        "review_id": review,
        "domain": "laptop",
        "rating": rating,
        "prompt": prompt,
        "teacher": "lexicon",
        "input": f"Text of {review}." if text is None else text,
        "target": "something",
        "source": "amazon",
        "licence": "none",
    }


CORPUS = [
    corpus_row("a"),
    corpus_row("a", "rewriting"),
    corpus_row("b", rating=None),
    corpus_row("c", rating=1.0),
    corpus_row("d", rating=5.0, text="  Text of a.\n"),
    corpus_row("e", text="  "),
]


@pytest.mark.parametrize(
    ("make", "rows", "prompt"),
    [
        (review_pairs, CORPUS, SPAN_CORRUPTION),
        (rating_pairs, CORPUS, RATING),
        (instruction_pairs, ALPACA, INSTRUCTION),
    ],
    ids=["reviews", "ratings", "instructions"],
)
def test_pairs_have_the_columns_of_the_corpus_and_ids_of_their_own_and_can_be_trained_on(make, rows, prompt):
    pairs = list(make(rows))
    assert all(list(pair) == COLUMNS and pair["prompt"] == prompt for pair in pairs)
    for pair in pairs:
        assert pair["pair_id"] == pair_id(pair["teacher"], prompt, pair["input"], pair["target"])
    assert check_pairs(pairs) == len(pairs) == 2 + (prompt == SPAN_CORRUPTION)


# --- Reviews ---------------------------------------------------------------------------------------------------------


def test_a_review_of_a_corpus_comes_once_though_it_was_analysed_and_rewritten():
    skipped = Counter()
    pairs = list(review_pairs(CORPUS, skipped))
    assert [pair["review_id"] for pair in pairs] == ["a", "b", "c"]
    assert skipped == {"repeated": 2, "empty": 1}
    assert pairs[0] == {
        **corpus_row("a"),
        "pair_id": pairs[0]["pair_id"],
        "prompt": SPAN_CORRUPTION,
        "teacher": "",
        "target": "Text of a.",
    }


def test_reviews_may_come_from_a_file_that_has_nothing_but_texts():
    (pair,) = review_pairs([{"text": "Good tea."}])
    assert pair["input"] == pair["target"] == "Good tea."
    assert len(pair["review_id"]) == 32
    assert pair["rating"] is None
    assert pair["domain"] == pair["source"] == pair["licence"] == ""


@pytest.mark.parametrize("make", [review_pairs, rating_pairs])
@pytest.mark.parametrize("cell", [3.0, float("nan"), ["a"]], ids=["number", "nan", "list"])
def test_a_review_that_is_no_text_is_named_by_its_row(make, cell):
    rows = [{"text": "Fine."}, {"text": "Good.", "rating": 4}, {"text": cell, "rating": 5}]
    with pytest.raises(ValueError, match=f"row 2: text is no text but a {type(cell).__name__}"):
        list(make(rows))


def test_rows_without_a_review_are_refused_with_what_was_found():
    with pytest.raises(ValueError, match=r"no column `input` or `text` that holds a review; found: review_id, body"):
        list(review_pairs([{"review_id": "a", "body": "Good."}]))
    with pytest.raises(ValueError, match=r"pair 'a-analysis' holds the id of its review and not the text"):
        list(review_pairs([{**corpus_row("a"), "input": None}]))


@given(texts=st.lists(st.text(max_size=3), max_size=20))
def test_every_row_becomes_a_pair_or_is_counted(texts):
    skipped = Counter()
    pairs = list(review_pairs([{"text": text} for text in texts], skipped))
    assert len(pairs) + skipped.total() == len(texts)
    assert {pair["input"] for pair in pairs} == {text.strip() for text in texts} - {""}


# --- Ratings ---------------------------------------------------------------------------------------------------------


def test_a_rated_review_comes_once_and_its_rating_is_what_is_learned():
    skipped = Counter()
    pairs = list(rating_pairs(CORPUS, skipped))
    assert [(pair["review_id"], pair["target"]) for pair in pairs] == [("a", "4 stars"), ("c", "1 star")]
    assert skipped == {"unrated": 1, "repeated": 2, "empty": 1}


def test_a_review_that_has_a_rating_elsewhere_is_not_lost():
    rows = [
        {"text": "Good.", "rating": None},
        {"text": "Good.", "rating": float("nan")},
        {"text": "Good.", "rating": 5},
    ]
    skipped = Counter()
    assert [pair["target"] for pair in rating_pairs(rows, skipped)] == ["5 stars"]
    assert skipped == {"unrated": 2}


@pytest.mark.parametrize(
    ("rating", "text"),
    [(1, "1 star"), (2.0, "2 stars"), (3.5, "3.5 stars"), (5.0, "5 stars")],
    ids=["one", "two", "half", "five"],
)
def test_a_rating_in_words(rating, text):
    assert rating_text(rating) == text


@pytest.mark.parametrize("rating", [0, 5.5, "5", float("inf")], ids=["none", "too many", "text", "infinite"])
def test_what_is_no_star_rating_is_refused_and_the_review_named(rating):
    with pytest.raises(ValueError, match=r"review 'a': the rating must be a number of stars from 1 to 5, found"):
        list(rating_pairs([corpus_row("a", rating=rating)]))


def test_reviews_without_any_rating_are_no_baseline():
    with pytest.raises(ValueError, match=r"no review has a rating \(2 without\)"):
        list(rating_pairs([corpus_row("a", rating=None), corpus_row("b", rating=None)]))


# --- Instructions ----------------------------------------------------------------------------------------------------


def test_laminis_rows_become_pairs_and_what_is_empty_or_repeated_is_counted():
    skipped = Counter()
    pairs = list(instruction_pairs(LAMINI, skipped, teacher="gpt-3.5-turbo", source="lamini", licence="cc-by-nc-4.0"))
    assert [(pair["input"], pair["target"]) for pair in pairs] == [
        ("Name a fish.", "Trout."),
        ("Name a fish.", "Salmon."),
    ]
    assert skipped == {"empty": 2, "repeated": 1}
    assert {(pair["teacher"], pair["source"], pair["licence"], pair["domain"]) for pair in pairs} == {
        ("gpt-3.5-turbo", "lamini", "cc-by-nc-4.0", "general")
    }
    # One instruction is held out with all its responses.
    assert pairs[0]["review_id"] == pairs[1]["review_id"]
    assert pairs[0]["pair_id"] != pairs[1]["pair_id"]


def test_what_an_instruction_is_about_stands_on_a_line_of_its_own():
    pairs = list(instruction_pairs(ALPACA))
    assert [pair["input"] for pair in pairs] == ["Sum up.\nA long text.", "Say hello."]
    assert pairs[0]["review_id"] != pairs[1]["review_id"]


@pytest.mark.parametrize(
    ("names", "given", "found"),
    [
        (["instruction", "response"], {}, ("instruction", "", "response")),
        (["text", "output", "input", "instruction"], {}, ("instruction", "input", "output")),
        (["instruction", "context", "response", "category"], {}, ("instruction", "context", "response")),
        (["prompt", "completion"], {}, ("prompt", "", "completion")),
        (["ask", "say", "input"], {"instruction": "ask", "response": "say"}, ("ask", "input", "say")),
        (["input", "output"], {"instruction": "input"}, ("input", "", "output")),
        (["instruction", "input", "output"], {"context": "instruction", "instruction": "input"}, None),
    ],
    ids=["lamini", "alpaca", "dolly", "prompts", "given", "input is the instruction", "the other way round"],
)
def test_columns_are_those_given_and_others_are_known_by_their_names(names, given, found):
    assert find_columns(names, **given) == (found or ("input", "instruction", "output"))


@pytest.mark.parametrize(
    ("names", "given", "said"),
    [
        (["messages"], {}, r"no instruction column: looked for instruction, prompt, .*; found: messages\. Name"),
        (["instruction", "text"], {}, r"no response column: looked for response, .*; found: instruction, text"),
        (["instruction", "response"], {"context": "about"}, r"no context column: looked for about; found"),
    ],
    ids=["a chat", "no response", "a wrong name"],
)
def test_a_column_that_is_not_there_is_told_with_those_that_are(names, given, said):
    with pytest.raises(ValueError, match=said):
        find_columns(names, **given)


def test_a_cell_that_is_no_text_is_named():
    with pytest.raises(ValueError, match=r"row 1: response is no text but a list: \['a'\]"):
        list(instruction_pairs([{"instruction": "x", "response": "y"}, {"instruction": "x", "response": ["a"]}]))


def test_rows_are_read_as_they_are_asked_for():
    pairs = instruction_pairs({"instruction": f"Say {number}.", "response": str(number)} for number in iter(int, 1))
    assert next(pairs)["target"] == "0"
