"""Drafts of sentences, as every reader here makes them → benchmark rows, checked in one place.

>>> drafts = [Draft(3, None, "The soup rocks.", [opinion("soup", polarity="Positive")])]
>>> row, = rows_of(drafts, "tsa", Problems("reviews.csv"))
>>> row["id"], row["text"], row["opinions"][0]["start"], row["implicit"]
('1', 'soup | positive', 4, None)
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from hub_tools.benchmarks.formats.nearest import not_in
from hub_tools.benchmarks.formats.problems import Problems
from hub_tools.benchmarks.records import Row
from hub_tools.opinions import POLARITIES, serialize


IMPLICIT = "NULL"  # what most formats write for a target or opinion words that the sentence does not name
MAX_SHIFT = 5  # characters by which a span may miss its target and still be moved onto it, as in `benchmarks.fsa`
FLAGS = ("hard", "implicit", "multiple")


@dataclass
class Draft:
    """A sentence as a file gives it, nothing checked yet."""

    place: int | str  # line, or "record 3"
    id: str | None  # None: the file has no ids, its sentences are numbered from 1
    sentence: str
    opinions: list[Row] = field(default_factory=list)
    places: list[int | str] = field(default_factory=list)  # of the opinions, where they have places of their own
    wrong: list[tuple[int | str, str]] = field(default_factory=list)  # (place, what the reader found wrong)
    flags: Mapping[str, bool | None] = field(default_factory=dict)  # those of `FLAGS` that the file gives

    def add(self, item: Row, place: int | str) -> None:
        """One more opinion, which stands at a place of its own."""
        self.opinions.append(item)
        self.places.append(place)


def opinion(
    target: str | None = None,
    start: int | None = None,
    end: int | None = None,
    *,
    category: str | None = None,
    polarity: str,
    words: list[str] | None = None,
) -> Row:
    """An opinion in the contract's form; "NULL" for target, category or the only opinion words is what None, None
    and [] stand for. Where `start` is None, the target is looked for."""
    return {
        "target": None if target == IMPLICIT else target,
        "start": start,
        "end": end,
        "category": None if category == IMPLICIT else category,
        "polarity": polarity,
        "opinion_words": [] if words == [IMPLICIT] else words,
    }


def rows_of(drafts: Iterable[Draft], task: str, problems: Problems) -> list[Row]:
    """Benchmark rows of the drafts that hold what they say; the others are rejected with all their reasons.

    Opinions stay in the order of the file. `hard` is False unless given, `multiple` counts all opinions, `implicit` is
    `None` where opinion words are not annotated.
    """
    drafts = list(drafts)
    annotated = any(opinion["opinion_words"] is not None for draft in drafts for opinion in draft.opinions)
    rows: list[Row] = []
    seen: dict[str, int | str] = {}
    for number, draft in enumerate(drafts, 1):
        id_ = str(number) if draft.id is None else draft.id
        reasons = _text_reasons(draft.sentence, "the sentence") + _text_reasons(id_, "the id")
        if not reasons and id_ in seen:
            reasons = [f"id {id_!r} occurs before, at {seen[id_]}; ids must be unique"]
        located = [(draft.place, reason) for reason in reasons] + draft.wrong
        located = located or _check(draft, task, problems)
        if not located:
            row = {"id": id_, "sentence": draft.sentence, "opinions": placed(draft.sentence, draft.opinions)}
            try:
                rows.append(finished(row, task, annotated, draft.flags))
            except ValueError as error:
                located = [(draft.place, str(error))]
        if located:
            problems.reject(draft.place, located, draft.id, draft.sentence)
        if isinstance(id_, str):
            seen.setdefault(id_, draft.place)
    return rows


def finished(row: Row, task: str, annotated: bool, flags: Mapping[str, bool | None] | None = None) -> Row:
    """A row with its text and flags, derived from its opinions unless given.

    Raises:
        ValueError: an opinion that the task's text form cannot hold.
    """
    words = [opinion["opinion_words"] for opinion in row["opinions"]]
    known = None not in words if words else annotated
    derived = {
        "hard": False,
        "implicit": True if [] in words else (False if known else None),
        "multiple": len({opinion["polarity"] for opinion in row["opinions"]}) > 1,
    }
    return row | {"text": serialize(row["opinions"], task)} | derived | dict(flags or {})


def placed(sentence: str, opinions: Sequence[Row]) -> list[Row]:
    """The opinions, those without a span at the place where their target most likely stands.

    That is its first occurrence as a whole word, or else its first. Two opinions on the same words that differ in
    category or opinion words are about one place; two that differ in neither are about two, if there are two.
    """
    done: list[Row] = []
    for item in opinions:
        if item["target"] is not None and item["start"] is None:
            places = occurrences(item["target"], sentence)
            taken = {(o["start"], o["end"]) for o in done if all(o[k] == item[k] for k in _SAME)}
            start, end = next((place for place in places if place not in taken), places[0])
            item = item | {"start": start, "end": end}
        done.append(item)
    return done


_SAME = ("target", "category", "opinion_words")


def occurrences(target: str, sentence: str) -> list[tuple[int, int]]:
    """All places of a target, those that cut no word first."""
    places = []
    start = sentence.find(target)
    while start >= 0:
        places.append((start, start + len(target)))
        start = sentence.find(target, start + 1)
    return sorted(places, key=lambda place: _cuts(sentence, *place))


def _text_reasons(text: Any, what: str) -> list[str]:
    """Why something is no text that a row can hold."""
    if not isinstance(text, str):
        return [f"{what} should be text, found {type(text).__name__} {text!r:.60}"]
    if not text.strip():
        return [f"{what} is empty"]
    if not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text):
        return [f"{what} holds half a character (a lone surrogate): {text!r:.60}"]
    return []


def _check(draft: Draft, task: str, problems: Problems) -> list[tuple[int | str, str]]:
    """What is wrong with a draft's opinions; mends them in place: the spelling of polarities, spans a little off."""
    reasons = []
    for number, item in enumerate(draft.opinions):
        wrong = _field_reasons(item)
        target, start, end = item["target"], item["start"], item["end"]
        if not wrong and target is not None:
            if target not in draft.sentence:
                wrong.append(not_in(target, draft.sentence))
            elif start is not None:
                start, end = _moved(item, draft.sentence, wrong, problems)
        if not wrong and task not in ("tsa", "asa"):  # a student cannot be asked for words that are not there
            words = item["opinion_words"] or ()
            wrong += [not_in(word, draft.sentence) for word in words if word not in draft.sentence]
        if not wrong:
            polarity = item["polarity"].strip().lower()
            start, end = (start, end) if target is not None else (None, None)
            draft.opinions[number] = item | {"polarity": polarity, "start": start, "end": end}
        place = draft.places[number] if draft.places else draft.place
        reasons += [(place, reason) for reason in wrong]
    return reasons


