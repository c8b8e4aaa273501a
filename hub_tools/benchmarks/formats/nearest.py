"""The words of a sentence that a misspelt target most likely stands for."""

import re
from difflib import SequenceMatcher
from typing import NamedTuple


_WORD = re.compile(r"\w+(?:['’.-]\w+)*|[^\w\s]")
ENOUGH = 0.6  # of 1: below it a match is a guess that misleads


class Match(NamedTuple):
    """Words of the sentence, and where they stand (characters, end excluded)."""

    text: str
    start: int
    end: int


def nearest(wanted: str, sentence: str) -> Match | None:
    """The run of as many words as `wanted` has (one more, one fewer) that looks most like it, or None.

    >>> nearest("battry", "The old laptop has a new battery.")
    Match(text='battery', start=25, end=32)
    """
    words = [match.span() for match in _WORD.finditer(sentence)]
    length = len(_WORD.findall(wanted))
    matcher = SequenceMatcher(None, b=wanted.casefold(), autojunk=False)
    best, found = ENOUGH, None
    for size in range(max(1, length - 1), length + 2):
        for first in range(len(words) - size + 1):
            start, end = words[first][0], words[first + size - 1][1]
            matcher.set_seq1(sentence[start:end].casefold())
            if matcher.real_quick_ratio() > best and matcher.quick_ratio() > best and matcher.ratio() > best:
                best, found = matcher.ratio(), Match(sentence[start:end], start, end)
    return found


def not_in(wanted: str, sentence: str) -> str:
    """A sentence for an error: that a text is not in a sentence, and what is nearest.

    >>> not_in("battry", "The battery lasts.")
    "'battry' is not in the sentence 'The battery lasts.'; nearest 'battery' at 4–11"
    """
    shown = sentence if len(sentence) <= 80 else f"{sentence[:79]}…"
    match = nearest(wanted, sentence)
    hint = f"; nearest {match.text!r} at {match.start}–{match.end}" if match else ""
    return f"{wanted!r} is not in the sentence {shown!r}{hint}"
