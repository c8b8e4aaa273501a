"""The `fsa` command as its user meets it: tables, lines on stderr, exit statuses."""

import csv
import json
import sys
from pathlib import Path

import pytest

from hub_tools import cli
from tests.tiny_models import save_tiny_student


REVIEW = "The pasta was superb but the waiter ignored us."
LESSONS = [(REVIEW, "pasta | positive ; waiter | negative"), ("Nothing to say.", "")]


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    return str(save_tiny_student(tmp_path_factory.mktemp("student"), task="tsa", lessons=LESSONS))


@pytest.fixture
def reviews(tmp_path):
    path = tmp_path / "reviews.csv"
    path.write_text(f'stars,review\n5,Nothing to say.\n3,"Nothing to say. {REVIEW}"\n1,\n', encoding="utf-8")
    return path


def read_csv(path: Path) -> list[dict]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


# --- fsa extract -----------------------------------------------------------------------------------------------------


def test_extract_writes_a_table_of_opinions_with_their_place(student, reviews, tmp_path, capsys):
    output = tmp_path / "opinions.csv"
    assert cli.main(["extract", str(reviews), "--student", student, "-o", str(output)]) == 0
    assert read_csv(output) == [
        {"row": "2", "target": "pasta", "polarity": "positive", "sentence": REVIEW, "start": "20", "end": "25"},
        {"row": "2", "target": "waiter", "polarity": "negative", "sentence": REVIEW, "start": "45", "end": "51"},
    ]
    out, err = capsys.readouterr()
    assert out == ""
    assert "3 texts from column 'review'" in err
    assert f"2 opinions written to {output}." in err


def test_extract_writes_json_lines_and_any_batch_size_finds_the_same(student, reviews, tmp_path):
    for batch_size in ("1", "64"):
        output = tmp_path / f"opinions-{batch_size}.jsonl"
        options = ["--batch_size", batch_size, "-o", str(output)]
        assert cli.main(["extract", str(reviews), "--student", student, *options]) == 0
    rows = [json.loads(line) for line in (tmp_path / "opinions-1.jsonl").read_text().splitlines()]
    assert [(row["row"], row["target"], row["start"]) for row in rows] == [(2, "pasta", 20), (2, "waiter", 45)]
    assert (tmp_path / "opinions-1.jsonl").read_text() == (tmp_path / "opinions-64.jsonl").read_text()


def test_extract_shows_a_table_where_no_output_is_named(student, reviews, capsys):
    assert cli.main(["extract", str(reviews), "--student", student]) == 0
    out = capsys.readouterr().out
    assert "pasta" in out
    assert "negative" in out


def test_extract_reads_the_column_that_is_named(student, tmp_path, capsys):
    (tmp_path / "r.csv").write_text(f"text,words\nx,{REVIEW}\n")
    output = tmp_path / "o.csv"
    options = ["--column", "words", "-o", str(output)]
    assert cli.main(["extract", str(tmp_path / "r.csv"), "--student", student, *options]) == 0
    assert [row["target"] for row in read_csv(output)] == ["pasta", "waiter"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--column", "words"], "has no column 'words'; found: stars, review"),
        (["-o", "opinions.xlsx"], "opinions.xlsx: the output should be .csv or .jsonl"),
        (["-o", "/nowhere/opinions.csv"], "/nowhere/opinions.csv: cannot be written"),
    ],
)
def test_extract_tells_in_one_line_what_it_cannot_do(student, reviews, capsys, options, message):
    assert cli.main(["extract", str(reviews), "--student", student, *options]) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("fsa extract: ")]
    assert len(said) == 1
    assert message in said[0]


def test_extract_tells_of_files_and_students_that_are_not_there(reviews, tmp_path, capsys):
    assert cli.main(["extract", str(tmp_path / "no.csv"), "--student", "me/x"]) == 1
    assert "no.csv: no such file" in capsys.readouterr().err
    assert cli.main(["extract", str(reviews), "--student", "tests/no-such-student"]) == 1
    assert "could not load the student tests/no-such-student" in capsys.readouterr().err


def test_a_student_that_was_not_fine_tuned_is_refused(reviews, tmp_path, capsys):
    plain = save_tiny_student(tmp_path / "plain")
    assert cli.main(["extract", str(reviews), "--student", str(plain)]) == 1
    assert "`fsa_task` = None; allowed: tsa, asa" in capsys.readouterr().err


def test_a_failure_half_way_leaves_yesterdays_table(student, reviews, tmp_path, monkeypatch, capsys):
    def broken(*_):
        yield {"row": 1, "target": "x", "polarity": "positive", "sentence": "x", "start": 0, "end": 1}
        raise KeyboardInterrupt

    monkeypatch.setattr("hub_tools.students.extraction.extract_table", broken)
    output = tmp_path / "opinions.csv"
    output.write_text("from yesterday")
    assert cli.main(["extract", str(reviews), "--student", student, "-o", str(output)]) == 130
    assert output.read_text() == "from yesterday"
    assert "stopped; nothing was written" in capsys.readouterr().err


