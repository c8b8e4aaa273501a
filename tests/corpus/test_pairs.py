"""Replies become pairs, or are rejected with the right reason."""

import doctest
import json
from collections import Counter

import pytest

from hub_tools.corpus import gates
from hub_tools.corpus import pairs as module
from hub_tools.corpus.contamination import BenchmarkSentences
from hub_tools.corpus.pairs import Judge, pair_id
from hub_tools.teachers.recorded import read_recorded
from tests.corpus.replies import REWRITING, TEXT, analysis, reply, review


def judged(text: str, prompt: str = "analysis", judge: Judge | None = None, **about: object):
    return (judge or Judge()).judge(reply(text, prompt), review(**about))


def test_the_docstrings_tell_the_truth():
    assert doctest.testmod(module).failed == 0
    assert doctest.testmod(gates).failed == 0


def test_what_runs_on_is_learned_only_where_replies_are_learned_whole():
    text = f"{analysis()}\n\nReview: The next one, which nobody asked about, was good."
    cut, whole = judged(text), judged(text, judge=Judge(whole=True))
    assert (cut.pair["target"], whole.pair["target"]) == (analysis(), text)
    assert cut.pair["pair_id"] != whole.pair["pair_id"]


@pytest.mark.parametrize(
    ("text", "prompt", "reason", "detail"),
    [
        (analysis(), "analysis", "", ""),
        (REWRITING, "rewriting", "", ""),
        ("  ", "analysis", "empty", ""),
        ("The soup.", "analysis", "unreadable", "no opinion target found"),
        ("As an AI, I have no opinion.", "rewriting", "refusal", "As an AI"),
        (analysis("pizza"), "analysis", "targets", "'pizza'"),
        ("I hated it.", "rewriting", "length", "3 words for 14"),
        (TEXT.upper() + "!", "rewriting", "copy", "word by word"),
    ],
)
def test_a_reply_is_a_pair_or_has_a_reason(text: str, prompt: str, reason: str, detail: str):
    found = judged(text, prompt)
    assert (found.reason, found.detail) == (reason, detail)


def test_a_gate_that_is_left_out_rejects_nothing():
    assert judged(analysis("pizza"), judge=Judge(["copy"])).reason == ""
    assert judged("The soup.", judge=Judge([])).reason == "unreadable"
    with pytest.raises(ValueError, match="unknown gate 'stairs'"):
        Judge(["stairs"])


def test_what_was_asked_is_counted_up_to_the_first_objection():
    judge = Judge(["refusal", "targets", "copy"])
    for text, prompt in ((analysis(), "analysis"), (analysis("pizza"), "analysis"), (" ", "rewriting")):
        judged(text, prompt, judge)
    judged(TEXT, "rewriting", judge)
    assert judge.asked == {"readable": [4, 1], "refusal": [3, 0], "targets": [2, 1], "copy": [1, 1], "new": [1, 0]}
    assert list(judge.asks) == list(judge.asked)


@pytest.mark.parametrize("place", ["review", "reply"])
def test_a_benchmark_sentence_in_review_or_reply_contaminates_the_pair(place: str):
    sentence = "We will never ever be back there."
    sentences = [("tsa/test/7", sentence), ("asa/test/8", "Some other five words here.")]
    judge = Judge(sentences=BenchmarkSentences(sentences))
    clean = judged(REWRITING, "rewriting", judge)
    about = review(TEXT + (f" {sentence.lower()}" if place == "review" else ""))
    found = judge.judge(reply(REWRITING + (f" {sentence.lower()}" if place == "reply" else ""), "rewriting"), about)
    assert (clean.reason, found.reason, found.detail) == ("", "contaminated: normalised", "tsa/test/7")
    assert judge.asked["clean"] == [2, 1]


def test_the_same_pair_is_kept_once_and_has_a_lasting_id():
    judge = Judge()
    first, second = (judged(analysis(), judge=judge) for _ in range(2))
    assert (first.reason, second.reason) == ("", "repeated")
    assert first.pair["pair_id"] == second.pair["pair_id"] == pair_id("t", "analysis", TEXT, analysis())
    assert " ".join(first.pair) == "pair_id review_id domain rating prompt teacher input target source licence"


def test_a_pair_says_where_its_review_is_from_and_under_which_terms():
    assert [judged(analysis()).pair[name] for name in ("source", "licence")] == ["s", ""]
    assert judged(analysis(), licence="cc0-1.0").pair["licence"] == "cc0-1.0"


def test_the_target_is_the_reply_up_to_where_it_runs_on():
    text = f" {analysis()}\n\nReview: next one\n\n{analysis('x')}"
    assert judged(text).pair["target"] == analysis()


def test_of_the_real_replies_these_are_rejected(data):
    reviews, replies = read_recorded(data / "mixtral" / "test_500_4m8d.json")
    about = {row["review_id"]: row for row in reviews}
    hard = json.loads((data / "fsa_datasets/w_hard/atsa/rest14/hard_test.json").read_text(encoding="utf-8-sig"))
    judge = Judge(sentences=BenchmarkSentences((record["ID"], record["sentence"]) for record in hard))
    reasons = Counter(judge.judge(reply, about[reply["review_id"]]).reason for reply in replies)
    # Hard test sentences were taken from one of these very reviews; another holds "I can't wait to come back."
    assert reasons == {
        "": 470,
        "intensity": 19,
        "boilerplate": 4,
        "truncated": 4,
        "contaminated: exact": 1,
        "contaminated: normalised": 1,
        "unreadable": 1,
    }
