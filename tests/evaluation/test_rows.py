"""Rows to look at, from one file or two."""

import json

import pytest

from hub_tools.evaluation.files import ScoringFileError
from hub_tools.evaluation.rows import read_rows, write_text


GOLD = [
    {"id": 1, "sentence": "Good food.", "text": "food | positive", "hard": False, "multiple": False},
    {"id": 2, "sentence": "Rude staff.", "text": "staff | negative", "hard": True, "multiple": False},
]
PREDICTIONS = [{"id": 2, "prediction": "", "seed": 3}, {"id": 1, "prediction": "food | positive", "seed": 3}]


@pytest.fixture
def write(tmp_path):
    def lines(name, rows):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return tmp_path / name

    return lines


def test_two_files_are_joined_by_id_with_each_lines_seed(write):
    predictions = [PREDICTIONS[0] | {"seed": 8}, PREDICTIONS[1]]
    rows = read_rows(write("p.jsonl", predictions), write("g.jsonl", GOLD))
    assert rows[1] == {
        "id": "2",
        "sentence": "Rude staff.",
        "reference": "staff | negative",
        "prediction": "",
        "multiple": False,
        "hard": True,
        "seed": "8",
    }
    assert [row["seed"] for row in rows] == ["3", "8"]


def test_one_file_is_enough_where_it_holds_everything(write):
    rows = [{"sentence": row["sentence"], "reference": row["text"], "prediction": "", "model": "m"} for row in GOLD]
    assert [(row["id"], row["model"], row["reference"]) for row in read_rows(write("p.jsonl", rows))] == [
        ("1", "m", "food | positive"),
        ("2", "m", "staff | negative"),
    ]


def test_predictions_alone_are_told_to_bring_gold(write):
    with pytest.raises(ScoringFileError, match=r"p.jsonl: holds predictions without sentences; give the gold file"):
        read_rows(write("p.jsonl", PREDICTIONS))


def test_rows_of_two_configs_are_refused(write):
    rows = [{"sentence": "", "reference": "", "prediction": "", "config": config} for config in ("tsa-a", "tsa-b")]
    with pytest.raises(ScoringFileError, match=r"holds 2 configs \(tsa-a, tsa-b\)"):
        read_rows(write("p.jsonl", rows))


def test_a_field_that_is_missing_is_named_with_its_line(write):
    rows = [{"sentence": "", "reference": "", "prediction": ""}, {"sentence": "", "prediction": ""}]
    with pytest.raises(ScoringFileError, match=r"p.jsonl:2: field 'reference' should be text, found None"):
        read_rows(write("p.jsonl", rows))


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "page.html"
    write_text("old", path)
    with pytest.raises(UnicodeEncodeError):
        write_text("new \ud83c", path)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
