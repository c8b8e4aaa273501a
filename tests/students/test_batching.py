"""Who shares a batch: everyone is in one, of the size asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tools.students.batching import decoding_batches, training_batches


@given(st.integers(0, 200), st.integers(1, 20), st.integers(0, 9))
def test_an_epoch_holds_every_sentence_once(sentences, size, epoch):
    batches = training_batches(sentences, size, 42, epoch)
    assert sorted(index for batch in batches for index in batch) == list(range(sentences))
    assert [len(batch) for batch in batches[:-1]] == [size] * max(0, len(batches) - 1)
    assert len(batches) == -(-sentences // size)


def test_each_epoch_has_its_own_order_which_the_seed_decides():
    assert training_batches(100, 16, 42, 0) == training_batches(100, 16, 42, 0)
    orders = [training_batches(100, 16, seed, epoch) for seed in (42, 52) for epoch in (0, 1)]
    assert all(one != other for number, one in enumerate(orders) for other in orders[:number])


@pytest.mark.parametrize(("budget", "sizes"), [(0, [2, 2, 1]), (40, [2, 3]), (10**6, [5])])
def test_short_sentences_share_larger_batches(budget, sizes):
    lengths = [3, 20, 10, 9, 12]
    batches = decoding_batches(lengths, 2, budget)
    assert [len(batch) for batch in batches] == sizes
    assert [index for batch in batches for index in batch] == [1, 4, 2, 3, 0]
    assert decoding_batches([], 64, budget) == []
