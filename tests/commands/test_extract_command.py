"""`fsa extract` with a student of quads; tests/test_cli.py holds what it does with the others."""

import csv
import json

import pytest

from hub_tools import cli
from tests.tiny_models import save_tiny_student


LESSONS = [
    ("The pasta was superb.", "food quality | positive | pasta | superb"),
    ("We waited ages.", "service general | negative | none | none"),
]
REVIEW = " ".join(sentence for sentence, _ in LESSONS)


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    return str(save_tiny_student(tmp_path_factory.mktemp("quads"), task="asqp", lessons=LESSONS))


@pytest.fixture
def reviews(tmp_path):
    path = tmp_path / "reviews.jsonl"
    path.write_text(json.dumps({"text": REVIEW}) + "\n", encoding="utf-8")
    return str(path)


def test_the_table_of_quads_leaves_empty_what_they_only_imply(student, reviews, tmp_path):
    output = tmp_path / "opinions.csv"
    assert cli.main(["extract", reviews, "--student", student, "-o", str(output)]) == 0
    with output.open(encoding="utf-8", newline="") as lines:
        named, implied = csv.DictReader(lines)
    assert named == {
        "row": "1",
        "category": "food quality",
        "target": "pasta",
        "opinion_words": "superb",
        "polarity": "positive",
        "sentence": "The pasta was superb.",
        "start": "4",
        "end": "9",
    }
    assert (implied["category"], implied["target"], implied["opinion_words"]) == ("service general", "", "")
    assert REVIEW[int(implied["start"]) : int(implied["end"])] == "We waited ages."


def test_json_lines_have_null_there_and_the_screen_nothing(student, reviews, tmp_path, capsys):
    output = tmp_path / "opinions.jsonl"
    assert cli.main(["extract", reviews, "--student", student, "-o", str(output)]) == 0
    assert json.loads(output.read_text(encoding="utf-8").splitlines()[1])["target"] is None
    capsys.readouterr()
    assert cli.main(["extract", reviews, "--student", student]) == 0
    shown = capsys.readouterr().out
    assert "opinion_words" in shown
    assert "None" not in shown
