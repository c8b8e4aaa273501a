"""
Review rows → a sample of them by stars, in a Parquet file, in flat memory.

Rows that could be drawn wait in a file beside the output (it takes about as much disk as their texts); in memory there
are some 30 bytes of each. Then repeats are found, the sample is drawn, and the drawn rows are written in the order in
which they were read.
"""

import logging
import math
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from .candidates import Candidates
from .duplicates import mix


logger = logging.getLogger(__name__)

REVIEW_SCHEMA = pa.schema(
    {
        "review_id": pa.string(),
        "domain": pa.string(),
        "text": pa.string(),
        "rating": pa.float32(),
        "source": pa.string(),
        "licence": pa.string(),
    }
)
STARS = ("none", "1", "2", "3", "4", "5")  # of a review: the position is its number of whole stars
_ROW_GROUP = 2000


@dataclass
class SampleFacts:
    """What became of the rows read: whatever was not drawn has its count. `stars_…` count by `STARS`."""

    read: int = 0
    empty: int = 0
    too_short: int = 0
    too_long: int = 0
    stars_excluded: int = 0
    exact_repeats: int = 0
    near_duplicates: int = 0
    fit: int = 0
    drawn: int = 0
    stars_read: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STARS, 0))
    stars_fit: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STARS, 0))
    stars_drawn: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STARS, 0))


def sample_to_parquet(
    rows: Iterable[dict],
    path: Path,
    n: int,
    seed: int = 42,
    scheme: str = "R12421",
    min_words: int = 3,
    max_words: int = 180,
    near_duplicates: float = 0.8,
) -> SampleFacts:
    """
    Draws review rows without replacement, some star ratings more readily than others, and writes them.

    Whether a review is drawn hangs on its text, its stars, the seed and on how many others there are, not on where it
    stands: another file, filter or order does not reshuffle the rest, and a larger n holds the smaller one's rows.
    Of repeats, exact or near, the first one read stays; reviews that the lengths or the scheme exclude are no first.

    Args:
        rows: review rows `{review_id, domain, text, rating, source, licence}`.
        path: the Parquet file to write, whole or not at all; the same rows and arguments give the same bytes.
        n: how many to draw; all that fit where there are fewer.
        seed: of the draw.
        scheme: see `read_scheme`.
        min_words, max_words: keep reviews of so many words, both included; a max_words of 0 is no limit.
        near_duplicates: drop reviews that share so much (0 to 1) of their three-word runs; 0 keeps them.

    Raises:
        ValueError: a malformed scheme, n below 1, a threshold that is no share, a review_id that names two texts, or
            no review that fits.
    """
    weights = weigh(scheme)
    if n < 1:
        raise ValueError(f"n is {n}; expected the number of reviews to draw, at least 1.")
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = SampleFacts()
    with Candidates(path.parent, near_duplicates) as candidates:
        for row in rows:
            stars = count_row(row, facts, weights, min_words, max_words)
            if stars is not None:
                candidates.add(row, stars)
        kept, facts.exact_repeats, facts.near_duplicates = candidates.distinct()
        facts.fit = len(kept)
        if not len(kept):
            raise ValueError(f"of {facts.read} reviews none fits: {_told(facts)}.")
        stars = np.frombuffer(candidates.stars, np.uint8)
        drawn = kept[draw(np.frombuffer(candidates.digests, np.uint64)[kept], weights[stars[kept]], n, seed)]
        facts.drawn = len(drawn)
        facts.stars_fit, facts.stars_drawn = _histogram(stars[kept]), _histogram(stars[drawn])
        write_rows(map(candidates.row, drawn), path)
    logger.log(logging.WARNING if facts.drawn < n else logging.INFO, "asked for %d reviews; %s", n, _told(facts))
    return facts


