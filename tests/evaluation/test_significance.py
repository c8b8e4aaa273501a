"""From comparisons to tables and sentences; the tests themselves are tested beside `statistics`."""

import math

import pytest

from hub_tools.evaluation.report import compared
from hub_tools.evaluation.significance import (
    compare_all,
    families,
    noise_sentences,
    noise_table,
    score_intervals,
    significance_table,
    verdict,
    verdicts,
)
from hub_tools.evaluation.statistics import Comparison
from hub_tools.evaluation.tables import complete
from hub_tools.evaluation.typesetting import Value, to_markdown


NAN = float("nan")


def comparison(subset="all", model="distilled", difference=0.05, p=0.001, p_holm=0.01, noise=0.02, n=100):
    return Comparison(
        "tsa-laptop14", "test_hard", subset, "base", model, "paper", n, 3, 3, 0.5, 0.5 + difference, difference,
        difference - 0.02, difference + 0.02, p, p_holm, noise, 1.4 * noise,
    )  # fmt: skip


def empty(subset):
    return comparison(subset, difference=NAN, p=NAN, p_holm=NAN, noise=NAN, n=0)


def predictions(model, wrong, config="tsa-rest14", seed=1, sentences=40):
    """Prediction rows that miss every `wrong`-th sentence."""
    facts = {"model": model, "config": config, "seed": seed, "implicit": False, "multiple": False, "hard": False}
    texts = {"sentence": "Good soup.", "reference": "soup | positive"}
    return [
        {**facts, **texts, "id": f"{number}", "prediction": "" if number % wrong == 0 else "soup | positive"}
        for number in range(sentences)
    ]


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (comparison(), "better"),
        (comparison(difference=-0.05), "worse"),
        (comparison(p_holm=0.05), "open"),
        (empty("all"), "–"),
    ],
    ids=["better", "worse", "open", "empty"],
)
def test_a_verdict_needs_holms_p_below_five_percent(found, text):
    assert verdict(found) == text


def test_the_table_shows_points_and_a_dash_for_an_empty_subset():
    table = significance_table([comparison(), empty("multiple")])
    assert table.blocks[0].heading == "distilled less base (seeds: 3 and 3)"
    first, second = table.blocks[0].lines
    assert first[:4] == ["TSA-Laptop14", "All", "100", Value(5, signed=True)]
    assert second[3:8] == [None] * 5
    assert "| 0.001 | 0.010 | better |" in to_markdown(table)


def test_noise_is_of_the_noisiest_model_and_empty_subsets_have_none():
    found = [
        comparison(noise=0.02),
        comparison(model="other", noise=0.04),
        comparison("multiple", noise=0.05),
        empty("implicit"),
    ]
    table = noise_table(found)
    assert [line[1:4] for line in table.blocks[0].lines] == [["All", "100", Value(4)], ["Multiple", "100", Value(5)]]
    assert noise_sentences(found, 1) == [
        "Multiple on TSA-Laptop14 has 100 sentences: differences below 5.0 points cannot be told from chance."
    ]


def test_noise_is_at_least_half_the_interval_so_that_a_report_does_not_contradict_itself():
    """Of two seeds the interval is far wider than the bound."""
    found = comparison(noise=0.02)._replace(low=-0.05, high=0.15)
    ((_, _, _, noise, sure),) = noise_table([found]).blocks[0].lines
    assert (noise, sure) == (Value(pytest.approx(10)), Value(pytest.approx(2.8 + 8)))


def test_verdicts_are_counted_in_words():
    found = [
        comparison(),
        comparison("implicit", p_holm=0.5),
        empty("multiple"),
        comparison(model="other", difference=-1),
    ]
    assert verdicts(found)[0].startswith("distilled against base: better on 1, worse on 0 and open on 1 of 2 ")
    assert verdicts(found)[1].startswith("other against base: better on 0, worse on 1")


def test_holm_is_over_all_models_together():
    rows = complete(predictions("base", 4) + predictions("b", 10) + predictions("c", 10))
    found, problems = compare_all(rows, "base", n=200)
    assert problems == []
    tested = [one for one in found if not math.isnan(one.p)]
    assert len(tested) == 2
    assert [one.p_holm for one in tested] == pytest.approx([min(1, 2 * tested[0].p)] * 2)


def test_each_baseline_has_a_family_of_its_own_and_is_not_tested_twice():
    rows = complete(predictions("base", 4) + predictions("b", 10) + predictions("c", 10))
    found, problems = compared(rows, ["base", "b"], 200)
    assert problems == []
    tested = [one for one in found if not math.isnan(one.p)]
    assert [(one.baseline, one.model) for one in tested] == [("base", "b"), ("base", "c"), ("b", "c")]
    assert tested[0].p_holm == pytest.approx(min(1, 2 * tested[0].p))
    assert tested[2].p_holm == tested[2].p
    said = "2 tests against base and 1 test against b, a family each for Holm's correction"
    assert families(found) == said
    assert significance_table(found).title.endswith(said)
    assert [line.rpartition("Holm over ")[2] for line in verdicts(found)] == ["2 tests).", "2 tests).", "1 test)."]
    against_base = [one for one in found if one.baseline == "base"]
    assert families(against_base) == "2 tests, one family for Holm's correction"


def test_a_model_that_cannot_be_compared_is_named_and_the_others_are_compared():
    rows = complete(predictions("base", 4) + predictions("b", 10)[:-3] + predictions("c", 10))
    found, problems = compare_all(rows, "base", n=50)
    assert {one.model for one in found} == {"c"}
    assert len(problems) == 1
    assert problems[0].startswith(
        "b is not compared with base: tsa-rest14: model 'b', seed 1, has no prediction for 3"
    )


def test_intervals_are_in_percent_around_the_score():
    found = score_intervals(complete(predictions("base", 4)), n=200)
    ((key, (low, high)),) = found.items()
    assert key == ("base", "tsa-rest14", "all")
    assert low < 100 * 2 * 0.75 / 1.75 < high
    assert 60 < low < high < 100


def test_models_of_a_share_are_neither_compared_nor_drawn():
    rows = complete([{**row, "train_share": 0.1} for row in predictions("base", 4) + predictions("b", 10)])
    assert compare_all(rows, "base", n=50) == ([], [])
    assert score_intervals(rows, n=50) == {}
