"""Errors by name: each gold and each predicted opinion of a sentence, matched one to one by rule.

    >>> prediction, reference = "Pad Thai | negative ; soup | neutral", "Pad Thai | positive"
    >>> for finding in classify(prediction, reference, "Good Pad Thai.", "tsa"):
    ...     print(finding.kind, finding.gold, finding.predicted)
    wrong_polarity ('Pad Thai', 'positive') ('Pad Thai', 'negative')
    invented None ('soup', 'neutral')

Equal items are right. The rest are paired greedily, the likeliest mistake first (the order of `PAIRED`), and what is
left over is missed or too much. Both sides are sets here, as under the strict rule of `hub_tools.evaluation.scoring`,
so the names do not depend on the order in which a text lists its items.

The names say how an item differs from gold, not whether it is unreasonable: for that, paper 1 (arXiv 2412.18552,
section 4.5) has people look, and `hub_tools.evaluation.error_sheet` makes and reads their sheets.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from hub_tools.opinions import IMPLICIT, fields_of, parse


Item = tuple[str, ...]

# Every kind, in the order of tables and sheets: its label, and what it means.
KINDS = {
    "right": ("right", "equal to a gold item in every field"),
    "wrong_polarity": ("wrong polarity", "all but the polarity is right"),
    "wrong_boundary": ("wrong boundary", "the target or opinion words overlap gold's; the rest is right"),
    "wrong_implicit": ("implicit or said", "says 'none' where gold quotes words, or the reverse; the rest is right"),
    "wrong_category": ("wrong category", "another category than gold's; polarity and target are right"),
    "partly_right": (
        "partly right",
        "at least half of its fields agree with a gold item's, some quoted words included",
    ),
    "missed": ("missed", "a gold item that no prediction comes near"),
    "spurious": ("not in gold", "readable and in the sentence, but nobody annotated it"),
    "invented": ("invented", "its words are not in the sentence, or its category is not in the gold of this set"),
    "repeated": ("repeated", "said before in the same prediction"),
    "malformed": ("malformed", "cannot be read"),
}
PAIRED = ("wrong_polarity", "wrong_boundary", "wrong_implicit", "wrong_category", "partly_right")

_WORD = re.compile(r"\w+")
# What points at something that the sentence may not name; "this laptop" does not.
_POINTING = re.compile(
    r"\b(its?|they|them|their|he|she|him|her|ones?|(this|that|these|those) (is|was|are|were|has|have|will|would))\b",
    re.I,
)


class Finding(NamedTuple):
    """One item of a sentence, or a gold item and the predicted one that stands for it, under the name of a kind."""

    kind: str  # a key of KINDS
    gold: Item | None = None  # the fields in `fields_of(task)`'s order
    predicted: Item | None = None
    text: str = ""  # malformed: the item as it was written
    detail: str = ""  # which fields differ; for a category, whether its entity or its attribute is right
    needs_context: bool = False  # a guess, see `needs_context`


def classify(
    prediction: str, reference: str, sentence: str, task: str, categories: Collection[str] | None = None
) -> list[Finding]:
    """
    Names what is right and wrong in one sentence's predicted text.

    Every distinct gold item is in exactly one finding, and so is every predicted item, save that one which gold
    itself repeats (a word praised at two places) may be repeated as often.

    Args:
        prediction, reference: texts as `hub_tools.opinions.serialize` writes them.
        task: what `hub_tools.opinions.fields_of` knows: tsa, asa, acos, asqp, or an n-tuple's written form.
        categories: the categories that exist (see `known_categories`); a predicted one beyond them is invented.
            `None` where that is not known.

    Returns:
        First the findings about gold items in gold's order, then those about predictions alone in theirs.

    Raises:
        ValueError: unknown task.
    """
    fields = fields_of(task)
    written = Counter(parse(reference, task, sentence).pairs)
    predicted = _predicted(prediction, written, fields, task, sentence, categories)
    usable = {finding.predicted for finding in predicted if finding.kind == "spurious"}
    matched = _match(set(written), usable, fields, sentence)
    about_gold = [matched.get(item) or Finding("missed", item) for item in written]
    taken = {finding.predicted for finding in matched.values()}
    alone = [f for f in predicted if f.kind != "spurious" or f.predicted not in taken]
    return [f._replace(needs_context=needs_context(f, fields, sentence)) for f in about_gold + alone]


def known_categories(references: Sequence[str], task: str) -> frozenset[str] | None:
    """The categories that a set's gold texts use; `None` for tasks without categories."""
    fields = fields_of(task)
    if "category" not in fields:
        return None
    place = fields.index("category")
    return frozenset(item[place] for text in references for item, _, _ in _items(text, task, text) if item)


