"""Reviews of every source: what is read, by what name a row is known, what is refused and how that is said."""

import csv
import gzip
import json
import logging
import re
from collections import Counter
from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from hypothesis import given
from hypothesis import strategies as st

from hub_tools.reviews.formats import AMAZON_TERMS, YELP_TERMS
from hub_tools.reviews.readers import clean_text, read_reviews
from hub_tools.reviews.settings import ReviewSettings
from hub_tools.reviews.sources import find_dataset, find_sources


YELP = {
    "review_id": "KU_O5udG6zpxOg-VcAEodg",
    "user_id": "mh_-eMZ6K5RLWhZyISBhwA",
    "business_id": "XQfwVwDr-v0ZS3_CbbE5Xw",
    "stars": 3.0,
    "useful": 0,
    "text": "If you decide to eat here, just be aware it is going to take about 2 hours.",
    "date": "2018-07-07 22:09:11",
}
AMAZON_2014 = {
    "reviewerID": "A2SUAM1J3GNN3B",
    "asin": "0000013714",
    "reviewerName": "J. McDonald",
    "helpful": [2, 3],
    "reviewText": "I bought this for my husband who plays the piano.",
    "overall": 5.0,
    "summary": "Heavenly Highway Hymns",
    "unixReviewTime": 1252800000,
}
AMAZON_2018 = {
    "overall": 4.0,
    "verified": True,
    "reviewerID": "A1",
    "asin": "B0001",
    "reviewText": "Fast &amp; <br />quiet. [[VIDEOID:8b1]]The fan &#34;sings&#34;.",
    "unixReviewTime": 1519171200,
}
AMAZON_2023 = {
    "rating": 2.0,
    "title": "Meh",
    "text": "The lid is loose.",
    "images": [],
    "asin": "B0002",
    "parent_asin": "B0009",
    "user_id": "AG",
    "timestamp": 1588687728923,
}


def _lines(path: Path, *rows: object) -> Path:
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def _review(number: int, **fields: object) -> dict:
    return {"review_id": f"r{number}", "domain": "restaurant", "text": f"Text {number}.", "rating": 4, **fields}


def _read(path: Path, **settings: str) -> list[dict]:
    return list(read_reviews(ReviewSettings(data=str(path.parent), files=[path.name], **settings)))


# --- Our own rows ----------------------------------------------------------------------------------------------------


def test_a_folder_is_read_in_name_order_and_names_its_sources(tmp_path: Path):
    _lines(tmp_path / "b.jsonl", _review(2, rating=None))
    _lines(tmp_path / "a.jsonl", _review(1))
    (tmp_path / "README.md").write_text("not reviews")
    rows = _read(tmp_path)
    assert [(row["review_id"], row["source"], row["rating"]) for row in rows] == [("r1", "a", 4.0), ("r2", "b", None)]


def test_rows_say_their_own_source_and_licence_and_else_the_files_and_the_settings(tmp_path: Path):
    path = _lines(tmp_path / "a.jsonl", _review(1, source="x", licence="cc0-1.0"), _review(2))
    assert [(row["source"], row["licence"]) for row in _read(path)] == [("x", "cc0-1.0"), ("a", "")]
    assert [row["licence"] for row in _read(path, licence="mit")] == ["cc0-1.0", "mit"]


def test_an_empty_text_is_left_to_be_counted(tmp_path: Path):
    path = _lines(tmp_path / "a.jsonl", _review(1, text=None), _review(2, text=" \\n "), _review(3))
    assert [row["text"] for row in _read(path)] == ["", "", "Text 3."]


