"""The rewriting prompt and its reader."""

import doctest
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tools.prompts import rewriting
from hub_tools.prompts.rewriting import build, read


DATA = Path(os.environ.get("FSA_DATA") or Path(__file__).resolve().parents[2].parent / "shared" / "data")
MIXTRAL = DATA / "mixtral" / "test_500_4m8d.json"


def test_the_docstrings_tell_the_truth():
    assert doctest.testmod(rewriting).failed == 0


def test_the_prompt_shows_a_demonstration_that_its_own_reader_reads():
    messages = build("Nice soup!")
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert read(messages[2]["content"]).text == messages[2]["content"]


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (" I loved it. So good! ", "I loved it. So good!"),
        ("I loved it.\n\nThe staff smiled.", "I loved it.\n\nThe staff smiled."),
        (
            ". worth it.\n\nRewritten: I loved it because it is worth the money.",
            "I loved it because it is worth the money.",
        ),
        ("I loved it.\n\nReview: another text\n\nRewritten: I hated it.", "I loved it."),
        ("I loved it.\n\nThis rewritten review keeps the tone.", "I loved it."),
        ("I loved it. Then the waiter ca", "I loved it."),
        ("I loved it without a full stop", "I loved it without a full stop"),
    ],
)
def test_only_the_rewritten_review_is_kept(reply: str, text: str):
    assert read(reply).text == text


@pytest.mark.parametrize(
    ("reply", "cut"),
    [("I loved it.", ""), ("I loved it.\n\nNote: done.", "run-on"), ("I loved it. Then the waiter ca", "half")],
)
def test_what_was_cut_is_told(reply: str, cut: str):
    assert read(reply).cut == cut


def test_an_empty_reply_says_so():
    assert read(" ").problem == "empty"
    assert "no rewritten review" in (read("```json").problem or "")


@given(st.text())
def test_no_reply_raises(reply: str):
    assert bool(read(reply).text) == (read(reply).problem is None)


@pytest.mark.skipif(not MIXTRAL.is_file(), reason=f"no real replies at {MIXTRAL}")
def test_every_real_rewriting_is_read():
    rows = [json.loads(line) for line in MIXTRAL.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    replies = [read(row["mixtral_response"]) for row in rows if "Opinion Target" not in row["mixtral_response"]]
    assert len(replies) == 266
    assert not any(reply.problem for reply in replies)
    assert not any("Confidence:" in reply.text or "Review:" in reply.text for reply in replies)