def classify_all(rows: Sequence[Mapping[str, Any]], task: str) -> list[list[Finding]]:
    """`classify` for each of `rows` (`prediction, reference, sentence`); their own gold gives the categories."""
    categories = known_categories([row["reference"] for row in rows], task)
    return [classify(row["prediction"], row["reference"], row["sentence"], task, categories) for row in rows]


def count_errors(findings: Sequence[Sequence[Finding]]) -> list[dict[str, Any]]:
    """
    The error table: a row per kind that occurs, with `kind, label, meaning, count, needs_context` and `share`.

    `share` is the kind's part of all findings, right ones included (a fraction). Malformed and repeated items are
    findings too, so shares sum to 1.
    """
    counts = Counter(finding.kind for row in findings for finding in row)
    unclear = Counter(finding.kind for row in findings for finding in row if finding.needs_context)
    total = counts.total()
    return [
        {
            "kind": kind,
            "label": label,
            "meaning": meaning,
            "count": counts[kind],
            "needs_context": unclear[kind],
            "share": counts[kind] / total,
        }
        for kind, (label, meaning) in KINDS.items()
        if counts[kind]
    ]


def needs_context(finding: Finding, fields: Sequence[str], sentence: str) -> bool:
    """
    Whether the sentence alone may be too little to tell (type 2 of paper 1, section 4.5). A rough guess to sort by.

    Asked of errors that somebody could disagree about, so not of words that are invented or cannot be read. True
    where the gold item (the predicted one where there is none) names nothing in the sentence, and the sentence has at
    most three words or points elsewhere ("it", "they", "one"). An item without a target or category field is never
    one; a category counts as named where one of its words stands in the sentence, and as it is not known what else
    may name it ("the boot time"), the sentence must be short there and point elsewhere at its start or end.
    """
    about = finding.gold or finding.predicted
    if finding.kind not in (*PAIRED, "missed", "spurious") or about is None:
        return False
    values = dict(zip(fields, about, strict=True))
    words = _WORD.findall(sentence.lower())
    if "target" in fields:
        unnamed, place = values["target"] in ("", IMPLICIT), sentence
    elif "category" in fields:
        unnamed = len(words) <= 15 and set(_WORD.findall(values["category"])).isdisjoint(words)
        place = " ".join([*words[:2], "…", *words[-2:]])
    else:
        return False
    return unnamed and (len(words) <= 3 or bool(_POINTING.search(place)))


def _predicted(
    text: str,
    written: Counter[Item],
    fields: Sequence[str],
    task: str,
    sentence: str,
    categories: Collection[str] | None,
) -> list[Finding]:
    """Each predicted item on its own, "spurious" where it is usable: which of these are right is for `_match`."""
    seen: Counter[Item] = Counter()
    findings = []
    for item, kind, part in _items(text, task, sentence):
        if item is None:
            findings.append(Finding(kind, text=part))
            continue
        seen[item] += 1
        if categories is not None and item[fields.index("category")] not in categories and item not in written:
            kind = "invented"
        if seen[item] == 1:
            findings.append(Finding(kind, predicted=item))
        elif seen[item] > written[item]:
            findings.append(Finding("repeated", predicted=item))
    return findings