def test_rows_come_one_at_a_time(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(_review(1)) + "\nbroken\n")
    rows = read_reviews(ReviewSettings(files=[str(path)]))
    assert next(rows)["review_id"] == "r1"
    with pytest.raises(ValueError, match=r"a\.jsonl:2: not JSON"):
        next(rows)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (_review(1, rating=6), "a.jsonl:2: field 'rating' is 6, expected a number from 1 to 5"),
        (_review(1, rating=True), "a.jsonl:2: field 'rating' is True"),
        (_review(1, rating="good"), "a.jsonl:2: field 'rating' is 'good'"),
        (_review(1, rating=float("nan")), "a.jsonl:2: field 'rating' is nan"),
        (_review(1, review_id=7), "a.jsonl:2: field 'review_id' is 7"),
        (_review(1, review_id="\ud800"), "a.jsonl:2: field 'review_id' is"),
        (_review(1, domain=""), "a.jsonl:2: field 'domain' is ''"),
        (_review(1, source=["x"]), "a.jsonl:2: field 'source' is"),
        (_review(1, licence=1), "a.jsonl:2: field 'licence' is 1"),
        (_review(1, text=["x"]), "a.jsonl:2: field 'text' is .*, expected the text of a review"),
        ([1], "a.jsonl:2: expected an object, found list"),
    ],
)
def test_a_broken_row_is_named_by_file_line_and_field(tmp_path: Path, row: object, message: str):
    path = _lines(tmp_path / "a.jsonl", _review(0), row)
    with pytest.raises(ValueError, match=message):
        _read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"review_id": "x"\n', r"a\.jsonl:1: not JSON"),
        (b'\n{"review_id": "\xff"}\n', r"a\.jsonl:2: not UTF-8 at byte 15"),
        (b"[" * 100_000 + b"\n", r"a\.jsonl:1: not JSON that can be read"),
        (b'{"a": ' + b"1" * 5000 + b"}\n", r"a\.jsonl:1: not JSON that can be read"),
    ],
)
def test_bytes_that_are_no_json_are_named_by_line(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        _read(path)


# --- Yelp and Amazon -------------------------------------------------------------------------------------------------


def test_yelps_reviews_are_read_and_come_with_its_terms(tmp_path: Path):
    path = _lines(tmp_path / "yelp_academic_dataset_review.json", YELP)
    assert _read(path, domain="restaurant") == [
        {
            "review_id": "KU_O5udG6zpxOg-VcAEodg",
            "domain": "restaurant",
            "text": YELP["text"],
            "rating": 3.0,
            "source": "yelp_academic_dataset_review",
            "licence": YELP_TERMS,
        }
    ]


def test_amazons_reviews_of_every_year_are_read_and_can_be_found_again(tmp_path: Path):
    without_text = {name: value for name, value in AMAZON_2018.items() if name != "reviewText"}
    old = _read(_lines(tmp_path / "Electronics_5.json.gz", AMAZON_2014, AMAZON_2018, without_text), domain="laptop")
    assert [row["review_id"].rpartition("-")[0] for row in old] == [
        "0000013714-A2SUAM1J3GNN3B-1252800000",
        "B0001-A1-1519171200",
        "B0001-A1-1519171200",
    ]
    assert len({row["review_id"] for row in old}) == 3
    assert [row["text"] for row in old] == [
        AMAZON_2014["reviewText"],
        'Fast &\nquiet.\nThe fan "sings".',
        "",
    ]
    assert [row["rating"] for row in old] == [5.0, 4.0, 4.0]
    (new,) = _read(_lines(tmp_path / "Electronics.jsonl.gz", AMAZON_2023), domain="laptop")
    assert new["review_id"].startswith("B0002-AG-1588687728923-")
    assert (new["text"], new["rating"], new["source"]) == ("The lid is loose.", 2.0, "Electronics")
    assert {row["licence"] for row in [*old, new]} == {AMAZON_TERMS}


def test_half_an_emoji_in_a_dump_stops_nothing(tmp_path: Path):
    (row,) = _read(_lines(tmp_path / "a.json", {**YELP, "text": "Nice \ud83d"}), domain="restaurant")
    assert row["text"] == "Nice"


@pytest.mark.parametrize(
    ("reviews", "catalogue", "rows", "items", "category"),
    [
        (
            "yelp_academic_dataset_review.json",
            "yelp_academic_dataset_business.json",
            [YELP, {**YELP, "review_id": "other", "business_id": "garage"}],
            [
                {"business_id": "garage", "categories": "Automotive, Tires"},
                {"business_id": "unknown", "categories": None},
                {"business_id": YELP["business_id"], "categories": "Food, Restaurants"},
            ],
            "restaurants",
        ),
        (
            "Electronics_5.json.gz",
            "meta_Electronics.json.gz",
            [AMAZON_2014, AMAZON_2018],
            [
                {"asin": AMAZON_2014["asin"], "category": ["Electronics", "Clothing, Shoes & Jewelry"]},
                {"asin": AMAZON_2018["asin"], "categories": [["Electronics", "Laptops"]]},
            ],
            "Clothing, Shoes & Jewelry",
        ),
        (
            "Electronics.jsonl",
            "meta_Electronics.jsonl",
            [AMAZON_2023, {**AMAZON_2023, "parent_asin": "B0005"}],
            [{"parent_asin": "B0009", "categories": ["Laptops"]}, {"parent_asin": "B0005", "categories": []}],
            "Laptops",
        ),
    ],
)
def test_a_category_is_told_by_the_file_of_businesses_or_products(
    tmp_path: Path, reviews: str, catalogue: str, rows: list, items: list, category: str
):
    path = _lines(tmp_path / reviews, *rows)
    with pytest.raises(ValueError, match=rf"`category` is told by {catalogue.split('.')[0]}.* there is none"):
        _read(path, domain="x", category=category)
    _lines(tmp_path / catalogue, *items)
    assert _read(path, domain="x", category=category) == _read(path, domain="x")[:1]
    with pytest.raises(ValueError, match="nothing is of category 'Opera'"):
        _read(path, domain="x", category="Opera")


# --- Columns ---------------------------------------------------------------------------------------------------------

ROWS = [
    {"key": 7, "stars": "4 stars", "kind": "hotel", "words": "Good."},
    {"key": 8, "stars": "", "kind": "café", "words": ""},
    {"key": 9, "stars": "2.5", "kind": "hotel", "words": 'Bad,\n"really".'},
]


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl", "t.parquet", "t.csv.gz", "t.jsonl.gz"])
def test_any_table_is_read_by_its_columns(tmp_path: Path, name: str):
    path = tmp_path / name
    if ".parquet" in name:
        parquet.write_table(arrow.Table.from_pylist(ROWS), path)
    elif ".jsonl" in name:
        _lines(path, *ROWS)
    else:
        with (gzip.open if name.endswith("gz") else open)(path, "wt", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(ROWS[0]), delimiter="\t" if ".tsv" in name else ",")
            writer.writeheader()
            writer.writerows(ROWS)
    columns = {"text_column": "words", "rating_column": "stars", "id_column": "key", "domain_column": "kind"}
    assert _read(path, **columns, licence="mit") == [
        {"review_id": "7", "domain": "hotel", "text": "Good.", "rating": 4.0, "source": "t", "licence": "mit"},
        {"review_id": "8", "domain": "café", "text": "", "rating": None, "source": "t", "licence": "mit"},
        {"review_id": "9", "domain": "hotel", "text": 'Bad,\n"really".', "rating": 2.5, "source": "t"}
        | {"licence": "mit"},
    ]


def test_without_a_mapping_the_usual_column_is_read_and_rows_bear_their_numbers(tmp_path: Path):
    path = tmp_path / "mine.csv"
    path.write_text("Review,stars\nGood.,5\nBad.,1\n")
    assert [(row["review_id"], row["text"], row["rating"]) for row in _read(path, domain="hotel")] == [
        ("mine-2", "Good.", None),
        ("mine-3", "Bad.", None),
    ]


@pytest.mark.parametrize(
    ("row", "settings", "message"),
    [
        (YELP, {}, r"a\.jsonl:1: what is reviewed\? Set `domain`"),
        (YELP, {"format": "amazon", "domain": "x"}, "not the columns of format 'amazon': review_id, user_id"),
        (YELP, {"format": "imdb"}, "format 'imdb' is unknown; allowed: auto, reviews, yelp, amazon, columns"),
        ({"a": "x"}, {"domain": "x"}, r"a\.jsonl:1: which column holds the reviews\? Set `text_column`; found: a"),
        ({"text": "x"}, {"domain": "x", "rating_column": "stars"}, "has no column 'stars'; found: text"),
        ({"text": "x"}, {"domain": "x", "category": "Food"}, "`category` chooses among Yelp's and Amazon's"),
        ({"text": "x", "id": None}, {"domain": "x", "id_column": "id"}, "field 'id' is None, expected"),
        ({"text": "x", "d": 3}, {"domain_column": "d"}, "field 'd' is 3, expected"),
    ],
)
def test_settings_that_do_not_fit_the_file_are_named(tmp_path: Path, row: dict, settings: dict, message: str):
    with pytest.raises(ValueError, match=message):
        _read(_lines(tmp_path / "a.jsonl", row), **settings)


# --- Sources ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "`files` names no reviews"),
        (["nothing.jsonl"], r"nothing\.jsonl: no such file"),
        (["empty"], r"empty: a folder without reviews; readable: \.jsonl, \.json, \.csv"),
        (["a.xlsx"], r"a\.xlsx: a '\.xlsx' file; readable"),
        (["hub:no-owner"], "'hub:no-owner': expected hub:<owner>/<name>"),
        (["hub:../x:train"], "not found on the Hub|expected hub:<owner>/<name>"),
    ],
)
def test_a_source_that_is_not_there_is_named_before_any_row_is_read(tmp_path: Path, files: list, message: str):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    with pytest.raises(ValueError, match=message):
        read_reviews(ReviewSettings(data=str(tmp_path), files=files))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl.gz", b"not gzip"),
        ("a.jsonl.gz", gzip.compress(json.dumps(YELP).encode() * 1000)[:60]),
        ("a.parquet", b"PAR1 no"),
        ("a.csv", b"text\n" + b"x" * 10 + b"\xff\n"),
    ],
    # Named, since gzip writes the time into its header: two workers would collect two tests.
    ids=["not gzip", "gzip cut short", "not parquet", "not utf-8"],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / name)) + ": (cannot be read|not UTF-8)"):
        _read(tmp_path / name, domain="x")


