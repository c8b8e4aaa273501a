"""What the gates look at in a text: its words, its quotations, and what of them stands in another text."""

import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from functools import lru_cache


_WORD = re.compile(r"[^\W_]+")
_QUOTED = re.compile(r'["“]([^"“”\n]{2,400}?)["”]')
_ELISION = re.compile(r"\.{2,}|…|\[[^\]\n]*\]")  # "the soup ... was cold", "hav[ing]"
# A teacher's spelling of what a reviewer wrote ("case" for "cae") is no invention: SequenceMatcher ratio, 0–1.
_ALIKE = 0.75
_FREQUENT = frozenset(
    "a an the this that these those i you he she it we they me my your his her its our their them is are was were be "
    "been am do does did have has had and or but if of in on at to for from with by as so not no too very just than "
    "then there here s t d ll m re ve".split()
)


@lru_cache(maxsize=64)  # the gates ask for the words of the same few texts again and again
def normalise(text: str) -> tuple[str, ...]:
    """The words of a text: lower case, letters and digits only.

    >>> normalise("The pasta, too, wasn't GOOD!")
    ('the', 'pasta', 'too', 'wasn', 't', 'good')
    """
    return tuple(_WORD.findall(text.lower()))


def content_words(words: Iterable[str]) -> list[str]:
    """The words that carry meaning; all of them when none does ("this").

    >>> content_words(normalise("it is not the best soup")), content_words(["this", "it"])
    (['best', 'soup'], ['this', 'it'])
    """
    words = list(words)
    return [word for word in words if word not in _FREQUENT] or words


def quotations(text: str) -> list[str]:
    """What stands between double quotation marks, if it is two words or more: one word may be named, not quoted.

    >>> quotations('The "soup" was "cold and thin", the "staff … rude".')
    ['cold and thin', 'staff … rude']
    """
    return [quotation for quotation in _QUOTED.findall(text) if len(normalise(quotation)) > 1]


def stands_in(words: Sequence[str], text: Sequence[str]) -> bool:
    """Whether most content words of a phrase are in a text, in whatever order, typing errors allowed.

    >>> review = normalise("i am entirely pleased with this cae")
    >>> stands_in(["the", "case"], review), stands_in(["screen", "protector"], review)
    (True, False)
    """
    wanted = content_words(words)
    present = set(text)
    found = sum(word in present or _misspelt(word, present) for word in wanted)
    return bool(wanted) and 2 * found > len(wanted)


def quoted_from(quotation: str, text: Sequence[str]) -> bool:
    """Whether a quotation is the text's: nearly all of it word by word, or most of its content words.

    >>> review = normalise("didnt expect much. The waiter was a tie bit pushy")
    >>> quoted_from("the waiter ... pushy", review), quoted_from("comically large laptop", review)
    (True, False)
    """
    return stands_in(normalise(_ELISION.sub(" ", quotation)), text)


def _misspelt(word: str, present: Iterable[str]) -> bool:
    if len(word) < 3:
        return False
    matcher = SequenceMatcher(b=word, autojunk=False)
    for other in present:
        if other[0] == word[0] and abs(len(other) - len(word)) <= 2:
            matcher.set_seq1(other)
            if matcher.real_quick_ratio() >= _ALIKE and matcher.ratio() >= _ALIKE:
                return True
    return False


def overlap(words: Sequence[str], text: Sequence[str], n: int = 4) -> float:
    """Share of the runs of `n` words that a text has too, 0–1; 0 for fewer words than `n`.

    >>> overlap(normalise("the soup was cold today"), normalise("I say the soup was cold"))
    0.5
    """
    runs = list(zip(*(words[offset:] for offset in range(n)), strict=False))
    known = set(zip(*(text[offset:] for offset in range(n)), strict=False))
    return sum(run in known for run in runs) / len(runs) if runs else 0.0