def _items(text: str, task: str, sentence: str) -> Iterator[tuple[Item | None, str, str]]:
    """Each item of a text: its tuple (`None` if malformed), "spurious", "invented" or "malformed", its text."""
    for part in text.split(";"):
        parsed = parse(part, task, sentence)
        if parsed.pairs:
            yield tuple(parsed.pairs[0]), "spurious", part.strip()
        elif parsed.invented:
            # Read against itself, an item's words are all there.
            yield tuple(parse(part, task, part).pairs[0]), "invented", part.strip()
        elif parsed.malformed:
            yield None, "malformed", part.strip()


def _match(gold: set[Item], predicted: set[Item], fields: Sequence[str], sentence: str) -> dict[Item, Finding]:
    """Gold item → the finding that pairs it; equal items first, then the likeliest mistakes, ties by the text."""
    matched = {item: Finding("right", item, item) for item in gold & predicted}
    candidates = []
    for left in gold - predicted:
        for right in predicted - gold:
            if kind := _difference(left, right, fields, sentence):
                candidates.append((PAIRED.index(kind), -_closeness(left, right), left, right))
    taken: set[Item] = set()
    for rank, _, left, right in sorted(candidates):
        if left not in matched and right not in taken:
            matched[left] = Finding(PAIRED[rank], left, right, detail=_detail(left, right, fields))
            taken.add(right)
    return matched


def _difference(gold: Item, predicted: Item, fields: Sequence[str], sentence: str) -> str | None:
    """The kind of mistake that turns one item into the other; None where they have too little in common."""
    pairs = list(zip(fields, gold, predicted, strict=True))
    wrong = [(name, left, right) for name, left, right in pairs if left != right]
    names = {name for name, _, _ in wrong}
    if names == {"polarity"}:
        return "wrong_polarity"
    spans = [(left, right) for name, left, right in wrong if name in ("target", "opinion")]
    overlapping = [_overlap(left, right, sentence) for left, right in spans]
    if names <= {"target", "opinion"}:
        if all(overlapping):
            return "wrong_boundary"
        unsaid = [IMPLICIT in pair for pair in spans]
        if all(map(max, overlapping, unsaid)):
            return "wrong_implicit"
    if names == {"category"}:
        return "wrong_category"
    # Category and polarity may agree by chance: where words are quoted, some of them must be the same ones.
    quoting = sum(name in ("target", "opinion") for name in fields)
    anchored = any(overlapping) or quoting > len(spans) or (not quoting and len(fields) > 2)
    agreeing = len(fields) - len(wrong) + sum(overlapping)
    return "partly_right" if anchored and agreeing * 2 >= len(fields) else None


def _overlap(left: str, right: str, sentence: str) -> bool:
    """Whether two quotes share characters somewhere in the sentence; what is not in it overlaps nothing."""
    if IMPLICIT in (left, right):
        return False
    ends = [[(at, at + len(quote)) for at in _places(quote, sentence)] for quote in (left, right)]
    return any(start < other_end and other_start < end for start, end in ends[0] for other_start, other_end in ends[1])


def _places(quote: str, sentence: str) -> Iterator[int]:
    at = sentence.find(quote) if quote else -1
    while at >= 0:
        yield at
        at = sentence.find(quote, at + 1)


def _closeness(gold: Item, predicted: Item) -> float:
    """How alike two items are, by their words: shared ones over all."""
    left, right = (set(" ".join(item).lower().split()) for item in (gold, predicted))
    return len(left & right) / len(left | right)


def _detail(gold: Item, predicted: Item, fields: Sequence[str]) -> str:
    """What differs, in words: "polarity", "category: same entity, other attribute", …"""
    parts = []
    for name, left, right in zip(fields, gold, predicted, strict=True):
        if left == right:
            continue
        if name == "category":
            (entity, _, attribute), (other_entity, _, other_attribute) = left.partition(" "), right.partition(" ")
            same = "entity" if entity == other_entity else "attribute" if attribute == other_attribute != "" else ""
            other = "attribute" if same == "entity" else "entity"
            name += f": same {same}, other {other}" if same else ": other entity and attribute"
        parts.append(name)
    return "; ".join(parts)
