"""Where sentences end, for any text: nothing is lost, nothing is cut that belongs together."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_tools.students.splitting import MAX_SENTENCE, split_sentences, squeeze


def spans(text):
    return [text[start:end] for start, end in split_sentences(text)]


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


@given(st.text(alphabet=st.sampled_from("ab \n\r\t\u00a0\u2028") | st.characters(), max_size=60))
def test_squeezed_white_space_leads_back_to_where_it_was(text):
    squeezed, offsets = squeeze(text)
    assert len(squeezed) == len(offsets)
    assert "".join(squeezed.split()) == "".join(text.split())
    for character, offset in zip(squeezed, offsets, strict=True):
        assert text[offset] == character or (text[offset].isspace() and character in " \n")
    assert not any(first.isspace() and second.isspace() for first, second in itertools.pairwise(squeezed))
