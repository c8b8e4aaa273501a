"""Which pairs a student learns from."""

from dataclasses import replace

import numpy as np
import pytest

from hub_tools.distilling.arguments import Pretrain
from hub_tools.distilling.choice import split, star_weights
from hub_tools.students.encoded import encode_corpus
from tests.tiny_models import tiny_tokenizer


def pretraining(**changes):
    return replace(Pretrain("me", "t5-sentiment"), **changes)


@pytest.fixture
def encoded(tmp_path):
    """A hundred reviews of two pairs each, with 1 to 5 stars in turns, and the stars of each pair."""
    pairs = [{"review_id": f"r{n // 2}", "input": "food", "target": "us"} for n in range(200)]
    stars = np.array([n // 2 % 5 + 1 for n in range(200)])
    return encode_corpus(pairs, tiny_tokenizer(), tmp_path / "encoded"), stars


def drawn(encoded, **changes) -> tuple[set[int], set[int]]:
    """Reviews to train on, and those held out."""
    pairs, stars = encoded
    training, validation = split(pairs, stars, pretraining(validation_pairs=20, **changes))
    assert len(training) == 2 * len(set(training.reviews.tolist()))
    return set(training.reviews.tolist()), set(validation.reviews.tolist())


def test_fewer_reviews_are_among_more_of_the_same_draw_and_the_same_are_held_out(encoded):
    all_reviews, held = drawn(encoded)
    assert (len(all_reviews), len(held), all_reviews & held) == (90, 10, set())
    ten, held_beside_ten = drawn(encoded, reviews_limit=10)
    fifty, held_beside_fifty = drawn(encoded, reviews_limit=50)
    assert (len(ten), len(fifty)) == (10, 50)
    assert ten < fifty < all_reviews
    assert held == held_beside_ten == held_beside_fifty
    assert drawn(encoded, reviews_limit=10, draw=1)[0] != ten
    assert drawn(encoded, reviews_limit=10, draw=1)[1] == held
    with pytest.raises(ValueError, match="reviews_limit is 91, but beside those held out there are 90 reviews"):
        drawn(encoded, reviews_limit=91)


def test_a_scheme_draws_by_stars(encoded):
    pairs, stars = encoded
    of = dict(zip(pairs.reviews.tolist(), stars.tolist(), strict=True))
    three, _ = drawn(encoded, scheme="R00100", reviews_limit=12)
    assert {of[review] for review in three} == {3}
    with pytest.raises(ValueError, match="that the scheme R00100 may draw"):
        drawn(encoded, scheme="R00100", reviews_limit=30)
    assert star_weights(pretraining(scheme="R11111"))[1:].tolist() == [1, 0.5, 0.25, 0.5, 1]
    assert star_weights(pretraining()).tolist() == [1] * 6
