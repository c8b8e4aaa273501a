"""The text form of opinions: what a student is trained to write and what every scorer reads.

A sentence's opinions are one line of items, `what | polarity`, joined by ` ; `. In target sentiment analysis ("tsa")
*what* is the opinion target as it stands in the sentence; in aspect sentiment analysis ("asa") it is the aspect
category in lower case, with a space for `#`. No opinion is the empty string.

    >>> food = {"target": "Pad Thai", "start": 4, "end": 12, "category": "FOOD#QUALITY", "polarity": "positive"}
    >>> serialize([food], "tsa"), serialize([food], "asa")
    ('Pad Thai | positive', 'food quality | positive')
    >>> parse("Pad Thai | positive ; soup | negative ; ???", "tsa", "The Pad Thai was great.")
    Parsed(pairs=[('Pad Thai', 'positive')], malformed=1, invented=1)

Standard library only: copies of this file travel with the metric and the Space (see `hub_tools.hub.copies`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


POLARITIES = ("positive", "neutral", "negative", "conflict")
TASKS = ("tsa", "asa")

# How a polarity stands in a well-formed text, so that the usual case needs one look-up and no `strip`.
_POLARITY = {form: name for name in POLARITIES for form in (name, f" {name}", f" {name} ", f"{name} ")}


class Parsed(NamedTuple):
    """What a text says: its well-formed pairs in order, repeats included, and how many items were not usable."""

    pairs: list[tuple[str, str]]
    malformed: int  # items without exactly one "|", or with an unknown polarity
    invented: int  # tsa: well-formed items whose target is not in the sentence


def check_task(task: str) -> None:
    """Raise `ValueError` unless `task` is one of `TASKS`."""
    if task not in TASKS:
        raise ValueError(f"unknown task {task!r}; allowed: {', '.join(TASKS)}")


def serialize(opinions: Sequence[Mapping[str, Any]], task: str) -> str:
    """Write a row's opinions as text, in the order given, each distinct one once.

    For "tsa", opinions without a target (`None`, or "NULL" as SemEval has it) are left out, and what is distinct is
    (target, polarity, span): a word praised at two places is written twice. For "asa", opinions without a category
    are left out, and what is distinct is (category, polarity). The order is the caller's: the official files need one
    of their own, which `hub_tools.benchmarks.fsa` gives.

    Raises:
        ValueError: unknown task or polarity, or a target or category that holds "|" or ";" and could not be read back.
    """
    check_task(task)
    items: dict[tuple[Any, ...], str] = {}
    for opinion in opinions:
        name = opinion["target"] if task == "tsa" else opinion["category"]
        if name is None or name == "NULL":
            continue
        polarity = opinion["polarity"]
        if polarity not in POLARITIES:
            raise ValueError(f"unknown polarity {polarity!r} of {name!r}; allowed: {', '.join(POLARITIES)}")
        if "|" in name or ";" in name:
            raise ValueError(f"{name!r} holds a '|' or ';', which the text form uses as signs")
        if task == "tsa":
            items.setdefault((name, polarity, opinion["start"], opinion["end"]), f"{name} | {polarity}")
        else:
            category = name.lower().replace("#", " ")
            items.setdefault((category, polarity), f"{category} | {polarity}")
    return " ; ".join(items.values())


def parse(text: str, task: str, sentence: str) -> Parsed:
    """Read a text by the rule of the reference code of paper 1 (arXiv 2412.18552).

    Items are split at ";". One counts if it has exactly one "|", a polarity of `POLARITIES`, and, for "tsa", a target
    that is a substring of the sentence (so an empty target passes). A category is not checked. The reference drops
    all other items silently; here they are counted, save those that are empty.

    Raises:
        ValueError: unknown task.
    """
    if task not in TASKS:
        check_task(task)
    if not text:
        return Parsed([], 0, 0)
    pairs = []
    malformed = invented = 0
    grounded = task == "tsa"
    for item in text.split(";"):
        name, bar, rest = item.partition("|")
        # A second "|" would stand in `rest`, which is then no polarity.
        polarity = _POLARITY.get(rest) or _POLARITY.get(rest.strip())
        if polarity is None:
            malformed += bool(bar or name.strip())
            continue
        name = name.strip()
        if grounded and name not in sentence:
            invented += 1
        else:
            pairs.append((name, polarity))
    return Parsed(pairs, malformed, invented)


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
