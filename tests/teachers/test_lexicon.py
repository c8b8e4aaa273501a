"""The offline teacher: what it finds, and that it writes what the readers read."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tools.prompts import analysis, rewriting
from hub_tools.reviews.readers import read_reviews
from hub_tools.reviews.sample import generate
from hub_tools.reviews.settings import ReviewSettings
from hub_tools.teachers.clauses import find_opinions
from hub_tools.teachers.lexicon import LexiconTeacher, analyse, rewrite, select, sentiment
from hub_tools.teachers.request import Request


DATA = Path(os.environ.get("FSA_DATA") or Path(__file__).resolve().parents[2].parent / "shared" / "data")


def _found(text: str) -> list[tuple[str, str, str]]:
    return [(f.target, f.aspect, sentiment(f.score)) for f in select(find_opinions(text))]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "The pasta was superb but the waiter ignored us.",
            [("pasta", "food quality", "Very Positive"), ("waiter", "service general", "Negative")],
        ),
        (
            "The goat cheese salad and the wine were not good.",
            [("goat cheese salad", "food quality", "Negative"), ("wine", "drinks quality", "Negative")],
        ),
        (
            "The view from the patio was great!",
            [("view", "location general", "Positive"), ("patio", "ambience general", "Neutral")],
        ),
        ("The steak is overpriced.", [("steak", "food prices", "Negative")]),
        ("I love the battery life.", [("battery life", "battery operation performance", "Very Positive")]),
        ("The battery is huge. It dies after two hours.", [("battery", "battery operation performance", "Negative")]),
        ("The sangria was too sweet.", [("sangria", "drinks quality", "Negative")]),
        ("We waited fifty minutes.", [("waited fifty minutes", "service general", "Negative")]),
        ("We will not be back to this place.", [("place", "restaurant general", "Negative")]),
        (
            "The fan is quiet and the hard drive is fast.",
            [
                ("fan", "fans cooling quality", "Positive"),
                ("hard drive", "hard disc operation performance", "Positive"),
            ],
        ),
        ("We went there on a tuesday with my sister.", []),
    ],
)
def test_these_opinions_are_found(text: str, found: list):
    assert _found(text) == found


def test_an_analysis_quotes_the_clause_and_is_read_back():
    findings = select(find_opinions("The pasta was superb, but we waited an hour for the bill."))
    reply = analysis.read(analyse(findings))
    assert [opinion["target"] for opinion in reply.opinions] == [finding.target for finding in findings]
    assert '"The pasta was superb"' in reply.opinions[0]["reasoning"]
    assert "names no feeling" in reply.opinions[1]["reasoning"]
    assert reply.incomplete == 0


def test_a_rewriting_speaks_in_the_first_person_and_keeps_targets():
    text = "The pasta was superb. The waiter ignored us."
    reply = rewriting.read(rewrite(select(find_opinions(text)), text))
    assert reply.text.startswith("I ")
    assert "pasta" in reply.text
    assert "waiter" in reply.text
    assert reply.problem is None


@given(
    st.one_of(
        st.text(),
        st.lists(st.sampled_from("the pasta was not too good but , . it waited an hour ! -".split())).map(" ".join),
    )
)
def test_no_text_fails_and_every_target_stands_in_it(text: str):
    for finding in find_opinions(text):
        assert finding.target in text


def test_an_unknown_prompt_is_refused():
    with pytest.raises(ValueError, match="knows analysis and rewriting"):
        LexiconTeacher().reply([Request("q", "r", "text", "poem", [])])


def test_on_the_sample_nearly_all_replies_are_read_and_grounded(tmp_path: Path):
    generate(tmp_path / "data", reviews=100, train=1, dev=1, test=1, hard=1)
    _check(list(read_reviews(ReviewSettings(data=str(tmp_path / "data"), files=["reviews"]))), least=0.99)


@pytest.mark.skipif(not (DATA / "reviews").is_dir(), reason=f"no real reviews at {DATA}")
def test_on_real_reviews_nearly_all_replies_are_read_and_grounded():
    reviews = read_reviews(ReviewSettings(data=str(DATA), files=["reviews"]))
    _check([review for review in reviews if review["text"]][::20], least=0.94)


def _check(reviews: list[dict], least: float) -> None:
    requests = [Request(str(n), "r", review["text"], "analysis", []) for n, review in enumerate(reviews)]
    replies = [analysis.read(row["reply"]) for row in LexiconTeacher().reply(requests)]
    assert sum(reply.problem is None for reply in replies) >= least * len(reviews)
    for review, reply in zip(reviews, replies, strict=True):
        assert reply.incomplete == 0
        assert all(opinion["target"] in review["text"] for opinion in reply.opinions)
        assert all(opinion["sentiment"] in analysis.SENTIMENTS for opinion in reply.opinions)
