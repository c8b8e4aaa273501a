"""The sample of reviews that a run is about: drawn once, kept on the disk beside the journal."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path

import pyarrow.parquet as parquet

from hub_tools.hub.runs import digest_files
from hub_tools.reviews.readers import find_catalogue, read_reviews
from hub_tools.reviews.sampling import sample_to_parquet, write_rows
from hub_tools.reviews.settings import ReviewSettings
from hub_tools.reviews.sources import find_sources
from hub_tools.teachers.recorded import read_recorded

from .requests import WHOLE, Shard, reviews_of


def source_revisions(settings: ReviewSettings) -> dict[str, str]:
    """What the reviews are read from: the digest of the files together, and the commit of each Hub dataset.

    Raises:
        ValueError: a source is not there.
    """
    sources = find_sources(settings)
    paths = [source for source in sources if isinstance(source, Path)]
    if settings.category:
        paths += dict.fromkeys(find_catalogue(path) for path in paths)
    commits = {source.repo_id: source.revision for source in sources if not isinstance(source, Path)}
    return ({"files": digest_files(*paths)} if paths else {}) | commits


def draw_reviews(
    settings: ReviewSettings, seed: int, sources: dict[str, str], path: Path, shard: Shard = WHOLE
) -> dict:
    """Make `path`, a Parquet file of the drawn review rows, unless it was drawn from the same sources just so.

    Args:
        sources: of `source_revisions`.
        shard: keep only its part of the drawn rows.

    Returns:
        What was read, dropped and drawn: the fields of `SampleFacts`.

    Raises:
        ValueError: a source or a row that cannot be read, or settings that make no sense.
    """
    told = {field.name: getattr(settings, field.name) for field in fields(ReviewSettings) if field.name != "data"}
    drawn_from = json.loads(json.dumps({**told, "seed": seed, "sources": sources, "shard": asdict(shard)}))
    beside = path.with_suffix(".json")
    if path.is_file() and beside.is_file():
        known = json.loads(beside.read_text(encoding="utf-8"))
        if known["drawn_from"] == drawn_from:
            return known["facts"]
    path.parent.mkdir(parents=True, exist_ok=True)
    beside.unlink(missing_ok=True)
    facts = asdict(
        sample_to_parquet(
            read_reviews(settings),
            path,
            settings.n,
            seed,
            settings.scheme,
            settings.min_words,
            settings.max_words,
            settings.near_duplicates,
        )
    )
    if shard.count > 1:
        _replace(path, shard.part(reviews_of(path)))
    draft = beside.with_suffix(".json.tmp")
    draft.write_text(json.dumps({"drawn_from": drawn_from, "facts": facts}, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, beside)
    return json.loads(json.dumps(facts))


def take_recorded(file: Path, path: Path) -> list[dict]:
    """Make `path` of the reviews in a file of recorded replies; returns the reply rows.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a broken line or field, named `file:line`.
    """
    reviews, replies = read_recorded(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, ({"licence": "", **review} for review in reviews))
    return replies


def _replace(path: Path, rows: Iterable[dict]) -> None:
    draft = path.with_suffix(".tmp")
    write_rows(rows, draft)
    os.replace(draft, path)


def licences_of(reviews: Path) -> dict[str, str]:
    """Source → terms of the review rows in a Parquet file."""
    found: set[tuple[str, str]] = set()
    for batch in parquet.ParquetFile(reviews).iter_batches(10_000, columns=["source", "licence"]):
        found.update((row["source"], row["licence"] or "") for row in batch.to_pylist())
    return dict(sorted(found))