# --- fsa plan --------------------------------------------------------------------------------------------------------


@pytest.fixture
def label_yaml(tmp_path):
    """A run of an endpoint that is not there: whoever asks it fails."""
    (tmp_path / "reviews.csv").write_text(
        "review\n" + "".join(f"Dish {number} was rather good today.\n" for number in range(50)), encoding="utf-8"
    )
    path = tmp_path / "label_reviews.yaml"
    path.write_text(
        f"""namespace: me
replies: replies-mine
data: {tmp_path}
files: [reviews.csv]
text_column: review
domain: restaurant
runs: {tmp_path / "runs"}
near_duplicates: 0
teacher: openai
model: mine
endpoints: [http://127.0.0.1:9/v1]
price_input: 1.0
price_output: 2.0
n: 50
""",
        encoding="utf-8",
    )
    return str(path)


def test_plan_prints_a_table_and_what_it_rests_on(label_yaml, capsys):
    assert cli.main(["plan", label_yaml]) == 0
    out, err = capsys.readouterr()
    lines = {line.split("│")[1].strip(): line.split("│")[2:-1] for line in out.splitlines() if line.count("│") == 6}
    assert lines["requests"][1].strip() == "100"
    assert lines["price"][1].strip().startswith("$0.")
    assert "- price: $1 and $2 per million tokens read and written (as given)" in out
    assert err == ""


def test_plan_gives_json_to_programs_and_the_command_line_wins(label_yaml, capsys):
    assert cli.main(["plan", label_yaml, "--n", "10", "--json"]) == 0
    assert cli.main(["plan", "--json", label_yaml, "--n=10", "--prompts", "analysis"]) == 0
    first, second = capsys.readouterr().out.split("}\n{")
    assert json.loads(first + "}")["requests"] == 20
    assert json.loads("{" + second)["requests"] == 10


@pytest.mark.parametrize("limit", [["--max_cost", "0.001"], ["--max_tokens", "1000"]])
def test_plan_leaves_with_1_where_a_limit_does_not_hold(label_yaml, limit, capsys):
    assert cli.main(["plan", label_yaml, *limit]) == 1
    out, err = capsys.readouterr()
    assert "requests" in out
    assert err.startswith(f"fsa plan: {limit[0][2:]} is ")
    assert err.endswith(": it would stop at the limit.\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max_costs", "5"], "--max_costs is unknown. Did you mean 'max_cost'?"),
        (["--price_output", "-1"], "`price_input` and `price_output` come together"),
        (["--files", "none.csv"], "none.csv"),
    ],
)
def test_plan_tells_in_one_line_what_it_cannot_do(label_yaml, options, message, capsys):
    assert cli.main(["plan", label_yaml, *options]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("fsa plan: ")
    assert message in err
    assert len(err.splitlines()) == 1


# --- The command itself ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        ["extrakt"],
        ["extract", "a.csv"],
        ["score", "p.jsonl", "g.jsonl"],
        ["score", "p.jsonl", "--task", "tsa", "--rule", "semeval"],
        ["plan"],
        ["extract", "a.csv", "--student", "me/x", "--batch_size", "0"],
        ["extract", "a.csv", "--student", "me/x", "--batch_size", "many"],
    ],
)
def test_a_wrong_command_leaves_with_2(wrong, capsys):
    with pytest.raises(SystemExit) as left:
        cli.main(wrong)
    assert left.value.code == 2
    assert "usage: fsa" in capsys.readouterr().err


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as left:
        cli.main(["--help"])
    assert left.value.code == 0
    out = capsys.readouterr().out
    assert all(command in out for command in ("extract", "score", "plan", "hub"))


def test_hub_commands_reach_the_embedded_hub(tmp_path, capfd):
    code = "import os; print(os.environ['HF_ENDPOINT'])"
    assert cli.main(["hub", "run", "--root", str(tmp_path / "hub"), "--", sys.executable, "-c", code]) == 0
    assert capfd.readouterr().out.startswith("http://127.0.0.1:")


def test_a_bug_keeps_its_trace(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise KeyError("bug")

    monkeypatch.setattr("hub_tools.evaluation.scoring.score_texts", broken)
    path = tmp_path / "scored.jsonl"
    path.write_text(json.dumps({"sentence": "Good.", "reference": "", "prediction": ""}))
    with pytest.raises(KeyError):
        cli.main(["score", str(path), "--task", "tsa"])
