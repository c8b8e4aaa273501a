"""Each gate lets good texts through and stops its own kind of bad ones; on real replies, so many."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from hub_tools.corpus.gates import DEFAULT, GATES, Candidate, chosen, looks_at
from hub_tools.prompts import READERS
from hub_tools.teachers.recorded import read_recorded
from tests.corpus.replies import REWRITING, TEXT, analysis


def candidate(text: str, prompt: str = "", review: str = TEXT, rating: float | None = 1.0, finish: str = "stop"):
    read = READERS[prompt or ("analysis" if "Opinion Target" in text else "rewriting")](text)
    assert not read.problem
    return Candidate(review, rating, read.text, text, read, finish)


def failed(candidate: Candidate, prompt: str) -> list[str]:
    return [name for name, gate in GATES.items() if looks_at(gate, prompt) and gate.fails(candidate)]


def test_good_texts_pass_every_gate():
    assert failed(candidate(analysis()), "analysis") == []
    assert failed(candidate(REWRITING), "rewriting") == []
    assert failed(candidate(REWRITING, rating=None), "rewriting") == []


@pytest.mark.parametrize(
    ("gate", "text"),
    [
        ("refusal", "I'm sorry, but I cannot assist with that review, which is cold, rude and not nice."),
        ("refusal", "As an AI language model I hated the soup, and the staff was rude to me, so I left."),
        ("boilerplate", f"{REWRITING} The updated review keeps the tone of the original review."),
        ("boilerplate", analysis("[Product Name]", reasoning='"the soup was cold" tells it.')),
        ("boilerplate", f"Submit Your Answer\n{analysis()}"),
        ("run-on", f"{REWRITING}\n\nReview: {'another text of many words ' * 20}"),
        ("truncated", analysis(reasoning='The statement "The soup was co')),
        ("truncated", "I hated that the soup was cold, and I was angry at the rude staff. And I wi"),
        ("length", "I hated it."),
        ("length", "I hated the soup so much. " * 120),
        ("language", "Odié la sopa fría y el personal fue muy grosero con nosotros, no volveremos."),
        ("targets", analysis("pizza")),
        ("targets", analysis("pizza", reasoning='"The crust was soggy" tells it.')),
        ("quotations", analysis(reasoning='"comically large laptop" and "greasy keyboard" tell it.')),
        ("stars", analysis(sentiment="Very Positive")),
        ("intensity", f"{REWRITING} An utterly appalling, abysmal, dreadful evening, the worst ever."),
        ("copy", TEXT.upper()),
        ("copy", f"I was angry: {TEXT.lower()}"),
    ],
)
def test_each_gate_stops_its_own_kind(gate: str, text: str):
    found = candidate(text)
    assert GATES[gate].fails(found)
    assert looks_at(GATES[gate], "analysis" if "Opinion Target" in text else "rewriting")


@pytest.mark.parametrize(
    ("gate", "text", "review"),
    [
        (
            "refusal",
            "I cannot help with the words: as an AI, it said, it was sorry.",
            "As an AI fan I asked it to rewrite.",
        ),
        ("truncated", 'I said: "I will not come back, not for this cold soup!"', TEXT),
        (
            "targets",
            analysis("wireless adapter", reasoning='"only gets 3 bars" tells it.'),
            "it only gets 3 bars here",
        ),
        ("targets", analysis("the case"), "i am pleased with this cae."),
        ("quotations", analysis(reasoning='The reviewer\'s "soup was cold" is a "Negative" sentiment.'), TEXT),
        ("quotations", analysis(reasoning='"i am please with this case" tells it.'), "i am pleased with this cae."),
        ("intensity", "Absolutely perfect, superb, delicious, the finest ever!", "BEST FOOD EVER!!!!! I LOVED IT!!!"),
        ("intensity", "An incredible place. Incredible food, incredible staff, incredible price.", TEXT),
    ],
)
def test_what_only_looks_bad_passes(gate: str, text: str, review: str):
    assert not GATES[gate].fails(candidate(text, review=review))


def test_stars_are_believed_only_where_the_words_are_on_their_side():
    complaint = candidate(analysis(sentiment="Negative"), review="They are closed. Frustrating, awful!", rating=5.0)
    assert not GATES["stars"].fails(complaint)
    assert "5 stars" in GATES["stars"].fails(complaint._replace(review="I love the soup."))
    for rating in (None, 2.0, 3.0, 4.0):  # not looked at
        assert GATES["stars"].fails(complaint._replace(rating=rating)) is None


def test_gates_are_asked_in_their_own_order_and_must_exist():
    assert list(chosen(["copy", "refusal"])) == ["refusal", "copy"]
    assert "run-on" not in DEFAULT
    with pytest.raises(ValueError, match=r"unknown gate 'stairs'; allowed: refusal, boilerplate"):
        chosen(["stairs"])


# --- The 500 replies of Mixtral: what comes is measured, and was read by eye -----------------------------------------

REJECTS = {
    "refusal": (499, 0),
    "boilerplate": (499, 4),  # 4 of 4 are bad
    "run-on": (499, 22),  # 19 of 22 are good once cut, so they are cut and kept: off by default
    "truncated": (499, 4),  # 4 of 4 are bad
    "length": (499, 0),
    "language": (499, 0),
    "targets": (233, 0),
    "quotations": (233, 0),
    "stars": (85, 0),
    "intensity": (266, 19),  # 16 of 19 are bad; of 15 more at a threshold of 3, about half
    "copy": (266, 0),
}


@pytest.fixture(scope="module")
def real(data) -> list[tuple[dict, dict, Candidate]]:
    reviews, replies = read_recorded(data / "mixtral" / "test_500_4m8d.json")
    about = {review["review_id"]: review for review in reviews}
    found = []
    for reply in replies:
        review, read = about[reply["review_id"]], READERS[reply["prompt"]](reply["reply"])
        if not read.problem:
            found.append((review, reply, Candidate(review["text"], review["rating"], read.text, reply["reply"], read)))
    return found


def test_of_the_real_replies_each_gate_rejects_so_many(real):
    looked, rejected = Counter(), Counter()
    for _, reply, candidate in real:
        for name, gate in GATES.items():
            detail = gate.fails(candidate) if looks_at(gate, reply["prompt"]) else None
            looked[name] += detail is not None
            rejected[name] += bool(detail)
    assert {name: (looked[name], rejected[name]) for name in GATES} == REJECTS


def test_the_rewriting_that_everybody_quotes_is_rejected(real):
    (detail,) = [
        GATES["intensity"].fails(candidate) for _, _, candidate in real if "finest I've ever savored" in candidate.text
    ]
    assert detail == "enchanted, delightful, finest, ever, overwhelmingly, without a doubt"


def test_nearly_every_analysis_of_another_review_is_told(real):
    analyses = [(review, candidate) for review, reply, candidate in real if reply["prompt"] == "analysis"]
    told = 0
    for domain in ("restaurant", "laptop"):
        of_domain = [(review, candidate) for review, candidate in analyses if review["domain"] == domain]
        random.Random(0).shuffle(of_domain)
        for (_, candidate), (other, _) in zip(of_domain, of_domain[1:] + of_domain[:1], strict=True):
            mixed_up = candidate._replace(review=other["text"])
            told += any(GATES[name].fails(mixed_up) for name in ("targets", "quotations"))
    assert (told, len(analyses)) == (228, 233)


def test_most_analyses_of_one_and_five_stars_are_told_when_turned_round(real):
    turned = {"positive": "negative", "negative": "positive", "very positive": "very negative"}
    turned |= {"very negative": "very positive"}
    told = 0
    for _, reply, candidate in real:
        if reply["prompt"] == "analysis" and candidate.rating in (1.0, 5.0):
            opinions = [
                {**one, "sentiment": turned.get(one["sentiment"], one["sentiment"])} for one in candidate.read.opinions
            ]
            told += bool(GATES["stars"].fails(candidate._replace(read=replace(candidate.read, opinions=opinions))))
    assert told == 60
