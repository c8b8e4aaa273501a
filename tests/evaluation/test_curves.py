"""Averages over cells against data, and what the rules disagree on: numbers that can be checked by hand."""

import pytest

from hub_tools.evaluation.curves import averages, published_scaling, rule_gaps, scaling_curves, share_curves
from hub_tools.evaluation.results import SCORES


def row(model, share, seed, f1, config="tsa-rest14", subset="all", split="test_hard", **more):
    place = {"model": model, "config": config, "split": split, "subset": subset, "seed": seed, "train_share": share}
    return place | dict.fromkeys(SCORES, f1) | {"n_sentences": 10} | more


def test_averages_are_over_cells_that_all_have_and_then_over_seeds():
    rows = [
        row("base", 1.0, 1, 0.2),
        row("base", 1.0, 1, 0.4, subset="multiple"),
        row("base", 1.0, 2, 0.4),
        row("base", 1.0, 2, 0.6, subset="multiple"),
        row("base", 1.0, 1, 0.9, config="asa-rest16"),  # nobody else has it
        row("distilled", 1.0, 1, 0.5),
        row("distilled", 1.0, 1, 0.7, subset="multiple"),
    ]
    points, cells = averages(rows, ["base", "distilled"])
    assert cells == 2
    assert points["base", 1.0] == pytest.approx((1.0, 40, 200**0.5, 2))
    assert points["distilled", 1.0] == pytest.approx((1.0, 60, 0, 1))


def test_empty_subsets_other_splits_and_quads_beside_pairs_do_not_count():
    rows = [
        row("base", 1.0, 1, 0.2),
        row("base", 1.0, 1, 1.0, subset="implicit", n_sentences=0),
        row("base", 1.0, 1, 0.9, split="test"),
        row("base", 1.0, 1, 0.9, config="acos-rest16", split="test"),
    ]
    points, cells = averages(rows, ["base"])
    assert (cells, points["base", 1.0].mean) == (1, pytest.approx(20))
    assert averages(rows[-1:], ["base"])[0]["base", 1.0].mean == pytest.approx(90)


def test_nothing_in_common_gives_no_points():
    rows = [row("base", 1.0, 1, 0.2), row("distilled", 1.0, 1, 0.2, config="asa-rest16")]
    assert averages(rows, ["base", "distilled"]) == ({}, 0)
    assert averages([], ["base"]) == ({}, 0)


def test_share_curves_are_of_models_with_several_shares():
    rows = [row("base", share, 1, share / 2) for share in (1.0, 0.1, 0.5)] + [row("other", 1.0, 1, 0.5)]
    curves, _ = share_curves(rows)
    assert list(curves) == ["base"]
    assert [(point.x, point.mean) for point in curves["base"]] == [(0.1, 5), (0.5, 25), (1.0, 50)]


def test_results_of_before_the_column_are_of_all_sentences():
    old = {key: value for key, value in row("base", 1.0, 1, 0.5).items() if key != "train_share"}
    assert share_curves([old])[0] == {}
    assert scaling_curves([old], {"base": ("ours", 0)})[0]["ours"][0].mean == pytest.approx(50)


def test_scaling_curves_join_models_of_a_line_by_their_numbers():
    rows = [row("base", 1.0, 1, 0.2), row("big", 1.0, 1, 0.4), row("other", 1.0, 1, 0.3), row("big", 0.1, 1, 0.9)]
    numbers = {"big": ("ours", 100), "base": ("ours", 0), "absent": ("ours", 5)}
    curves, _ = scaling_curves(rows, numbers)
    assert [(point.x, point.mean) for point in curves["ours"]] == [(0, 20), (100, 40)]


def test_the_published_curve_begins_at_the_baseline():
    """Table 4 prints 56.20, +3.73 with 100 thousand and +6.00 with 1 million reviews."""
    mixtral = published_scaling()["Mixtral-8x7b"]
    assert [point.x for point in mixtral] == [0, 100_000, 1_000_000]
    assert [point.mean for point in mixtral] == pytest.approx([56.20, 59.93, 62.20], abs=0.01)


def test_the_gap_of_the_rules_is_told_with_its_causes():
    counts = {"n_predicted": 90, "n_malformed": 4, "n_invented": 6, "n_repeated": 20}
    rows = [row("base", 1.0, 1, 0.5, **counts, strict_f1=0.4), row("base", 1.0, 1, 0.5, subset="multiple", **counts)]
    rows[0]["strict_f1"] = 0.4
    (gap,) = rule_gaps(rows)
    assert gap["gap"] == pytest.approx(10)
    assert (gap["malformed"], gap["invented"], gap["repeated"]) == (4, 6, 20)


def test_a_model_that_wrote_nothing_has_no_causes():
    nothing = {"n_predicted": 0, "n_malformed": 0, "n_invented": 0, "n_repeated": 0}
    (gap,) = rule_gaps([row("base", 1.0, 1, 0.0, **nothing)])
    assert (gap["gap"], gap["invented"]) == (0, 0)


def test_the_gaps_are_config_by_config_whatever_the_order_of_the_rows():
    nothing = {"n_predicted": 1, "n_malformed": 0, "n_invented": 0, "n_repeated": 0}
    rows = [
        row(model, 1.0, 1, 0.5, config, **nothing) for model in ("a", "b") for config in ("tsa-rest14", "asa-rest16")
    ]
    found = [(gap["config"], gap["model"]) for gap in rule_gaps(rows)]
    assert found == [("tsa-rest14", "a"), ("tsa-rest14", "b"), ("asa-rest16", "a"), ("asa-rest16", "b")]
