"""The sample: what is drawn, by which stars, what was left out and why; the same bytes each time."""

import math
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_tools.reviews.sampling import REVIEW_SCHEMA, STARS, SampleFacts, read_scheme, sample_to_parquet


def _rows(ratings: list[float | None], words: int = 3) -> list[dict]:
    return [_row(number, f"text{number} " * words, rating) for number, rating in enumerate(ratings)]


def _row(number: int, text: str, rating: float | None = None) -> dict:
    return {
        "review_id": f"r{number}",
        "domain": "hotel",
        "text": text.strip(),
        "rating": rating,
        "source": "s",
        "licence": "",
    }


def _draw(folder: Path, rows: list[dict], n: int = 10**6, **arguments: object) -> tuple[list[dict], SampleFacts]:
    facts = sample_to_parquet(iter(rows), folder / "sample.parquet", n, **arguments)
    return parquet.read_table(folder / "sample.parquet").to_pylist(), facts


# --- Schemes ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 9), min_size=5, max_size=5).filter(any))
def test_a_named_scheme_is_its_digits(digits: list[int]):
    assert read_scheme("R" + "".join(map(str, digits))) == tuple(digits)


@given(st.lists(st.decimals(0, 1000, places=3), min_size=5, max_size=5).filter(any), st.sampled_from([",", ", "]))
def test_a_scheme_of_ones_own_is_its_numbers(numbers: list, comma: str):
    assert read_scheme(comma.join(map(str, numbers))) == tuple(map(float, numbers))


@given(st.text("R0123456789,. -e", max_size=14))
def test_any_other_scheme_is_refused_with_what_is_allowed(scheme: str):
    if re.fullmatch(r"R(?=.*[1-9])\d{5}", scheme):
        assert len(read_scheme(scheme)) == 5
    elif not re.fullmatch(r"([\d. ]+,){4}[\d. ]+", scheme):
        with pytest.raises(ValueError, match="R and five digits, such as R12421, or five numbers"):
            read_scheme(scheme)


@pytest.mark.parametrize(
    "scheme", ["", "12421", "R1242", "R124211", "r12421", "R00000", "1,2,3,4", "1,-2,4,2,1", "R١٢٤٢١", "1,nan,1,1,1"]
)
def test_a_malformed_scheme_leaves_nothing(tmp_path: Path, scheme: str):
    with pytest.raises(ValueError, match="expected one multiplier per star"):
        _draw(tmp_path, _rows([1.0]), scheme=scheme)
    assert not list(tmp_path.iterdir())


def test_multipliers_act_on_the_natural_proportions(tmp_path: Path):
    ratings = [1.0, 2.0, 3.0, 4.0, 5.0, 5.0, 5.0] * 4000
    _, facts = _draw(tmp_path, _rows(ratings), n=2000, near_duplicates=0)
    drawn = facts.stars_drawn
    assert 3.3 < drawn["3"] / drawn["1"] < 4.8
    assert 1.6 < drawn["2"] / drawn["1"] < 2.5
    assert 2.5 < drawn["5"] / drawn["1"] < 3.6
    assert facts.stars_fit == {"none": 0, "1": 4000, "2": 4000, "3": 4000, "4": 4000, "5": 12000}


def test_a_scheme_may_ask_for_one_star_only(tmp_path: Path):
    rows, facts = _draw(tmp_path, _rows([1.0, 2.9, None, 3.0, 3.4, 5.0]), scheme="R00100")
    assert [row["review_id"] for row in rows] == ["r1", "r3", "r4"]
    assert facts.stars_excluded == 3
    assert facts.stars_drawn == dict.fromkeys(STARS, 0) | {"3": 3}


def test_reviews_without_stars_weigh_one(tmp_path: Path):
    _, facts = _draw(tmp_path, _rows([None, 3.0] * 5000), n=1000, near_duplicates=0)
    assert 3.2 < facts.stars_drawn["3"] / facts.stars_drawn["none"] < 5


# --- The draw --------------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(
    st.lists(st.sampled_from([None, 1.0, 2.5, 3.0, 4.0, 5.0]), min_size=1, max_size=40),
    st.integers(1, 50),
    st.integers(-5, 5),
)
def test_a_sample_is_reproducible_ordered_and_without_repeats(tmp_path_factory, ratings: list, n: int, seed: int):
    folder = tmp_path_factory.mktemp("sample")
    drawn, facts = _draw(folder, _rows(ratings), n, seed=seed)
    content = (folder / "sample.parquet").read_bytes()
    assert _draw(folder, _rows(ratings), n, seed=seed) == (drawn, facts)
    assert (folder / "sample.parquet").read_bytes() == content
    places = [int(row["review_id"][1:]) for row in drawn]
    assert places == sorted(set(places))
    assert len(drawn) == min(n, len(ratings)) == facts.drawn
    assert [path.name for path in folder.iterdir()] == ["sample.parquet"]


@settings(max_examples=20)
@given(st.randoms(use_true_random=False), st.integers(1, 60), st.integers(0, 60))
def test_more_rows_another_order_or_a_larger_n_do_not_reshuffle(tmp_path_factory, rng: random.Random, n: int, more):
    folder = tmp_path_factory.mktemp("sample")
    rows = _rows([float(number % 5 + 1) for number in range(100)])

    def names(rows: list[dict], n: int) -> set[str]:
        return {row["review_id"] for row in _draw(folder, rows, n)[0]}

    small = names(rows, n)
    assert small <= names(rows, n + more)
    assert names(rng.sample(rows, len(rows)), n) == small
    assert names(rows[50:], n) >= {name for name in small if int(name[1:]) >= 50}


