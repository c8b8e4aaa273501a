"""How strongly a text speaks, by the words that leave no room above them: for rewrites that feel more than the review.

The word lists are VADER's (Hutto and Gilbert, 2014; package vaderSentiment), plus the superlatives and absolutes that
it lacks. No model is asked.
"""

import re
from functools import cache

from vaderSentiment.vaderSentiment import BOOSTER_DICT, SentimentIntensityAnalyzer

from .words import normalise


STRONG = 2.7  # VADER valence, -4 to 4: "excellent", "delightful" and "perfect" are in, "good" (1.9) is not
# VADER boosters that are everyday words rather than strong ones, and strong ones that name a thing or a rating.
_MILD = frozenset(
    "more most so quite really very especially particularly considerable considerably purely fully major entirely "
    "total decidedly frackin fracking flippin flipping positive negative happy award awards success peace celebrate "
    "bonus rich celebration gift praise friendship kill killed killing died death dead rape terror murder "
    "cancer".split()
)
_ABSOLUTES = frozenset(
    "finest greatest unparalleled unmatched unrivaled unrivalled unsurpassed exquisite impeccable impeccably flawless "
    "flawlessly immaculate wholeheartedly spectacular phenomenal extraordinary extraordinarily sensational "
    "mesmerizing breathtaking stellar abysmal appalling atrocious dreadful disgusting ever unforgettable "
    "overwhelmingly enchanted enchanting divine sublime unwavering utmost thrilled ecstatic".split()
)
_NOTHING_SHORT = re.compile(
    r"\bnothing short of\b|\bwithout (?:a|any) doubt\b|\bbeyond (?:words|compare)\b", re.IGNORECASE
)
_SHOUTED = re.compile(r"\b[A-Z]{3,}\b|!")


def strong_words(text: str) -> list[str]:
    """The strong words of a text, as often as they stand there.

    >>> strong_words("Nice place, good beer. The very best pickles we've had around Boston.")
    ['best']
    >>> strong_words("I am enchanted by the finest pickles I've ever savored: a delightful, nice place.")
    ['enchanted', 'finest', 'ever', 'delightful']
    """
    known = _strong()
    return [word for word in normalise(text) if word in known] + [
        phrase.lower() for phrase in _NOTHING_SHORT.findall(text)
    ]


def shouts(text: str) -> int:
    """Words in capitals and exclamation marks: how reviewers are strong without strong words.

    >>> shouts("So GOOD!! I got it at IKEA.")
    4
    """
    return len(_SHOUTED.findall(text))


def valence(text: str) -> float:
    """How a text feels by its words alone, -1 to 1: VADER's compound score."""
    return _analyzer().polarity_scores(text)["compound"]


@cache
def _analyzer() -> SentimentIntensityAnalyzer:
    return SentimentIntensityAnalyzer()


@cache
def _strong() -> frozenset[str]:
    lexicon = _analyzer().lexicon
    valued = {word for word, valence in lexicon.items() if abs(valence) >= STRONG}
    boosters = {word for word, step in BOOSTER_DICT.items() if step > 0 and " " not in word}
    superlatives = {f"{word.removesuffix('e')}est" for word, valence in lexicon.items() if abs(valence) >= 1}
    return frozenset((valued | boosters | superlatives | _ABSOLUTES) - _MILD)