def read_scheme(scheme: str) -> tuple[float, ...]:
    """
    The multipliers of 1 to 5 stars on the reviews' natural proportions.

    With `R12421` a 3-star review is four times as likely to be drawn as a 1-star one, since mixed reviews hold the
    most diverse feelings (paper 1, arXiv 2412.18552, section 2.1 and the note of Table 6); `R00100` draws only 3
    stars. A scheme of one's own may also be five numbers with commas between.

    >>> read_scheme("R12421"), read_scheme("0.5,1,2.5,1,1")
    ((1.0, 2.0, 4.0, 2.0, 1.0), (0.5, 1.0, 2.5, 1.0, 1.0))

    Raises:
        ValueError: neither of these, or nothing but zeros.
    """
    number = r"\s*\d{1,9}(?:\.\d{1,9})?\s*"
    if re.fullmatch(r"R\d{5}", scheme, re.ASCII):
        multipliers = tuple(map(float, scheme[1:]))
    elif re.fullmatch(rf"{number}(?:,{number}){{4}}", scheme, re.ASCII):
        multipliers = tuple(map(float, scheme.split(",")))
    else:
        multipliers = ()
    if not any(multipliers):
        raise ValueError(
            f"scheme {scheme!r}: expected one multiplier per star, 1 to 5, not all zero: R and five digits, such as "
            "R12421, or five numbers, such as 0.5,1,2.5,1,1."
        )
    return multipliers


def weigh(scheme: str) -> np.ndarray:
    """
    (6,) weights of no stars and of 1 to 5.

    A review without stars weighs 1, unless the scheme excludes some stars: it might have those.
    """
    multipliers = read_scheme(scheme)
    return np.array([1.0 if all(multipliers) else 0.0, *multipliers])


def count_row(row: dict, facts: SampleFacts, weights: np.ndarray, min_words: int, max_words: int) -> int | None:
    """Counts a row; returns its whole stars (0: none) if it may be drawn."""
    rating = row["rating"]
    stars = 0 if rating is None else min(5, max(1, math.floor(rating + 0.5)))
    words = len(row["text"].split())
    facts.read += 1
    facts.stars_read[STARS[stars]] += 1
    if not words:
        facts.empty += 1
    elif words < min_words:
        facts.too_short += 1
    elif max_words and words > max_words:
        facts.too_long += 1
    elif not weights[stars]:
        facts.stars_excluded += 1
    else:
        return stars
    return None


def draw(digests: np.ndarray, weights: np.ndarray, n: int, seed: int) -> np.ndarray:
    """
    Positions of a weighted sample without replacement, in order.

    The n largest u^(1/w), with u uniform, are such a sample (Efraimidis and Spirakis, 2006). Here u is a hash of the
    text's digest and the seed, so that it stays with the text.
    """
    salt = mix(np.array([seed % 2**64], np.uint64) + np.uint64(1))
    uniform = ((mix(digests ^ salt) >> np.uint64(11)).astype(np.float64) + 0.5) / 2**53
    keys = -np.log(uniform) / weights
    return np.sort(np.argsort(keys, kind="stable")[:n])


def write_rows(rows: Iterable[dict], path: Path) -> None:
    """Writes review rows as Parquet, some at a time, whole or not at all."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    os.close(descriptor)
    try:
        with parquet.ParquetWriter(draft, REVIEW_SCHEMA, compression="zstd") as writer:
            for batch in _batches(rows):
                writer.write_table(pa.Table.from_pylist(batch, REVIEW_SCHEMA))
        os.chmod(draft, 0o644)
        os.replace(draft, path)
    finally:
        if os.path.exists(draft):
            os.unlink(draft)


def _batches(rows: Iterable[dict]) -> Iterator[list[dict]]:
    batch: list[dict] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _ROW_GROUP:
            yield batch
            batch = []
    if batch:
        yield batch


def _histogram(stars: np.ndarray) -> dict[str, int]:
    return dict(zip(STARS, np.bincount(stars, minlength=len(STARS)).tolist(), strict=True))


def _told(facts: SampleFacts) -> str:
    return (
        f"{facts.read} read, {facts.empty} empty, {facts.too_short} too short, {facts.too_long} too long, "
        f"{facts.stars_excluded} of excluded stars, {facts.exact_repeats} exact repeats, {facts.near_duplicates} "
        f"near-duplicates, {facts.fit} fit, {facts.drawn} drawn"
    )
