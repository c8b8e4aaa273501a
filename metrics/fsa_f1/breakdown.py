# Copy of hub_tools/evaluation/breakdown.py, made by `make copies`; edit the original  # ruff: noqa: I001
"""Where right and wrong items are: scores per polarity and per category, and which polarity was taken for which.

All by the strict rule's view of `hub_tools.evaluation.rules`: a sentence's items are sets.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from .rules import Item, f1_of
from .opinions import POLARITIES, fields_of, parse


MISSED = "missed"  # a gold item without a predicted one that agrees in all but the polarity
SPURIOUS = "spurious"  # a predicted item without such a gold one


def breakdown(predictions: Sequence[str], references: Sequence[str], sentences: Sequence[str], task: str) -> dict:
    """
    Takes a score apart by polarity and by category.

    Args:
        predictions, references, sentences: as for `hub_tools.evaluation.scoring.score_texts`.
        task: what `hub_tools.opinions.fields_of` reads; a table of a field that the task does not have is absent.

    Returns:
        - `polarity`: {name: row} in the order of `POLARITIES`, of those that occur. A row has `precision, recall, f1`
          (fractions), `support` (distinct gold items), `predicted` (distinct items said) and `right`. Malformed and
          invented items have no class, so they lower the strict score but no row here.
        - `category`: the same by category, those with most support first.
        - `confusion`: {gold polarity or "spurious": {predicted polarity or "missed": items}}. Items of a sentence that
          agree in all other fields face each other, equal polarities first; what is then left over is missed, or
          spurious.
        - `counts`: `items` (distinct gold items), `predicted` (distinct items said), `right`, `malformed`, `invented`,
          `repeated` (beyond an item's first in its sentence).

    Raises:
        ValueError: unknown task, or columns of unequal length.
    """
    fields = fields_of(task)
    tables = {field: {"said": Counter(), "wanted": Counter(), "right": Counter()} for field in fields}
    confused: Counter[tuple[str, str]] = Counter()
    counts = Counter(items=0, predicted=0, right=0, malformed=0, invented=0, repeated=0)
    for prediction, reference, sentence in zip(predictions, references, sentences, strict=True):
        parsed = parse(prediction, task, sentence)
        said, wanted = set(parsed.pairs), set(parse(reference, task, sentence).pairs)
        right = said & wanted
        counts.update(items=len(wanted), predicted=len(said), right=len(right))
        counts.update(malformed=parsed.malformed, invented=parsed.invented, repeated=len(parsed.pairs) - len(said))
        for field in {"polarity", "category"} & set(fields):
            place = fields.index(field)
            for name, items in (("said", said), ("wanted", wanted), ("right", right)):
                tables[field][name].update(item[place] for item in items)
        if "polarity" in fields:
            confused.update(_faced(said, wanted, fields.index("polarity")))
    found: dict = {}
    if "polarity" in fields:
        found["polarity"] = _table(tables["polarity"], sorted(_names(tables["polarity"]), key=POLARITIES.index))
    if "category" in fields:
        wanted = tables["category"]["wanted"]
        found["category"] = _table(
            tables["category"], sorted(_names(tables["category"]), key=lambda c: (-wanted[c], c))
        )
    if "polarity" in fields:
        found["confusion"] = _matrix(confused)
    return found | {"counts": dict(counts)}


def _faced(said: set[Item], wanted: set[Item], place: int) -> Iterator[tuple[str, str]]:
    """(gold polarity or "spurious", predicted polarity or "missed") of one sentence's items."""
    for item in said & wanted:
        yield item[place], item[place]
    left: dict[Item, tuple[list[str], list[str]]] = {}
    for side, items in enumerate((wanted - said, said - wanted)):
        for item in items:
            rest = item[:place] + item[place + 1 :]
            left.setdefault(rest, ([], []))[side].append(item[place])
    for sides in left.values():
        gold, other = (sorted(side, key=POLARITIES.index) for side in sides)
        both = min(len(gold), len(other))
        yield from zip(gold[:both], other[:both], strict=True)
        yield from ((polarity, MISSED) for polarity in gold[both:])
        yield from ((SPURIOUS, polarity) for polarity in other[both:])


def _names(table: dict[str, Counter]) -> set[str]:
    return set(table["said"]) | set(table["wanted"])


def _table(table: dict[str, Counter], names: Sequence[str]) -> dict[str, dict[str, float]]:
    rows = {}
    for name in names:
        right, said, wanted = (table[column][name] for column in ("right", "said", "wanted"))
        precision, recall, f1 = f1_of((right, said, right, wanted))
        rows[name] = {"precision": precision, "recall": recall, "f1": f1}
        rows[name] |= {"support": wanted, "predicted": said, "right": right}
    return rows


def _matrix(confused: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """Every polarity that occurs on either side, as a row and as a column."""
    seen = [polarity for polarity in POLARITIES if any(polarity in pair for pair in confused)]
    columns = [*seen, MISSED]
    matrix = {gold: {said: confused[gold, said] for said in columns} for gold in seen}
    matrix[SPURIOUS] = {said: confused[SPURIOUS, said] for said in seen} | {MISSED: 0}
    return matrix
