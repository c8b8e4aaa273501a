"""Which sentences share a batch: those of like length, so that little is padding."""

import random
from collections.abc import Sequence


POOL = 4  # batches' worth of sentences that are sorted together
STEP = 4  # target tokens that count as like


def training_batches(lengths: Sequence[tuple[int, int]], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """
    One epoch's batches as indices: every sentence once, like lengths together, another order each epoch.

    Sentences are shuffled and cut into pools of `POOL` batches; each pool is sorted by length and cut into batches,
    and the batches of all pools are shuffled. So who meets whom differs from epoch to epoch. There are as many batches
    as without grouping, of the same size but the last.

    Args:
        lengths: tokens of (input, target) of each sentence. Targets come first: a token of theirs costs about twice
            one of the input (cross-attention, and a row of logits).
        seed, epoch: decide the order, on every machine alike.
    """
    draw = random.Random(f"{seed}-{epoch}")
    order = list(range(len(lengths)))
    draw.shuffle(order)
    whole = len(order) - len(order) % batch_size
    rest, order = order[whole:], order[:whole]  # one short batch, of no particular length
    batches = []
    for start in range(0, len(order), POOL * batch_size):
        pool = order[start : start + POOL * batch_size]
        pool.sort(key=lambda index: (-(-lengths[index][1] // STEP), lengths[index][0]))
        batches += [pool[first : first + batch_size] for first in range(0, len(pool), batch_size)]
    draw.shuffle(batches)
    return [*batches, rest] if rest else batches


def decoding_batches(lengths: Sequence[int], batch_size: int, budget: int) -> list[list[int]]:
    """
    Batches as indices, longest first: at least `batch_size` sentences, and more while they fit into `budget` tokens.

    A decoding step of a few rows costs nearly as much as one of many, so short sentences share large batches.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    batches = []
    while order:
        size = max(batch_size, budget // max(1, lengths[order[0]]))
        batches.append(order[:size])
        order = order[size:]
    return batches


def padding(lengths: Sequence[tuple[int, int]], batches: Sequence[Sequence[int]]) -> float:
    """The share of all positions, inputs and targets, that is padding when each batch is padded to its longest."""
    real = sum(sum(pair) for pair in lengths)
    padded = sum(len(batch) * max(lengths[index][side] for index in batch) for batch in batches for side in (0, 1))
    return 1 - real / padded if padded else 0.0
