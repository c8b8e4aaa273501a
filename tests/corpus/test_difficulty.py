"""How hard a pair is and which pairs are kept, against the formulas and by what must hold on every corpus."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tools.corpus.difficulty import (
    WAYS,
    difficulties,
    keep_probability,
    keep_shares,
    kept_by_difficulty,
    rank_score,
    sample,
    stored_difficulties,
)


TOKENS = st.lists(st.tuples(st.integers(0, 40_000), st.integers(1, 40_000)), max_size=30)
RATES = st.floats(0.01, 1.0)
PEAKS = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0.0, 1.0))
SCORES = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), max_size=40)


@given(TOKENS)
def test_a_score_is_the_mean_over_the_tokens_that_were_not_the_likeliest(tokens):
    shares = [rank / size if rank < size else 1.0 for rank, size in tokens]
    missed = [share for share in shares if share > 1e-6]  # as the reference code asks it
    found = rank_score([rank for rank, _ in tokens], [size for _, size in tokens])
    assert found == pytest.approx(sum(missed) / len(missed) if missed else 0.0)
    assert 0 <= found <= 1


def test_a_score_by_hand():
    # the likeliest; second of four in the nucleus; outside of a nucleus of one
    assert rank_score([0, 1, 7], [3, 4, 1]) == pytest.approx((0.25 + 1.0) / 2)
    assert rank_score([0, 0], [1, 9]) == 0.0
    assert rank_score([], []) == 0.0


@pytest.mark.parametrize(
    ("ranks", "sizes"), [([1], []), ([-1], [1]), ([0], [0])], ids=["lengths", "negative rank", "empty nucleus"]
)
def test_impossible_ranks_are_refused(ranks, sizes):
    with pytest.raises(ValueError, match=r"as many ranks \(0 and up\) as nucleus sizes \(1 and up\)"):
        rank_score(ranks, sizes)


@given(rate=RATES, a=PEAKS)
def test_the_integral_of_the_chance_is_the_rate(rate, a):
    # Substituted v⁴ on both sides of the peak, where the curve of a low rate is steep
    v = (np.arange(20_000) + 0.5) / 20_000
    below, above = a * (1 - v**4), a + (1 - a) * v**4
    slope = 4 * v**3
    integral = np.mean(keep_probability(below, rate, a) * a * slope)
    integral += np.mean(keep_probability(above, rate, a) * (1 - a) * slope)
    assert integral == pytest.approx(rate, rel=1e-3)


def test_the_chance_by_hand():
    assert keep_probability(0.5, 0.5) == 0.5
    assert keep_probability(0.5, 0.1) == pytest.approx(0.5**9)
    assert keep_probability(1.0, 0.1) == 1.0
    assert keep_probability(0.0, 0.1) == 0.0
    assert keep_probability(0.25, 0.5, a=0.5) == pytest.approx(0.5)
    assert keep_probability(0.875, 0.5, a=0.5) == pytest.approx(0.25)
    assert keep_probability(0.25, 0.5, a=0.0) == 0.75
    assert keep_probability(0.3, 1.0) == 1.0


@pytest.mark.parametrize("wrong", [{"rate": 0.0}, {"rate": 1.5}, {"a": -0.1}, {"u": 1.1}], ids=str)
def test_impossible_chances_are_refused(wrong):
    with pytest.raises(ValueError, match=r"0 < rate <= 1 and a and u in \[0, 1\]"):
        keep_probability(**{"u": 0.5, "rate": 0.5, **wrong})


@given(n=st.integers(1, 300), rate=st.floats(0.0, 1.0), a=PEAKS)
def test_the_expected_number_of_pairs_is_the_rate_of_them(n, rate, a):
    shares = keep_shares(n, rate, a)
    assert shares.min() >= 0
    assert shares.max() <= 1
    assert shares.sum() == pytest.approx(rate * n, abs=1e-6)


def test_of_many_pairs_each_has_the_chance_at_its_own_rank():
    u = (np.arange(5_000) + 0.5) / 5_000
    for rate, a in ((0.1, 1.0), (0.5, 0.3), (0.8, 0.0)):
        assert np.abs(keep_shares(5_000, rate, a) - keep_probability(u, rate, a)).max() < 6e-3


@given(scores=SCORES, rate=st.floats(0.0, 1.0), how=st.sampled_from(WAYS), seed=st.integers(0, 99), a=PEAKS)
def test_what_is_kept_is_sorted_unique_and_decided_by_the_seed(scores, rate, how, seed, a):
    groups = [f"g{index % 3}" for index in range(len(scores))]
    kept = sample(scores, rate, how, seed, groups, a)
    assert sorted(set(kept.tolist())) == kept.tolist()
    assert set(kept.tolist()) <= set(range(len(scores)))
    assert kept.tolist() == sample(scores, rate, how, seed, groups, a).tolist()
    for group in set(groups):
        size, of = sum(groups[index] == group for index in kept), groups.count(group)
        if how != "soft":
            assert int(rate * of - 1e-9) <= size <= int(rate * of + 1e-9) + 1
    if rate in (0, 1):
        assert len(kept) == rate * len(scores)


@given(scores=SCORES, rate=st.floats(0.0, 1.0), seed=st.integers(0, 99))
def test_the_hard_way_keeps_nothing_easier_than_what_it_leaves(scores, rate, seed):
    kept = sample(scores, rate, "hard", seed)
    left = np.delete(np.array(scores), kept)
    if len(kept) and len(left):
        assert np.array(scores)[kept].min() >= left.max()


@pytest.mark.parametrize("how", WAYS)
def test_the_number_kept_is_right_on_average_even_of_small_groups(how):
    groups = ["one"] * 3 + ["other"] * 4
    kept = [sample(np.arange(7), 0.3, how, seed, groups) for seed in range(1_500)]
    assert np.mean([(each < 3).sum() for each in kept]) == pytest.approx(0.9, abs=0.08)
    assert np.mean([(each >= 3).sum() for each in kept]) == pytest.approx(1.2, abs=0.08)


def test_pairs_are_drawn_by_their_chance_and_equal_ones_alike():
    scores = [0.9, 0.1, 0.5, 0.5]
    often = np.mean([np.isin(range(4), sample(scores, 0.5, "soft", seed)) for seed in range(1_500)], axis=0)
    chances = keep_shares(4, 0.5)  # 1/8, 3/8, 5/8, 7/8
    middle = chances[1:3].mean()
    assert often == pytest.approx([chances[3], chances[0], middle, middle], abs=0.06)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"how": "easy"}, "knows soft, hard, random"),
        ({"rate": 1.2}, r"rate=1\.2"),
        ({"a": 2.0}, r"a=2\.0"),
        ({"groups": ["one"]}, "2 pairs, but 1 groups"),
        ({"difficulties": [0.1, float("nan")]}, "pair 1 is not finite"),
    ],
    ids=["way", "rate", "a", "groups", "nan"],
)
def test_what_cannot_be_sampled_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        sample(**{"difficulties": [0.1, 0.2], "rate": 0.5, **wrong})


RANKS = [(2, np.array([5]), np.array([1])), (0, np.array([0]), np.array([3])), (1, np.array([1, 0]), np.array([4, 4]))]


def test_difficulties_come_in_any_order_and_each_once():
    assert difficulties(iter(RANKS), 3).tolist() == [0.0, 0.25, 1.0]
    with pytest.raises(ValueError, match="1 of 3 pairs have no ranks"):
        difficulties(RANKS[:2], 3)
    with pytest.raises(ValueError, match="pair 2, which is not one of 3 pairs or has been scored before"):
        difficulties([*RANKS, RANKS[0]], 3)


def test_the_hardest_third_is_kept():
    assert kept_by_difficulty(lambda _: RANKS, pairs=3, rate=1 / 3, how="hard").indices.tolist() == [2]
    assert kept_by_difficulty(lambda _: RANKS, pairs=3, rate=0.0, how="hard").indices.tolist() == []


def test_chance_asks_for_no_ranks_and_a_wrong_rate_is_refused_before_any():
    def never(missing):
        raise AssertionError("scored")

    assert len(kept_by_difficulty(never, pairs=4, rate=0.5, how="random").indices) == 2
    with pytest.raises(ValueError, match="rate=5"):
        kept_by_difficulty(never, pairs=4, rate=5)


def test_difficulties_on_disk_are_used_again_under_their_key_only(tmp_path):
    file = tmp_path / "run" / "difficulty.safetensors"

    def kept(key, ranks=()):
        found = kept_by_difficulty(lambda _: ranks, pairs=3, rate=1 / 3, how="hard", file=file, key=key)
        return found.indices.tolist()

    assert kept("one", RANKS) == [2]
    assert kept("one") == [2]
    assert sorted(path.name for path in file.parent.iterdir()) == ["difficulty.lock", file.name]
    reversed_ranks = [(2 - index, *rest) for index, *rest in RANKS]
    assert kept("other", reversed_ranks) == [0]
    file.write_bytes(b"half")
    assert kept("other", RANKS) == [2]


def test_a_scoring_that_broke_off_goes_on_with_what_is_missing(tmp_path):
    file, asked = tmp_path / "difficulty.safetensors", []

    def breaking(missing):
        yield from RANKS[1:2]
        raise OSError("gone")

    def rest(missing):
        asked.extend(missing.tolist())
        return [(missing.tolist().index(index), *of_pair) for index, *of_pair in RANKS if index in missing]

    with pytest.raises(OSError, match="gone"):
        stored_difficulties(breaking, 3, file, "k")
    scores, seconds = stored_difficulties(rest, 3, file, "k")
    assert (scores.tolist(), asked, seconds >= 0) == ([0.0, 0.25, 1.0], sorted({0, 1, 2} - {RANKS[1][0]}), True)