def test_a_dataset_on_the_hub_is_read_at_a_commit_with_its_labels_and_its_licence(repo_id: str):
    features = Features({"label": ClassLabel(names=["1 star", "2 star", "3 stars"]), "text": Value("string")})
    rows = [{"label": number % 3, "text": f"Review {number}."} for number in range(5)]
    Dataset.from_list(rows, features=features).push_to_hub(repo_id, "english", split="test")
    from huggingface_hub import metadata_update

    metadata_update(repo_id, {"license": "cc-by-4.0"}, repo_type="dataset")
    name = f"hub:{repo_id}@main/english:test"
    source = find_dataset(name)
    assert re.fullmatch(r"[0-9a-f]{40}", source.revision)
    assert str(source) == f"hub:{repo_id}@{source.revision}/english:test"
    found = list(read_reviews(ReviewSettings(files=[name], domain="hotel", rating_column="label")))
    assert [(row["rating"], row["text"]) for row in found[:3]] == [
        (1, "Review 0."),
        (2, "Review 1."),
        (3, "Review 2."),
    ]
    assert {(row["source"], row["licence"], row["domain"]) for row in found} == {(repo_id, "cc-by-4.0", "hotel")}
    assert len({row["review_id"] for row in found}) == 5
    Dataset.from_list([YELP]).push_to_hub(repo_id, "again", split="train")
    (again,) = read_reviews(ReviewSettings(files=[f"hub:{repo_id}/again"], domain="restaurant"))
    assert (again["review_id"], again["licence"]) == (YELP["review_id"], YELP_TERMS)
    with pytest.raises(ValueError, match=r"validation"):
        list(read_reviews(ReviewSettings(files=[f"hub:{repo_id}/english:validation"], domain="hotel")))
    with pytest.raises(ValueError, match="not found on the Hub"):
        find_sources(ReviewSettings(files=[f"hub:{repo_id}@nowhere"]))


