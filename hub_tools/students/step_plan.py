"""
Which pairs a step of pretraining reads, in which forward passes: pure functions of the settings, so that a resumed run
and a run on any number of processes read the same ones.
"""

import random
from collections.abc import Hashable, Sequence
from functools import lru_cache

import numpy as np


def held_out(reviews: Sequence[Hashable], n: int, seed: int) -> np.ndarray:
    """
    Which pairs are for validation (pairs, bool): about `n` of them, by review, for an analysis must not be validated
    against a student that has read the rewrite of the same review. At least one review is left to train on.

    Args:
        reviews: what each pair's review is called, or a number of it.
    """
    keys = reviews.tolist() if isinstance(reviews, np.ndarray) else list(reviews)
    by_review: dict[Hashable, int] = {}
    for review in keys:
        by_review[review] = by_review.get(review, 0) + 1
    order = sorted(by_review)
    random.Random(seed).shuffle(order)
    held: set[Hashable] = set()
    count = 0
    for review in order[:-1]:
        if count >= n:
            break
        held.add(review)
        count += by_review[review]
    return np.fromiter((review in held for review in keys), dtype=bool, count=len(keys))


def hold_out(pairs: Sequence[dict], n: int, seed: int) -> tuple[list[dict], list[dict]]:
    """Splits pair rows into (training, validation) as `held_out` says."""
    mask = held_out([pair["review_id"] for pair in pairs], n, seed)
    rows = list(zip(pairs, mask, strict=True))
    return [pair for pair, held in rows if not held], [pair for pair, held in rows if held]


def plan_step(step: int, n_pairs: int, pairs_per_step: int, seed: int, passes: int = 1) -> list[int]:
    """
    The pairs of optimiser step `step`: consecutive slices of a seeded shuffle, a new one every epoch.

    Args:
        passes: how often the `n_pairs` hold the same things, one pass after another, as `SpanCorrupted` holds reviews
            masked anew. An epoch is one of them, in turns: nothing comes again before all have come.
    """
    chosen: list[int] = []
    once, position = n_pairs // passes, step * pairs_per_step
    while len(chosen) < pairs_per_step:
        epoch, offset = divmod(position + len(chosen), once)
        order = shuffled(once, seed, epoch)[offset : offset + pairs_per_step - len(chosen)]
        chosen += (order + epoch % passes * once).tolist()
    return chosen


@lru_cache(maxsize=2)  # a step asks for one or two
def shuffled(n: int, seed: int, epoch: int) -> np.ndarray:
    """The order of epoch `epoch` (n, int32): 4 MB for a million pairs."""
    # RandomState, whose numbers are frozen: those of numpy's newer generators may change with its version, and a run
    # that goes on after an upgrade would read some pairs twice.
    order = np.random.RandomState([seed % 2**32, epoch]).permutation(n).astype(np.int32)
    order.flags.writeable = False  # it is shared by all who ask
    return order


def lengths_of(rows: Sequence) -> np.ndarray:
    """Tokens of source and target of each row (rows × 2, int32); asked from `rows.lengths` where that is known."""
    known = getattr(rows, "lengths", None)
    if known is not None:
        return np.asarray(known)
    return np.array([(len(row[0]), len(row[1])) for row in rows], dtype=np.int32).reshape(-1, 2)


def forward_passes(
    chosen: Sequence[int], lengths: np.ndarray, pairs_per_forward: int, *, alike: bool
) -> list[list[int]]:
    """
    Cuts a step's pairs into forward passes of at most `pairs_per_forward`; how does not change the gradient.

    Args:
        chosen: rows of `lengths`.
        lengths: tokens of source and target of every row (rows × 2).
        alike: pairs of like length share a pass, for where shorter rows are padded to the longest. Else each pass gets
            its share of long and short ones: the peak of memory is that of the largest pass.
    """
    ordered = sorted(chosen, key=lambda index: (lengths[index, 1], lengths[index, 0], index))
    if alike:
        return [ordered[start : start + pairs_per_forward] for start in range(0, len(ordered), pairs_per_forward)]
    count = -(-len(ordered) // pairs_per_forward)
    return [ordered[number::count] for number in range(count)]
