"""The facts of the corpus card add up."""

import doctest

from hub_tools.corpus import summary as module
from hub_tools.corpus.pairs import Judge
from hub_tools.corpus.summary import Summary, draw_lengths
from tests.corpus.replies import REWRITING, analysis, reply, review


def test_the_docstrings_tell_the_truth():
    assert doctest.testmod(module).failed == 0


def summed() -> Summary:
    summary, judge = Summary(), Judge()
    for n in range(5):
        about = review(review_id=f"r{n}", rating=[None, 1.0, 4.6, 3.0, 3.0][n], text=f"The soup was cold, number {n}.")
        summary.add(judge.judge(reply(analysis() + "\n\n" + analysis("screen")), about))
        summary.add(judge.judge(reply(REWRITING, "rewriting"), about))
        summary.add(judge.judge(reply("No.", "rewriting"), about))
    return summary


def test_counts_lengths_reasons_and_samples():
    summary = summed()
    assert (summary.pairs.total(), summary.rejected.total(), summary.reviews) == (10, 5, 5)
    assert (summary.opinions, summary.ungrounded) == (10, 5)
    assert summary.reasons == {"length": 5}
    assert [row["review_id"] for row in summary.samples["length"]] == ["r0", "r1", "r2"]
    assert summary.stars == {"none": 2, "1": 2, "5": 2, "3": 4}
    assert summary.sources == {("s", ""): 10}
    rewriting = next(part for part in summary.parts() if part["prompt"] == "rewriting")
    assert rewriting == {
        "teacher": "t",
        "domain": "restaurant",
        "prompt": "rewriting",
        "pairs": 5,
        "rejected": 5,
        "words in": 6.0,
        "words out": 21.0,
    }


def test_lengths_are_a_picture():
    assert draw_lengths(summed()).startswith(b"\x89PNG")


def test_an_empty_corpus_has_a_summary_too():
    assert Summary().parts() == []
