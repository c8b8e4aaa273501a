"""Two models compared from prediction rows: aligned by sentence, tested per subset, corrected over all."""

from math import isnan
from random import Random

import pytest

from hub_tools.evaluation.statistics import StatisticsError, compare, members, score_runs


def make_rows(model, config="tsa-rest14", seeds=(1,), n=40, right=0.5, **facts):
    """Prediction rows of a model that is right in a share of the sentences; every fourth is hard, every second
    implicit, every tenth multiple."""
    rows = []
    for seed in seeds:
        rng = Random(f"{model}{seed}")
        for number in range(n):
            said = "soup | positive" if rng.random() < right else "soup | negative"
            rows.append(
                {
                    "model": model,
                    "config": config,
                    "id": f"s{number}",
                    "sentence": f"The soup of {number}.",
                    "reference": "soup | positive",
                    "prediction": said,
                    "implicit": number % 2 == 0,
                    "multiple": number % 10 == 0,
                    "hard": number % 4 == 3,
                    "seed": seed,
                    **facts,
                }
            )
    return rows


def make_quads(model, right):
    """As the pairs, with quads: an implicit target in every fifth sentence, and no implicit opinion at all."""
    rows = make_rows(model, "acos-rest16", n=20, implicit=False, hard=False, right=right)
    for number, row in enumerate(rows):
        row["reference"] = f"food quality | positive | {'none' if number % 5 == 0 else 'soup'} | of"
        row["prediction"] = row["reference"] if row["prediction"] == "soup | positive" else ""
    return rows


def test_every_subset_is_tested_on_its_sentences():
    rows = make_rows("old", seeds=(1, 2, 3), right=0.3) + make_rows("new", seeds=(4, 5), right=0.9)
    found = compare(rows, "old", "new")
    assert [(row.subset, row.n_sentences) for row in found] == [("all", 40), ("implicit", 20), ("multiple", 4)]
    best = found[0]
    old, new = (
        sum(row["prediction"] == row["reference"] for row in rows if row["model"] == name) for name in ("old", "new")
    )
    assert (best.f1_baseline, best.f1_model) == pytest.approx((old / 120, new / 80))
    assert best.difference == pytest.approx(best.f1_model - best.f1_baseline)
    assert best.low < best.difference < best.high
    assert (best.split, best.seeds_baseline, best.seeds_model) == ("test_hard", 3, 2)
    assert best.p < 0.01 < best.p_holm < 0.05 or best.p_holm == pytest.approx(min(1, 3 * best.p))
    assert 0 < best.noise_bound < best.smallest_difference
    assert all(row.p_holm >= row.p for row in found)


def test_the_official_test_set_is_what_is_not_hard():
    rows = make_rows("old", right=0.3) + make_rows("new", right=0.9)
    assert [(row.split, row.n_sentences) for row in compare(rows, "old", "new", split="test")] == [
        ("test", 30), ("test", 20), ("test", 4),
    ]  # fmt: skip


def test_quads_have_subsets_of_their_own_and_an_empty_one_is_nan_and_no_test():
    rows = make_quads("old", 0.2) + make_quads("new", 0.9)
    found = {row.subset: row for row in compare(rows, "old", "new")}
    assert {name: row.n_sentences for name, row in found.items()} == {
        "all": 20, "implicit_aspect": 4, "implicit_opinion": 0, "multiple": 2,
    }  # fmt: skip
    empty = found["implicit_opinion"]
    assert all(map(isnan, (empty.f1_model, empty.difference, empty.p, empty.p_holm, empty.smallest_difference)))
    assert found["all"].p_holm == pytest.approx(3 * found["all"].p)
    assert found["all"].split == "test"


def test_one_family_holds_all_configs():
    rows = [
        row
        for config in ("tsa-rest14", "tsa-laptop14")
        for name, right in (("old", 0.2), ("new", 0.95))
        for row in make_rows(name, config, right=right)
    ]
    found = compare(rows, "old", "new")
    assert [row.config for row in found] == ["tsa-rest14"] * 3 + ["tsa-laptop14"] * 3
    smallest = min(found, key=lambda row: row.p)
    assert smallest.p_holm == pytest.approx(6 * smallest.p)


def test_the_order_of_rows_does_not_matter():
    rows = make_rows("old", seeds=(1, 2)) + make_rows("new", seeds=(1, 2), right=0.8)
    turned = sorted(rows, key=lambda row: (row["seed"], int(row["id"][1:])))
    assert compare(rows, "old", "new") == compare(turned, "old", "new")


def test_the_rule_decides_the_counts():
    rows = make_rows("old") + make_rows("new")
    for row in rows:
        row["prediction"] += " ; tea | positive" if row["model"] == "new" else ""  # invented, free by the paper's rule
    assert compare(rows, "old", "new", rule="paper")[0].f1_model > 0.3
    assert compare(rows, "old", "new", rule="strict")[0].difference < compare(rows, "old", "new")[0].difference
    with pytest.raises(ValueError, match="unknown rule 'loose'"):
        compare(rows, "old", "new", rule="loose")


def test_unknown_flags_leave_their_subset_out_and_a_config_of_one_model_too():
    rows = make_rows("old", multiple=None) + make_rows("new", multiple=None) + make_rows("old", "asa-rest16")
    assert {(row.config, row.subset) for row in compare(rows, "old", "new")} == {
        ("tsa-rest14", "all"), ("tsa-rest14", "implicit"),
    }  # fmt: skip


def test_counts_have_a_row_per_seed_and_a_place_per_sentence():
    scored = score_runs("tsa-rest14", {"old": make_rows("old", seeds=(2, 1), n=3, right=1)}, "tsa", "paper")
    assert scored.counts["old"].tolist() == [[[1, 1, 1, 1]] * 3] * 2
    assert members(scored.rows, "tsa", "implicit").tolist() == [0, 2]


def changed(rows, **facts):
    return [row | facts for row in rows]


OLD, NEW = make_rows("old", seeds=(1, 2)), make_rows("new", seeds=(1, 2))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (OLD + NEW[:-2], "'new', seed 2, has no prediction for 2 of 40 sentences \\(e.g. 's38', 's39'\\)"),
        (OLD + NEW + NEW[:1], "'new', seed 1, has two predictions for sentence 's0'"),
        (OLD + changed(NEW, reference="soup | neutral"), "sentence 's0' has two references .* one revision"),
        (OLD + NEW + make_rows("new", seeds=(3,), train_share=0.1), "rows of several train_share: 0.1, 1.0; give the"),
        (OLD + NEW + make_rows("new", seeds=(3,), input_form="instruction"), "several input_form: instruction, plain"),
        (OLD, "no config with predictions of both \\('old': tsa-rest14; 'new': none\\); models there are: old"),
        (OLD + changed(NEW, config="tsa-laptop14"), "'old': tsa-rest14; 'new': tsa-laptop14"),
        ([], "'old': none; 'new': none"),
    ],
    ids=["missing", "twice", "reference", "share", "form", "no model", "no common config", "nothing"],
)
def test_what_cannot_be_compared_is_named(rows, message):
    with pytest.raises(StatisticsError, match=message):
        compare([dict(row) for row in rows], "old", "new")


def test_a_model_is_not_compared_with_itself_nor_on_an_unknown_split():
    with pytest.raises(StatisticsError, match="found 'old' twice"):
        compare(OLD, "old", "old")
    with pytest.raises(StatisticsError, match="unknown split 'train'; allowed: test, test_hard"):
        compare(OLD + NEW, "old", "new", split="train")
