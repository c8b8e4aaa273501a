"""Near-duplicates: what counts as one, what is found, and that nothing is dropped but for a text that stays."""

import itertools
import math
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tools.reviews.duplicates import NearDuplicates, plan_bands, similarity, word_hashes
from hub_tools.reviews.readers import read_reviews
from hub_tools.reviews.settings import ReviewSettings


WORDS = [f"word{number}" for number in range(400)]


def _find(texts: list[str], threshold: float, folder: Path, eligible: list[bool] | None = None) -> list[int]:
    found = NearDuplicates(folder, threshold)
    try:
        for text in texts:
            found.add(text)
        return found.find(
            np.array([True] * len(texts) if eligible is None else eligible, bool), texts.__getitem__
        ).tolist()
    finally:
        found.close()


def _plain_runs(text: str) -> set[tuple]:
    """The definition, with nothing hashed."""
    words = "".join(sign if sign.isalnum() else " " for sign in text.lower()).split()
    return {tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2))}


def _plain_duplicates(texts: list[str], threshold: float) -> list[int]:
    """Every text against every one that stays: what the bands save."""
    runs = [_plain_runs(text) for text in texts]
    stays: list[int] = []
    dropped = []
    for row, own in enumerate(runs):
        if any(
            not own.isdisjoint(runs[other]) and len(own & runs[other]) >= threshold * len(own | runs[other])
            for other in stays
        ):
            dropped.append(row)
        else:
            stays.append(row)
    return dropped


def _edited(text: str, changes: int, rng: random.Random) -> str:
    words = text.split()
    for place in rng.sample(range(len(words)), min(changes, len(words))):
        words[place] = f"edit{rng.randrange(10**6)}"
    return " ".join(words)


@given(st.lists(st.sampled_from("a B c, d. é it's"), max_size=12), st.lists(st.sampled_from("a b c d"), max_size=12))
def test_similarity_is_jaccards_of_three_word_runs(first: list[str], second: list[str]):
    first, second = " ".join(first), " ".join(second)
    one, other = _plain_runs(first), _plain_runs(second)
    assert similarity(first, second) == pytest.approx(len(one & other) / len(one | other))


def test_case_punctuation_and_spacing_make_no_difference():
    assert similarity("The soup, HOT!\n\nGood.", "the soup hot good") == 1.0
    assert word_hashes("ÉTÉ, Noir.") == word_hashes("été noir")
    assert similarity("Good soup.", "good soup") == 1.0
    assert similarity("Good soup.", "good tea") == 0.0


@given(st.floats(0.05, 1))
def test_a_plan_misses_hardly_any_pair_at_the_threshold(threshold: float):
    bands, minima = plan_bands(threshold)
    assert bands * minima <= 64
    if threshold >= 0.3:
        assert (1 - threshold**minima) ** bands <= 1e-3


def test_of_near_duplicates_the_first_stays(tmp_path: Path):
    text = " ".join(WORDS[:60])
    texts = ["Something else that is here.", text, text.upper() + "!", text.replace("word30", "other"), "Good soup."]
    assert _find(texts, 0.8, tmp_path) == [2, 3]
    assert _find(texts, 1.0, tmp_path) == [2]


def test_a_text_that_may_not_be_drawn_is_no_first(tmp_path: Path):
    text = " ".join(WORDS[:60])
    assert _find([text, text + " a", text + " b"], 0.8, tmp_path, [False, True, True]) == [2]


def test_no_texts_and_texts_without_words_are_no_trouble(tmp_path: Path):
    assert _find([], 0.8, tmp_path) == []
    assert _find(["!!!", "", "a"], 0.8, tmp_path) == [1]


@given(st.data())
def test_what_is_dropped_has_a_near_duplicate_that_stays_before_it(tmp_path_factory, data: st.DataObject):
    seed = data.draw(st.integers(0, 10**6))
    threshold = data.draw(st.sampled_from([0.5, 0.7, 0.8, 0.9]))
    rng = random.Random(seed)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(1, 40))) for _ in range(6)]
    texts += [_edited(rng.choice(texts), rng.randint(0, 6), rng) for _ in range(25)]
    rng.shuffle(texts)
    dropped = _find(texts, threshold, tmp_path_factory.mktemp("near"))
    stays = [row for row in range(len(texts)) if row not in set(dropped)]
    for row in dropped:
        assert any(similarity(texts[row], texts[other]) >= threshold for other in stays if other < row)


def test_across_batches_the_same_texts_are_found_as_by_comparing_all(tmp_path: Path):
    rng = random.Random(1)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(3, 60))) for _ in range(1500)]
    for place in range(0, 1500, 10):
        texts[place] = _edited(texts[rng.randrange(1500)], 1, rng)
    dropped = _find(texts, 0.8, tmp_path)
    assert dropped == _plain_duplicates(texts, 0.8)
    assert len(dropped) > 50


@pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan])
def test_a_threshold_that_is_no_share_is_refused(tmp_path: Path, threshold: float):
    with pytest.raises(ValueError, match="expected a share from 0"):
        NearDuplicates(tmp_path, threshold)


@pytest.mark.parametrize("threshold", [0.6, 0.8])
def test_edited_real_reviews_are_found_as_by_comparing_all(tmp_path: Path, data: Path, threshold: float):
    settings = ReviewSettings(data=str(data), files=["reviews/yelp_restaurant.jsonl"])
    texts = [row["text"] for row in read_reviews(settings)]
    rng = random.Random(0)
    texts += [_edited(text, changes, rng) for changes, text in zip(itertools.cycle(range(8)), texts, strict=False)]
    expected, found = set(_plain_duplicates(texts, threshold)), set(_find(texts, threshold, tmp_path))
    assert found <= expected
    assert len(found) >= 0.98 * len(expected)
