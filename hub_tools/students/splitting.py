"""A review's sentences, and their white space: what students are shown of a text, and where it came from.

    >>> text = "Loved it!! Dr. Who's\\ncafe. great fries..."
    >>> [text[start:end] for start, end in split_sentences(text)]
    ['Loved it!!', "Dr. Who's\\ncafe.", 'great fries...']

A copy of this file travels with the Space.
"""

import re
import unicodedata
from collections.abc import Iterator


# Characters; no benchmark sentence is longer, and a review without full stops must not be one batch.
MAX_SENTENCE = 600

# A sentence ends after . ! ? … (with quotes or brackets that close there) before white space; at a full stop that a
# writer in haste put between two words ("great.The"); or where a line ends, unless the next one goes on in lower case.
_BOUNDARY = re.compile(
    r"""(?P<stop>[.!?…。！？]+)[\"'”’»)\]]*(?=\s)"""
    r"""|(?<=[^\W\d_]{2})[.!?]+(?=[A-Z][a-z])"""
    r"""|[。！？]+"""
    r"""|(?<=\S)(?=\s*\n\s*\n)|(?<=\S)(?=\s*\n\s*[^\sa-z])"""
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'“])(?:[A-Za-z]|mr|mrs|ms|dr|st|jr|sr|vs|e\.g|i\.e|a\.m|p\.m|u\.s|etc|approx|no|inc|ft|oz|lbs?|min|max)\.$",
    re.IGNORECASE,
)
# After these a new sentence may begin all the same, if it begins like one.
_MAY_END = re.compile(r"(?:etc|a\.m|p\.m|u\.s|inc|oz|lbs?|no)\.$", re.IGNORECASE)


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Where the sentences of a text stand, as (start, end) in characters; white space around them belongs to none."""
    pieces: list[tuple[int, int]] = []
    start = 0
    for match in _BOUNDARY.finditer(text):
        if match["stop"] != "." or not _is_abbreviation(text, start, match.end()):
            pieces.append((start, match.end()))
            start = match.end()
    pieces.append((start, len(text)))
    return [part for piece in pieces for part in _short_parts(text, *_strip(text, *piece))]


def _is_abbreviation(text: str, start: int, stop: int) -> bool:
    before = text[max(start, stop - 12) : stop].rstrip("\"'”’»)]")
    if not _ABBREVIATION.search(before):
        return False
    goes_on = text[stop : stop + 40].lstrip()[:1].islower()
    return goes_on or not _MAY_END.search(before)


def _strip(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def _short_parts(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The span itself, or parts of at most `MAX_SENTENCE` characters, cut at white space where there is any."""
    while end - start > MAX_SENTENCE:
        cut = next((i for i in range(start + MAX_SENTENCE, start, -1) if text[i].isspace()), start + MAX_SENTENCE)
        while cut < end and _continues(text, cut):  # not inside an accented letter or a composed emoji
            cut += 1
        yield _strip(text, start, cut)
        start, end = _strip(text, cut, end)
    if start < end:
        yield start, end


def _continues(text: str, index: int) -> bool:
    joiner = "\u200d"
    return (
        text[index] == joiner
        or text[index - 1] == joiner
        or unicodedata.category(text[index]).startswith("M")
        or unicodedata.category(text[index]) == "Sk"  # skin tones
    )


def squeeze(text: str) -> tuple[str, list[int]]:
    """The text with each run of white space as one space, or one line break, and where each character comes from.

    T5's vocabulary does so on its own, and then writes targets that would not be found in the text.
    """
    characters: list[str] = []
    offsets: list[int] = []
    for match in re.finditer(r"\s+|\S", text):
        run = match[0]
        characters.append(run if not run.isspace() else "\n" if "\n" in run else " ")
        offsets.append(match.start())
    return "".join(characters), offsets
