"""Replies in the order that the corpus has, whatever the order, and the repos, in which they came.

Replies arrive as they are answered, from one run or from several that share it (shards). Here they are put in the
order of the reviews they are about, prompt by prompt, and each request is answered once. In memory are only positions
and 16-byte digests; the rows stay where they are, in memory-mapped files.
"""

import re
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import groupby

import numpy as np
import pyarrow as arrow
import pyarrow.compute as compute
from datasets import Dataset, concatenate_datasets

from hub_tools.prompts import READERS


WINDOW = 1_000  # rows in memory at a time
_GROUP = re.compile(r"(?P<stem>.+)-\*-of-(?P<count>[1-9]\d{0,5})")


def shard_names(name: str) -> list[str]:
    """The repos that a name stands for: itself, or a group of shards.

    >>> shard_names("replies-lexicon"), shard_names("replies-x-*-of-2")
    (['replies-lexicon'], ['replies-x-0-of-2', 'replies-x-1-of-2'])

    Raises:
        ValueError: a "*" in another form.
    """
    group = _GROUP.fullmatch(name)
    if group:
        return [f"{group['stem']}-{shard}-of-{group['count']}" for shard in range(int(group["count"]))]
    if "*" in name:
        raise ValueError(
            f"replies {name!r}: expected the name of a repo, or of all shards of one, as replies-x-*-of-4"
        )
    return [name]


class Replies:
    """The replies of one source, each with its review, in the order of the reviews.

    Shard s of n holds the reviews at the positions s, s + n, … of the whole, so n shards read as the whole does. A
    request that was answered more than once, in other repos too, is taken once: with its first review, and of several
    replies about it the one that sorts first. So the result does not hang on who was faster.

    Args:
        name: the source, for messages.
        shards: the (replies, reviews) of each shard, in order; columns as in the contract.
        earlier: digests of the requests that earlier sources answered; extended with this one's.

    Attributes:
        found: reply rows in the repos.
        repeats: how many of them are not taken.

    Raises:
        ValueError: a reply about a review that is not there, or of an unknown prompt.
    """

    def __init__(self, name: str, shards: Sequence[tuple[Dataset, Dataset]], earlier: list[np.ndarray]) -> None:
        self._replies = concatenate_datasets([replies for replies, _ in shards])
        self._reviews = concatenate_datasets([reviews for _, reviews in shards])
        ranks = [np.arange(len(reviews)) * len(shards) + shard for shard, (_, reviews) in enumerate(shards)]
        self._about = self._places(name, "review_id", _column(self._reviews, "review_id"))
        prompts = self._places(name, "prompt", arrow.chunked_array([list(READERS)], arrow.string()))
        keys = _digests(_column(self._replies, "request_id"))
        rank = np.concatenate(ranks)[self._about]
        order = np.lexsort((keys, prompts, rank))
        requests, first, which = np.unique(keys[order], return_index=True, return_inverse=True)
        taken = rank[order] == rank[order][first][which]
        if earlier:
            taken &= ~np.isin(requests, np.concatenate(earlier))[which]
        earlier.append(requests)
        self._order = order[taken]
        self.found = len(self._replies)
        self.repeats = self.found - len(np.unique(keys[self._order]))

    def __iter__(self) -> Iterator[tuple[dict, dict]]:
        """(reply row, review row), ordered."""
        for _, answers in groupby(self._rows(), key=lambda row: row[0]["request_id"]):
            yield min(answers, key=lambda row: (row[0]["reply"], row[0]["finish_reason"]))

    def _rows(self) -> Iterator[tuple[dict, dict]]:
        for start in range(0, len(self._order), WINDOW):
            rows = self._order[start : start + WINDOW]
            replies, reviews = self._replies[rows.tolist()], self._reviews[self._about[rows].tolist()]
            yield from zip(_as_rows(replies), _as_rows(reviews), strict=True)

    def _places(self, name: str, column: str, known: arrow.ChunkedArray) -> np.ndarray:
        """Of each reply, where its value of a column stands among the known ones."""
        values = _column(self._replies, column)
        places = compute.index_in(values, value_set=known)
        if places.null_count:
            row = compute.index(compute.is_null(places), True).as_py()
            request = self._replies[row]["request_id"]
            value = values[row].as_py()
            if column == "prompt":
                raise ValueError(f"{name}: reply {request} has prompt {value!r}; known: {', '.join(READERS)}")
            raise ValueError(
                f"{name}: reply {request} is about review {value!r}, which is not among the {len(known)} of config "
                f"`reviews`; so are {places.null_count - 1} more. Push the reviews that were labelled"
            )
        return places.to_numpy()


def _as_rows(columns: dict[str, list]) -> Iterator[dict]:
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


def _column(rows: Dataset, name: str) -> arrow.ChunkedArray:
    """A column of ids; rows selected or shuffled are in their order."""
    batches = rows.select_columns([name]).with_format("arrow").iter(10_000)
    return arrow.chunked_array([chunk for batch in batches for chunk in batch[name].chunks], arrow.string())


def _digests(ids: arrow.ChunkedArray) -> np.ndarray:
    digests = (blake2b(key.encode(), digest_size=16).digest() for chunk in ids.chunks for key in chunk.to_pylist())
    return np.fromiter(digests, dtype="S16", count=len(ids))
