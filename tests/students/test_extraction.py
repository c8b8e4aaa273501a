"""A tiny T5 learns six sentences by heart; what extraction makes of its texts is checked by hand."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_tools.students.extraction import (
    MAX_SENTENCE,
    StudentError,
    extract,
    extract_sentences,
    extract_table,
    load_student,
    split_sentences,
)
from tests.tiny_models import save_tiny_student


LESSONS = [
    ("The pasta was superb but the waiter ignored us.", "pasta | positive ; waiter | negative"),
    ("Battery life is great, the screen is dim.", "screen | negative ; Battery life | positive"),
    ("The Pad Thai[NL]was fine.", "Pad Thai | neutral ; | positive ; pizza | negative ; Pad Thai | neutral"),
    ("Nothing to say.", ""),
]


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    return load_student(str(save_tiny_student(tmp_path_factory.mktemp("tsa"), task="tsa", lessons=LESSONS)))


@pytest.fixture(scope="module")
def asa_student(tmp_path_factory):
    lessons = [
        ("The pasta was superb but the waiter ignored us.", "food quality | positive ; service general | negative"),
        ("Nothing to say.", ""),
    ]
    return load_student(str(save_tiny_student(tmp_path_factory.mktemp("asa"), task="asa", lessons=lessons)))


def spans(text):
    return [text[start:end] for start, end in split_sentences(text)]


def test_targets_come_with_their_offsets_in_reading_order(student):
    texts = [LESSONS[1][0], LESSONS[0][0]]
    battery, pasta = extract(student, texts)
    assert [(row["target"], row["polarity"], row["start"], row["end"]) for row in battery] == [
        ("Battery life", "positive", 0, 12),
        ("screen", "negative", 27, 33),
    ]
    assert [row["target"] for row in pasta] == ["pasta", "waiter"]
    assert set(pasta[0]) == {"target", "start", "end", "category", "polarity", "opinion_words"}


def test_offsets_of_later_sentences_are_those_of_the_review(student):
    review = f"  {LESSONS[3][0]} 😀 \r\n\r\n{LESSONS[0][0]}"
    [rows] = extract(student, [review])
    assert [row["target"] for row in rows if row["target"] in ("pasta", "waiter")] == ["pasta", "waiter"]
    assert all(review[row["start"] : row["end"]] == row["target"] for row in rows)


def test_white_space_and_line_breaks_inside_a_target_do_not_lose_it(student):
    [rows] = extract(student, ["The Pad   Thai\r\nwas fine."])
    assert [(row["target"], row["polarity"]) for row in rows] == [("Pad   Thai", "neutral")]


def test_empty_invented_and_repeated_items_are_left_out(student):
    [rows] = extract(student, ["The Pad Thai\nwas fine."])
    assert [(row["target"], row["start"], row["end"]) for row in rows] == [("Pad Thai", 4, 12)]


def test_a_text_without_opinions_or_without_text_gives_an_empty_list(student):
    assert extract(student, ["Nothing to say.", "", " \n "]) == [[], [], []]
    assert extract(student, []) == []


def test_batches_do_not_change_what_is_read(student):
    texts = [lesson[0] for lesson in LESSONS[:2]] * 5
    assert extract(student, texts, batch_size=3) == extract(student, texts, batch_size=64)


def test_aspects_have_no_offsets_but_their_sentence_has(asa_student):
    review = f"Nothing to say. {LESSONS[0][0]}"
    [rows] = extract(asa_student, [review])
    assert [(row["category"], row["polarity"], row["start"]) for row in rows] == [
        ("food quality", "positive", None),
        ("service general", "negative", None),
    ]
    [[nothing, pasta]] = extract_sentences(asa_student, [review])
    assert nothing.opinions == []
    assert review[pasta.start : pasta.end] == pasta.text == LESSONS[0][0]


def test_the_table_has_one_row_per_opinion_and_keeps_the_rows_of_the_file(student, asa_student):
    texts = (text for text in ["", LESSONS[0][0]])
    assert list(extract_table(student, texts)) == [
        {"row": 2, "sentence": LESSONS[0][0], "target": "pasta", "polarity": "positive", "start": 4, "end": 9},
        {"row": 2, "sentence": LESSONS[0][0], "target": "waiter", "polarity": "negative", "start": 29, "end": 35},
    ]
    [first, _] = extract_table(asa_student, [LESSONS[0][0]])
    assert first == {
        "row": 1,
        "sentence": LESSONS[0][0],
        "category": "food quality",
        "polarity": "positive",
        "start": 0,
        "end": 47,
    }


def test_the_table_reads_its_input_a_few_batches_ahead_only(student):
    read = []

    def reviews():
        for index in range(100):
            read.append(index)
            yield LESSONS[0][0]

    next(extract_table(student, reviews(), batch_size=2))
    assert len(read) == 16


def test_a_vocabulary_without_a_newline_sign_reads_line_breaks_as_spaces(tmp_path):
    lessons = [("The soup was cold.", "soup | negative")]
    folder = save_tiny_student(tmp_path, task="tsa", lessons=lessons, newline_token=False)
    student = load_student(str(folder))
    assert not student.reads_newlines
    assert [row["target"] for row in extract(student, ["The soup\nwas cold."])[0]] == ["soup"]


def test_a_model_that_does_not_name_its_task_is_refused(tmp_path):
    folder = save_tiny_student(tmp_path)
    with pytest.raises(StudentError, match="`fsa_task` = None; allowed: tsa, asa"):
        load_student(str(folder))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "fsa_task": "poetry"}))
    with pytest.raises(StudentError, match="'poetry'"):
        load_student(str(folder))


def test_pickled_weights_are_never_loaded(tmp_path):
    folder = save_tiny_student(tmp_path, task="tsa")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(StudentError, match="could not load the student"):
        load_student(str(folder))


def test_a_student_that_is_not_there_is_an_error_with_its_name(tmp_path):
    with pytest.raises(StudentError, match="nowhere"):
        load_student(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four… Five", ["One.", "Two!", "Three?", "Four…", "Five"]),
        ("the screen is great. battery is bad.", ["the screen is great.", "battery is bad."]),
        (
            "Mr. Lee and Dr. Who came at 5 p.m. for $5.99 sushi.",
            ["Mr. Lee and Dr. Who came at 5 p.m. for $5.99 sushi."],
        ),
        ("Open till 9 p.m. Great bar.", ["Open till 9 p.m.", "Great bar."]),
        ("Tacos, etc. were fine", ["Tacos, etc. were fine"]),
        ("It was great.The staff too.", ["It was great.", "The staff too."]),
        ('He said "wow!" and left.', ['He said "wow!"', "and left."]),
        ("Loved it\nWill return\n\nbye", ["Loved it", "Will return", "bye"]),
        ("hard\nwrapped text", ["hard\nwrapped text"]),
        ("好吃。服务差！", ["好吃。", "服务差！"]),
        ("Good 👍🏽. Fine", ["Good 👍🏽.", "Fine"]),
        (" \n\t ", []),
    ],
)
def test_reviews_are_split_where_sentences_end(text, sentences):
    assert spans(text) == sentences


def test_a_text_without_full_stops_is_cut_at_white_space():
    parts = spans("word " * 500)
    assert max(map(len, parts)) <= MAX_SENTENCE
    assert all(part.strip("word ") == "" and part.endswith("word") for part in parts)


def test_a_composed_emoji_is_never_cut():
    family = "👨‍👩‍👧‍👦"
    assert all(part.count("👨") == part.count("👦") for part in spans(family * 300))


@settings(max_examples=300, deadline=None)
@given(
    st.text(
        alphabet=st.sampled_from("aB. !?\n\r\t\u00a0\u2026e\u0301👩🏽\u200d🚀\"')m") | st.characters(), max_size=900
    )
)
def test_sentences_cover_every_sign_of_any_text_in_order(text):
    pieces = split_sentences(text)
    assert all(start < end for start, end in pieces)
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(pieces))
    covered = "".join(text[start:end] for start, end in pieces)
    assert "".join(covered.split()) == "".join(text.split())
