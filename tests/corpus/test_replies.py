"""Replies are read in one order, however they came."""

import doctest
import random

import pytest
from datasets import Dataset

from hub_tools.corpus import replies as module
from hub_tools.corpus.replies import Replies, shard_names
from tests.corpus.replies import reply, review


REVIEWS = [review(f"Text {n}.", review_id=f"r{n}") for n in range(7)]
REPLIES = [
    reply(f"{prompt} of {n}", prompt, f"{prompt}{n}", review_id=f"r{n}")
    for n in range(7)
    for prompt in ("analysis", "rewriting")
]


def read(*shards: tuple[list[dict], list[dict]], earlier: list | None = None) -> list[tuple[str, str]]:
    shards = [(Dataset.from_list(replies), Dataset.from_list(reviews)) for replies, reviews in shards]
    rows = list(Replies("x", shards, [] if earlier is None else earlier))
    assert all(reply["review_id"] == review["review_id"] for reply, review in rows)
    return [(reply["reply"], review["text"]) for reply, review in rows]


WHOLE = [(reply["reply"], f"Text {reply['review_id'][1:]}.") for reply in REPLIES]


def test_the_docstrings_tell_the_truth():
    assert doctest.testmod(module).failed == 0
    with pytest.raises(ValueError, match=r"'replies-\*': expected .*replies-x-\*-of-4"):
        shard_names("replies-*")


@pytest.mark.parametrize("seed", range(3))
def test_the_order_is_that_of_the_reviews_then_of_the_prompts(seed: int, monkeypatch):
    monkeypatch.setattr(module, "WINDOW", 3)
    assert read((random.Random(seed).sample(REPLIES, k=14), REVIEWS)) == WHOLE


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_read_as_the_whole_does(count: int):
    shards = [
        ([row for row in reversed(REPLIES) if int(row["review_id"][1:]) % count == shard], REVIEWS[shard::count])
        for shard in range(count)
    ]
    assert read(*shards) == WHOLE


def test_a_request_that_was_answered_twice_is_taken_once_whoever_was_first(monkeypatch):
    monkeypatch.setattr(module, "WINDOW", 2)
    twice = [{**REPLIES[3], "reply": "another answer"}, *REPLIES, REPLIES[5], {**REPLIES[0], "review_id": "r6"}]
    assert read((twice, REVIEWS)) == read((list(reversed(twice)), REVIEWS))
    assert read((twice, REVIEWS)) == [WHOLE[n] if n != 3 else ("another answer", "Text 1.") for n in range(14)]
    shards = [(Dataset.from_list(twice), Dataset.from_list(REVIEWS))]
    replies = Replies("x", shards, [])
    assert (replies.found, replies.repeats) == (17, 3)


def test_a_request_that_an_earlier_source_answered_is_not_taken_again():
    earlier: list = []
    assert read((REPLIES[:6], REVIEWS), earlier=earlier) == WHOLE[:6]
    assert read((REPLIES[4:9], REVIEWS), earlier=earlier) == WHOLE[6:9]
    assert read((REPLIES, REVIEWS), earlier=earlier) == WHOLE[9:]


def test_a_reply_about_an_unknown_review_or_prompt_is_named():
    with pytest.raises(ValueError, match=r"x: reply analysis5 is about review 'r5'.* the 5 of .* so are 3 more"):
        read((REPLIES, REVIEWS[:5]))
    with pytest.raises(ValueError, match=r"x: reply q has prompt 'poem'; known: analysis, rewriting"):
        read(([*REPLIES, reply("x", "poem", review_id="r1")], REVIEWS))
