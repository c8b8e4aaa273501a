"""Review files → review rows, and a sample of them by stars.

Reads: a .jsonl file or a folder of them, one object a line: `review_id, domain, text, rating` (1–5 or null).
Makes: review rows `{review_id, domain, text, rating, source}`; `source` is the file's name without its ending.
"""

import json
import logging
import math
import random
import re
from collections.abc import Sequence
from pathlib import Path


logger = logging.getLogger(__name__)

# Some public dumps (Yelp polarity) hold escapes as text: backslash-n for a line end, backslash-quote for a quote.
_ESCAPES = {r"\n": "\n", r"\r": "\n", r"\t": " ", r"\"": '"', r"\'": "'", "\\\\": "\\"}


def clean_text(text: str) -> str:
    r"""Turn literal escapes into what they stand for, and tidy white space; line ends stay.

    >>> clean_text(r'Good.\n\nThey call it \"brunch\" .')
    'Good.\n\nThey call it "brunch" .'
    """
    text = re.sub(r"\\(?:[nrt\"'\\]|u[0-9a-fA-F]{4})", _unescape, text)
    text = re.sub(r"[^\S\n]+", " ", text.replace("\r\n", "\n").replace("\r", "\n"))
    return re.sub(r" ?\n ?", "\n", re.sub(r"\n{3,}", "\n\n", text)).strip()


def _unescape(match: re.Match[str]) -> str:
    escape = match.group()
    if not escape.startswith("\\u"):
        return _ESCAPES[escape]
    code = int(escape[2:], 16)
    return " " if 0xD800 <= code <= 0xDFFF else chr(code)  # half of a surrogate pair cannot be written as UTF-8


def read_reviews(path: Path) -> list[dict]:
    """Read review rows, in file and line order; a text seen before is dropped, and the log says how many.

    Args:
        path: a .jsonl file, or a folder whose .jsonl files are read in name order.

    Raises:
        FileNotFoundError: no such path, or a folder without .jsonl files.
        ValueError: a broken line or field, or a review_id that names two texts (named `file:line`).
    """
    path = Path(path)
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise FileNotFoundError(f"{path}: expected a .jsonl file of reviews or a folder of them")
    rows: list[dict] = []
    texts: set[str] = set()
    ids: dict[str, str] = {}
    repeated = 0
    for file in files:
        for number, line in enumerate(file.read_bytes().split(b"\n"), 1):
            if not line.strip():
                continue
            row = _row(line, f"{file}:{number}", file.stem)
            if row["text"] in texts:
                repeated += 1
                continue
            if row["review_id"] in ids:
                raise ValueError(
                    f"{file}:{number}: review_id {row['review_id']!r} already names another text "
                    f"({ids[row['review_id']]}); make the ids unique"
                )
            texts.add(row["text"])
            ids[row["review_id"]] = f"{file}:{number}"
            rows.append(row)
    logger.info("%s: %d reviews read, %d repeated texts dropped", path, len(rows), repeated)
    return rows


def _row(line: bytes, where: str, source: str) -> dict:
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: not a JSON object in UTF-8 ({error})") from None
    if not isinstance(row, dict):
        raise ValueError(f"{where}: found {type(row).__name__}, expected an object with review_id, domain and text")
    for field in ("review_id", "domain", "text"):
        if not isinstance(row.get(field), str) or not row[field].strip():
            raise ValueError(f"{where}: field {field!r} is {row.get(field)!r}, expected a non-empty string")
    text = clean_text(row["text"])
    if not text:
        raise ValueError(f"{where}: field 'text' is {row['text']!r}: nothing is left of it but white space")
    return {
        "review_id": row["review_id"],
        "domain": row["domain"],
        "text": text,
        "rating": _rating(row.get("rating"), where),
        "source": source,
    }


def _rating(value: object, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 5:
        raise ValueError(f"{where}: field 'rating' is {value!r}, expected a number from 1 to 5, or null")
    return float(value)


def sample_reviews(
    reviews: Sequence[dict],
    n: int,
    seed: int = 42,
    scheme: str = "R12421",
    min_words: int = 1,
    max_words: int | None = None,
) -> list[dict]:
    """Draw reviews without replacement, some star ratings more readily than others.

    A scheme names one weight per star, 1 to 5, that multiplies the reviews' natural proportions: with `R12421` a
    3-star review is four times as likely to be drawn as a 1-star one, since mixed reviews hold the most diverse
    feelings (paper 1, arXiv 2412.18552, section 2.1 and the note of Table 6). A review without stars weighs 1.

    Args:
        reviews: review rows.
        n: how many to draw; all that are left after the length filter when there are fewer.
        seed: the same seed, rows and arguments give the same sample.
        scheme: "R" and five digits.
        min_words, max_words: keep only reviews of so many words (both included).

    Returns:
        The drawn rows, in the order of `reviews`.

    Raises:
        ValueError: a malformed scheme or a negative n.
    """
    if not re.fullmatch(r"R\d{5}", scheme) or scheme == "R00000":
        raise ValueError(f"scheme {scheme!r}: expected R and five digits, one weight per star, such as R12421")
    if n < 0:
        raise ValueError(f"cannot draw {n} reviews")
    rng = random.Random(seed)
    keys: list[tuple[float, int]] = []
    for position, review in enumerate(reviews):
        chance = rng.random()  # drawn for every row, so that a filter does not reshuffle the others
        weight = _weight(review["rating"], scheme)
        words = len(review["text"].split())
        if weight and words >= min_words and (max_words is None or words <= max_words):
            # The n largest u^(1/w) are a weighted sample without replacement (Efraimidis and Spirakis, 2006).
            keys.append((math.log(1.0 - chance) / weight, position))
    if len(keys) < n:
        logger.warning("asked for %d reviews, %d fit", n, len(keys))
    drawn = sorted(position for _, position in sorted(keys, reverse=True)[:n])
    return [reviews[position] for position in drawn]


def _weight(rating: float | None, scheme: str) -> int:
    if rating is None:
        return 1
    return int(scheme[min(5, max(1, math.floor(rating + 0.5)))])
