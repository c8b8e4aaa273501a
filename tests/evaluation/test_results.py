"""Predictions to result rows, rows to tables and figures: with numbers that can be checked by hand."""

import pytest

from hub_tools.evaluation.results import (
    SCORES,
    prediction_rows,
    result_rows,
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
