"""What a format can hold, and rows cut down to it: every loss is counted, none is silent.

For every format here, reading back what was written gives exactly the rows that `fitted` returned; where `fitted`
counts no loss, these are the rows it was given.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from hub_tools.benchmarks.formats.problems import Problems
from hub_tools.benchmarks.formats.rows import FLAGS, IMPLICIT, Draft, finished, occurrences, placed
from hub_tools.benchmarks.records import Row


BREAKS = r"[\t\n\r]"  # what sentences of formats with a line each cannot hold
NOT_XML = r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
# What the rows of `holds` mean; `fsa convert --list` shows them.
HOLDABLE = {
    "id": "ids",
    "target": "targets",
    "category": "categories",
    "span": "offsets",
    "opinion": "opinion words, or that they are implicit",
    "words": "several opinion words per opinion, and that none were annotated",
    "conflict": "the polarity conflict",
    "empty": "sentences without opinions",
    "repeats": "a sentence twice in a row",
    "overlaps": "overlapping targets",
    "hard": "which sentences are hard",
    "implicit": "the flag implicit, whatever the opinions say",
    "multiple": "the flag multiple, whatever the opinions say",
    "order": "the order of opinions with and without a target",
}


class Format(NamedTuple):
    """A format: how to read and write it, and what it can hold."""

    about: str
    suffix: str
    read: Callable[[bytes, Problems, str], list[Draft]]  # (content, problems, task)
    write: Callable[[Sequence[Row], str], str]  # (rows from `fitted`, task) → content
    holds: frozenset[str]  # of `HOLDABLE`
    needs: frozenset[str] = frozenset()  # "target", "category", "opinion": opinions without one are left out
    tasks: tuple[str, ...] = ()  # () is any
    tokens: bool = False  # spans begin and end with a token, which is what spaces separate
    category_spaces: bool = True
    single_spaces: bool = False  # exactly one space between two tokens, none before or after
    forbidden: str = BREAKS  # characters that sentences may not hold


class Losses(Counter):
    """What a format cannot hold of some rows: message → how often. True if there is anything."""

    def __bool__(self) -> bool:
        return any(self.values())

    def lines(self) -> list[str]:
        """What is lost, a line each."""
        return [f"{count} {message}" for message, count in self.items() if count]

    def told(self, name: str) -> str:
        """One line: what is lost, and how to go on all the same."""
        return (
            f"{name} cannot hold all of it: {'; '.join(self.lines())}. Nothing was written; --lossy to go on without."
        )


def fitted(rows: Iterable[Row], format: Format, task: str, losses: Losses) -> list[Row]:
    """The rows as they will be when the format is read back for the same task; adds to `losses` what is not so."""
    kept: list[Row] = []
    for row in rows:
        row = _respelt(row, format, losses)
        opinions = [_cut_down(item, row["sentence"], format, losses) for item in row["opinions"]]
        row["opinions"] = [item for item in opinions if item is not None]
        if "order" not in format.holds:
            row["opinions"] = _ordered(row["opinions"], losses)
        if not row["opinions"] and "empty" not in format.holds:
            losses["sentences without such opinions are left out"] += 1
        elif kept and "repeats" not in format.holds and kept[-1]["sentence"] == row["sentence"]:
            losses["sentences are merged with the same sentence before them"] += 1
            kept[-1] = kept[-1] | {"opinions": kept[-1]["opinions"] + row["opinions"]}
        else:
            kept.append(row)
    for row in kept:
        if "span" not in format.holds:
            row["opinions"] = _placed_again(row, losses)
        if "overlaps" not in format.holds:
            row["opinions"] = _disjoint(row["opinions"], losses)
    return _derived(kept, format, task, losses)


def _derived(rows: list[Row], format: Format, task: str, losses: Losses) -> list[Row]:
    """The rows with the ids and flags that a reader will give them."""
    annotated = any(item["opinion_words"] is not None for row in rows for item in row["opinions"])
    done = []
    for number, row in enumerate(rows, 1):
        own = {name: row[name] for name in FLAGS}
        new = finished(
            {
                "id": row["id"] if "id" in format.holds else str(number),
                "sentence": row["sentence"],
                "opinions": row["opinions"],
            },
            task,
            annotated,
            {name: own[name] for name in FLAGS if name in format.holds},
        )
        for name in FLAGS:
            if new[name] != own[name]:
                losses[f"sentences lose what they say of `{name}`"] += 1
        done.append(new)
    return done


def _respelt(row: Row, format: Format, losses: Losses) -> Row:
    """A copy of the row without the characters that the format forbids."""

    def clean(text: str | None) -> str | None:
        return text and re.sub(format.forbidden, lambda sign: " " if sign[0].isspace() else "\ufffd", text)

    sentence = clean(row["sentence"])
    if sentence != row["sentence"]:
        losses["sentences hold line breaks, tabs or control characters, which are replaced"] += 1
    places = None
    if format.single_spaces and sentence != " ".join(sentence.split()):
        losses["sentences lose white space other than single spaces"] += 1
        sentence, places = _squeezed(sentence)
    opinions = []
    for item in row["opinions"]:
        start, end = item["start"], item["end"]
        if item["target"] is not None:
            start, end = (places[start], places[end]) if places else (start, end)
            item = item | {"start": start, "end": end, "target": sentence[start:end]}
        category = clean(item["category"])
        if category and not format.category_spaces and " " in category:
            losses["categories have # for their spaces"] += 1
            category = category.replace(" ", "#")
        words = item["opinion_words"]
        words = words and [" ".join(clean(word).split()) if places else clean(word) for word in words]
        opinions.append(item | {"category": category, "opinion_words": words})
    return row | {"id": clean(row["id"]), "sentence": sentence, "opinions": opinions}


def _squeezed(sentence: str) -> tuple[str, list[int]]:
    """The sentence with single spaces, and for each place in the old one the place in the new one.

    >>> _squeezed(" a  b")
    ('a b', [0, 0, 1, 2, 2, 3])
    """
    squeezed, places = "", []
    for sign in sentence:
        places.append(len(squeezed))
        if not sign.isspace():
            squeezed += sign
        elif squeezed and not squeezed.endswith(" "):
            squeezed += " "
    places.append(len(squeezed))
    squeezed = squeezed.rstrip()
    return squeezed, [min(place, len(squeezed)) for place in places]


def _cut_down(item: Row, sentence: str, format: Format, losses: Losses) -> Row | None:
    """The opinion without the fields that the format lacks, or None where it cannot hold it at all."""
    dropped = _unfit(item, sentence, format)
    if dropped:
        losses[f"{dropped} are left out"] += 1
        return None
    for name in ("target", "category"):
        if item[name] is not None and name not in format.holds:
            losses[f"opinions lose their {name}"] += 1
            item = item | {name: None} | ({"start": None, "end": None} if name == "target" else {})
    words = item["opinion_words"]
    if "opinion" not in format.holds:
        losses["opinions lose their opinion words, or that they are implicit"] += words is not None
        words = None
    elif "words" not in format.holds:
        losses["opinions say implicit where opinion words were not annotated"] += words is None
        losses["opinions lose all opinion words but the first"] += len(words or ()) > 1
        words = (words or [])[:1]
        words = [] if words == [IMPLICIT] else words
    return item | {"opinion_words": words}


def _unfit(item: Row, sentence: str, format: Format) -> str:
    """What kind of opinion this is that the format cannot hold; "" if it can."""
    if item["polarity"] == "conflict" and "conflict" not in format.holds:
        return "opinions of polarity conflict"
    for name in ("target", "category"):
        if name in format.needs and item[name] is None:
            return f"opinions without a {name}"
    words = item["opinion_words"]
    if "opinion" in format.needs and not words:
        return "opinions without opinion words"
    if format.tokens:
        if item["target"] is not None and not token_aligned(sentence, item["start"], item["end"]):
            return "opinions whose target does not begin and end with a token"
        if "opinion" in format.holds and words and not aligned_place(words[0], sentence):
            return "opinions whose opinion words do not begin and end with a token"
    return ""


def _ordered(opinions: list[Row], losses: Losses) -> list[Row]:
    """The opinions with a target first."""
    ordered = sorted(opinions, key=lambda item: item["target"] is None)
    losses["sentences have opinions without a target that move behind the others"] += ordered != opinions
    return ordered


def _placed_again(row: Row, losses: Losses) -> list[Row]:
    """The opinions at the places where a reader will look for them."""
    found = placed(row["sentence"], [item | {"start": None, "end": None} for item in row["opinions"]])
    losses["targets will be found at another place of their sentence"] += sum(
        new["start"] != old["start"] for new, old in zip(found, row["opinions"], strict=True)
    )
    return found


def _disjoint(opinions: list[Row], losses: Losses) -> list[Row]:
    """The opinions that overlap no earlier one, for a format that tags every token once."""
    kept: list[Row] = []
    for item in opinions:
        if any(item["start"] < other["end"] and other["start"] < item["end"] for other in kept):
            losses["opinions that overlap another are left out"] += 1
        else:
            kept.append(item)
    return kept


def aligned_place(words: str, sentence: str) -> tuple[int, int] | None:
    """The first place of words in a sentence where they begin and end with a token."""
    return next((place for place in sorted(occurrences(words, sentence)) if token_aligned(sentence, *place)), None)


def token_aligned(sentence: str, start: int, end: int) -> bool:
    """Whether a span begins and ends with a token.

    >>> token_aligned("No bad-ass soup .", 3, 10), token_aligned("No bad-ass soup .", 3, 6)
    (True, False)
    """
    inside = sentence[start:end]
    return (
        inside == inside.strip() != ""
        and (start == 0 or sentence[start - 1].isspace())
        and (end == len(sentence) or sentence[end].isspace())
    )
