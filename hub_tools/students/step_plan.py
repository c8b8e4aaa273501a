"""
Which pairs a step of pretraining reads, in which forward passes: pure functions of the settings, so that a resumed run
and a run on any number of processes read the same ones.
"""

import random
from array import array
from collections.abc import Hashable, Sequence
from functools import lru_cache

import numpy as np


def held_out(reviews: Sequence[Hashable], n: int, seed: int) -> np.ndarray:
    """
    Which pairs are for validation (pairs, bool): about `n` of them, by review, for an analysis must not be validated
    against a student that has read the rewrite of the same review. At least one review is left to train on.

    Args:
        reviews: what each pair's review is called, or a number of it. An array of numbers needs some 30 bytes a pair
            for the moment; anything else becomes Python's objects.
    """
    if isinstance(reviews, np.ndarray):
        keys = reviews
    else:  # objects, for numpy's own strings lose what ends in "\0", and its numbers what is large
        keys = np.empty(len(reviews), dtype=object)
        keys[:] = reviews
    names, counts = np.unique(keys, return_counts=True)
    order = array("q", range(len(names)))
    random.Random(seed).shuffle(order)
    before = np.cumsum(counts[order]) - counts[order]  # pairs that are held out when a review's turn comes
    held = np.sort(names[order][:-1][before[:-1] < n])
    if not len(held):
        return np.zeros(len(keys), dtype=bool)
    places = np.searchsorted(held, keys)
    return held[np.minimum(places, len(held) - 1, out=places)] == keys


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


def shares(
    passes: Sequence[Sequence[int]], lengths: np.ndarray, processes: int, *, alike: bool
) -> list[list[list[int]]]:
    """
    Each pass of a step as one list of pairs a process: every pair once, in the order of the pass.

    Who is done first waits: in every pass where the processes share the weights (FSDP2), else once a step. So a pass
    is cut into parts of about the same cost, the costliest pairs first, each to the part that is the cheapest with it;
    then the costliest part goes to the process that has had the least of the step. Where a pass has a pair for every
    process, everyone has one.

    Args:
        lengths: tokens of source and target of every row (rows × 2).
        alike: whether rows are padded to the longest of a part, on both sides; else a pair costs its tokens.
    """
    had, cut = [0] * processes, []
    for indices in passes:
        parts: list[list[int]] = [[] for _ in range(processes)]  # places in `indices`
        sizes = lengths[list(indices)].astype(np.int64)
        widest, costs = np.zeros((processes, 2), dtype=np.int64), np.zeros(processes, dtype=np.int64)
        for place in np.argsort(-sizes.sum(1), kind="stable").tolist():
            if alike:
                rows = np.array([len(part) + 1 for part in parts])
                cheapest = int((rows * np.maximum(widest, sizes[place]).sum(1)).argmin())
                widest[cheapest] = np.maximum(widest[cheapest], sizes[place])
                costs[cheapest] = rows[cheapest] * widest[cheapest].sum()
            else:
                cheapest = int(costs.argmin())
                costs[cheapest] += sizes[place].sum()
            parts[cheapest].append(place)
        by_process: list[list[int]] = [[] for _ in range(processes)]
        costliest = np.argsort(-costs, kind="stable").tolist()
        for part, process in zip(costliest, sorted(range(processes), key=had.__getitem__), strict=True):
            by_process[process] = [indices[place] for place in sorted(parts[part])]
            had[process] += int(costs[part])
        cut.append(by_process)
    return cut
