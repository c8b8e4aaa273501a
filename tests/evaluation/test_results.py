"""Predictions to result rows, rows to tables and figures: with numbers that can be checked by hand."""

import pytest

from hub_tools.benchmarks.configs import headline_split
from hub_tools.evaluation.results import (
    SCORES,
    prediction_rows,
    result_rows,
    united,
)


def prediction(given, reference, sentence="good food rude staff", **flags):
    return {"prediction": given, "reference": reference, "sentence": sentence} | {
        "implicit": False,
        "multiple": False,
        "hard": False,
        **flags,
    }


def row(model, config, seed, f1, subset="all", split="test_hard", n_sentences=10, strict_f1=None):
    """A result row whose scores are all `f1` (a fraction), but for the strict ones if they are given."""
    strict = {name: f1 if strict_f1 is None else strict_f1 for name in SCORES if name.startswith("strict")}
    place = {"model": model, "config": config, "split": split, "subset": subset, "seed": seed}
    return place | dict.fromkeys(SCORES, f1) | strict | {"n_sentences": n_sentences}


def of(rows, **wanted):
    (found,) = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return found


# --- Result rows -----------------------------------------------------------------------------------------------------


def test_prediction_rows_carry_what_scoring_and_reading_them_needs():
    benchmark = {"id": "7", "sentence": "Good food.", "text": "food | positive", "opinions": [{"target": "food"}]}
    benchmark |= {"implicit": None, "multiple": False, "hard": True}
    assert prediction_rows([benchmark], ["x"], 42) == [
        {
            "id": "7",
            "sentence": "Good food.",
            "reference": "food | positive",
            "prediction": "x",
            "implicit": None,
            "multiple": False,
            "hard": True,
            "seed": 42,
        }
    ]
    with pytest.raises(ValueError):
        prediction_rows([benchmark], [], 42)


def test_each_split_and_subset_gets_a_row_with_both_rules():
    rows = result_rows(
        [
            prediction("food | positive", "food | positive"),
            prediction("food | positive ; pizza | negative", "food | negative ; staff | negative", multiple=True),
            prediction("staff | negative", "staff | negative", implicit=True, hard=True),
        ],
        "tsa",
        {"model": "base", "seed": 42},
    )
    assert [(row["split"], row["subset"]) for row in rows] == [
        (split, subset) for split in ("test_hard", "test") for subset in ("all", "implicit", "multiple")
    ]
    assert {(row["model"], row["seed"]) for row in rows} == {("base", 42)}
    # 4 gold; paper: 3 predicted (pizza is not in the sentence), 2 right; strict: 4 predicted.
    everything = of(rows, split="test_hard", subset="all")
    assert (everything["precision"], everything["recall"]) == (2 / 3, 2 / 4)
    assert everything["f1"] == pytest.approx(4 / 7)
    assert (everything["strict_precision"], everything["strict_recall"], everything["strict_f1"]) == (0.5, 0.5, 0.5)
    assert (everything["n_sentences"], everything["n_gold"], everything["n_invented"]) == (3, 4, 1)
    # The official test set is what is not marked hard: 3 gold, 2 predicted, 1 right.
    official = of(rows, split="test", subset="all")
    assert (official["precision"], official["recall"], official["n_sentences"]) == (1 / 2, 1 / 3, 2)
    assert of(rows, split="test_hard", subset="implicit")["f1"] == 1.0
    assert of(rows, split="test_hard", subset="multiple")["f1"] == 0.0
    assert of(rows, split="test", subset="implicit")["n_sentences"] == 0


QUAD = "food quality | positive | {} | {}"


def test_quads_have_their_own_subsets_and_no_hard_sentences():
    rows = result_rows(
        [
            prediction("food quality | positive | food | good", QUAD.format("food", "good")),
            prediction("", QUAD.format("none", "rude") + " ; " + QUAD.format("staff", "none"), multiple=True),
            prediction(QUAD.format("none", "good"), QUAD.format("none", "good")),
        ],
        "asqp-rest16",
        {"model": "base"},
    )
    assert [(row["split"], row["subset"]) for row in rows] == [
        ("test", subset) for subset in ("all", "implicit_aspect", "implicit_opinion", "multiple")
    ]
    assert [row["n_sentences"] for row in rows] == [3, 2, 1, 1]
    assert [row["n_gold"] for row in rows] == [4, 3, 2, 2]
    assert [row["f1"] for row in rows] == [pytest.approx(2 / 3), 0.5, 0.0, 0.0]


def test_what_stands_for_a_config_is_the_papers_split():
    assert [headline_split(config) for config in ("tsa-rest14", "asa-laptop16", "acos-rest16", "asqp-rest15")] == [
        "test_hard",
        "test_hard",
        "test",
        "test",
    ]


# --- Runs after runs -------------------------------------------------------------------------------------------------


def keyed(model, seed, f1, **more):
    return {"model": model, "config": "tsa-rest14", "seed": seed, "train_share": 1.0, "input_form": "plain"} | {
        "split": "test",
        "f1": f1,
        **more,
    }


def test_a_later_run_replaces_its_own_rows_and_keeps_the_others():
    first = [keyed("base", 1, 0.1), keyed("base", 2, 0.2)]
    quarter = keyed("base", 1, 0.3, train_share=0.25)
    told = keyed("base", 1, 0.4, input_form="instruction")
    assert united(first, [quarter, told]) == [*first, quarter, told]
    again = [keyed("base", 2, 0.5)]
    assert united([*first, quarter, told], again) == [first[0], quarter, told, *again]
    assert united([], first) == first


def test_rows_of_before_these_columns_are_of_all_of_train_and_plain_sentences():
    old = {"model": "base", "config": "tsa-rest14", "seed": 1, "split": "test", "f1": 0.1}
    other = {**old, "seed": 2, "gone": 7}
    assert united([old, other], [keyed("base", 1, 0.5, new=1)]) == [
        keyed("base", 2, 0.1, new=None, gone=7),
        keyed("base", 1, 0.5, new=1, gone=None),
    ]
