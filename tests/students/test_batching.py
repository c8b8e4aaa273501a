"""Who shares a batch: everyone is in one, of the size asked for, and little of it is padding."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tools.students.batching import decoding_batches, padding, training_batches


def lengths_of(n, seed=0):
    """Inputs and targets as uneven as those of the benchmark: a third of the targets is empty."""
    draw = random.Random(seed)
    return [(draw.randint(3, 60), draw.choice((1, 1, 5, 6, 7, 12, 25))) for _ in range(n)]


@given(
    st.lists(st.tuples(st.integers(1, 90), st.integers(1, 60)), max_size=200), st.integers(1, 20), st.integers(0, 9)
)
def test_an_epoch_holds_every_sentence_once_in_as_many_batches_as_random_ones(lengths, size, epoch):
    batches = training_batches(lengths, size, 42, epoch)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    assert len(batches) == -(-len(lengths) // size)


def test_each_epoch_has_its_own_order_which_the_seed_decides():
    lengths = lengths_of(100)
    assert training_batches(lengths, 16, 42, 0) == training_batches(lengths, 16, 42, 0)
    orders = [training_batches(lengths, 16, seed, epoch) for seed in (42, 52) for epoch in (0, 1)]
    assert all(one != other for number, one in enumerate(orders) for other in orders[:number])


def test_batches_of_training_hold_less_padding_than_random_ones():
    lengths = lengths_of(2000)
    order = random.Random(1).sample(range(2000), 2000)
    at_random = [order[start : start + 16] for start in range(0, 2000, 16)]
    assert padding(lengths, training_batches(lengths, 16, 42, 0)) < 0.85 * padding(lengths, at_random)


@pytest.mark.parametrize(("budget", "sizes"), [(0, [2, 2, 1]), (40, [2, 3]), (10**6, [5])])
def test_short_sentences_share_larger_batches(budget, sizes):
    lengths = [3, 20, 10, 9, 12]
    batches = decoding_batches(lengths, 2, budget)
    assert [len(batch) for batch in batches] == sizes
    assert [index for batch in batches for index in batch] == [1, 4, 2, 3, 0]


def test_nothing_makes_no_batch():
    assert training_batches([], 16, 42, 0) == decoding_batches([], 64, 100) == []
    assert padding([], []) == 0.0
