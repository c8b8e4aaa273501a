"""The text form of opinions: what a student is trained to write and what every scorer reads.

A sentence's opinions are one line of items, joined by ` ; `; an item is its fields, joined by ` | `. No opinion is the
empty string. The task says which fields:

- "tsa", target sentiment analysis: the opinion target as it stands in the sentence, and the polarity.
- "asa", aspect sentiment analysis: the aspect category, in lower case with a space for `#`, and the polarity.
- "acos" and "asqp", quads: category, polarity, opinion target, opinion words ("none" where one is implicit).

    >>> food = {"target": "Pad Thai", "start": 4, "end": 12, "category": "FOOD#QUALITY", "polarity": "positive"}
    >>> serialize([food], "tsa"), serialize([food], "asa")
    ('Pad Thai | positive', 'food quality | positive')
    >>> serialize([food | {"opinion_words": ["great"]}, food | {"target": None, "opinion_words": []}], "acos")
    'food quality | positive | Pad Thai | great ; food quality | positive | none | none'
    >>> parse("Pad Thai | positive ; soup | negative ; ???", "tsa", "The Pad Thai was great.")
    Parsed(pairs=[('Pad Thai', 'positive')], malformed=1, invented=1)

Any other tuple is a task too: names of `FIELDS` joined by commas ("target,opinion,polarity"), or just how many fields
there are ("3"), of which nothing is known then.

Standard library only: copies of this file travel with the metric and the Space (see `hub_tools.hub.copies`).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple


POLARITIES = ("positive", "neutral", "negative", "conflict")
TASKS = ("tsa", "asa", "acos", "asqp")
FIELDS = ("target", "category", "polarity", "opinion", "field")
IMPLICIT = "none"  # what stands for a target or opinion words that the sentence does not name

_QUAD = ("category", "polarity", "target", "opinion")
_TASK_FIELDS = {"tsa": ("target", "polarity"), "asa": ("category", "polarity"), "acos": _QUAD, "asqp": _QUAD}
_QUAD_POLARITIES = POLARITIES[:3]  # nobody annotated conflict in quads, and their reference code does not read it

# How a polarity stands in a well-formed text, so that the usual case needs one look-up and no `strip`.
_POLARITY = {form: name for name in POLARITIES for form in (name, f" {name}", f" {name} ", f"{name} ")}


class Parsed(NamedTuple):
    """What a text says: its well-formed items in order, repeats included, and how many items were not usable."""

    pairs: list[tuple[str, ...]]  # the fields of `fields_of(task)`; pairs for "tsa" and "asa"
    malformed: int  # items with another number of fields, or with an unknown polarity
    invented: int  # well-formed items whose target (or opinion words) the sentence does not hold


@lru_cache(maxsize=64)
def fields_of(task: str) -> tuple[str, ...]:
    """The names of a task's fields, in the order they are written.

    >>> fields_of("tsa"), fields_of("target, opinion, polarity"), fields_of("2")
    (('target', 'polarity'), ('target', 'opinion', 'polarity'), ('field', 'field'))

    Raises:
        ValueError: neither one of `TASKS` nor a number from 1 to 9 nor names of `FIELDS`, each (but "field") once.
    """
    if task in _TASK_FIELDS:
        return _TASK_FIELDS[task]
    if isinstance(task, str):
        if len(task) == 1 and task in "123456789":
            return ("field",) * int(task)
        names = tuple(name.strip() for name in task.split(","))
        known = [name for name in names if name != "field"]
        if set(names) <= set(FIELDS) and len(set(known)) == len(known):
            return names
    raise ValueError(
        f"unknown task {task!r}; allowed: {', '.join(TASKS)}, or for other tuples their fields joined by commas "
        f"({', '.join(FIELDS)}; only 'field' more than once) or how many there are (1 to 9)"
    )


def check_task(task: str) -> None:
    """Raise `ValueError` unless `task` is one of `TASKS` or a form that `fields_of` reads."""
    fields_of(task)


def serialize(opinions: Sequence[Mapping[str, Any]], task: str) -> str:
    """Write a row's opinions as text, in the order given.

    For "tsa", opinions without a target (`None`, or "NULL" as SemEval has it) are left out, and what is distinct is
    (target, polarity, span), each written once: a word praised at two places is written twice. For "asa", opinions
    without a category are left out, and what is distinct is (category, polarity). The order is the caller's: the
    official files need one of their own, which `hub_tools.benchmarks.fsa` gives. All other tasks write every opinion
    they are given, a missing target or empty `opinion_words` as "none".

    Raises:
        ValueError: unknown task or polarity; a text that holds "|" or ";" and could not be read back; a field that the
            opinion does not have (no category, opinion words that were not annotated, "field").
    """
    fields = fields_of(task)
    items: dict[tuple[Any, ...], str] = {}
    for number, opinion in enumerate(opinions):
        if task in ("tsa", "asa") and opinion[fields[0]] in (None, "NULL"):
            continue
        texts = tuple(_written(opinion, field) for field in fields)
        if "polarity" in fields and opinion["polarity"] not in _polarities(task):
            found = f"unknown polarity {opinion['polarity']!r} of {opinion[_naming(fields)]!r}"
            raise ValueError(f"{found}; allowed: {', '.join(_polarities(task))}")
        if task == "tsa":
            key = (*texts, opinion["start"], opinion["end"])
        else:
            key = texts if task == "asa" else (number,)
        items.setdefault(key, " | ".join(texts))
    return " ; ".join(items.values())


def _polarities(task: str) -> tuple[str, ...]:
    return _QUAD_POLARITIES if task in ("acos", "asqp") else POLARITIES


def _naming(fields: Sequence[str]) -> str:
    """The field to name an opinion by in a message."""
    return "target" if "target" in fields else "category"


def _written(opinion: Mapping[str, Any], field: str) -> str:
    """One field of an opinion row as it stands in the text."""
    if field == "field":
        raise ValueError("a task that only counts its fields cannot be written; name them, e.g. 'target,polarity'")
    if field == "opinion":
        words = opinion["opinion_words"]
        if words is None or len(words) > 1:
            raise ValueError(f"opinion_words of {opinion['target']!r} should be [] or one text, found {words!r}")
        value = words[0] if words else IMPLICIT
    else:
        value = opinion[field]
        if field == "target" and value in (None, "NULL"):
            value = IMPLICIT
    if value is None:
        raise ValueError(f"the opinion on {opinion['target']!r} has no {field}")
    if "|" in value or ";" in value:
        raise ValueError(f"{value!r} holds a '|' or ';', which the text form uses as signs")
    return value.lower().replace("#", " ") if field == "category" else value


def parse(text: str, task: str, sentence: str) -> Parsed:
    """Read a text by the rule of the reference code of paper 1 (arXiv 2412.18552) and of the quads it reports.

    Items are split at ";". One counts if it has the task's number of fields, a polarity of `POLARITIES` (quads: not
    "conflict"), and a target, and opinion words, that are substrings of the sentence (so an empty one passes) or, but
    for "tsa", are "none". The reference drops all other items silently; here they are counted, save those that are
    empty.

    A category is not checked: an unknown one is wrong, not dropped. (The reference drops quads whose category is not
    on a list of 93, which lacks some that the gold has.) In a form given by its fields it must not be empty, nor may a
    field of which nothing is known.

    Raises:
        ValueError: unknown task.
    """
    if task not in ("tsa", "asa"):
        return _parse_fields(text, task, sentence)
    if not text:
        return _parsed(([], 0, 0))
    pairs = []
    malformed = invented = 0
    grounded = task == "tsa"
    for item in text.split(";"):
        pair = _pair_of(item)
        if pair is None:
            malformed += bool(item.strip())
        elif grounded and pair[0] not in sentence:
            invented += 1
        else:
            pairs.append(pair)
    return _parsed((pairs, malformed, invented))


# `Parsed(…)` without the function that a named tuple is made by: a third of the time of `parse`.
_parsed = partial(tuple.__new__, Parsed)


def _parse_fields(text: str, task: str, sentence: str) -> Parsed:
    """`parse` for any number of fields."""
    read, quoted = _reading(task)
    found = []
    malformed = invented = 0
    for item in text.split(";"):
        texts = read(item)
        if not texts:
            malformed += texts is None
            continue
        for place in quoted:
            if texts[place] not in sentence and texts[place] != IMPLICIT:
                invented += 1
                break
        else:
            found.append(texts)
    return _parsed((found, malformed, invented))


@lru_cache(maxsize=4096)  # what is right stands in a prediction and in its reference
def _pair_of(item: str) -> tuple[str, str] | None:
    """What stands before the "|", and the polarity; None if the item is malformed or empty."""
    name, _, rest = item.partition("|")
    polarity = _POLARITY.get(rest) or _POLARITY.get(rest.strip())  # a second "|" would stand in `rest`
    return polarity and (name.strip(), polarity)


@lru_cache(maxsize=64)
def _reading(task: str) -> tuple[Callable[[str], tuple[str, ...] | None], tuple[int, ...]]:
    """How to read one item (its fields; none if it is empty, `None` if it is malformed), and which of its fields the
    sentence must hold."""
    fields, polarities = fields_of(task), _polarities(task)
    polarity_at = fields.index("polarity") if "polarity" in fields else None
    filled = [place for place, field in enumerate(fields) if field in ("category", "field")]

    @lru_cache(maxsize=4096)  # what is right stands in a prediction and in its reference
    def read(item: str) -> tuple[str, ...] | None:
        texts = tuple(map(str.strip, item.split("|")))
        if texts == ("",):
            return ()
        if len(texts) != len(fields) or not all(texts[place] for place in filled):
            return None
        return texts if polarity_at is None or texts[polarity_at] in polarities else None

    return read, tuple(place for place, field in enumerate(fields) if field in ("target", "opinion"))


def locate(pairs: Sequence[tuple[str, str]], sentence: str) -> list[dict[str, Any]]:
    """Find where each (target, polarity) pair stands in the sentence, to show it there.

    Texts carry no offsets, so this is a guess for display: the first occurrence that is a whole word, if possible one
    that no earlier pair took. Returns one opinion row per pair, with `start` and `end` in characters (`None`, like
    `target`, where the target is empty; `None` where it is not in the sentence).
    """
    taken: list[tuple[int, int]] = []
    rows = []
    for target, polarity in pairs:
        span = _best_span(target, sentence, taken) if target else None
        if span:
            taken.append(span)
        start, end = span or (None, None)
        rows.append(
            {
                "target": target or None,
                "start": start,
                "end": end,
                "category": None,
                "polarity": polarity,
                "opinion_words": None,
            }
        )
    return rows


def _best_span(target: str, sentence: str, taken: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """The occurrence to show: whole words before parts of words, then free ones before taken ones, then the first."""
    best = None
    start = sentence.find(target)
    while start >= 0:
        end = start + len(target)
        overlaps = any(start < other_end and other_start < end for other_start, other_end in taken)
        rank = (not _is_whole(sentence, start, end), overlaps)
        if best is None or rank < best[0]:
            best = rank, (start, end)
        if rank == (False, False):
            break
        start = sentence.find(target, start + 1)
    return best[1] if best else None


def _is_whole(sentence: str, start: int, end: int) -> bool:
    """Whether no word is cut at either end of the span."""
    cut_before = start > 0 and sentence[start - 1].isalnum() and sentence[start].isalnum()
    cut_after = end < len(sentence) and sentence[end - 1].isalnum() and sentence[end].isalnum()
    return not (cut_before or cut_after)
