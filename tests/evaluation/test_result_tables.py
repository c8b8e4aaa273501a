"""Result rows to means, spreads and tables: with numbers that can be checked by hand."""

import statistics

import pytest

from hub_tools.evaluation.results import SCORES
from hub_tools.evaluation.tables import complete, summarise, table


def row(model, config, seed, f1, subset="all", split="test_hard", n_sentences=10, strict_f1=None):
    """A result row whose scores are all `f1` (a fraction), but for the strict ones if they are given."""
    strict = {name: f1 if strict_f1 is None else strict_f1 for name in SCORES if name.startswith("strict")}
    place = {"model": model, "config": config, "split": split, "subset": subset, "seed": seed}
    return place | dict.fromkeys(SCORES, f1) | strict | {"n_sentences": n_sentences}


def of(rows, **wanted):
    (found,) = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return found


# --- Summary ---------------------------------------------------------------------------------------------------------


def test_mean_and_standard_deviation_are_over_seeds_in_percent():
    summary = summarise([row("base", "tsa-rest14", seed, f1) for seed, f1 in ((1, 0.50), (2, 0.54), (3, 0.58))])
    found = of(summary, config="tsa-rest14")
    assert found["seeds"] == 3
    assert found["f1_mean"] == pytest.approx(54)
    assert found["f1_sd"] == pytest.approx(4)  # of the sample: sqrt((16 + 0 + 16) / 2)


def test_the_mean_of_configs_is_taken_seed_by_seed():
    rows = [
        row("base", "tsa", 1, 0.2),
        row("base", "tsa", 2, 0.4),
        row("base", "asa", 1, 0.6),
        row("base", "asa", 2, 1),
    ]
    found = of(summarise(rows), config="mean")
    assert found["f1_mean"] == pytest.approx(55)  # of 40 (seed 1) and 70 (seed 2)
    assert found["f1_sd"] == pytest.approx(statistics.stdev([40, 70]))


def test_the_mean_takes_only_seeds_that_every_config_has():
    rows = [row("base", "tsa", 1, 0.2), row("base", "tsa", 2, 0.4), row("base", "asa", 1, 0.6)]
    found = of(summarise(rows), config="mean")
    assert (found["seeds"], found["f1_mean"]) == (1, pytest.approx(40))


def test_an_empty_subset_counts_nowhere():
    rows = [
        row("base", "tsa", 1, 0.5, "implicit"),
        row("base", "asa", 1, 1.0, "implicit", n_sentences=0),
        row("base", "asa", 1, 0.7),
        row("base", "tsa", 1, 0.5),
    ]
    summary = summarise(rows)
    assert not [found for found in summary if (found["config"], found["subset"]) == ("asa", "implicit")]
    assert of(summary, config="mean", subset="implicit")["f1_mean"] == pytest.approx(50)
    assert of(summary, config="mean", subset="all")["f1_mean"] == pytest.approx(60)


# --- Table -----------------------------------------------------------------------------------------------------------


def comparison():
    rows = []
    for model, gain in (("base", 0.0), ("distilled", 0.125)):
        for seed, f1 in ((1, 0.50), (2, 0.54)):
            rows.append(row(model, "tsa-rest14", seed, f1 + gain, strict_f1=f1))
            rows.append(row(model, "tsa-rest14", seed, 1.0, "implicit", n_sentences=0))
            rows.append(row(model, "tsa-rest14", seed, f1, split="test"))
    return rows


def test_the_table_sets_models_side_by_side_by_both_rules():
    header, lines = table(summarise(comparison()))
    assert header == ["config", "subset", "rule", "base (2 seeds)", "distilled (2 seeds)", "difference"]
    assert lines[0] == ["tsa-rest14", "All", "paper", "52.00 ± 2.83", "64.50 ± 2.83", "+12.50"]
    assert lines[1] == ["tsa-rest14", "All", "strict", "52.00 ± 2.83", "52.00 ± 2.83", "+0.00"]


def test_the_table_shows_a_dash_where_there_was_nothing_to_score():
    _, lines = table(summarise(comparison()))
    assert lines[2] == ["tsa-rest14", "Implicit", "paper", "–", "–", "–"]
    assert {len(line) for line in lines} == {6}


