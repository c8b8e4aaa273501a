"""A tiny T5 learns six sentences by heart; what extraction makes of its texts is checked by hand."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tools.students import extraction
from hub_tools.students.extraction import (
    StudentError,
    extract,
    extract_sentences,
    extract_table,
    load_student,
    table_columns,
)
from hub_tools.students.instructions import fill, instruction
from hub_tools.students.models import escape_newlines
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


QUAD = ("The Pad Thai[NL]was very[NL]hot.", "food quality | neutral | Pad Thai | very hot")


@pytest.fixture(scope="module")
def quad_student(tmp_path_factory):
    return load_student(str(save_tiny_student(tmp_path_factory.mktemp("quads"), task="acos", lessons=[QUAD])))


@pytest.fixture
def writes(monkeypatch):
    """Puts a text into the mouth of every student."""
    return lambda text: monkeypatch.setattr(
        extraction, "_write", lambda student, sentences, batch_size: [text] * len(sentences)
    )


def with_instruction(folder, instruction):
    """The student in the folder, after its config.json got the key."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "fsa_instruction": instruction}))
    return load_student(str(folder))


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


def test_quads_come_with_target_category_and_words_as_the_review_has_them(quad_student):
    review = "  The Pad  Thai\r\nwas very \n hot."
    assert extract(quad_student, [review]) == [
        [
            {
                "target": "Pad  Thai",
                "start": 6,
                "end": 15,
                "category": "food quality",
                "polarity": "neutral",
                "opinion_words": ["very \n hot"],
            }
        ]
    ]


def test_quads_stand_in_reading_order_and_those_on_one_target_in_one_place(quad_student, writes):
    writes(
        "food prices | negative | none | pricey ; food quality | positive | tea | hot ; food style | neutral"
        " | tea | none ; place general | negative | none | none ; food quality | positive | tea | hot"
    )
    [rows] = extract(quad_student, ["Hot or hot, the tea is pricey tea."])
    assert [(row["target"], row["start"], row["category"], row["opinion_words"]) for row in rows] == [
        ("tea", 16, "food quality", ["hot"]),
        ("tea", 16, "food style", []),
        (None, None, "food prices", ["pricey"]),
        (None, None, "place general", []),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "food quality | positive | soup | hot",
        "food quality | positive | tea | superb",
        "food quality | positive | | hot",
        "food quality | positive | tea |",
        "food quality | lukewarm | tea | hot",
        "food quality | conflict | tea | hot",
        "food quality | positive",
    ],
)
def test_quads_that_are_malformed_or_invented_are_left_out(quad_student, writes, text):
    writes(f"{text} ; food general | neutral | tea | none")
    [[row]] = extract(quad_student, ["The tea was hot."])
    assert row["category"] == "food general"


def test_the_table_of_quads_has_all_their_parts(quad_student, writes):
    writes("food quality | positive | tea | hot ; place general | negative | none | none")
    named, implied = extract_table(quad_student, ["The tea was hot."])
    assert tuple(named) == tuple(implied) == table_columns("acos")
    assert named == {
        "row": 1,
        "category": "food quality",
        "target": "tea",
        "opinion_words": "hot",
        "polarity": "positive",
        "sentence": "The tea was hot.",
        "start": 4,
        "end": 7,
    }
    assert (implied["target"], implied["opinion_words"], implied["start"], implied["end"]) == (None, None, 0, 16)


@given(
    st.lists(
        st.sampled_from(["tea", "hot", "the tea", "none", "", " ", "positive", "|", ";", " | ", " ; ", "food", "\n"])
    ),
    st.text(alphabet="tea hot\n\r \u00a0.", max_size=40),
)
def test_whatever_a_student_of_quads_writes_its_places_are_those_of_the_review(quad_student, parts, review):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extraction, "_write", lambda student, sentences, batch_size: ["".join(parts)] * len(sentences))
        for row in extract(quad_student, [review])[0]:
            assert row["start"] is None or review[row["start"] : row["end"]] == row["target"]
            assert all(words in review for words in row["opinion_words"])


def test_a_student_with_an_instruction_is_asked_in_its_words(tmp_path):
    lessons = [
        ("Braces {} {0} : The soup {was} hot. now:", "soup | neutral"),
        ("The soup {was} hot.", "hot | positive"),
    ]
    student = with_instruction(
        save_tiny_student(tmp_path, task="tsa", lessons=lessons), "Braces {} {0} : {sentence} now:"
    )
    review = "The soup {was} hot."
    assert [(row["target"], row["start"]) for row in extract(student, [review])[0]] == [("soup", 4)]
    plain = with_instruction(tmp_path, None)
    assert [(row["target"], row["start"]) for row in extract(plain, [review])[0]] == [("hot", 15)]


def test_the_template_that_fine_tuning_writes_is_read_as_it_was_trained(tmp_path):
    template = instruction("tsa", [{"sentence": "A fine soup; really.", "text": "soup | positive"}])
    lessons = [(fill(template, escape_newlines("The tea\nwas cold.")), "tea | negative")]
    student = with_instruction(save_tiny_student(tmp_path, task="tsa", lessons=lessons), template)
    assert [row["target"] for row in extract(student, ["The tea\r\nwas cold."])[0]] == ["tea"]


@pytest.mark.parametrize("wrong", ["no place for it", "", 7, ["{sentence}"]])
def test_an_instruction_without_a_place_for_the_sentence_is_refused(tmp_path, wrong):
    with pytest.raises(StudentError, match=r"`fsa_instruction` = .*allowed: a text that holds \{sentence\}"):
        with_instruction(save_tiny_student(tmp_path, task="tsa"), wrong)


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
