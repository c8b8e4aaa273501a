"""Errors by name: what each kind is, that matching loses nothing, and that order plays no part."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tools.benchmarks.fsa import build
from hub_tools.evaluation.errors import KINDS, PAIRED, classify, classify_all, count_errors, known_categories
from hub_tools.opinions import parse


SENTENCE = "The fried rice was great but the waiter was rude, and it took hours."
ABOUT_PREDICTIONS = ("spurious", "invented", "repeated", "malformed")


def kinds(prediction, reference, task="tsa", sentence=SENTENCE, categories=None):
    return [finding.kind for finding in classify(prediction, reference, sentence, task, categories)]


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        ("fried rice | positive", ["right"]),
        ("fried rice | negative", ["wrong_polarity"]),
        ("rice | positive", ["wrong_boundary"]),
        ("rice | negative", ["partly_right"]),
        ("waiter | positive", ["missed", "spurious"]),
        ("soup | positive", ["missed", "invented"]),
        ("fried rice | positive ; fried rice | positive", ["right", "repeated"]),
        ("soup | positive ; soup | positive", ["missed", "invented", "repeated"]),
        ("fried rice | tasty", ["missed", "malformed"]),
        ("", ["missed"]),
        (" ; ", ["missed"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_target_is_named_by_how_it_differs_from_gold(prediction, expected):
    assert kinds(prediction, "fried rice | positive") == expected


@pytest.mark.parametrize(
    ("prediction", "expected", "detail"),
    [
        ("food prices | positive", "wrong_category", "category: same entity, other attribute"),
        ("drinks quality | positive", "wrong_category", "category: same attribute, other entity"),
        ("service general | positive", "wrong_category", "category: other entity and attribute"),
        ("food quality | negative", "wrong_polarity", "polarity"),
    ],
)
def test_a_category_is_confused_by_entity_or_attribute(prediction, expected, detail):
    [finding] = classify(prediction, "food quality | positive", SENTENCE, "asa")
    assert (finding.kind, finding.detail) == (expected, detail)


def test_another_category_of_another_polarity_is_another_opinion():
    assert kinds("service general | negative", "food quality | positive", "asa") == ["missed", "spurious"]


QUAD = "food quality | positive | fried rice | great"


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        (QUAD, ["right"]),
        ("food quality | negative | fried rice | great", ["wrong_polarity"]),
        ("food quality | positive | rice | great", ["wrong_boundary"]),
        ("food quality | positive | rice | was great", ["wrong_boundary"]),
        ("food quality | positive | none | great", ["wrong_implicit"]),
        ("food quality | positive | rice | none", ["wrong_implicit"]),
        ("food prices | positive | fried rice | great", ["wrong_category"]),
        ("food prices | negative | fried rice | great", ["partly_right"]),
        ("food quality | positive | waiter | rude", ["missed", "spurious"]),
        ("food quality | positive | soup | great", ["missed", "invented"]),
        ("food quality | positive | fried rice", ["missed", "malformed"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_quad_is_named_by_how_it_differs_from_gold(prediction, expected):
    assert kinds(prediction, QUAD, "acos") == expected


def test_tuples_of_unnamed_fields_can_be_partly_right():
    assert kinds("a | b | c", "a | b | d", "3") == ["partly_right"]
    assert kinds("a | b | c", "a | e | d", "3") == ["missed", "spurious"]


def test_what_gold_repeats_may_be_repeated_as_often():
    twice = "rice | positive ; rice | positive"
    assert kinds(twice, twice) == ["right"]
    assert kinds(twice + " ; rice | positive", twice) == ["right", "repeated"]


def test_a_category_that_the_sets_gold_never_has_is_invented():
    rows = [
        {"prediction": "food colour | positive", "reference": "food quality | positive", "sentence": SENTENCE},
        {"prediction": "service general | positive", "reference": "service general | negative", "sentence": SENTENCE},
    ]
    found = [[finding.kind for finding in findings] for findings in classify_all(rows, "asa")]
    assert found == [["missed", "invented"], ["wrong_polarity"]]
    assert known_categories(["rice | positive"], "tsa") is None


def test_an_equal_item_is_never_given_away_to_a_near_one():
    # "rice | negative" is gold itself, so "rice | positive" must look elsewhere.
    found = classify("rice | positive", "fried rice | positive ; rice | positive", SENTENCE, "tsa")
    assert [(finding.kind, finding.gold) for finding in found] == [
        ("missed", ("fried rice", "positive")),
        ("right", ("rice", "positive")),
    ]


@pytest.mark.parametrize(
    ("task", "reference", "sentence", "expected"),
    [
        ("acos", "service general | negative | none | none", "It took them hours to notice that we had come.", True),
        ("acos", "service general | negative | waiter | none", "It took the waiter hours to notice us.", False),
        ("asa", "restaurant general | positive", "I love it.", True),
        ("asa", "food quality | positive", "Great food!", False),
        ("asa", "laptop general | positive", "This computer boots within seconds and never gets hot.", False),
        ("tsa", "waiter | negative", "It was the waiter.", False),
    ],
)
def test_context_is_missed_where_nothing_is_named_and_something_is_pointed_at(task, reference, sentence, expected):
    [finding] = classify("", reference, sentence, task)
    assert (finding.kind, finding.needs_context) == ("missed", expected)


def test_the_table_counts_every_finding_once():
    rows = [
        {"prediction": "rice | positive ; soup | positive", "reference": "rice | positive", "sentence": SENTENCE},
        {"prediction": "", "reference": "waiter | negative", "sentence": SENTENCE},
    ]
    table = count_errors(classify_all(rows, "tsa"))
    assert [(row["kind"], row["count"], row["share"]) for row in table] == [
        ("right", 1, 1 / 3),
        ("missed", 1, 1 / 3),
        ("invented", 1, 1 / 3),
    ]
    assert count_errors([]) == []


def test_an_unknown_task_is_refused():
    with pytest.raises(ValueError, match="unknown task 'opinions'"):
        classify("", "", "", "opinions")


FIELDS = {
    "target": st.sampled_from(["fried rice", "rice", "waiter", "soup", "none", "hours", ""]),
    "opinion": st.sampled_from(["great", "was great", "rude", "awful", "none"]),
    "category": st.sampled_from(["food quality", "food prices", "service general", "drinks quality"]),
    "polarity": st.sampled_from(["positive", "negative", "neutral", "tasty"]),
}
TASKS = {
    "tsa": ("target", "polarity"),
    "asa": ("category", "polarity"),
    "acos": ("category", "polarity", "target", "opinion"),
    "target,opinion,polarity": ("target", "opinion", "polarity"),
}


@st.composite
def scored(draw):
    task = draw(st.sampled_from(sorted(TASKS)))
    item = st.tuples(*(FIELDS[field] for field in TASKS[task])).map(" | ".join)
    prediction, reference = draw(st.lists(item, max_size=6)), draw(st.lists(item, max_size=6))
    return task, prediction, reference, draw(st.permutations(prediction)), draw(st.permutations(reference))


@given(scored())
def test_every_distinct_item_is_in_one_finding_and_order_plays_no_part(case):
    task, prediction, reference, shuffled_prediction, shuffled_reference = case
    text, gold_text = " ; ".join(prediction), " ; ".join(reference)
    found = classify(text, gold_text, SENTENCE, task)
    counts = Counter(finding.kind for finding in found)
    gold, read = set(parse(gold_text, task, SENTENCE).pairs), parse(text, task, SENTENCE)

    about_gold = [finding.gold for finding in found if finding.gold is not None]
    assert sorted(about_gold) == sorted(gold)
    assert len(about_gold) == sum(counts[kind] for kind in ("right", "missed", *PAIRED))
    assert counts["right"] == len(gold & set(read.pairs))
    assert counts["malformed"] == read.malformed
    usable = [finding.predicted for finding in found if finding.kind in ("right", "spurious", *PAIRED)]
    assert sorted(usable) == sorted(set(read.pairs))
    assert counts["invented"] <= read.invented
    assert all(finding.gold is None for finding in found if finding.kind in ABOUT_PREDICTIONS)
    assert set(counts) <= set(KINDS)

    shuffled = classify(" ; ".join(shuffled_prediction), " ; ".join(shuffled_reference), SENTENCE, task)
    assert sorted(map(repr, shuffled)) == sorted(map(repr, found))


@given(scored())
def test_gold_as_its_own_prediction_is_all_right(case):
    task, _, reference, _, _ = case
    gold = " ; ".join(" | ".join(item) for item in parse(" ; ".join(reference), task, SENTENCE).pairs)
    assert {finding.kind for finding in classify(gold, gold, SENTENCE, task)} <= {"right"}


def test_the_real_benchmarks_gold_is_all_right(data):
    rows = [
        {"prediction": row["text"], "reference": row["text"], "sentence": row["sentence"]}
        for row in build(data, "asa-laptop16")["test"]
    ]
    assert {row["kind"] for row in count_errors(classify_all(rows, "asa"))} == {"right"}
