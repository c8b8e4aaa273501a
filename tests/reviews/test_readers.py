"""Review files: what is read, what is refused, what is drawn."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tools.reviews.readers import clean_text, read_reviews, sample_reviews


DATA = Path(os.environ.get("FSA_DATA") or Path(__file__).resolve().parents[2].parent / "shared" / "data")


def _write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _review(number: int, **fields: object) -> dict:
    return {"review_id": f"r{number}", "domain": "restaurant", "text": f"Text {number}.", "rating": 4, **fields}


def test_a_folder_is_read_in_name_order_and_names_its_sources(tmp_path: Path):
    _write(tmp_path / "b.jsonl", _review(2, rating=None))
    _write(tmp_path / "a.jsonl", _review(1))
    rows = read_reviews(tmp_path)
    assert [(row["review_id"], row["source"], row["rating"]) for row in rows] == [("r1", "a", 4.0), ("r2", "b", None)]


def test_a_repeated_text_is_read_once(tmp_path: Path):
    path = _write(tmp_path / "a.jsonl", _review(1), _review(2, text="Text 1."), _review(1, text="Text 1. "))
    assert [row["review_id"] for row in read_reviews(path)] == ["r1"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (_review(1, text=" "), "a.jsonl:2: field 'text'"),
        (_review(1, text="\\n"), "a.jsonl:2: field 'text'"),
        (_review(1, rating=6), "a.jsonl:2: field 'rating' is 6"),
        (_review(1, rating=True), "a.jsonl:2: field 'rating' is True"),
        (_review(1, review_id=7), "a.jsonl:2: field 'review_id' is 7"),
        ([1], "a.jsonl:2: found list"),
        (_review(0, text="another"), "a.jsonl:2: review_id 'r0' already names another text"),
    ],
)
def test_a_broken_row_is_named_by_file_line_and_field(tmp_path: Path, row: object, message: str):
    path = _write(tmp_path / "a.jsonl", _review(0), row)
    with pytest.raises(ValueError, match=message):
        read_reviews(path)


def test_bytes_that_are_no_json_are_named_by_line(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"review_id": "x"\n\xff\n')
    with pytest.raises(ValueError, match=r"a.jsonl:1: not a JSON object"):
        read_reviews(path)


def test_a_folder_without_reviews_says_what_was_expected(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"expected a .jsonl file"):
        read_reviews(tmp_path)


def test_literal_escapes_become_what_they_stand_for():
    assert clean_text(r"one\n\ntwo \"quoted\" caf\u00e9") == 'one\n\ntwo "quoted" café'


@given(st.text())
def test_cleaning_never_fails_and_leaves_text_that_can_be_written(text: str):
    clean_text(text).encode("utf-8", errors="surrogatepass")


@given(st.lists(st.sampled_from([None, 1.0, 2.0, 3.0, 4.0, 5.0])), st.integers(0, 30), st.integers(0, 9))
def test_a_sample_is_reproducible_ordered_and_without_repeats(ratings: list, n: int, seed: int):
    reviews = [{"review_id": str(i), "text": "a b", "rating": rating} for i, rating in enumerate(ratings)]
    drawn = sample_reviews(reviews, n, seed)
    assert drawn == sample_reviews(reviews, n, seed)
    positions = [int(row["review_id"]) for row in drawn]
    assert positions == sorted(set(positions))
    assert len(drawn) == min(n, len(reviews))


def test_mixed_ratings_are_drawn_four_times_as_readily():
    reviews = [{"review_id": str(i), "text": "a", "rating": float(i % 5 + 1)} for i in range(50_000)]
    stars = Counter(row["rating"] for row in sample_reviews(reviews, 2_000, seed=1))
    assert 3.3 < stars[3.0] / stars[1.0] < 4.8
    assert 1.6 < stars[2.0] / stars[5.0] < 2.5


def test_a_larger_sample_holds_the_smaller_one():
    reviews = [{"review_id": str(i), "text": "a", "rating": None} for i in range(100)]
    small, large = (sample_reviews(reviews, n, scheme="R11111") for n in (10, 40))
    assert all(row in large for row in small)


def test_reviews_too_short_or_too_long_are_left_out():
    reviews = [{"review_id": str(n), "text": "w " * n, "rating": 3.0} for n in range(1, 10)]
    assert [row["review_id"] for row in sample_reviews(reviews, 9, min_words=3, max_words=5)] == ["3", "4", "5"]


def test_an_unknown_scheme_is_refused():
    with pytest.raises(ValueError, match="one weight per star"):
        sample_reviews([], 1, scheme="12421")


@pytest.mark.skipif(not (DATA / "reviews").is_dir(), reason=f"no real reviews at {DATA}")
def test_the_real_reviews_are_read_without_escapes():
    rows = read_reviews(DATA / "reviews")
    assert Counter(row["source"] for row in rows) == {
        "amazon_laptop": 1301,
        "yelp_restaurant": 373,
        "yelp_polarity": 3000,
    }
    assert not any(r"\n" in row["text"] for row in rows)
