"""The text form: writing, reading, and finding opinions again."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tools import opinions
from hub_tools.opinions import POLARITIES, Parsed, locate, parse, serialize


# Texts made of what matters to the reader, so that well-formed and nearly well-formed items both come up often.
texts = st.lists(
    st.sampled_from(["food", "staff", " ", "|", " | ", ";", " ; ", *POLARITIES, "Positive", "\t", "\u00a0", "\n", "x"])
).map("".join) | st.text(max_size=40)


def opinion(target=None, polarity="positive", start=None, end=None, category=None):
    row = {"target": target, "start": start, "end": end, "category": category, "polarity": polarity}
    return row | {"opinion_words": None}


def test_the_examples_in_the_docstring_hold():
    assert doctest.testmod(opinions).failed == 0


def test_targets_are_written_in_the_order_given():
    rows = [opinion("soup", start=9, end=13), opinion("bread", "negative", 0, 5)]
    assert serialize(rows, "tsa") == "soup | positive ; bread | negative"


def test_the_same_target_at_two_places_is_written_twice_but_one_place_only_once():
    rows = [opinion("soup", start=0, end=4), opinion("soup", start=9, end=13), opinion("soup", start=0, end=4)]
    assert serialize(rows, "tsa") == "soup | positive ; soup | positive"


def test_opinions_without_a_target_have_no_target_text():
    rows = [opinion(None, category="FOOD#QUALITY"), opinion("NULL", category="SERVICE#GENERAL")]
    assert serialize(rows, "tsa") == ""


def test_categories_are_lower_case_with_spaces_and_written_once():
    rows = [
        opinion("a", category="FOOD#STYLE_OPTIONS"),
        opinion("b", category="FOOD#STYLE_OPTIONS"),
        opinion(None, "negative", category="FOOD#STYLE_OPTIONS"),
    ]
    assert serialize(rows, "asa") == "food style_options | positive ; food style_options | negative"


@pytest.mark.parametrize(
    ("rows", "task", "message"),
    [
        ([], "quads", "unknown task 'quads'; allowed: tsa, asa"),
        ([opinion("soup", "great")], "tsa", "unknown polarity 'great' of 'soup'; allowed: positive"),
        ([opinion("a|b")], "tsa", r"'a\|b' holds"),
        ([opinion(category="A;B")], "asa", "'A;B' holds"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(rows, task, message):
    with pytest.raises(ValueError, match=message):
        serialize(rows, task)


def test_unusable_items_are_counted_and_the_others_kept():
    text = "soup | positive ; soup | good ; a | b | positive ; tea | negative ; ; nothing"
    assert parse(text, "tsa", "The soup") == Parsed([("soup", "positive")], malformed=3, invented=1)


def test_an_unknown_category_is_not_invented():
    assert parse("no such thing | positive", "asa", "") == Parsed([("no such thing", "positive")], 0, 0)


def test_an_empty_target_passes_as_in_the_reference():
    assert parse("| positive", "tsa", "") == Parsed([("", "positive")], 0, 0)


@pytest.mark.parametrize("text", ["", " ", ";", " ; ;\t"])
def test_nothing_is_neither_malformed_nor_invented(text):
    assert parse(text, "tsa", "The soup") == Parsed([], 0, 0)


def test_an_unknown_task_is_refused_even_for_an_empty_text():
    with pytest.raises(ValueError, match="unknown task 'TSA'; allowed: tsa, asa"):
        parse("", "TSA", "")


@given(texts, st.sampled_from(["tsa", "asa"]), st.just("food staff") | texts)
def test_reading_keeps_what_the_reference_rule_keeps_and_counts_the_rest(text, task, sentence):
    kept = []
    filled = [item.strip() for item in text.split(";") if item.strip()]
    for item in filled:
        parts = [part.strip() for part in item.split("|")]
        if len(parts) == 2 and parts[1] in POLARITIES and (task == "asa" or parts[0] in sentence):
            kept.append(tuple(parts))
    parsed = parse(text, task, sentence)
    assert parsed.pairs == kept
    assert parsed.malformed + parsed.invented == len(filled) - len(kept)


@given(st.data(), st.text(min_size=1, max_size=60).filter(str.strip))
def test_what_is_written_is_read_back(data, sentence):
    rows = []
    for _ in range(data.draw(st.integers(0, 4))):
        start = data.draw(st.integers(0, len(sentence) - 1))
        end = data.draw(st.integers(start + 1, len(sentence)))
        target = sentence[start:end]
        if target == target.strip() != "NULL" and not set(target) & set("|;"):
            rows.append(opinion(target, data.draw(st.sampled_from(POLARITIES)), start, end))
    distinct = dict.fromkeys((row["target"], row["polarity"], row["start"], row["end"]) for row in rows)
    parsed = parse(serialize(rows, "tsa"), "tsa", sentence)
    assert parsed == Parsed([key[:2] for key in distinct], 0, 0)


def spans(pairs, sentence):
    return [(row["start"], row["end"]) for row in locate(pairs, sentence)]


def test_whole_words_are_found_before_parts_of_words():
    assert spans([("art", "positive")], "The party had art.") == [(14, 17)]


def test_a_target_said_twice_is_shown_at_two_places():
    sentence = "Good soup, but the soup was cold."
    assert spans([("soup", "positive"), ("soup", "negative")], sentence) == [(5, 9), (19, 23)]


def test_a_part_of_a_longer_target_is_looked_for_elsewhere_first():
    sentence = "The battery life is fine, the battery is heavy."
    assert spans([("battery life", "positive"), ("battery", "negative")], sentence) == [(4, 16), (30, 37)]


def test_a_place_is_shared_when_there_is_no_other():
    assert spans([("soup", "positive"), ("soup", "negative")], "The soup.") == [(4, 8), (4, 8)]


def test_an_empty_or_absent_target_has_no_place():
    rows = locate([("", "positive"), ("tea", "negative")], "The soup.")
    assert [(row["target"], row["start"], row["end"]) for row in rows] == [(None, None, None), ("tea", None, None)]


@given(st.lists(st.tuples(st.text(max_size=3), st.sampled_from(POLARITIES)), max_size=5), st.text(max_size=30))
def test_every_place_found_holds_its_target(pairs, sentence):
    for (target, polarity), row in zip(pairs, locate(pairs, sentence), strict=True):
        assert row["polarity"] == polarity
        if target and target in sentence:
            assert sentence[row["start"] : row["end"]] == target
        else:
            assert row["start"] is None
