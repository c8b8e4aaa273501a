"""`fsa errors`: from predictions to a sheet, from marked sheets to a table."""

import csv
import json

import pytest

from hub_tools import cli


@pytest.fixture
def predictions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [
        {
            "id": str(number),
            "sentence": "Good food.",
            "reference": "food | positive",
            "prediction": "" if number < 8 else "food | positive",
            "model": "ours|2",
            "config": "tsa-rest14",
        }
        for number in range(20)
    ]
    (tmp_path / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def mark(path, types, to):
    with open(path, encoding="utf-8-sig", newline="") as file:
        table = list(csv.reader(file))
    for line, type_ in zip(table[1:], types, strict=True):
        line[table[0].index("type")] = type_
    with open(to, "w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows(table)


def sample(*options):
    return cli.main(["errors", "sample", "predictions.jsonl", "--task", "tsa", *options])


def test_from_predictions_to_the_table(predictions, capsys):
    assert sample("--n", "4") == 0
    assert "sheet.csv: 4 of 8 errors (20 items in all)" in capsys.readouterr().out
    mark("sheet.csv", ["1", "1", "3", ""], "first.csv")
    mark("sheet.csv", ["1", "2", "3", "3"], "second.csv")
    assert cli.main(["errors", "table", "first.csv"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == ("| model | tsa-rest14 Type1 | tsa-rest14 Type2 | tsa-rest14 Type3 | tsa-rest14 marked |")
    cells = told[2].split(" | ")
    assert cells[0] == r"| ours\|2"
    assert [cell.split()[0] for cell in cells[1:4]] == ["26.67", "0.00", "13.33"]  # of 8 / 20 errors
    assert cells[4] == "3 of 4 |"
    assert cli.main(["errors", "table", "first.csv", "second.csv", "-o", "table.csv"]) == 0
    assert "first.csv and second.csv: 3 marked by both, 67 % alike, kappa 0.50." in capsys.readouterr().out
    assert (predictions / "table.csv").read_text().startswith("model,tsa-rest14 Type1,")


def test_a_sheet_with_marks_is_not_overwritten(predictions, capsys):
    assert sample() == 0
    assert sample("--seed", "1") == 0  # nothing was marked
    mark("sheet.csv", ["1"] * 8, "sheet.csv")
    before = (predictions / "sheet.csv").read_bytes()
    assert sample() == 1
    assert "sheet.csv: holds 8 marks; give another file with -o" in capsys.readouterr().err
    assert (predictions / "sheet.csv").read_bytes() == before


def test_a_wrong_mark_is_told_with_file_and_row(predictions, capsys):
    assert sample("--n", "2") == 0
    mark("sheet.csv", ["1", "x"], "marked.csv")
    assert cli.main(["errors", "table", "marked.csv"]) == 1
    assert capsys.readouterr().err == "fsa errors: marked.csv:3: 'type' found 'x', allowed 1, 2, 3 or empty.\n"


def test_a_table_is_markdown_or_csv(predictions, capsys):
    assert sample() == 0
    assert cli.main(["errors", "table", "sheet.csv", "-o", "table.xlsx"]) == 1
    assert "table.xlsx: should end in .md or .csv" in capsys.readouterr().err
