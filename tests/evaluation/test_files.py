"""Predictions and gold in two files: how they are joined, and what is said about files that cannot be."""

import json

import pytest

from hub_tools.evaluation.files import ScoringFileError, read_scored


GOLD = [
    {"id": "1", "sentence": "Good food.", "text": "food | positive", "implicit": False, "multiple": False},
    {"id": "2", "sentence": "Rude staff.", "text": "staff | negative", "implicit": True, "multiple": False},
]
PREDICTIONS = [{"id": "2", "prediction": "staff | negative"}, {"id": "1", "prediction": ""}]


@pytest.fixture
def score(tmp_path):
    def read(predictions, gold=GOLD):
        for name, rows in (("predictions.jsonl", predictions), ("gold.jsonl", gold)):
            if not isinstance(rows, bytes):
                rows = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
            (tmp_path / name).write_bytes(rows)
        return read_scored(tmp_path / "predictions.jsonl", tmp_path / "gold.jsonl")

    return read


def without(rows, *names):
    return [{key: value for key, value in row.items() if key not in names} for row in rows]


def test_rows_are_joined_by_id_in_golds_order(score):
    assert score(PREDICTIONS) == {
        "ids": ["1", "2"],
        "predictions": ["", "staff | negative"],
        "references": ["food | positive", "staff | negative"],
        "sentences": ["Good food.", "Rude staff."],
        "implicit": [False, True],
        "multiple": [False, False],
    }


def test_without_ids_they_are_joined_line_by_line(score):
    found = score(without(PREDICTIONS, "id"), without(GOLD, "id", "implicit", "multiple"))
    assert found["predictions"] == ["staff | negative", ""]
    assert found["implicit"] is found["multiple"] is None
    assert found["ids"] == ["1", "2"]  # the lines


def test_one_file_may_hold_gold_and_predictions(tmp_path):
    rows = [{**row, "prediction": "", "reference": row["text"], "seed": 42, "model": "m"} for row in reversed(GOLD)]
    path = tmp_path / "run.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in without(rows, "text")))
    found = read_scored(path)
    assert found["ids"] == ["2", "1"]
    assert found["references"] == ["staff | negative", "food | positive"]
    assert found["implicit"] == [True, False]
    assert read_scored(path, path) == found


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": 1, "prediction": ""}, r"run\.jsonl: holds no gold \(fields: id, prediction\)\. Give a gold file too"),
        ({"prediction": "", "sentence": "s"}, r"run\.jsonl:1: field 'text' should be text, found None"),
        ({"prediction": "", "text": ""}, r"run\.jsonl:1: field 'sentence' should be text, found None"),
        ({"sentence": "s", "text": ""}, r"run\.jsonl:1: field 'prediction' should be text, found None"),
    ],
)
def test_one_file_that_lacks_something_is_told_what(tmp_path, row, message):
    (tmp_path / "run.jsonl").write_text(json.dumps(row))
    with pytest.raises(ScoringFileError, match=message):
        read_scored(tmp_path / "run.jsonl")


def test_rows_of_several_runs_in_one_file_are_refused(tmp_path):
    row = {"id": "7", "sentence": "s", "reference": "", "prediction": ""}
    (tmp_path / "runs.jsonl").write_text("".join(json.dumps(row | {"seed": seed}) + "\n" for seed in (1, 2)))
    with pytest.raises(
        ScoringFileError, match=r"runs\.jsonl:2: id '7' occurs before, at line 1; of several runs, give"
    ):
        read_scored(tmp_path / "runs.jsonl")


def test_a_reference_column_is_gold_rather_than_text(score):
    gold = [{"sentence": "Good food.", "text": "Good food.", "reference": "food | positive"}]
    assert score([{"prediction": ""}], gold)["references"] == ["food | positive"]


def test_whole_numbers_are_ids_too_and_the_same_as_their_text(score):
    gold = [{**GOLD[0], "id": 1}, {**GOLD[1], "id": 2}]
    assert score([{**PREDICTIONS[0], "id": 2}, PREDICTIONS[1]], gold)["predictions"] == ["", "staff | negative"]


def test_a_byte_order_mark_blank_lines_and_foreign_line_ends_are_read_past(score):
    lines = "\ufeff" + "\r\n\n".join(json.dumps(row) for row in PREDICTIONS)
    assert score(lines.encode())["predictions"] == ["", "staff | negative"]


def test_a_line_separator_within_a_text_does_not_end_its_line(score):
    gold = [{**GOLD[0], "sentence": "Good\u2028food.\x85"}, GOLD[1]]
    assert score(PREDICTIONS, gold)["sentences"][0] == "Good\u2028food.\x85"


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        (PREDICTIONS[:1], r"predictions\.jsonl: 1 id of .*gold\.jsonl without a prediction \('1'\)\. Every"),
        (
            [*PREDICTIONS, {"id": "3", "prediction": ""}],
            r"predictions\.jsonl: 1 id that .*gold.jsonl does not have \('3'\)",
        ),
        (
            [*PREDICTIONS, PREDICTIONS[0]],
            r"predictions\.jsonl:3: id '2' occurs before, at line 1; of several runs, give one.s rows",
        ),
        (
            without(PREDICTIONS, "id"),
            r"predictions\.jsonl:1: field 'id' should be text, found None; fields: prediction",
        ),
        ([PREDICTIONS[0], {"id": True, "prediction": ""}], r"predictions\.jsonl:2: field 'id' .* found True"),
        (
            [PREDICTIONS[0], {"id": "1", "predicted": ""}],
            r"predictions\.jsonl:2: field 'prediction' .* fields: id, pred",
        ),
        ([PREDICTIONS[0], {"id": "1", "prediction": None}], r"predictions\.jsonl:2: .* found None"),
        ([PREDICTIONS[0], ["id", "1"]], r"predictions\.jsonl:2: expected an object, found list"),
        (b'{"id": "2", "prediction": ""}\n{"id": ', r"predictions\.jsonl:2: not JSON .*column 8"),
        (b"\n\n", r"predictions\.jsonl: holds no lines"),
        (b'{"prediction": "\xff"}', r"predictions\.jsonl: cannot be read"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_line(score, predictions, message):
    with pytest.raises(ScoringFileError, match=message):
        score(predictions)


def test_golds_lines_are_named_in_golds_file(score):
    with pytest.raises(ScoringFileError, match=r"gold\.jsonl:2: field 'sentence' .* fields: id, text"):
        score(PREDICTIONS, [GOLD[0], *without(GOLD[1:], "sentence", "implicit", "multiple")])


def test_files_of_different_length_cannot_be_joined_by_line(score):
    with pytest.raises(ScoringFileError, match=r"predictions\.jsonl has 1 lines, .*gold\.jsonl has 2; without `id`"):
        score(without(PREDICTIONS[:1], "id"), without(GOLD, "id"))


@pytest.mark.parametrize("flag", [None, "no", 0])
def test_a_subset_marked_on_some_lines_only_is_refused_rather_than_dropped(score, flag):
    with pytest.raises(
        ScoringFileError, match=r"gold\.jsonl:2: field 'implicit' should be true or false on every line"
    ):
        score(PREDICTIONS, [GOLD[0], {**GOLD[1], "implicit": flag}])


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ScoringFileError, match=r"nowhere\.jsonl: cannot be read"):
        read_scored(tmp_path / "nowhere.jsonl", tmp_path / "nowhere.jsonl")
