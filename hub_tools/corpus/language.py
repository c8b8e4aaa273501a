"""Whether a text is English, by the small words that no English text does without: no model, no download.

A profile of frequent words is right where it matters here, whole reviews and replies, and says nothing of a few words.
The identifiers with models (fastText's, 126 MB; langid) tell hundreds of languages apart; a corpus of English reviews
needs only the one question.
"""

import re

from .words import normalise


LEAST_WORDS = 8  # "Tacos al pastor y horchata, yum": too few to tell
_PROFILES = {
    "English": "the and to of it is was in for this that my with but you have not are on we be they so had were i",
    "Spanish": "de la que el en y los se del las un por con una su para es al lo como pero muy mi no está",
    "French": "de la le et les des en un du une que est pour qui dans par plus pas au sur je très nous ce mais",
    "German": "der die und das ist nicht ein zu den mit von sich des auf für es im auch eine als sehr wir ich aber",
    "Italian": "di che la il un per non una sono con da del si è le della più anche ho ma molto gli nel alla era",
    "Portuguese": "de que o e do da em um para com não uma os no se na por mais as dos muito mas foi bom eu",
    "Dutch": "de het een van en is dat op te niet met zijn voor er maar ook als bij dan ik was heel we zeer wij",
}
_WORDS = {language: frozenset(words.split()) for language, words in _PROFILES.items()}
_ANY = frozenset().union(*_WORDS.values())
_LETTER = re.compile(r"[^\W\d_]")
_LATIN = re.compile(r"[a-zà-öø-ÿāăąćčďđēęěğīıłńňőœřśşšťţūůűźżž]", re.IGNORECASE)


def foreign(text: str) -> str:
    """The language that a text is in more than it is in English, or "" where none is.

    >>> foreign("The soup was cold and the staff was rude to us."), foreign("Great tacos!")
    ('', '')
    >>> foreign("La comida estaba fría y el servicio fue muy malo con nosotros.")
    'Spanish'
    >>> foreign("この店のラーメンは本当に美味しかったです。")
    'another script'
    """
    if not text.isascii() and 2 * len(_LATIN.findall(text)) < len(_LETTER.findall(text)):
        return "another script"
    words = normalise(text)
    if len(words) < LEAST_WORDS:
        return ""
    frequent = [word for word in words if word in _ANY]
    counts = {language: sum(word in known for word in frequent) for language, known in _WORDS.items()}
    most = max(counts, key=lambda language: counts[language])
    # Twice: "la carte", "de facto" and names stand in English texts too.
    return most if counts[most] > max(1, 2 * counts["English"]) else ""
