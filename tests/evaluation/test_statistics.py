"""Intervals and tests on counts: by hand where a hand can, by simulation where only a simulation can."""

from itertools import product
from math import isnan, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_tools.evaluation.statistics import (
    StatisticsError,
    f1_by_seed,
    holm,
    mean_f1,
    noise_line,
    paired_test,
    score_interval,
    seed_interval,
    smallest_difference,
)


def counts_of(hits):
    """Counts of shape (seeds, sentences, 4) of systems that say one thing per sentence, right or wrong."""
    right = np.asarray(hits, dtype=float)
    ones = np.ones_like(right)
    return np.stack([right, ones, right, ones], axis=-1)


def simulate(rng, n_seeds, n_sentences, seed_spread, better=0.0):
    """Two systems on sentences of shared difficulty; `seed_spread` is how much one training differs from the next."""
    difficulty, gold = rng.normal(0, 1, n_sentences), rng.integers(1, 4, n_sentences)
    systems = []
    for shift in (0, better):
        own = rng.normal(0, 0.5, n_sentences) + rng.normal(0, seed_spread, (n_seeds, 1))
        right = rng.binomial(gold, 1 / (1 + np.exp(-(0.4 + shift + difficulty + own))))
        systems.append(np.stack([right, np.broadcast_to(gold, right.shape)] * 2, axis=-1).astype(float))
    return systems


def share_significant(n_seeds, seed_spread, better=0.0, times=150):
    """In which share of simulated comparisons p is at most 0.05."""
    p_values = [
        paired_test(*simulate(np.random.default_rng(i), n_seeds, 100, seed_spread, better), n=400, seed=i).p_value
        for i in range(times)
    ]
    return np.mean(np.array(p_values) <= 0.05)


def test_f1_is_of_sums_and_its_corners_are_those_of_the_scorer():
    assert f1_by_seed([3, 4, 3, 6]) == pytest.approx(0.6)  # precision 3/4, recall 3/6
    assert f1_by_seed([0, 0, 0, 0]) == 1
    assert f1_by_seed([0, 0, 0, 5]) == 0  # precision 1, recall 0
    assert f1_by_seed([0, 2, 0, 5]) == 0
    assert mean_f1(np.array([[[1, 1, 1, 1], [0, 1, 0, 1]], [[1, 1, 1, 1], [1, 1, 1, 1]]])) == 0.75


def test_the_interval_over_seeds_is_students():
    # mean 60, standard deviation 2, t of 2 degrees of freedom at 97.5 % is 4.302653
    found = seed_interval([58, 60, 62])
    half = 4.302653 * 2 / sqrt(3)
    assert found == pytest.approx((60, 60 - half, 60 + half), abs=1e-5)
    assert seed_interval([58, 60, 62], level=0.5).high == pytest.approx(60 + 0.816497 * 2 / sqrt(3), abs=1e-5)


def test_one_seed_has_a_mean_and_no_interval():
    mean, low, high = seed_interval([0.6])
    assert mean == 0.6
    assert isnan(low)
    assert isnan(high)


def test_the_bootstrap_over_sentences_has_the_binomials_spread():
    # 400 sentences, 60 % right: the score of a resample is a binomial's share, standard error sqrt(.6 * .4 / 400).
    found = score_interval(counts_of([[1] * 240 + [0] * 160]))
    half = 1.96 * sqrt(0.6 * 0.4 / 400)
    assert found.mean == 0.6
    assert (found.low, found.high) == pytest.approx((0.6 - half, 0.6 + half), abs=0.004)


def test_where_only_seeds_vary_the_interval_is_the_one_over_seeds():
    # Every sentence is alike, so that resampling them changes nothing: 58, 60 and 62 of 100 on each.
    right = np.repeat([[58.0], [60.0], [62.0]], 50, axis=1)
    counts = np.stack([right, np.full_like(right, 100)] * 2, axis=-1)
    assert score_interval(counts, n=40_000) == pytest.approx(seed_interval([0.58, 0.60, 0.62]), abs=0.004)


