"""`fsa browse` from files to a page and a table on the screen."""

import json

import pytest

from hub_tools import cli


GOLD = [
    {"id": "1", "sentence": "Good food, rude staff.", "text": "food | positive ; staff | negative"},
    {"id": "2", "sentence": "I love the soup.", "text": "soup | positive"},
]


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    answers = {"ours": ["food | negative", "soup | positive"], "theirs": ["", "soup | positive ; tea | positive"]}
    for name, texts in answers.items():
        rows = [{"id": row["id"], "prediction": text} for row, text in zip(GOLD, texts, strict=True)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "gold.jsonl").write_text("".join(json.dumps(row) + "\n" for row in GOLD))
    return tmp_path


def test_it_writes_a_page_and_prints_the_errors(files, capsys):
    assert cli.main(["browse", "ours.jsonl", "gold.jsonl", "--task", "tsa"]) == 0
    told = capsys.readouterr().out
    for line in (["right", "1 (33.3 %)"], ["wrong polarity", "1 (33.3 %)"], ["missed", "1 (33.3 %)"]):
        assert all(any(cell in row for row in told.splitlines()) for cell in line)
    assert "errors.html: open it in a web browser" in told
    assert "<title>Errors of ours</title>" in (files / "errors.html").read_text(encoding="utf-8")


def test_two_systems_stand_side_by_side(files, capsys):
    options = ["--against", "theirs.jsonl", "-o", "pages/both.html", "--title", "Ours <beside> theirs"]
    assert cli.main(["browse", "ours.jsonl", "gold.jsonl", "--task", "tsa", *options]) == 0
    told = capsys.readouterr().out
    assert "theirs" in told
    page = (files / "pages" / "both.html").read_text(encoding="utf-8")
    assert "<title>Ours &lt;beside&gt; theirs</title>" in page
    assert '"names":["ours","theirs"]' in page


def test_what_it_cannot_read_is_one_line(files, capsys):
    assert cli.main(["browse", "ours.jsonl", "--task", "tsa"]) == 1
    assert capsys.readouterr().err == (
        "fsa browse: ours.jsonl: holds predictions without sentences; give the gold file too, or write `sentence` and "
        "`reference` on each line.\n"
    )
    assert cli.main(["browse", "ours.jsonl", "gold.jsonl", "--task", "opinions"]) == 1
    assert "unknown task 'opinions'" in capsys.readouterr().err
    assert not (files / "errors.html").exists()
