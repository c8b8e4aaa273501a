"""Strong words are found, whoever shouts them."""

import doctest

from hub_tools.corpus import intensity
from hub_tools.corpus.intensity import shouts, strong_words, valence


def test_the_docstrings_tell_the_truth():
    assert doctest.testmod(intensity).failed == 0


def test_everyday_praise_is_not_strong_and_superlatives_are():
    assert strong_words("Good food, nice place, very friendly, really happy, more than positive.") == []
    assert strong_words("The nicest staff, utterly perfect, unparalleled; the worst parking ever.") == [
        "nicest", "utterly", "perfect", "unparalleled", "worst", "ever",
    ]  # fmt: skip


def test_strong_phrases_count_too():
    assert strong_words("It was nothing short of a meal, without a doubt.") == ["nothing short of", "without a doubt"]


def test_shouting_and_the_side_a_text_leans_to():
    assert shouts("AMAZING FOOD!") == 3
    assert shouts("I had a TV and a PC.") == 0
    assert valence("I love it.") > 0.05 > -0.05 > valence("I hate it.")
