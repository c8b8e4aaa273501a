"""Recorded replies become reviews and replies."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from hub_tools.teachers.journal import COLUMNS
from hub_tools.teachers.recorded import read_recorded


DATA = Path(os.environ.get("FSA_DATA") or Path(__file__).resolve().parents[2].parent / "shared" / "data")
MIXTRAL = DATA / "mixtral" / "test_500_4m8d.json"


def _row(**fields: object) -> dict:
    return {"ID": 1, "Text": "Nice soup.", "Overall": 4.0, "mixtral_response": "I loved it.", **fields}


def _write(tmp_path: Path, *rows: object) -> Path:
    path = tmp_path / "sample.json"
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8-sig")
    return path


def test_domain_and_prompt_are_told_by_the_form(tmp_path: Path):
    reply = 'Opinion Target 1: "case"\nAspect: a\nSentiment: Positive\nReasoning: r'
    path = _write(tmp_path, _row(), _row(ID=2, Text="nice case.", mixtral_response=reply))
    reviews, replies = read_recorded(path)
    assert [(row["domain"], row["rating"]) for row in reviews] == [("restaurant", 4.0), ("laptop", 4.0)]
    assert [row["prompt"] for row in replies] == ["rewriting", "analysis"]
    assert list(replies[0]) == list(COLUMNS)


def test_one_id_for_two_texts_becomes_two_and_two_replies_to_one_text_stay(tmp_path: Path):
    path = _write(tmp_path, _row(), _row(Text="Other."), _row(mixtral_response="I liked it."), _row())
    reviews, replies = read_recorded(path)
    assert len({row["review_id"] for row in reviews}) == len(reviews) == 2
    assert len({row["request_id"] for row in replies}) == len(replies) == 3
    assert {row["review_id"] for row in replies} == {row["review_id"] for row in reviews}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([], "sample.json:2: found list"),
        (_row(Overall="4"), "sample.json:2: field 'Overall' is '4'"),
        (_row(Text=" "), "sample.json:2: field 'Text' is empty"),
        (_row(mixtral_response=None), "sample.json:2: field 'mixtral_response' is None, expected str"),
    ],
)
def test_a_broken_row_is_named_by_file_line_and_field(tmp_path: Path, row: object, message: str):
    with pytest.raises(ValueError, match=message):
        read_recorded(_write(tmp_path, _row(), row))


@pytest.mark.skipif(not MIXTRAL.is_file(), reason=f"no real replies at {MIXTRAL}")
def test_the_real_sample_has_its_known_counts():
    reviews, replies = read_recorded(MIXTRAL)
    assert Counter(row["prompt"] for row in replies) == {"analysis": 234, "rewriting": 266}
    assert Counter(row["domain"] for row in reviews) == {"laptop": 261, "restaurant": 238}
    assert len({row["review_id"] for row in reviews}) == len(reviews) == 499