def test_more_seeds_that_differ_by_chance_only_narrow_the_interval_of_one():
    rng = np.random.default_rng(0)
    one, ten = counts_of(rng.random((1, 300)) < 0.6), counts_of(rng.random((10, 300)) < 0.6)
    one, ten = score_interval(one), score_interval(ten)
    assert (ten.high - ten.low) < (one.high - one.low) / 2


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_intervals_lie_in_the_unit_range_and_a_system_that_cannot_vary_has_its_mean_twice(data):
    n_seeds, n_sentences = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 8))
    cell = st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
    cells = data.draw(st.lists(cell, min_size=n_seeds * n_sentences, max_size=n_seeds * n_sentences))
    counts = np.array([(r, r + p, r, r + g) for r, p, g in cells], dtype=float).reshape(n_seeds, n_sentences, 4)
    mean, low, high = score_interval(counts, n=200)
    assert 0 <= low <= high <= 1
    assert 0 <= mean <= 1
    same = np.broadcast_to(counts[:1, :1], counts.shape)
    mean, low, high = score_interval(same, n=200)
    assert low == high == pytest.approx(mean)
    assert paired_test(counts, counts, n=100).difference == 0
    assert paired_test(counts, counts, n=100).p_value == 1


def test_the_p_value_is_that_of_all_exchanges_counted():
    a, b = counts_of([[0, 0, 1, 0, 1, 0, 0, 1]]), counts_of([[1, 1, 1, 1, 1, 0, 1, 1]])
    # Four of eight sentences differ, all for b: of the 16 ways to exchange them, two are as far from 0.
    exact = np.mean([abs(sum(signs)) >= 4 for signs in product((-1, 1), repeat=4)])
    assert exact == 0.125
    found = paired_test(a, b)
    assert found.difference == 0.5
    assert found.p_value == pytest.approx(exact, abs=0.01)
    assert found.low <= 0.5 <= found.high


def test_the_smallest_p_value_counts_what_was_observed():
    a, b = counts_of([[0] * 60]), counts_of([[1] * 60])
    assert paired_test(a, b, n=999) == (1, 1, 1, 0.001)


def test_exchanging_the_systems_turns_the_difference_round():
    a, b = simulate(np.random.default_rng(1), 3, 80, 0.1, 0.4)
    forth, back = paired_test(a, b), paired_test(b, a)
    assert back.difference == -forth.difference
    assert (back.low, back.high) == pytest.approx((-forth.high, -forth.low), abs=0.01)
    assert back.p_value == pytest.approx(forth.p_value, abs=0.02)


@pytest.mark.parametrize("n_seeds", [1, 2, 10])
def test_equal_systems_are_significant_in_five_of_a_hundred_cases_at_most(n_seeds):
    assert share_significant(n_seeds, seed_spread=0) <= 0.08
    if n_seeds > 1:
        assert share_significant(n_seeds, seed_spread=0.5) <= 0.08


def test_with_ten_seeds_it_is_five_of_a_hundred_and_not_fewer():
    assert 0.02 <= share_significant(10, seed_spread=0.5, times=250) <= 0.08


def test_one_seed_tells_of_trained_models_and_not_of_methods():
    assert share_significant(1, seed_spread=0.5) > 0.3


def test_power_grows_with_the_difference_and_with_seeds():
    small, large = (share_significant(5, 0.1, better, times=60) for better in (0.2, 0.6))
    assert 0.05 < small < 0.5 < 0.9 < large
    assert share_significant(2, 0.1, 0.4, times=60) < share_significant(10, 0.1, 0.4, times=60)


def test_different_numbers_of_seeds_are_compared():
    a, b = simulate(np.random.default_rng(2), 5, 200, 0.05, 1.0)
    found = paired_test(a[:1], b)
    assert found.difference == pytest.approx(mean_f1(b) - mean_f1(a[:1]))
    assert found.p_value < 0.01


