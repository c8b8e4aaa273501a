"""A corpus of ids is whole again with the reviews beside it: for whoever has the reviews, and nobody else."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from datasets import load_dataset

from .pairs import pair_id


_READERS = {".jsonl": "json", ".parquet": "parquet"}


def load_texts(reviews: str) -> dict[str, str]:
    """Review texts by id, from a .jsonl or .parquet file of review rows, or from a repo of replies on the Hub.

    Raises:
        ValueError: a file of another kind, or rows without `review_id` and `text`.
    """
    path = Path(reviews)
    if path.is_file():
        if path.suffix not in _READERS:
            raise ValueError(f"{path}: expected a file that ends in {' or '.join(_READERS)}")
        rows = load_dataset(_READERS[path.suffix], data_files=str(path), split="train")
    else:
        rows = load_dataset(reviews, "reviews", split="train")
    if missing := {"review_id", "text"} - set(rows.column_names):
        raise ValueError(
            f"{reviews} has no column {', '.join(sorted(missing))}; found: {', '.join(rows.column_names)}"
        )
    return dict(zip(rows["review_id"], rows["text"], strict=True))


def rejoined(pairs: Iterable[Mapping], texts: Mapping[str, str]) -> Iterator[dict]:
    """Pairs with their `input`: those that lack it get the text of their review, if it is the one they were made of.

    Args:
        pairs: rows of the corpus.
        texts: review_id → text.

    Raises:
        ValueError: a review that is missing, or has another text than the pair was made of.
    """
    for pair in pairs:
        if pair["input"] is not None:
            yield dict(pair)
            continue
        text = texts.get(pair["review_id"])
        if text is None:
            raise ValueError(
                f"pair {pair['pair_id']}: review {pair['review_id']!r} is not among the {len(texts)} reviews given"
            )
        known, _, ablation = pair["pair_id"].partition("-")
        # The id of an ablated pair is that of the whole one, whose target is not here to check it with.
        if not ablation and pair_id(pair["teacher"], pair["prompt"], text, pair["target"]) != known:
            raise ValueError(
                f"pair {pair['pair_id']}: review {pair['review_id']!r} has another text than the pair was made of; "
                "give the reviews that were labelled"
            )
        yield {**pair, "input": text}
