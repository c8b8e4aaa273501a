"""The analysis prompt and its reader, on well-formed, broken and real replies."""

import doctest
import json
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tools.prompts import analysis
from hub_tools.prompts.analysis import SENTIMENTS, build, read, write


DATA = Path(os.environ.get("FSA_DATA") or Path(__file__).resolve().parents[2].parent / "shared" / "data")
MIXTRAL = DATA / "mixtral" / "test_500_4m8d.json"
BLOCK = 'Opinion Target 1: "soup"\nAspect: taste\nSentiment: Negative\nReasoning: It is "cold".'
SECOND = 'Opinion Target 2: "staff"\nAspect: service\nSentiment: Very Positive\nReasoning: They smile.'

words = st.text(st.characters(categories=("L", "N"), include_characters=" -"), min_size=1).filter(
    lambda text: text == text.strip() and text.strip("- ")
)


def test_the_docstrings_tell_the_truth():
    assert doctest.testmod(analysis).failed == 0


def test_the_prompt_shows_a_demonstration_that_its_own_reader_reads():
    messages = build("Nice {soup}!")
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[-1]["content"] == "Review: Nice {soup}!"
    demonstration = read(messages[2]["content"])
    assert demonstration.problem is None
    assert demonstration.incomplete == 0
    for opinion in demonstration.opinions:
        assert opinion["target"] in messages[1]["content"]


@given(
    st.lists(
        st.fixed_dictionaries(
            {"target": words, "aspect": words, "sentiment": st.sampled_from(SENTIMENTS), "reasoning": words}
        ),
        min_size=1,
        max_size=5,
    )
)
def test_what_is_written_is_read_back(opinions: list):
    reply = read(write(opinions))
    assert reply.opinions == opinions
    assert reply.text == write(opinions)
    assert reply.problem is None


@given(
    st.one_of(st.text(), st.lists(st.sampled_from([*BLOCK.split("\n"), "", "---", "Review: x", "1. "])).map("\n".join))
)
def test_no_reply_raises(reply: str):
    read_reply = read(reply)
    assert (read_reply.problem is None) == bool(read_reply.opinions)


@pytest.mark.parametrize(
    "tail",
    [
        '\n\nReview: another one\n\nOpinion Target 1: "x"\nAspect: a\nSentiment: Negative\nReasoning: r',
        "\n\nConfidence: 90%",
        "\n---\nfurther",
        '\n\nResponse:\n["Opinion Target 1: soup"]',
        "\n\nI hope that this helps.",
        '\n\nOpinion Target 1: "other"\nAspect: a\nSentiment: Negative\nReasoning: r',
        '\n\nOpinion Target 3: "half',
    ],
)
def test_a_reply_that_runs_on_is_cut(tail: str):
    reply = read(f"{BLOCK}\n\n{SECOND}{tail}")
    assert [opinion["target"] for opinion in reply.opinions] == ["soup", "staff"]
    assert reply.text == f"{BLOCK}\n\n{SECOND}"
    assert reply.cut == ("half" if "half" in tail else "run-on")


def test_a_whole_reply_is_not_cut_and_keeps_the_teachers_words():
    reply = read(BLOCK.replace("Negative", "Mildly Negative"))
    assert reply.cut == ""
    (written,) = reply.written
    assert (written["target"], written["sentiment"]) == ('"soup"', "Mildly Negative")


def test_several_sides_of_one_target_are_several_opinions():
    reply = read(f"{BLOCK}\n\nAspect: price\nSentiment: Positive\nReasoning: Cheap.")
    assert [(opinion["target"], opinion["aspect"]) for opinion in reply.opinions] == [
        ("soup", "taste"),
        ("soup", "price"),
    ]


def test_a_bare_list_of_targets_before_the_analysis_is_passed_over():
    reply = read(f'Opinion Target 1: "soup"\nOpinion Target 2: "staff"\n\nFinal answer:\n{BLOCK}\n\n{SECOND}')
    assert [opinion["target"] for opinion in reply.opinions] == ["soup", "staff"]


def test_decorated_labels_and_parts_in_one_line_are_read():
    reply = read(
        "1. **Opinion Target 1:** 'soup' -- Aspect: taste -- Sentiment: mild negative - Reasoning: cold\nand thin"
    )
    assert reply.opinions == [
        {"target": "soup", "aspect": "taste", "sentiment": "negative", "reasoning": "cold and thin"}
    ]


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (" \n", "empty"),
        ("I cannot help with that.", "no opinion target found"),
        ('Opinion Target 1: "soup"\nAspect: taste', "the first lacks sentiment, reasoning"),
    ],
)
def test_an_unreadable_reply_says_why(reply: str, problem: str):
    assert problem in (read(reply).problem or "")


@pytest.mark.skipif(not MIXTRAL.is_file(), reason=f"no real replies at {MIXTRAL}")
def test_all_but_one_of_the_real_analyses_are_read():
    rows = [json.loads(line) for line in MIXTRAL.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    replies = {row["ID"]: read(row["mixtral_response"]) for row in rows if "Opinion Target" in row["mixtral_response"]}
    assert len(replies) == 234
    unread = {key: reply.problem for key, reply in replies.items() if reply.problem}  # a form that was left empty
    assert unread == {4173278: "no complete opinion: the first lacks aspect, sentiment, reasoning"}
    assert sum(len(reply.opinions) for reply in replies.values()) == 927
    assert Counter(reply.cut for reply in replies.values()) == {"": 147, "run-on": 83, "half": 4}
