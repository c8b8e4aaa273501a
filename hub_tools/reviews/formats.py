"""
What a review looks like at its source, and the review row that we make of it.

A format is a function from a source's row to `{review_id, domain, text, rating, source, licence}`, where `text` may be
empty (sampling counts those) and `licence` is the source's terms as a short text, "" where they are not known.
"""

import html
import re
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from .settings import ReviewSettings
from .tables import TEXT_COLUMNS


YELP_TERMS = "Yelp Dataset Terms of Use: no redistribution"
AMAZON_TERMS = "Amazon Conditions of Use: no redistribution"

# Some public dumps (Yelp polarity) hold escapes as text: backslash-n for a line end, backslash-quote for a quote.
_ESCAPES = {r"\n": "\n", r"\r": "\n", r"\t": " ", r"\"": '"', r"\'": "'", "\\\\": "\\"}
_STARS = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:stars?)?\s*", re.IGNORECASE)
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")  # half of a surrogate pair cannot be written as UTF-8
_AMAZON_MARKUP = re.compile(r"<br\s*/?>|\[\[(?:VIDEO|ASIN)ID:[^\]]*\]\]", re.IGNORECASE)


class Place(NamedTuple):
    """Where a row is: the source's name, as rows carry it, and what an error says."""

    source: str
    where: str


def clean_text(text: str) -> str:
    r"""Turn literal escapes into what they stand for, and tidy white space; line ends stay.

    >>> clean_text(r'Good.\n\nThey call it \"brunch\" .')
    'Good.\n\nThey call it "brunch" .'
    """
    if "\\" in text:
        text = re.sub(r"\\(?:[nrt\"'\\]|u[0-9a-fA-F]{4})", _unescape, text)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\n\n\n" in text:
        text = re.sub(r"\n{3,}", "\n\n", text)
    return "\n".join([" ".join(line.split()) for line in text.split("\n")]).strip()


def _unescape(match: re.Match[str]) -> str:
    escape = match.group()
    if not escape.startswith("\\u"):
        return _ESCAPES[escape]
    code = int(escape[2:], 16)
    return " " if 0xD800 <= code <= 0xDFFF else chr(code)


def detect_format(row: dict) -> str:
    """The format that a first row's keys tell; any other row is one of named columns."""
    keys = row.keys()
    if {"review_id", "domain", "text"} <= keys:
        return "reviews"
    if {"review_id", "business_id", "stars"} <= keys:
        return "yelp"
    if {"asin", "overall"} <= keys or {"parent_asin", "rating", "text"} <= keys:
        return "amazon"
    return "columns"


def from_reviews(row: dict, place: Place, settings: ReviewSettings) -> dict:
    """Our own rows: `review_id, domain, text, rating`, and perhaps `source` and `licence`."""
    return {
        "review_id": _name(row, "review_id", place),
        "domain": _name(row, "domain", place),
        "text": _text(row, "text", place),
        "rating": _rating(row, "rating", place),
        "source": _name(row, "source", place) if row.get("source") else place.source,
        "licence": _name(row, "licence", place) if row.get("licence") else settings.licence,
    }


def from_yelp(row: dict, place: Place, settings: ReviewSettings) -> dict:
    """Yelp open dataset, yelp_academic_dataset_review.json: `review_id, stars, text, business_id, …`."""
    return {
        "review_id": _name(row, "review_id", place),
        "domain": settings.domain,
        "text": _text(row, "text", place),
        "rating": _rating(row, "stars", place),
        "source": place.source,
        "licence": settings.licence or YELP_TERMS,
    }


def from_amazon(row: dict, place: Place, settings: ReviewSettings) -> dict:
    """
    Amazon reviews of 2014 and 2018 (`asin, reviewerID, unixReviewTime, overall, reviewText`) and of 2023 (`asin,
    user_id, timestamp, rating, text`). They have no id: it is made of product, person and time, by which the row can
    be found again, and a checksum of the text, since a person may write twice in a second.
    """
    old = "overall" in row
    text = _text(row, "reviewText" if old else "text", place)
    names = ("asin", "reviewerID", "unixReviewTime") if old else ("asin", "user_id", "timestamp")
    parts = [str(row.get(name, "")) for name in names]
    return {
        "review_id": "-".join([*parts, f"{zlib.crc32(text.encode()):08x}"]),
        "domain": settings.domain,
        "text": clean_text(html.unescape(_AMAZON_MARKUP.sub("\n", text))),
        "rating": _rating(row, "overall" if old else "rating", place),
        "source": place.source,
        "licence": settings.licence or AMAZON_TERMS,
    }


