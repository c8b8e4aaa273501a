"""The text form: writing, reading, and finding opinions again."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tools import opinions
from hub_tools.opinions import FIELDS, POLARITIES, TASKS, Parsed, fields_of, locate, parse, serialize


# Texts made of what matters to the reader, so that well-formed and nearly well-formed items both come up often.
texts = st.lists(
    st.sampled_from(["food", "staff", " ", "|", " | ", ";", " ; ", *POLARITIES, "Positive", "\t", "\u00a0", "\n", "x"])
).map("".join) | st.text(max_size=40)


def opinion(target=None, polarity="positive", start=None, end=None, category=None, words=None):
    row = {"target": target, "start": start, "end": end, "category": category, "polarity": polarity}
    return row | {"opinion_words": words}


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
        (
            [opinion("a", "conflict", category="A#B", words=[])],
            "acos",
            "'conflict' of 'a'; allowed: positive, neutral, n",
        ),
        ([opinion("a", category="A#B")], "asqp", r"opinion_words of 'a' should be \[\] or one text, found None"),
        ([opinion("a", category="A#B", words=["b", "c"])], "acos", r"found \['b', 'c'\]"),
        ([opinion("a", category="A#B", words=["b;c"])], "acos", "'b;c' holds"),
        ([opinion("a", words=[])], "acos", "the opinion on 'a' has no category"),
        ([opinion("a")], "2", "a task that only counts its fields cannot be written; name them"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(rows, task, message):
    with pytest.raises(ValueError, match=message):
        serialize(rows, task)


def test_quads_are_written_with_none_for_what_is_implicit_and_each_as_often_as_given():
    rows = [opinion("Pad Thai", category="FOOD#QUALITY", words=["great"])] * 2
    rows += [
        opinion(None, "negative", category="SERVICE#GENERAL", words=[]),
        opinion("NULL", category="food", words=[]),
    ]
    great = "food quality | positive | Pad Thai | great"
    expected = f"{great} ; {great} ; service general | negative | none | none ; food | positive | none | none"
    assert serialize(rows, "acos") == serialize(rows, "asqp") == expected
    assert serialize(rows[:1], "target,opinion,polarity") == "Pad Thai | great | positive"


@pytest.mark.parametrize(
    ("task", "fields"),
    [
        ("tsa", ("target", "polarity")),
        ("asa", ("category", "polarity")),
        ("acos", ("category", "polarity", "target", "opinion")),
        ("asqp", ("category", "polarity", "target", "opinion")),
        ("target , opinion,polarity", ("target", "opinion", "polarity")),
        ("target,field,field", ("target", "field", "field")),
        ("3", ("field",) * 3),
    ],
)
def test_a_task_is_its_name_its_fields_or_their_number(task, fields):
    assert fields_of(task) == fields


@pytest.mark.parametrize("task", ["", "0", "10", "\u00b2", "-1", "target,", "target,target", "aspect", "TSA", None, 2])
def test_any_other_task_is_refused_beside_what_is_allowed(task):
    with pytest.raises(
        ValueError, match=r"allowed: tsa, asa, acos, asqp, or .*\(target, category, polarity, opinion, "
    ):
        fields_of(task)


@pytest.mark.parametrize(
    ("item", "fate"),
    [
        ("food quality | positive | Pad Thai | great", "pairs"),
        ("no such category|neutral|none|none", "pairs"),
        ("food quality | positive |  | great", "pairs"),  # an empty text is part of any sentence, as in the reference
        ("food quality | positive | pad thai | great", "invented"),
        ("food quality | positive | none | awful", "invented"),
        ("food quality | conflict | none | none", "malformed"),
        ("food quality | Positive | none | none", "malformed"),
        (" | positive | none | none", "malformed"),
        ("food quality | positive | Pad Thai", "malformed"),
        ("food quality | positive | Pad Thai | great | x", "malformed"),
    ],
)
def test_a_quad_is_kept_invented_or_malformed(item, fate):
    parsed = parse(item, "acos", "The Pad Thai was great.")
    assert (len(parsed.pairs), parsed.invented, parsed.malformed) == tuple(
        int(fate == name) for name in ("pairs", "invented", "malformed")
    )
    assert parsed == parse(f" ; {item};", "asqp", "The Pad Thai was great.")


def test_fields_are_checked_by_what_is_known_of_them():
    sentence = "The Pad Thai was great."
    text = "Pad Thai | great | conflict ; none | none | neutral ; rice | great | neutral ; Pad Thai | great | great"
    assert parse(text, "target,opinion,polarity", sentence) == Parsed(
        [("Pad Thai", "great", "conflict"), ("none", "none", "neutral")], malformed=1, invented=1
    )
    assert parse("rice | good ; a | ; a | b | c", "2", sentence) == Parsed([("rice", "good")], malformed=2, invented=0)
    assert parse("Pad Thai ; rice ; ", "target", sentence) == Parsed([("Pad Thai",)], malformed=0, invented=1)


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


@given(texts, st.sampled_from([*TASKS, *FIELDS, "target,polarity", "3"]), st.just("food staff") | texts)
def test_every_filled_item_is_kept_malformed_or_invented(text, task, sentence):
    parsed = parse(text, task, sentence)
    assert len(parsed.pairs) + parsed.malformed + parsed.invented == sum(
        bool(item.strip()) for item in text.split(";")
    )
    assert {len(item) for item in parsed.pairs} <= {len(fields_of(task))}
    if parsed.pairs:
        again = " ; ".join(" | ".join(item) for item in parsed.pairs)
        assert parse(again, task, sentence).pairs == [item for item in parsed.pairs if any(item)]


@given(texts, st.just("food staff") | texts)
def test_pairs_are_read_alike_by_their_name_and_by_their_fields(text, sentence):
    assert parse(text, "target,polarity", sentence).pairs == [
        pair for pair in parse(text, "tsa", f"{sentence}\nnone").pairs if pair[0] in sentence or pair[0] == "none"
    ]


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
