"""Replies become pairs, or are rejected with the right reason."""

import doctest
import json
import os
from collections import Counter
from pathlib import Path

import pytest

from hub_tools.corpus import pairs as module
from hub_tools.corpus.contamination import BenchmarkSentences
from hub_tools.corpus.pairs import REASONS, config_name, to_pairs
from hub_tools.teachers.recorded import read_recorded


DATA = Path(os.environ.get("FSA_DATA") or Path(__file__).resolve().parents[2].parent / "shared" / "data")
MIXTRAL = DATA / "mixtral" / "test_500_4m8d.json"
TEXT = "The soup was cold and the staff was rude. We will not be back."


def _review(text: str = TEXT, rating: float | None = 1.0) -> dict:
    return {"review_id": "r", "domain": "restaurant", "text": text, "rating": rating, "source": "s"}


def _reply(text: str, prompt: str = "analysis") -> dict:
    return {"request_id": "q", "review_id": "r", "prompt": prompt, "teacher": "t", "reply": text}


def _analysis(target: str, sentiment: str) -> str:
    return f'Opinion Target 1: "{target}"\nAspect: a\nSentiment: {sentiment}\nReasoning: because it says so.'


def _outcome(reply: dict, review: dict, sentences: BenchmarkSentences | None = None) -> str:
    pairs, rejected = to_pairs([reply], [review], sentences)
    assert len(pairs) + len(rejected) == 1
    return rejected[0]["reason"] if rejected else "kept"


def test_the_docstrings_tell_the_truth():
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("reply", "rating", "outcome"),
    [
        (_reply(_analysis("soup", "Negative")), 1.0, "kept"),
        (_reply("  "), 1.0, "empty"),
        (_reply("The soup."), 1.0, "unreadable"),
        (_reply("As an AI, I have no opinion."), 1.0, "refusal"),
        (_reply("I'm sorry, but I cannot assist with that.", "rewriting"), 1.0, "refusal"),
        (_reply(_analysis("pizza", "Negative")), 1.0, "ungrounded"),
        (_reply(_analysis("soup", "Very Negative")), 5.0, "contradicts stars"),
        (_reply(_analysis("soup", "Positive")), 1.0, "contradicts stars"),
        (_reply(_analysis("soup", "Positive")), None, "kept"),
        (_reply(_analysis("soup", "Positive") + "\n\n" + _analysis("staff", "Negative")), 1.0, "kept"),
        (_reply("I hated the cold soup and the rude staff!", "rewriting"), 1.0, "kept"),
        (_reply("I hated it.", "rewriting"), 1.0, "too short"),
        (_reply("I hated it so. " * 150, "rewriting"), 1.0, "too long"),
        (_reply(TEXT.upper() + "!", "rewriting"), 1.0, "copy"),
    ],
)
def test_each_gate_gives_its_reason(reply: dict, rating: float | None, outcome: str):
    assert _outcome(reply, _review(rating=rating)) == outcome
    assert outcome in ("kept", *REASONS)


@pytest.mark.parametrize("place", ["review", "reply"])
def test_a_test_sentence_in_review_or_reply_contaminates_the_pair(place: str):
    sentence = "We will never ever be back there."
    review = _review(TEXT + (f" {sentence}" if place == "review" else ""))
    reply = _reply("I hated the cold soup. " + (sentence if place == "reply" else "It made me angry."), "rewriting")
    assert _outcome(reply, review, BenchmarkSentences([sentence])) == "contaminated"
    assert _outcome(reply, review, BenchmarkSentences(["Some other sentence of five words."])) == "kept"


def test_the_same_pair_is_kept_once_and_has_a_lasting_id():
    replies = [_reply(_analysis("soup", "Negative"))] * 2
    pairs, rejected = to_pairs(replies, [_review()])
    assert [row["reason"] for row in rejected] == ["repeated"]
    assert pairs[0]["pair_id"] == to_pairs(replies, [_review()])[0][0]["pair_id"]
    assert list(pairs[0]) == ["pair_id", "review_id", "domain", "rating", "prompt", "teacher", "input", "target"]
    assert list(rejected[0]) == [*pairs[0], "reason"]


def test_the_target_is_the_reply_up_to_where_it_runs_on():
    analysis = _analysis("soup", "Negative")
    pairs, _ = to_pairs([_reply(f" {analysis}\n\nReview: next one\n\n{_analysis('x', 'Neutral')}")], [_review()])
    assert pairs[0]["target"] == analysis


def test_a_reply_about_an_unknown_review_or_prompt_is_an_error():
    with pytest.raises(ValueError, match="review 'r' is not among the 0 reviews"):
        to_pairs([_reply("x")], [])
    with pytest.raises(ValueError, match="prompt 'poem'; known: analysis, rewriting"):
        to_pairs([_reply("x", "poem")], [_review()])


def test_config_names_are_safe_for_the_hub():
    assert config_name("lexicon", "restaurant", "analysis") == "lexicon-restaurant-analysis"
    assert config_name("Org/Model 7B", "laptop", "rewriting") == "org-model-7b-laptop-rewriting"


@pytest.mark.skipif(not MIXTRAL.is_file(), reason=f"no real replies at {MIXTRAL}")
def test_of_the_real_replies_these_are_rejected():
    reviews, replies = read_recorded(MIXTRAL)
    hard = json.loads((DATA / "fsa_datasets/w_hard/atsa/rest14/hard_test.json").read_text(encoding="utf-8-sig"))
    pairs, rejected = to_pairs(replies, reviews, BenchmarkSentences(record["sentence"] for record in hard))
    reasons = Counter(row["reason"] for row in rejected)
    # Hard test sentences were taken from one of these very reviews; another holds "I can't wait to come back."
    assert reasons == {"ungrounded": 7, "contradicts stars": 1, "unreadable": 1, "contaminated": 2}
    assert len(pairs) == 489
