"""InstructABSA's input in our words: which examples it shows, and that every student can read it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tools.benchmarks import fsa
from hub_tools.students.instructions import (
    MAX_EXAMPLE,
    SENTENCE,
    choose_examples,
    fill,
    instruct,
    instruction,
    polarities_of,
)
from hub_tools.students.models import escape_newlines


TEXTS = {
    "tsa": "soup {n} | {polarity}",
    "asa": "food quality | {polarity}",
    "acos": "food quality | {polarity} | soup {n} | none",
    "asqp": "food quality | {polarity} | none | hot {n}",
}


def rows_of(task, counts):
    """`counts[polarity]` rows of moderate length for each polarity; "" for rows without opinions."""
    return [
        {
            "id": f"{polarity}-{n}",
            "sentence": f"On day {n} we had soup {n}, hot {n}, {'and more ' * (n % 3)}there.",
            "text": TEXTS[task].format(n=n, polarity=polarity) if polarity else "",
        }
        for polarity, count in counts.items()
        for n in range(count)
    ]


@pytest.mark.parametrize("task", TEXTS)
def test_every_polarity_that_occurs_has_its_two_examples_and_no_opinion_has_one(task):
    rows = rows_of(task, {"neutral": 9, "positive": 9, "negative": 9, "": 9})
    examples = choose_examples(rows, task, 3)
    shown = [row["id"].partition("-")[0] for row in examples]
    assert shown == ["positive", "positive", "negative", "negative", "neutral", "neutral", ""]
    assert all(row in rows for row in examples)
    assert len(choose_examples(rows, task, 3, per_polarity=1)) == 4


def test_the_seed_decides_the_examples_and_the_order_of_the_rows_does_not():
    rows = rows_of("tsa", {"positive": 30, "negative": 30, "": 30})
    assert choose_examples(rows, "tsa", 1) == choose_examples(rows[::-1], "tsa", 1)
    assert len({instruction("tsa", choose_examples(rows, "tsa", seed)) for seed in range(10)}) == 10


def test_no_example_is_shown_twice_and_few_rows_are_shown_once_each():
    rows = rows_of("tsa", {"positive": 1})
    mixed = {"sentence": "The soup was cold but the tea was superb.", "text": "soup | negative ; tea | positive"}
    assert choose_examples([*rows, *rows, mixed], "tsa", 1) == [*rows, mixed]


def test_long_sentences_are_shown_only_where_there_is_no_shorter_one():
    rows = rows_of("tsa", {"positive": 3, "negative": 1})
    long = [{"sentence": "very " * n + "good soup.", "text": "soup | positive"} for n in (200, 50)]
    long += [{"sentence": "very " * n + "bad soup.", "text": "soup | negative"} for n in (200, 50)]
    examples = choose_examples([*long, *rows], "tsa", 1)
    assert [len(row["sentence"]) < MAX_EXAMPLE for row in examples] == [True, True, True, False]
    assert examples[-1] is long[3], "the shorter of the long ones"


def test_a_test_row_is_refused():
    rows = rows_of("tsa", {"positive": 3})
    for mark in ({"hard": True}, {"split": "test"}):
        with pytest.raises(ValueError, match=r"row 'positive-1'.*is no train row.*train split only"):
            choose_examples([rows[0], {**rows[1], **mark}], "tsa", 1)
    with pytest.raises(ValueError, match="no train rows"):
        choose_examples([], "tsa", 1)
    with pytest.raises(ValueError, match="no instruction for the task 'poetry'"):
        choose_examples(rows, "poetry", 1)


@pytest.mark.parametrize("task", TEXTS)
def test_the_input_is_definition_examples_and_then_the_sentence(task):
    examples = rows_of(task, {"positive": 1, "negative": 1, "": 1})
    text = instruct("A brand new sentence.", task, examples)
    places = [text.index(row["sentence"]) for row in examples] + [text.index("A brand new sentence.")]
    assert places == sorted(places)
    assert text.startswith("Definition: ")
    assert text.endswith("sentence: A brand new sentence. opinions:")
    for row in examples[:2]:
        assert f"sentence: {row['sentence']} opinions: {row['text']} " in text
    assert "Positive example 1:" in text
    assert "Negative example 2:" in text
    assert "Example without opinions 3:" in text


def test_the_template_has_no_line_break_and_those_of_the_sentence_become_the_students_own():
    template = instruction("tsa", [{"sentence": "Good\r\nsoup,  here.", "text": "soup | positive"}])
    assert "Good soup, here." in template
    assert len(template.splitlines()) == 1
    written = escape_newlines(fill(template, "One\nTwo."))
    assert written == fill(template, escape_newlines("One\nTwo."))
    assert "sentence: One[NL]Two. opinions:" in written


def test_without_a_template_the_sentence_stands_alone():
    assert fill(None, "The {sentence} was cold.") == "The {sentence} was cold."


@given(st.text() | st.sampled_from(["{", "{}", "{0}", "{sentence}", "{sentence} {sentence}", "\\1", "%s"]))
def test_any_sentence_is_put_in_as_it_is(sentence):
    before, after = instruction("asa", []).split(SENTENCE)
    assert instruct(sentence, "asa", []) == before + sentence + after


def test_an_example_that_holds_the_place_holder_is_never_shown():
    row = {"sentence": f"The {SENTENCE} was a soup, and it was good.", "text": "soup | positive"}
    assert row not in choose_examples([row, *rows_of("tsa", {"positive": 1})], "tsa", 1)
    with pytest.raises(ValueError, match="which is the template's own sign"):
        instruction("tsa", [row])


@pytest.mark.parametrize("config", fsa.CONFIGS)
def test_real_examples_hold_every_polarity_and_keep_the_input_moderate(config, data):
    task = config[:3]
    splits = fsa.build(data, config)
    occurring = set().union(*(polarities_of(row["text"]) for row in splits["train"]))
    for seed in (42, 52, 62):
        examples = choose_examples(splits["train"], task, seed)
        assert set().union(*(polarities_of(row["text"]) for row in examples)) == occurring
        assert any(not row["text"] for row in examples)
        assert len(instruction(task, examples)) <= 1_700