def _field_reasons(item: Row) -> list[str]:
    """What is wrong with an opinion, the sentence aside."""
    words = item["opinion_words"]
    named = [(item["target"], "the target"), (item["category"], "the category")]
    named += [(word, "an opinion") for word in words or ()]
    wrong = [reason for text, what in named if text is not None for reason in _text_reasons(text, what)]
    if None in (words or ()):
        wrong.append("an opinion is null; an implicit one is an empty list")
    polarity = item["polarity"]
    if not isinstance(polarity, str) or polarity.strip().lower() not in POLARITIES:
        close = get_close_matches(str(polarity).lower(), POLARITIES, 1)
        hint = f"; nearest {close[0]!r}" if close else ""
        wrong.append(f"unknown polarity {polarity!r:.60}; allowed: {', '.join(POLARITIES)}{hint}")
    if item["target"] is None and item["category"] is None:
        wrong.append("an opinion has neither a target nor a category")
    return wrong


def _moved(item: Row, sentence: str, wrong: list[str], problems: Problems) -> tuple[int, int]:
    """The target's own place, at most `MAX_SHIFT` from the one the file gives."""
    target, start, end = item["target"], item["start"], item["end"]
    best = min(occurrences(target, sentence), key=lambda place: abs(place[0] - start))
    if best == (start, end):
        return best
    if end is not None and end - start == len(target) and abs(best[0] - start) <= MAX_SHIFT:
        problems.notes[f"spans were moved by at most {MAX_SHIFT} characters onto their targets"] += 1
        return best
    inside = end is not None and 0 <= start < end <= len(sentence)
    held = repr(sentence[start:end]) if inside else "nothing"
    wrong.append(f"the span {start}–{end} holds {held}, not {target!r}, which is at {best[0]}–{best[1]}")
    return best


def _cuts(sentence: str, start: int, end: int) -> bool:
    """Whether a span begins or ends inside a word."""
    return (start > 0 and sentence[start - 1].isalnum() and sentence[start].isalnum()) or (
        end < len(sentence) and sentence[end - 1].isalnum() and sentence[end].isalnum()
    )