def test_a_model_that_lacks_a_config_leaves_a_dash():
    rows = [row("base", "tsa", 1, 0.5), row("base", "asa", 1, 0.5), row("distilled", "tsa", 1, 0.6)]
    _, lines = table(summarise(rows))
    assert ["asa", "All", "paper", "50.00", "–", "–"] in lines


def test_a_single_seed_shows_no_spread():
    header, lines = table(summarise([row("base", "tsa", 1, 0.5)]))
    assert header[3:] == ["base (1 seeds)"]
    assert lines[0] == ["tsa", "All", "paper", "50.00"]


def test_the_table_can_show_the_official_test_set():
    _, lines = table(summarise(comparison()), split="test")
    assert lines[0][3:] == ["52.00 ± 2.83", "52.00 ± 2.83", "+0.00"]


# --- Columns that older results lack, quads and shares --------------------------------------------------------------


def test_results_of_old_are_of_all_sentences_and_plain_ones():
    (found,) = complete([row("base", "tsa-rest14", 1, 0.5)])
    assert (found["train_share"], found["input_form"]) == (1.0, "plain")
    (found,) = complete([row("base", "tsa-rest14", 1, 0.5) | {"train_share": None, "input_form": None}])
    assert (found["train_share"], found["input_form"]) == (1.0, "plain")


def test_a_label_with_both_input_forms_is_two_models():
    rows = [
        row("base", "tsa-rest14", seed, 0.5) | {"input_form": form}
        for seed, form in ((1, "plain"), (2, "instruction"))
    ]
    assert [found["model"] for found in complete(complete(rows))] == ["base", "base, instruction"]
    assert [found["model"] for found in complete(rows[1:])] == ["base"]


def test_shares_of_the_training_sentences_are_apart_and_not_in_the_table():
    rows = [row("base", "tsa-rest14", 1, f1) | {"train_share": share} for f1, share in ((0.5, 1.0), (0.2, 0.1))]
    summary = summarise(rows)
    assert of(summary, config="tsa-rest14", train_share=0.1)["f1_mean"] == pytest.approx(20)
    assert of(summary, config="mean", train_share=1.0)["f1_mean"] == pytest.approx(50)
    assert table(summary)[1][0][3:] == ["50.00"]


def test_quads_have_their_own_mean_split_and_subsets():
    rows = [row("base", "tsa-rest14", 1, 0.2), row("base", "acos-rest16", 1, 0.6, split="test")]
    rows += [
        row("base", "acos-rest16", 1, 0.4, "implicit_opinion", "test"),
        row("base", "tsa-rest14", 1, 0.9, split="test"),
    ]
    summary = summarise(rows)
    assert of(summary, config="mean", split="test_hard")["f1_mean"] == pytest.approx(20)
    assert of(summary, config="mean of quads", subset="all")["f1_mean"] == pytest.approx(60)
    _, lines = table(summary)
    assert ["acos-rest16", "Implicit opinion", "paper", "40.00"] in lines
    assert not [line for line in lines if line[0] == "acos-rest16" and line[1] == "Implicit"]
    assert lines[0] == ["tsa-rest14", "All", "paper", "20.00"]


def test_a_mean_is_of_models_that_have_all_configs():
    rows = [
        row("base", "tsa-rest14", 1, 0.2),
        row("base", "asa-rest16", 1, 0.4),
        row("distilled", "tsa-rest14", 1, 0.9),
    ]
    assert [found["model"] for found in summarise(rows) if found["config"] == "mean"] == ["base"]


def test_other_rules_are_summarised_where_all_seeds_have_them():
    rows = [row("base", "tsa-rest14", seed, 0.5) | {"partial_f1": 0.6, "absa_quad_f1": None} for seed in (1, 2)]
    rows[1]["absa_quad_f1"] = 0.7
    found = of(summarise(rows), config="tsa-rest14")
    assert found["partial_f1_mean"] == pytest.approx(60)
    assert "absa_quad_f1_mean" not in found