# --- Texts -----------------------------------------------------------------------------------------------------------


def test_literal_escapes_become_what_they_stand_for():
    assert clean_text(r"one\n\ntwo \"quoted\" caf\u00e9") == 'one\n\ntwo "quoted" café'


@given(st.text())
def test_cleaning_never_fails_and_leaves_text_that_can_be_written(text: str):
    clean_text(text).encode("utf-8", errors="surrogatepass")


@given(st.text(st.sampled_from("ab \n\r\t\u2028\u3000\x1c")))
def test_white_space_is_tidied_as_three_rules_say(text: str):
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    spaced = re.sub(r"[^\S\n]+", " ", text)
    shortened = re.sub(r"\n{3,}", "\n\n", spaced)
    assert clean_text(text) == re.sub(r" ?\n ?", "\n", shortened).strip()


@given(
    text=st.text(st.characters(codec="utf-8"), max_size=30),
    stars=st.one_of(st.none(), st.integers(1, 5), st.floats(1, 5)),
)
def test_any_text_and_stars_come_through_every_json_format(tmp_path_factory, text: str, stars: float | None):
    folder = tmp_path_factory.mktemp("formats")
    for row in (
        _review(1, text=text, rating=stars),
        {**YELP, "text": text, "stars": stars},
        {**AMAZON_2023, "text": text, "rating": stars},
        {"text": text, "stars": stars},
    ):
        settings = {"rating_column": "stars", "domain": "x"}
        (found,) = _read(_lines(folder / "a.jsonl", row), **settings)
        assert found["rating"] == (None if stars is None else float(stars))
        assert list(found) == ["review_id", "domain", "text", "rating", "source", "licence"]
        assert found["text"] == clean_text(text) or row.get("parent_asin")


def test_the_log_says_how_many_were_read(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    _read(_lines(tmp_path / "a.jsonl", _review(1), _review(2)))
    assert "a.jsonl: 2 reviews read" in caplog.text


def test_the_real_reviews_are_read_without_escapes(data: Path):
    rows = _read(data / "reviews")
    assert Counter(row["source"] for row in rows) == {
        "amazon_laptop": 1301,
        "yelp_restaurant": 373,
        "yelp_polarity": 3000,
    }
    assert not any(r"\n" in row["text"] for row in rows)
