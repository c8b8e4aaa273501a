"""People's own files: every kind is read, what is wrong is named with its row, and output is whole or not there."""

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tools.reviews.tables import READABLE, TableError, read_texts, write_table


TEXTS = ["Good food, bad staff.", 'He said "no".\nTwice.', "", "  Größe: très 好 ☃ "]


@pytest.fixture
def file(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def write_as(kind: str, path: Path, texts: list[str]) -> Path:
    if kind == ".parquet":
        parquet.write_table(pa.table({"stars": [5] * len(texts), "text": texts}), path)
    elif kind == ".jsonl":
        lines = [json.dumps({"stars": 5, "text": text}, ensure_ascii=False) for text in texts]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    else:
        with path.open("w", encoding="utf-8", newline="") as lines:
            writer = csv.writer(lines, delimiter="\t" if kind == ".tsv" else ",")
            writer.writerows([["stars", "text"], *([5, text] for text in texts)])
    return path


# --- Reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [".csv", ".tsv", ".jsonl", ".parquet", ".CSV"])
def test_every_kind_gives_its_texts_as_they_are(tmp_path, kind):
    path = write_as(kind.lower(), tmp_path / f"reviews{kind}", TEXTS)
    assert read_texts(path) == (TEXTS, "text")


@given(texts=st.lists(st.text(st.characters(codec="utf-8"), max_size=20), min_size=1, max_size=5))
def test_any_text_survives_csv_and_json(tmp_path_factory, texts):
    folder = tmp_path_factory.mktemp("tables")
    for kind in (".jsonl", ".csv"):
        # csv ends a row at a bare carriage return and drops NUL; neither is a text's business
        texts = [text.replace("\r", " ").replace("\0", " ") for text in texts]
        assert read_texts(write_as(kind, folder / f"t{kind}", texts))[0] == texts


def test_lines_of_a_text_file_are_texts_whose_number_is_the_lines(file):
    path = file("reviews.txt", "\ufeffGood.\r\n\r\n  Bad.\u2028Really.\nLast")
    assert read_texts(path) == (["Good.", "", "  Bad.\u2028Really.", "Last"], "text")
    assert read_texts(file("ended.txt", "Good.\nBad.\n"))[0] == ["Good.", "Bad."]


def test_a_byte_order_mark_is_no_part_of_the_first_columns_name(file):
    assert read_texts(file("excel.csv", "\ufefftext,stars\nGood.,5\n")) == (["Good."], "text")
    assert read_texts(file("excel.jsonl", '\ufeff{"text": "Good."}\n'))[0] == ["Good."]


def test_the_column_is_the_usual_one_the_only_one_or_the_one_named(file):
    assert read_texts(file("a.csv", "id,Review,text_2\n1,Good.,x\n")) == (["Good."], "Review")
    assert read_texts(file("b.csv", "words\nGood.\n")) == (["Good."], "words")
    assert read_texts(file("c.csv", "text,words\nx,Good.\n"), "words") == (["Good."], "words")
    assert read_texts(file("d.csv", "review,text\nx,Good.\n")) == (["Good."], "text")


def test_empty_and_missing_cells_are_empty_texts(file):
    assert read_texts(file("a.csv", "stars,text\n5\n4,\n3,Good.\n"))[0] == ["", "", "Good."]
    assert read_texts(file("a.jsonl", '{"text": null}\n\n{"text": "Good."}\n'))[0] == ["", "Good."]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xlsx", b"PK", rf"a\.xlsx: a '\.xlsx' file; readable: {', '.join(READABLE)}"),
        ("a.csv", "", r"a\.csv: holds no rows"),
        ("a.csv", "text\n", r"a\.csv: holds no rows"),
        ("a.txt", "", r"a\.txt: holds no rows"),
        ("a.jsonl", "\n\n", r"a\.jsonl: holds no rows"),
        ("a.csv", "id,words\n1,Good.\n", r"which column holds the texts\? Name it with --column; found: id, words"),
        (
            "a.csv",
            "text\nGood food, bad staff.\n",
            r"a\.csv:2: more cells than .* in quotes\. Left over: \[' bad staff",
        ),
        ("a.csv", b"text\nfine\nGr\xf6\xdfe\n", r"a\.csv: not UTF-8 at byte 12; save it as UTF-8"),
        ("a.txt", b"\xff\xfeG\0", r"a\.txt: not UTF-8 at byte 0"),
        ("a.jsonl", '{"text": "x"}\n\n{"text": \n', r"a\.jsonl:3: not JSON \(Expecting value, column 9\)"),
        ("a.jsonl", '{"text": "x"}\n["x"]\n', r"a\.jsonl:2: expected an object, found list"),
        ("a.jsonl", '{"text": "x"}\n\n{"text": 7}\n', r"a\.jsonl:3: column 'text' holds int 7, expected text"),
        ("a.jsonl", '{"text": "\\ud83d half"}\n', r"a\.jsonl:1: column 'text' holds half a character"),
        ("a.parquet", b"PAR1 no", r"a\.parquet: cannot be read"),
    ],
)
def test_what_cannot_be_read_is_named(file, name, content, message):
    with pytest.raises(TableError, match=message):
        read_texts(file(name, content))


def test_a_column_that_is_not_there_is_told_with_those_that_are(file):
    with pytest.raises(TableError, match=r"has no column 'words'; found: id, text"):
        read_texts(file("a.csv", "id,text\n1,Good.\n"), "words")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(TableError, match=r"nowhere\.csv: no such file"):
        read_texts(tmp_path / "nowhere.csv")
    with pytest.raises(TableError, match="no such file"):
        read_texts(tmp_path)


# --- Writing ---------------------------------------------------------------------------------------------------------


ROWS = [{"row": 1, "target": 'the "soup", hot'}, {"row": 2, "target": "très\n好"}]


def test_a_table_comes_back_as_it_was_written(tmp_path):
    assert write_table(iter(ROWS), ["row", "target"], tmp_path / "out.csv") == 2
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as lines:
        assert list(csv.DictReader(lines)) == [{**row, "row": str(row["row"])} for row in ROWS]
    assert write_table(iter(ROWS), ["row", "target"], tmp_path / "out.jsonl") == 2
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == ROWS


def test_no_rows_still_make_a_table(tmp_path):
    assert write_table([], ["row", "target"], tmp_path / "out.csv") == 0
    assert (tmp_path / "out.csv").read_text().strip() == "row,target"


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_a_failure_half_way_leaves_the_existing_output_and_nothing_else(tmp_path, failure):
    def rows():
        yield ROWS[0]
        raise failure

    output = tmp_path / "out.csv"
    output.write_text("from yesterday")
    with pytest.raises(failure):
        write_table(rows(), ["row", "target"], output)
    assert output.read_text() == "from yesterday"
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_an_output_that_cannot_be_written_is_named_before_any_work(tmp_path):
    def rows():
        pytest.fail("worked")
        yield

    with pytest.raises(TableError, match=r"out\.xlsx: the output should be \.csv or \.jsonl"):
        write_table(rows(), ["row"], tmp_path / "out.xlsx")
    with pytest.raises(TableError, match=r"cannot be written \(No such file or directory\)"):
        write_table(rows(), ["row"], tmp_path / "nowhere" / "out.csv")