def test_seeds_differ_and_every_row_has_its_chance(tmp_path: Path):
    rows = _rows([None] * 60)
    counts = Counter(row["review_id"] for seed in range(40) for row in _draw(tmp_path, rows, 15, seed=seed)[0])
    assert len(counts) == 60
    assert all(math.isclose(count, 10, abs_tol=9) for count in counts.values())


# --- What is left out ------------------------------------------------------------------------------------------------


def test_everything_left_out_is_counted(tmp_path: Path):
    long = " ".join(f"w{number}" for number in range(60))
    rows = [
        _row(1, ""),
        _row(2, "Too short."),
        _row(3, "long " * 181),
        _row(4, long, 1.0),
        _row(5, long, 2.0),
        _row(6, long + " more", 3.0),
        _row(7, "Quite another one.", 5.0),
    ]
    drawn, facts = _draw(tmp_path, rows)
    assert [row["review_id"] for row in drawn] == ["r4", "r7"]
    assert asdict(facts) == {
        "read": 7,
        "empty": 1,
        "too_short": 1,
        "too_long": 1,
        "stars_excluded": 0,
        "exact_repeats": 1,
        "near_duplicates": 1,
        "fit": 2,
        "drawn": 2,
        "stars_read": {"none": 3, "1": 1, "2": 1, "3": 1, "4": 0, "5": 1},
        "stars_fit": {"none": 0, "1": 1, "2": 0, "3": 0, "4": 0, "5": 1},
        "stars_drawn": {"none": 0, "1": 1, "2": 0, "3": 0, "4": 0, "5": 1},
    }
    assert len(_draw(tmp_path, rows, near_duplicates=0)[0]) == 3
    assert len(_draw(tmp_path, rows, max_words=0)[0]) == 3


def test_lengths_count_words_and_both_bounds_are_inside(tmp_path: Path):
    rows = [_row(number, " ".join(f"w{number}x{i}" for i in range(number))) for number in range(1, 10)]
    drawn, _ = _draw(tmp_path, rows, min_words=3, max_words=5)
    assert [row["review_id"] for row in drawn] == ["r3", "r4", "r5"]


def test_a_review_that_the_scheme_excludes_is_no_first_of_its_repeats(tmp_path: Path):
    rows = [_row(1, "One and the same.", 5.0), _row(2, "One and the same.", 3.0)]
    assert [row["review_id"] for row in _draw(tmp_path, rows, scheme="R00100")[0]] == ["r2"]


def test_an_id_that_names_two_texts_is_refused_with_both(tmp_path: Path):
    rows = [_row(1, "The first text."), _row(2, "A second text."), {**_row(1, "Another third one."), "source": "t"}]
    with pytest.raises(ValueError, match=r"'r1' names two texts, in s \('The first text\.'\) and in t \('Another"):
        _draw(tmp_path, rows)
    assert len(_draw(tmp_path, [*rows[:2], rows[0]])[0]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n is 0; expected the number of reviews to draw"),
        ({"near_duplicates": 1.5}, "near_duplicates is 1.5; expected a share"),
        ({"min_words": 9}, "of 2 reviews none fits: 2 read, 0 empty, 2 too short"),
    ],
)
def test_a_sample_that_cannot_be_drawn_says_why_and_leaves_nothing(tmp_path: Path, arguments: dict, message: str):
    with pytest.raises(ValueError, match=message):
        _draw(tmp_path, _rows([1.0, 2.0]), **arguments)
    assert not list(tmp_path.iterdir())


# --- The file --------------------------------------------------------------------------------------------------------


def test_the_file_has_the_contracts_columns_and_is_read_by_datasets(tmp_path: Path):
    _draw(tmp_path, [_row(1, "Größe: très 好 ☃", 4.5), _row(2, "No stars at all.")])
    assert parquet.read_schema(tmp_path / "sample.parquet").equals(REVIEW_SCHEMA)
    rows = Dataset.from_parquet(str(tmp_path / "sample.parquet"), cache_dir=str(tmp_path / "cache"))
    assert rows[0]["text"] == "Größe: très 好 ☃"
    assert rows["rating"][:] == [4.5, None]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_a_failure_half_way_leaves_the_existing_file_and_nothing_else(tmp_path: Path, failure: type):
    def rows() -> Iterator[dict]:
        yield from _rows([1.0] * 3000)
        raise failure

    (tmp_path / "sample.parquet").write_bytes(b"from yesterday")
    with pytest.raises(failure):
        sample_to_parquet(rows(), tmp_path / "sample.parquet", 10)
    assert (tmp_path / "sample.parquet").read_bytes() == b"from yesterday"
    assert [path.name for path in tmp_path.iterdir()] == ["sample.parquet"]


def test_many_row_groups_come_in_the_order_read(tmp_path: Path):
    drawn, facts = _draw(tmp_path, _rows([None] * 5001), near_duplicates=0)
    assert [row["review_id"] for row in drawn] == [f"r{number}" for number in range(5001)]
    assert facts.drawn == 5001