def from_columns(row: dict, place: Place, settings: ReviewSettings) -> dict:
    """Any row, by the columns that the settings name (see `settle`)."""
    if settings.id_column:
        value = row.get(settings.id_column)
        review_id = _name(
            {settings.id_column: str(value)} if isinstance(value, int) else row, settings.id_column, place
        )
    else:
        review_id = f"{place.source}-{place.where.rpartition(':')[2]}"
    return {
        "review_id": review_id,
        "domain": _name(row, settings.domain_column, place) if settings.domain_column else settings.domain,
        "text": _text(row, settings.text_column, place),
        "rating": _rating(row, settings.rating_column, place) if settings.rating_column else None,
        "source": place.source,
        "licence": settings.licence,
    }


FORMATS: dict[str, Callable[[dict, Place, ReviewSettings], dict]] = {
    "reviews": from_reviews,
    "yelp": from_yelp,
    "amazon": from_amazon,
    "columns": from_columns,
}


def settle(row: dict, place: Place, settings: ReviewSettings) -> ReviewSettings:
    """
    The settings of one source, with its format and text column told by its first row.

    Raises:
        ValueError: another format than the settings ask for, a column that is not there, no domain.
    """
    if settings.format not in ("auto", *FORMATS):
        raise ValueError(f"format '{settings.format}' is unknown; allowed: auto, {', '.join(FORMATS)}.")
    found = ", ".join(map(str, row)) or "none"
    name = detect_format(row) if settings.format == "auto" else settings.format
    if name not in ("columns", detect_format(row)):
        raise ValueError(f"{place.where}: these are not the columns of format '{name}': {found}.")
    if settings.category and name not in ("yelp", "amazon"):
        raise ValueError(f"{place.where}: `category` chooses among Yelp's and Amazon's reviews; this is '{name}'.")
    if name != "reviews" and not settings.domain and not (name == "columns" and settings.domain_column):
        raise ValueError(f"{place.where}: what is reviewed? Set `domain`, e.g. restaurant or laptop.")
    text_column = settings.text_column
    if name == "columns":
        text_column = text_column or next((column for column in row if str(column).lower() in TEXT_COLUMNS), "")
        if not text_column:
            raise ValueError(f"{place.where}: which column holds the reviews? Set `text_column`; found: {found}.")
        for column in (text_column, settings.rating_column, settings.id_column, settings.domain_column):
            if column and column not in row:
                raise ValueError(f"{place.where}: has no column '{column}'; found: {found}.")
    return replace(settings, format=name, text_column=text_column)


def _name(row: dict, name: str, place: Place) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value.strip() or _HALF_CHARACTER.search(value):
        raise ValueError(f"{place.where}: field '{name}' is {value!r:.60}, expected a non-empty string.")
    return value


def _text(row: dict, name: str, place: Place) -> str:
    """The cleaned text; absent or null is empty, as Amazon has it. Dumps cut emoji in half: a half is a space."""
    value = row.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{place.where}: field '{name}' is {value!r:.60}, expected the text of a review.")
    return clean_text(value if value.isascii() else _HALF_CHARACTER.sub(" ", value))


def _rating(row: dict, name: str, place: Place) -> float | None:
    """Stars from a number, or from text such as `4`, `4.0` or `4 stars`; null and empty text are none."""
    value = row.get(name)
    if value is None or value == "":
        return None
    number = value
    if isinstance(value, str) and (stars := _STARS.fullmatch(value)):
        number = float(stars[1])
    if isinstance(number, bool) or not isinstance(number, int | float) or not 1 <= number <= 5:
        raise ValueError(f"{place.where}: field '{name}' is {value!r:.60}, expected a number from 1 to 5, or null.")
    return float(number)
