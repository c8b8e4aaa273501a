"""Result rows to means, spreads and tables: with numbers that can be checked by hand."""

import statistics

import pytest

from hub_tools.evaluation.results import SCORES
from hub_tools.evaluation.tables import complete, summarise, table
from hub_tools.evaluation.typesetting import markdown


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


def test_markdown_puts_text_left_and_numbers_right():
    assert markdown(["config", "subset", "rule", "base"], [["tsa", "All", "paper", "50.00"]]) == (
        "| config | subset | rule | base |\n| :-- | :-- | :-- | --: |\n| tsa | All | paper | 50.00 |"
    )
