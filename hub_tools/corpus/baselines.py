"""
What paper 1 (arXiv 2412.18552, section 4.1) compares distillation with, as pairs of the corpus's own columns, so that
one recipe pretrains on any of them: reviews to restore (DAPT), reviews and their star ratings (Rating Prediction), and
instructions with an LLM's responses (General Distillation).

Reads: rows of a corpus, of reviews, or of an instruction dataset.  Makes: pair rows `{pair_id, review_id, domain,
rating, prompt, teacher, input, target, source, licence}`, one at a time.

    skipped = Counter()
    rows = load_dataset("me/sentiment-understanding-corpus", "both", split="train")
    pairs = review_pairs(rows, skipped)  # or rating_pairs(rows, skipped)
    rows = load_dataset("MBZUAI/LaMini-instruction", split="train")
    pairs = instruction_pairs(rows, skipped, teacher="gpt-3.5-turbo", source="MBZUAI/LaMini-instruction")

What was left out, and why, is counted in `skipped`.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from .pairs import pair_id


SPAN_CORRUPTION, RATING, INSTRUCTION = "span-corruption", "rating", "instruction"  # `prompt` of their pairs

# Names that instruction datasets of the Hub give their columns, LaMini's and Alpaca's among them, in order of choice.
INSTRUCTION_COLUMNS = ("instruction", "prompt", "question", "query")
CONTEXT_COLUMNS = ("input", "context")
RESPONSE_COLUMNS = ("response", "output", "completion", "answer")


def review_pairs(rows: Iterable[Mapping], skipped: Counter[str] | None = None) -> Iterator[dict]:
    """
    Each different review once, its target being the review: what `SpanCorrupted` masks and has restored (DAPT).

    Args:
        rows: pairs of a corpus (`input`) or reviews (`text`).
        skipped: gets the counts of "empty" and "repeated" rows.

    Raises:
        ValueError: rows without a text column or with cells that are no text, or a corpus of ids that was not
            rejoined with its reviews.
    """
    for row, text in _distinct_reviews(rows, Counter() if skipped is None else skipped):
        yield _pair(row, SPAN_CORRUPTION, text, text)


def rating_pairs(rows: Iterable[Mapping], skipped: Counter[str] | None = None) -> Iterator[dict]:
    """
    Each different review with a rating once, its target the rating in words (see `rating_text`).

    Args:
        rows: pairs of a corpus (`input`, `rating`) or reviews (`text`, `rating`).
        skipped: gets the counts of "unrated", "empty" and "repeated" rows.

    Raises:
        ValueError: rows without a text column or with cells that are no text, a corpus of ids, a rating that is none
            of 1 to 5 stars, or no row with a rating at all.
    """
    skipped, made = Counter() if skipped is None else skipped, 0
    for row, text in _distinct_reviews(rows, skipped, rated=True):
        made += 1
        try:
            target = rating_text(row["rating"])
        except ValueError as error:
            raise ValueError(f"review {row.get('review_id')!r}: {error}") from error
        yield _pair(row, RATING, text, target)
    if not made:
        raise ValueError(
            f"no review has a rating ({skipped['unrated']} without): rating prediction needs reviews with a `rating` "
            "of 1 to 5 stars, as Yelp's and Amazon's"
        )


def rating_text(rating: float) -> str:
    """
    A star rating as the student writes it.

    Paper 1 says only that rating scores are predicted; the words are our choice. A number with "stars" is how reviews
    themselves speak of it. Words of polarity would be the labels of the tasks that the student is fine-tuned on.

        >>> rating_text(5), rating_text(1.0), rating_text(3.5)
        ('5 stars', '1 star', '3.5 stars')

    Raises:
        ValueError: not 1 to 5.
    """
    if not isinstance(rating, int | float) or not 1 <= rating <= 5:
        raise ValueError(f"the rating must be a number of stars from 1 to 5, found {rating!r}")
    return "1 star" if rating == 1 else f"{rating:g} stars"


class InstructionColumns(NamedTuple):
    """Names of the columns of an instruction dataset; `context` is "" where it has none."""

    instruction: str
    context: str
    response: str


def find_columns(
    names: Sequence[str], instruction: str = "", context: str = "", response: str = ""
) -> InstructionColumns:
    """
    Which of an instruction dataset's columns are what: those given, and the others by the names that are common.

    Raises:
        ValueError: there is no such column; says which there are.
    """
    found = []
    for role, given, common in (
        ("instruction", instruction, INSTRUCTION_COLUMNS),
        ("context", context, CONTEXT_COLUMNS),
        ("response", response, RESPONSE_COLUMNS),
    ):
        taken = {instruction, context, response, *found} - {""}  # a column has one role
        wanted = [given] if given else [name for name in common if name not in taken]
        name = next((name for name in wanted if name in names), "")
        if not name and (given or role != "context"):
            raise ValueError(
                f"the instruction dataset has no {role} column: looked for {', '.join(wanted)}; found: "
                f"{', '.join(names)}. Name the column that holds the {role}"
            )
        found.append(name)
    return InstructionColumns(*found)


def instruction_pairs(
    rows: Iterable[Mapping],
    skipped: Counter[str] | None = None,
    *,
    instruction: str = "",
    context: str = "",
    response: str = "",
    teacher: str = "",
    source: str = "",
    licence: str = "",
) -> Iterator[dict]:
    """
    Rows of an instruction dataset as pairs: instruction and context (on a line of its own) in, response out.

    `review_id` is a digest of the input, so that what is held out shares no instruction with what is trained on.

    Args:
        rows: an instruction dataset's; the columns are those of the first row.
        skipped: gets the counts of "empty" (no instruction or no response) and "repeated" rows.
        instruction: name of the column; "" finds it by common names (`find_columns`), as for the next two.
        context: name of the column of what the instruction is about; not every dataset has one.
        response: name of the column.
        teacher: who wrote the responses, as the card shall say.
        source: the dataset's name, as the card shall say.
        licence: the dataset's.

    Raises:
        ValueError: no such columns, or cells that are no text.
    """
    skipped, seen, columns = Counter() if skipped is None else skipped, set(), None
    for number, row in enumerate(rows):
        columns = columns or find_columns(list(row), instruction, context, response)
        asked, about, target = (_cell(row, name, number) for name in columns)
        if not asked or not target:
            skipped["empty"] += 1
            continue
        text = f"{asked}\n{about}" if about else asked
        if _seen_before(f"{text}\0{target}", seen):
            skipped["repeated"] += 1
            continue
        yield _pair({"domain": "general", "source": source, "licence": licence}, INSTRUCTION, text, target, teacher)


def _distinct_reviews(
    rows: Iterable[Mapping], skipped: Counter[str], rated: bool = False
) -> Iterator[tuple[Mapping, str]]:
    """Rows (the `rated` ones) and their texts, of each text the first row: a corpus has a review once per prompt."""
    seen: set[bytes] = set()
    for number, row in enumerate(rows):
        if rated and not _has_rating(row, skipped):
            continue
        column = "input" if "input" in row else "text"
        if column not in row:
            raise ValueError(f"no column `input` or `text` that holds a review; found: {', '.join(row)}")
        if row[column] is None and column == "input":
            raise ValueError(
                f"the pair {row.get('pair_id')!r} holds the id of its review and not the text. Give the reviews with "
                "`reviews`: the repo of replies the corpus was built from, or a file with review_id and text"
            )
        text = _cell(row, column, number)
        if not text or _seen_before(text, seen):
            skipped["repeated" if text else "empty"] += 1
            continue
        yield row, text


def _seen_before(text: str, seen: set[bytes]) -> bool:
    """Whether `text` is in `seen`, which gets it: 8 bytes of digest for millions of rows, not the texts."""
    digest = _digest(text)[:8]
    if digest in seen:
        return True
    seen.add(digest)
    return False


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _has_rating(row: Mapping, skipped: Counter[str]) -> bool:
    rating = row.get("rating")
    if rating is None or (isinstance(rating, float) and math.isnan(rating)):
        skipped["unrated"] += 1
        return False
    return True


def _cell(row: Mapping, name: str, number: int) -> str:
    """A cell's text without the space around it; "" for a null and for a column that the dataset has not."""
    cell = row[name] if name else None
    if cell is not None and not isinstance(cell, str):
        raise ValueError(f"row {number}: {name} is no text but a {type(cell).__name__}: {cell!r:.60}")
    return (cell or "").strip()


def _pair(row: Mapping, prompt: str, text: str, target: str, teacher: str = "") -> dict:
    return {
        "pair_id": pair_id(teacher, prompt, text, target),
        "review_id": row.get("review_id") or _digest(text).hex()[:32],  # not every file of reviews has ids
        "domain": row.get("domain") or "",
        "rating": row.get("rating"),
        "prompt": prompt,
        "teacher": teacher,
        "input": text,
        "target": target,
        "source": row.get("source") or "",
        "licence": row.get("licence") or "",
    }