def test_holm_by_hand():
    # Sorted .01 .03 .04: times 3, 2, 1 is .03 .06 .04, and the last may not be below the one before.
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.5, 0.6]) == [1, 1]
    assert holm([]) == []
    with_gap = holm([0.02, float("nan"), 0.01])
    assert isnan(with_gap[1])
    assert [with_gap[0], with_gap[2]] == [0.02, 0.02]


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_keeps_the_order_and_never_lowers_a_p_value(values):
    adjusted = holm(values)
    assert all(raw <= after <= 1 for raw, after in zip(values, adjusted, strict=True))
    pairs = sorted(zip(values, adjusted, strict=True))
    assert [after for _, after in pairs] == sorted(adjusted)


def test_the_smallest_difference_is_that_of_the_binomial():
    # b differs from a in 40 of 400 sentences, 20 each way: the difference's standard error is sqrt(40) / 400.
    a = counts_of([[1] * 200 + [0] * 200])
    b = counts_of([[1] * 180 + [0] * 20 + [1] * 20 + [0] * 180])
    error = sqrt(40) / 400
    assert smallest_difference(a, b, n=10_000) == pytest.approx((1.966 + 0.843) * error, rel=0.03)
    assert smallest_difference(a, b, power=0.5, n=10_000) == pytest.approx(1.966 * error, rel=0.03)
    # Worst case, the other errs elsewhere: twice the variance of a share of one half.
    assert smallest_difference(a, n=10_000) == pytest.approx((1.966 + 0.843) * sqrt(2 * 0.25 / 400), rel=0.03)
    assert smallest_difference(a, a) == 0


def test_a_difference_of_the_smallest_size_is_found_in_most_cases():
    pairs = [simulate(np.random.default_rng(i), 10, 100, 0.1, 0.3) for i in range(20)]
    smallest = np.mean([smallest_difference(a, b, n=500) for a, b in pairs])
    assert np.mean([mean_f1(b) - mean_f1(a) for a, b in pairs]) == pytest.approx(smallest, rel=0.15)
    assert 0.55 <= share_significant(10, 0.1, 0.3, times=60) <= 0.9


def test_a_subsets_line_says_what_is_noise():
    counts = counts_of([[1] * 60 + [0] * 39])
    line = noise_line("Multiple on tsa-laptop14", counts)
    assert line.startswith("Multiple on tsa-laptop14 has 99 sentences: differences below 13.")
    assert line.endswith("points cannot be told from chance, and one of 19.4 is found four times in five.")
    assert noise_line("It", counts[:, :0]) == "It has no sentences: it shows nothing."


def test_an_empty_subset_gives_nan_and_no_warning(recwarn):
    empty = np.zeros((2, 0, 4))
    assert all(map(isnan, score_interval(empty)))
    assert all(map(isnan, paired_test(empty, empty)))
    assert isnan(smallest_difference(empty))
    assert not recwarn.list


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: score_interval(np.zeros((5, 4))),
            r"shape \(seeds, sentences, 4\), at least one seed; found \(5, 4\)",
        ),
        (lambda: score_interval(np.zeros((0, 5, 4))), r"found \(0, 5, 4\)"),
        (lambda: score_interval(np.full((1, 2, 4), np.nan)), "nan, infinite or negative"),
        (lambda: score_interval(counts_of([[1]]), level=95), "level lies between 0 and 1; found 95"),
        (lambda: score_interval(counts_of([[1]]), n=0), "at least one resample is needed; found n=0"),
        (lambda: paired_test(counts_of([[1]]), counts_of([[1, 0]])), "same sentences; found 1 and 2"),
        (lambda: smallest_difference(counts_of([[1]]), power=1), "power lies between 0 and 1; found 1"),
        (lambda: seed_interval([]), "one finite score per seed"),
        (lambda: seed_interval([0.5, float("nan")]), "one finite score per seed"),
        (lambda: holm([0.5, 1.5]), r"p-values lie in \[0, 1\], found \[1.5\]"),
    ],
)
def test_what_cannot_be_computed_is_named(call, message):
    with pytest.raises(StatisticsError, match=message):
        call()
