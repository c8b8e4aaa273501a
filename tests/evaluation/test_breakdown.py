"""Scores by class: counted by hand, and adding up to the strict score."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tools.evaluation.breakdown import breakdown
from hub_tools.evaluation.scoring import score_texts
from hub_tools.opinions import POLARITIES


pairs = st.tuples(st.sampled_from(["food", "staff", "pizza"]), st.sampled_from([*POLARITIES, "good"])).map(" | ".join)
texts = st.lists(pairs, max_size=6).map(" ; ".join)
rows = st.lists(st.tuples(texts, texts, st.just("food and staff")), max_size=6)


def test_polarities_are_scored_each_for_itself():
    found = breakdown(
        ["a | positive ; b | positive ; a | positive ; z | positive", "c"],
        ["a | positive ; b | negative", "c | positive"],
        ["a b", "c"],
        "tsa",
    )
    assert found["polarity"] == {
        "positive": {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2, "predicted": 2, "right": 1},
        "negative": {"precision": 1, "recall": 0, "f1": 0, "support": 1, "predicted": 0, "right": 0},
    }
    assert found["confusion"] == {
        "positive": {"positive": 1, "negative": 0, "missed": 1},
        "negative": {"positive": 1, "negative": 0, "missed": 0},
        "spurious": {"positive": 0, "negative": 0, "missed": 0},
    }
    assert found["counts"] == {"items": 3, "predicted": 2, "right": 1, "malformed": 1, "invented": 1, "repeated": 1}
    assert "category" not in found


def test_categories_stand_in_the_order_of_their_support():
    found = breakdown(
        ["food quality | positive ; service general | positive", "food quality | negative"],
        ["service general | positive", "service general | positive ; drinks prices | negative"],
        ["", ""],
        "asa",
    )
    assert [(name, row["support"], row["right"]) for name, row in found["category"].items()] == [
        ("service general", 2, 1),
        ("drinks prices", 1, 0),
        ("food quality", 0, 0),
    ]


def test_items_face_each_other_only_where_all_other_fields_agree():
    gold = "food quality | positive | soup | good ; food quality | positive | none | good"
    said = "food quality | negative | soup | good ; food prices | negative | none | good"
    found = breakdown([said], [gold], ["good soup"], "acos")["confusion"]
    assert found["positive"] == {"positive": 0, "negative": 1, "missed": 1}
    assert found["spurious"] == {"positive": 0, "negative": 1, "missed": 0}


def test_a_target_of_two_polarities_gives_each_one_partner():
    found = breakdown(["a | neutral ; a | positive"], ["a | negative ; a | positive"], ["a"], "tsa")["confusion"]
    assert found["positive"]["positive"] == found["negative"]["neutral"] == 1
    assert sum(sum(row.values()) for row in found.values()) == 2


def test_fields_of_which_nothing_is_known_have_no_table():
    assert breakdown(["a | b"], ["a | c"], [""], "2") == {
        "counts": {"items": 1, "predicted": 1, "right": 0, "malformed": 0, "invented": 0, "repeated": 0}
    }


def test_no_sentences_give_empty_tables():
    found = breakdown([], [], [], "asa")
    assert (found["polarity"], found["category"], found["confusion"]) == ({}, {}, {"spurious": {"missed": 0}})


@pytest.mark.parametrize(
    ("columns", "message"), [(([""], [], [""]), "shorter|longer"), (([], [], []), "unknown task")]
)
def test_wrong_input_is_refused(columns, message):
    with pytest.raises(ValueError, match=message):
        breakdown(*columns, "tsa" if columns[0] else "x")


@given(rows)
def test_the_tables_add_up_to_the_strict_score(rows):
    columns = [list(column) for column in zip(*rows, strict=True)] or [[]] * 3
    found, scores = breakdown(*columns, "tsa"), score_texts(*columns)
    counts, classes = found["counts"], found["polarity"].values()
    for column, name in (("support", "items"), ("predicted", "predicted"), ("right", "right")):
        assert sum(row[column] for row in classes) == counts[name]
    said = counts["predicted"] + counts["malformed"] + counts["invented"]
    assert scores["strict_precision"] == (counts["right"] / said if said else 1)
    assert scores["strict_recall"] == (counts["right"] / counts["items"] if counts["items"] else 1)
    assert [counts[name] for name in ("malformed", "invented", "repeated")] == [
        scores[f"n_{name}"] for name in ("malformed", "invented", "repeated")
    ]


@given(rows)
def test_the_confusion_adds_up_to_the_tables(rows):
    columns = [list(column) for column in zip(*rows, strict=True)] or [[]] * 3
    found = breakdown(*columns, "tsa")
    for name, row in found["polarity"].items():
        matrix = found["confusion"]
        assert sum(matrix[name].values()) == row["support"]
        assert sum(line[name] for line in matrix.values()) == row["predicted"]
        assert matrix[name][name] == row["right"]
