"""The lexicon teacher's words: what is judged, how strongly a word judges, and what events imply.

Reads `words.json` beside this file, written by hand from general knowledge of English reviews (no benchmark
annotation was used, the events include those of our own shipped sample), and the valences of vaderSentiment, which it
corrects where review language differs ("the fan", "a hard drive", "cold fries").
"""

import hashlib
import json
import re
from pathlib import Path

from vaderSentiment.vaderSentiment import BOOSTER_DICT, SentimentIntensityAnalyzer


_SOURCE = (Path(__file__).parent / "words.json").read_text(encoding="utf-8")
_WORDS = json.loads(_SOURCE)


def _split(words: str) -> list[str]:
    return [word for word in words.split(", ") if word]


ASPECT_OF: dict[str, str] = {noun: aspect for aspect, nouns in _WORDS["aspects"].items() for noun in _split(nouns)}
_OF_RESTAURANTS = ("food", "drinks", "service", "ambience", "location", "restaurant")
LAPTOP_ASPECTS = frozenset(aspect for aspect in _WORDS["aspects"] if not aspect.startswith(_OF_RESTAURANTS))
PRICE_WORDS = frozenset(_split(_WORDS["price words"]))
FUNCTION_WORDS = frozenset(_WORDS["function words"].split())
VERBS = frozenset(_WORDS["verbs"].split())
EMPTY_NOUNS = frozenset(_WORDS["empty nouns"].split())
_OWN = {phrase: float(value) for value, phrases in _WORDS["valence"].items() for phrase in _split(phrases)}


def _degrees(word: str) -> tuple[str, ...]:
    """Comparative and superlative: "slower, slowest", "tastier, tastiest"."""
    stem = word[:-1] + "i" if word.endswith("y") else word.removesuffix("e")
    return stem + "er", stem + "est"


# vaderSentiment was made for tweets: of its own words only those that judge clearly are used.
VALENCE: dict[str, float] = {
    **{
        word: value
        for word, value in SentimentIntensityAnalyzer().lexicon.items()
        if abs(value) >= 1.4 and word not in EMPTY_NOUNS | FUNCTION_WORDS | VERBS
    },
    **{
        form: v
        for w, v in _OWN.items()
        if v and " " not in w and w not in VERBS
        for form in _degrees(w)
        if form not in ASPECT_OF
    },
    **_OWN,
}
OWN_WORDS = frozenset(word for word, value in _OWN.items() if value)
BOOSTERS: dict[str, float] = {word: value for word, value in BOOSTER_DICT.items() if " " not in word}
PREDICATES = VERBS | set("is was are were be been am isn't wasn't aren't weren't has have had did does do".split())
DETERMINERS = frozenset("the my our their his her its your this these those that a an some".split())
NEGATIONS = frozenset(
    "not never no without hardly barely nothing neither nor cannot ain't none isnt wasnt dont".split()
)
LIKING = frozenset(
    "love loved loves loving enjoy enjoyed hate hated hates adore adored dislike disliked recommend recommended "
    "regret regretted avoid like liked likes care".split()
)
PREPOSITIONS = frozenset("in on at of from behind near with by for inside outside under over next to".split())
PERSONS = ("service general", "support quality")  # aspects whose nouns are mostly people: "he", "she", "they"
EXCESSIVE = frozenset(  # what blames after "too", though it says nothing alone
    "sweet spicy sour long short big large small high low late early dark thin thick wide narrow soft hard deep far "
    "close busy little few quiet hot warm cool rich".split()
)
MODIFIERS = frozenset(  # participles that belong to a dish's or a part's name
    "fried grilled baked roasted smoked mashed braised iced steamed stuffed shredded seared pulled dining parking "
    "scrambled poached wireless built preinstalled".split()
)
AMBIGUOUS = frozenset(  # nouns only where something shows it: "the charge", but "we charge"
    noun for noun in ASPECT_OF if noun in VERBS | FUNCTION_WORDS | EMPTY_NOUNS or abs(VALENCE.get(noun, 0.0)) >= 0.5
)
LONGEST = max(len(phrase.split()) for phrase in (*VALENCE, *ASPECT_OF) if " " in phrase)
# The first words of phrases, so that most words are looked up once.
PHRASE_STARTS = frozenset(phrase.split()[0] for phrase in (*VALENCE, *ASPECT_OF) if " " in phrase)
EVENTS: list[tuple[re.Pattern[str], str, str, str]] = [
    (re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE), aspect, polarity, reason)
    for pattern, aspect, polarity, reason in _WORDS["implicit"]
]
ANY_EVENT = re.compile("|".join(rf"\b(?:{pattern})\b" for pattern, *_ in _WORDS["implicit"]), re.IGNORECASE)
DIGEST = hashlib.sha256((_SOURCE + json.dumps(VALENCE, sort_keys=True)).encode()).hexdigest()[:12]
