"""The facts of the corpus card add up."""

from hub_tools.corpus.summary import summary


def _pair(prompt: str, target: str, **more: object) -> dict:
    return {
        "pair_id": target,
        "review_id": "r",
        "domain": "laptop",
        "rating": None,
        "prompt": prompt,
        "teacher": "t",
        "input": "one two three",
        "target": target,
        **more,
    }


def test_counts_lengths_reasons_and_samples():
    analysis = "\n\n".join(
        f'Opinion Target {n}: "{target}"\nAspect: a\nSentiment: Neutral\nReasoning: r'
        for n, target in enumerate(("two", "screen"), 1)
    )
    rejected = [_pair("rewriting", str(n), reason="copy") for n in range(5)] + [_pair("poem", "x", reason="empty")]
    facts = summary([_pair("analysis", analysis), _pair("rewriting", "a b c d")], rejected)
    assert (facts["pairs"], facts["rejected"], facts["reviews"]) == (2, 6, 1)
    assert (facts["opinions"], facts["ungrounded_targets"]) == (2, 1)
    assert facts["reasons"] == {"copy": 5, "empty": 1}
    assert [row["target"] for row in facts["samples"]["copy"]] == ["0", "1", "2"]
    rewriting = next(part for part in facts["parts"] if part["prompt"] == "rewriting")
    assert rewriting == {
        "teacher": "t",
        "domain": "laptop",
        "prompt": "rewriting",
        "pairs": 1,
        "rejected": 5,
        "words_in": 3.0,
        "words_out": 4.0,
    }


def test_an_empty_corpus_has_a_summary_too():
    assert summary([], [])["parts"] == []
