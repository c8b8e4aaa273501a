"""Sheets of errors: drawn the same way twice, safe in a spreadsheet, read back as they were."""

import csv
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tools.evaluation.error_sheet import (
    COLUMNS,
    SheetError,
    defused,
    read_sheet,
    sample_errors,
    suggest,
    write_sheet,
)
from hub_tools.evaluation.errors import classify


def row(number, prediction="", reference="food | positive", sentence="Good food."):
    return {"id": str(number), "sentence": sentence, "reference": reference, "prediction": prediction}


# 40 missed, 20 of wrong polarity, 40 right.
ROWS = [
    *(row(number) for number in range(40)),
    *(row(number, "food | negative") for number in range(40, 60)),
    *(row(number, "food | positive") for number in range(60, 100)),
]


def test_the_same_seed_draws_the_same_errors_and_another_draws_others():
    first = sample_errors(ROWS, "tsa", n=10, seed=1)
    assert sample_errors(ROWS, "tsa", n=10, seed=1) == first
    assert {line["item"] for line in sample_errors(ROWS, "tsa", n=10, seed=2)} != {line["item"] for line in first}
    assert len({line["item"] for line in first}) == 10


def test_errors_are_sorted_by_kind_and_the_sheet_knows_how_many_there_are():
    lines = sample_errors(ROWS, "tsa", n=1000, model="ours", config="tsa-rest14")
    assert [line["kind"] for line in lines] == ["wrong polarity"] * 20 + ["missed"] * 40
    assert {(line["errors"], line["items"], line["model"], line["config"]) for line in lines} == {
        ("60", "100", "ours", "tsa-rest14")
    }
    assert (lines[0]["gold"], lines[0]["prediction"]) == ("food | positive", "food | negative")
    assert (lines[0]["type"], lines[0]["note"]) == ("", "")


def test_strata_get_their_part():
    kinds = Counter(line["kind"] for line in sample_errors(ROWS, "tsa", n=10, stratified=True))
    assert kinds == {"missed": 7, "wrong polarity": 3}


def test_there_must_be_errors_of_one_model():
    with pytest.raises(SheetError, match="no errors to sample"):
        sample_errors(ROWS[60:], "tsa")
    with pytest.raises(SheetError, match=r"of 2 models \(a, b\)"):
        sample_errors([ROWS[0] | {"model": "a"}, ROWS[1] | {"model": "b"}], "tsa")


@pytest.mark.parametrize(
    ("task", "prediction", "reference", "expected"),
    [
        ("tsa", "food | negative", "food | positive", "3? opposite polarity"),
        ("tsa", "food | neutral", "food | positive", "1? neighbouring polarity"),
        ("tsa", "food court | positive", "food | positive", "1?"),
        ("asa", "food prices | positive", "food quality | positive", "1? same entity, other attribute"),
        ("asa", "drinks prices | positive", "food quality | positive", "3?"),
        ("tsa", "", "food | positive", "3?"),
    ],
)
def test_a_type_is_suggested(task, prediction, reference, expected):
    [finding] = classify(prediction, reference, "The food court was somewhere near the station.", task)
    assert suggest(finding) == expected


def test_a_spreadsheet_sees_no_formula_and_nothing_is_lost(tmp_path):
    evil = '=HYPERLINK("http://x","y")'
    rows = [row(1, "@x | bad", "", evil), row(2, "-1 | bad", "", "'quoted', “naïve” 🍜\nsecond line; third")]
    lines = sample_errors(rows, "tsa", config="+c")
    write_sheet(lines, tmp_path / "sheet.csv")
    raw = (tmp_path / "sheet.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbfitem,id,")
    with open(tmp_path / "sheet.csv", encoding="utf-8-sig", newline="") as file:
        cells = [cell for line in csv.reader(file) for cell in line]
    assert not [cell for cell in cells if cell[:1] in tuple("=+-@\t\r") and cell]
    assert read_sheet(tmp_path / "sheet.csv") == lines
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.csv"]


@given(st.text(st.characters(codec="utf-8"), max_size=12))
def test_a_defused_cell_is_no_formula_and_says_what_it_was(text):
    cell = defused(text)
    assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r"))
    assert (cell[1:] if cell.startswith("'") else cell) == text


@pytest.fixture
def sheet(tmp_path):
    """Writes a sheet with changes to its cells: (row as a spreadsheet counts, column) → text."""

    def write(changes=None, separator=",", columns=COLUMNS, encoding="utf-8-sig"):
        table = [list(columns)] + [[line[name] for name in columns] for line in sample_errors(ROWS, "tsa", n=3)]
        for (number, column), text in (changes or {}).items():
            table[number - 1][columns.index(column)] = text
        with open(tmp_path / "sheet.csv", "w", encoding=encoding, newline="") as file:
            csv.writer(file, delimiter=separator).writerows(table)
        return tmp_path / "sheet.csv"

    return write


@pytest.mark.parametrize("separator", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
def test_marks_are_read_as_spreadsheets_save_them(sheet, separator):
    lines = read_sheet(sheet({(2, "type"): "1", (3, "type"): " 3 "}, separator))
    assert [line["type"] for line in lines] == ["1", "3", ""]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({(3, "type"): "x"}, r"sheet.csv:3: 'type' found 'x', allowed 1, 2, 3 or empty"),
        ({(2, "type"): "4"}, r"sheet.csv:2: 'type' found '4', allowed 1, 2, 3 or empty"),
        ({(4, "errors"): "many"}, r"sheet.csv:4: 'errors' found 'many', expected a whole number"),
        ({(4, "items"): "2"}, r"sheet.csv:4: 'errors' found 60, expected 1 to 'items', 2"),
        ({(2, "item"): ""}, r"sheet.csv:2: 'item' is empty"),
        ({(2, "item"): "e1", (4, "item"): "e1"}, r"sheet.csv:4: item 'e1' occurs before"),
        ({(1, "type"): "typ"}, r"sheet.csv: lacks the column 'type'; columns: item, id"),
    ],
    ids=["letter", "four", "errors", "items", "no-item", "twice", "column"],
)
def test_what_is_wrong_in_a_sheet_is_said_with_its_row(sheet, change, message):
    with pytest.raises(SheetError, match=message):
        read_sheet(sheet(change))


def test_files_that_are_no_sheets_are_refused(tmp_path, sheet):
    with pytest.raises(SheetError, match="cannot be read"):
        read_sheet(tmp_path / "absent.csv")
    with pytest.raises(SheetError, match="not UTF-8; save it as"):
        read_sheet(sheet({(2, "sentence"): "café"}, encoding="latin-1"))
    for content, message in (("", "columns: none"), (",".join(COLUMNS) + "\n", "holds no rows"), ('"a', "is not CSV")):
        (tmp_path / "sheet.csv").write_text(content)
        with pytest.raises(SheetError, match=message):
            read_sheet(tmp_path / "sheet.csv")
