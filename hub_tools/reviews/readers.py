"""
Reviews of every source → review rows, one at a time: a dump of millions passes through in flat memory.

Reads: what `ReviewSettings` names: JSON lines (our own, Yelp's, Amazon's), CSV, TSV and Parquet, text files also with
gzip, and datasets on a Hub.
Makes: review rows `{review_id, domain, text, rating, source, licence}`; `source` is the name of the file, without its
ending, or of the Hub dataset.
"""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from .formats import FORMATS, Place, clean_text, settle
from .settings import ReviewSettings
from .sources import HubDataset, find_sources, raw_rows


__all__ = ["clean_text", "read_reviews"]

logger = logging.getLogger(__name__)

_YELP_REVIEWS, _YELP_BUSINESSES = "yelp_academic_dataset_review", "yelp_academic_dataset_business"


def read_reviews(settings: ReviewSettings) -> Iterator[dict]:
    """
    Reads review rows, source by source, in the order of `files`, and of names in a folder.

    A row without text has the text "": `sample_to_parquet` counts and drops those.

    Raises:
        ValueError: a source that is not there or cannot be read, a row whose fields are not what they should be
            (named `file:line`), no `domain` where the source does not tell it. The first is raised at the call.
    """
    return _read(find_sources(settings), settings)


def _read(sources: list[Path | HubDataset], settings: ReviewSettings) -> Iterator[dict]:
    for source in sources:
        count = 0
        for row in read_source(source, settings):
            count += 1
            yield row
        logger.info("%s: %d reviews read", source, count)


def read_source(source: Path | HubDataset, settings: ReviewSettings) -> Iterator[dict]:
    """The review rows of one source."""
    if isinstance(source, HubDataset):
        name = source.repo_id
    else:
        name = Path(source.stem).stem if source.suffix.lower() == ".gz" else source.stem
    settled = None
    for number, row in raw_rows(source):
        place = Place(name, f"{source}:{number}")
        if settled is None:
            settled = settle(row, place, settings)
            if isinstance(source, HubDataset) and settled.format in ("reviews", "columns"):
                # Who uploads Yelp's or Amazon's reviews again cannot free them by what a card says.
                settled = replace(settled, licence=settings.licence or source.licence)
            to_review, wanted = FORMATS[settled.format], _wanted(source, settled)
        if wanted is None or (row.get("business_id") or row.get("parent_asin") or row.get("asin")) in wanted:
            yield to_review(row, place, settled)


def _wanted(source: Path | HubDataset, settings: ReviewSettings) -> set[str] | None:
    """Ids of the businesses or products of the category asked for; None where all are wanted."""
    if not settings.category:
        return None
    if isinstance(source, HubDataset):
        raise ValueError(f"{source}: `category` needs the file of businesses or products beside a file of reviews.")
    file = find_catalogue(source)
    ids: set[str] = set()
    category = settings.category.strip().lower()
    for _, row in raw_rows(file):
        if category in _categories(row.get("categories") or row.get("category")):
            ids.add(row.get("business_id") or row.get("parent_asin") or row.get("asin"))
    if not ids:
        raise ValueError(f"{file}: nothing is of category '{settings.category}'.")
    logger.info("%s: %d are of category '%s'", file, len(ids), settings.category)
    return ids


def find_catalogue(reviews: Path) -> Path:
    """The file that describes what the reviews are of: Yelp's businesses, Amazon's `meta_<reviews>`."""
    stem = reviews.name.split(".")[0]
    if stem == _YELP_REVIEWS:
        stem = _YELP_BUSINESSES
    else:
        stem = "meta_" + stem.removeprefix("reviews_").removesuffix("_5")
    found = sorted(file for file in reviews.parent.glob(f"{stem}.*") if file.is_file())
    if not found:
        raise ValueError(f"{reviews}: `category` is told by {stem}.json(l)[.gz] beside it, and there is none.")
    return found[0]


def _categories(value: object) -> set[str]:
    """Yelp has one text with commas between, Amazon a list, or (2014) a list of lists."""
    if isinstance(value, list):
        names = [name for part in value for name in (part if isinstance(part, list) else [part])]
    else:
        names = str(value or "").split(",")
    return {str(name).strip().lower() for name in names}
