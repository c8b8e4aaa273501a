"""What is held out, and which process takes which pairs: every pair once, hardly any waiting, one process as ever."""

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_tools.students.packing import packed
from hub_tools.students.step_plan import forward_passes, held_out, shares


LENGTHS = Path(__file__).with_name("mixtral_lengths.txt")


def plainly_held_out(reviews, n, seed):
    """`held_out` by sets and dicts: shuffled reviews, until there are enough pairs."""
    by_review = Counter(reviews)
    order = sorted(by_review)
    random.Random(seed).shuffle(order)
    held, count = set(), 0
    for review in order[:-1]:
        if count >= n:
            break
        held.add(review)
        count += by_review[review]
    return [review in held for review in reviews]


NAMES = st.one_of(
    st.lists(st.integers(0, 8), min_size=1, max_size=40),
    st.lists(st.integers(-(2**70), 2**70), min_size=1, max_size=40),
    st.lists(st.text(max_size=3), min_size=1, max_size=40),
    st.lists(st.sampled_from(["a", "a\0", "", "\0", "ä", "🍝"]), min_size=1, max_size=40),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=9),
)


@settings(max_examples=60, deadline=None)
@given(reviews=NAMES, n=st.integers(0, 50), seed=st.integers(0, 1000))
def test_what_is_held_out_is_what_a_plain_statement_of_it_says(reviews, n, seed):
    assert held_out(reviews, n, seed).tolist() == plainly_held_out(reviews, n, seed)


@settings(max_examples=40, deadline=None)
@given(
    reviews=st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 9), min_size=1, max_size=30),
    n=st.integers(0, 70),
    seed=st.integers(0, 1000),
)
def test_what_is_held_out_of_the_numbers_of_an_encoded_corpus_too(reviews, n, seed):
    found = held_out(np.array(reviews, dtype=np.uint64), n, seed)
    assert found.dtype == bool
    assert found.tolist() == plainly_held_out(reviews, n, seed)


def test_of_no_pair_none_is_held_out():
    assert held_out([], 5, 0).tolist() == held_out(np.zeros(0, np.uint64), 5, 0).tolist() == []


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.integers(1, 128), st.integers(1, 400)), min_size=1, max_size=9),
    step=st.integers(1, 30),
    per_pass=st.integers(1, 25),
    processes=st.integers(1, 9),
    alike=st.booleans(),
    draw=st.randoms(use_true_random=False),
)
def test_every_pair_of_a_pass_is_of_one_process_and_none_is_idle_without_need(
    lengths, step, per_pass, processes, alike, draw
):
    lengths, chosen = np.array(lengths, dtype=np.int32), [draw.randrange(len(lengths)) for _ in range(step)]
    passes = forward_passes(chosen, lengths, per_pass, alike=alike)
    cut = shares(passes, lengths, processes, alike=alike)
    assert [len(parts) for parts in cut] == [processes] * len(passes)
    for indices, parts in zip(passes, cut, strict=True):
        assert Counter(index for part in parts for index in part) == Counter(indices)
        assert sum(map(bool, parts)) == min(processes, len(indices))
        for part in parts:
            places = iter(indices)
            assert all(index in places for index in part)  # in the order of the pass
    if processes == 1:
        assert cut == [[indices] for indices in passes]


def test_the_costliest_part_goes_to_who_has_had_the_least():
    lengths = np.array([(1, 9), (1, 4), (1, 3), (1, 7), (1, 1), (1, 1)])
    cut = shares([[0, 1, 2], [3, 4, 5]], lengths, 2, alike=False)
    assert cut == [[[0], [1, 2]], [[4, 5], [3]]]  # 10 and 9, then 4 and 8: the first process had more
    assert shares([[0], [3]], lengths, 2, alike=False) == [[[0], []], [[], [3]]]


def test_where_rows_are_padded_a_pair_costs_what_the_longest_of_its_part_does():
    lengths = np.array([(1, 9), (1, 5), (1, 5), (1, 4), (1, 1)])
    assert shares([[0, 1, 2, 3, 4]], lengths, 2, alike=True) == [[[0, 4], [1, 2, 3]]]  # 20 and 18


# --- Padding and waiting ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def steps():
    """Lengths of 500 real pairs, as `tests/benchmarks/pretraining_shares.py --lengths` wrote them, and 6 steps."""
    lengths = np.loadtxt(LENGTHS, dtype=np.int32)
    draw = random.Random(0)
    return lengths, [draw.sample(range(len(lengths)), 100) for _ in range(6)]


def padding_and_waiting(steps, processes, per_pass):
    """The share of the positions computed that is padding; of all processes' time that is padding or waiting."""
    lengths, chosen = steps
    real = computed = taken = 0
    for step in chosen:
        passes = forward_passes(step, lengths, per_pass, alike=False)
        for parts in shares(passes, lengths, processes, alike=False):
            rows = [[([0] * source, [0] * target) for source, target in lengths[part]] for part in parts]
            batches = [packed(each, 0, 0, masks=False) for each in rows]
            positions = [batch["input_ids"].numel() + batch["labels"].numel() for batch in batches]
            computed += sum(positions)
            taken += processes * max(positions)
        real += int(lengths[step].sum())
    return 1 - real / computed, 1 - real / taken


@pytest.mark.parametrize(
    ("per_pass", "processes", "most"),
    [(20, 1, 0.05), (20, 2, 0.05), (20, 4, 0.05), (20, 8, 0.13), (100, 4, 0.06), (100, 8, 0.09)],
)
def test_hardly_a_position_is_padding_and_hardly_a_process_waits(steps, per_pass, processes, most):
    padding, waiting = padding_and_waiting(steps, processes, per_pass)
    assert padding < 0.05
    assert waiting < most
