"""Marked sheets → the table of error types: how often both are reasonable, context lacks, or the model is wrong.

Table 7 of paper 1 (arXiv 2412.18552) gives "the proportion of three types of errors in the predictions". A model's
three shares there sum to 30 to 55 %, so they are not of the wrong predictions; of what, the paper does not say. Here
it is said (items and errors as in `hub_tools.evaluation.error_sheet`):

- The share of type t is errors / items (counted, over the whole file) times the part of the marked errors that are of
  type t (estimated from the sample). So a model's three shares sum to its error rate.
- The 95 % interval is Wilson's for that part, times the error rate, which is known.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from hub_tools.evaluation.error_sheet import TYPES, SheetError


class Share(NamedTuple):
    """The share of one type among a model's items on a config, as fractions, with the ends of its 95 % interval."""

    share: float
    low: float
    high: float


class Cell(NamedTuple):
    """What marked sheets say of one model on one config."""

    model: str
    config: str
    errors: int
    items: int
    marked: int  # distinct errors with a type
    unmarked: int  # distinct errors in the sheets without one
    shares: tuple[Share, Share, Share] | None  # of types 1, 2, 3; None where nothing is marked


class Agreement(NamedTuple):
    """How far two sheets agree on the errors that both mark."""

    sheets: tuple[str, str]
    marked: int
    agreed: float  # fraction
    kappa: float | None  # Cohen's; None where it is not defined (both used one and the same type only)


def type_table(sheets: Mapping[str, Sequence[Mapping[str, str]]]) -> list[Cell]:
    """
    The shares of Table 7 per model and config, in the order in which the sheets bring them.

    Where several people marked one error, each of their marks weighs 1 / their number, so that it counts once.

    Args:
        sheets: a sheet's name → its rows as `read_sheet` gives them.

    Raises:
        SheetError: two rows of one model and config do not tell the same `errors` and `items`.
    """
    totals: dict[tuple[str, str], tuple[str, str]] = {}
    marks: dict[tuple[str, str], dict[str, list[str]]] = {}
    for name, lines in sheets.items():
        for line in lines:
            group, counts = (line["model"], line["config"]), (line["errors"], line["items"])
            if totals.setdefault(group, counts) != counts:
                raise SheetError(
                    f"{name}: item {line['item']} of model {group[0]!r}, config {group[1]!r} tells errors and items "
                    f"{counts}, others {totals[group]}; sheets of one model and config must come from one file"
                )
            marks.setdefault(group, {}).setdefault(line["item"], []).extend(filter(None, [line["type"]]))
    return [_cell(group, *map(int, totals[group]), list(found.values())) for group, found in marks.items()]


def _cell(group: tuple[str, str], errors: int, items: int, marks: list[list[str]]) -> Cell:
    given = [types for types in marks if types]
    shares = None
    if given:
        counts = [sum(types.count(type_) / len(types) for types in given) for type_ in TYPES]
        rate = errors / items
        shares = tuple(Share(*(rate * part for part in (c / len(given), *wilson(c, len(given))))) for c in counts)
    return Cell(*group, errors, items, len(given), len(marks) - len(given), shares)


def wilson(count: float, n: int) -> tuple[float, float]:
    """The ends of Wilson's 95 % interval for `count` of `n` (n ≥ 1)."""
    z2 = 1.959963984540054**2
    part = count / n
    middle = (part + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (part * (1 - part) + z2 / (4 * n)) / n) / (1 + z2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def agreements(sheets: Mapping[str, Sequence[Mapping[str, str]]]) -> list[Agreement]:
    """Cohen's kappa of each two sheets that mark some of the same errors."""
    marked = {name: {line["item"]: line["type"] for line in lines if line["type"]} for name, lines in sheets.items()}
    found = []
    for left, right in combinations(marked, 2):
        both = sorted(marked[left].keys() & marked[right].keys())
        if both:
            pairs = [(marked[left][item], marked[right][item]) for item in both]
            found.append(Agreement((left, right), len(both), *cohen(pairs)))
    return found


def cohen(pairs: Sequence[tuple[str, str]]) -> tuple[float, float | None]:
    """Observed agreement and Cohen's kappa of two people's marks (at least one pair)."""
    n = len(pairs)
    observed = sum(left == right for left, right in pairs) / n
    lefts, rights = (Counter(side) for side in zip(*pairs, strict=True))
    expected = sum(lefts[mark] * rights[mark] for mark in lefts) / n**2
    return observed, (observed - expected) / (1 - expected) if expected < 1 else None


def table_lines(cells: Sequence[Cell]) -> tuple[list[str], list[list[str]]]:
    """
    Table 7's layout as (header, lines): a line per model, and per config Type1, Type2, Type3 in percent of all items
    with their intervals, the errors marked of those sampled, and those unmarked.
    """
    configs = list(dict.fromkeys(cell.config for cell in cells))
    found = {(cell.model, cell.config): cell for cell in cells}
    header = ["model"]
    for config in configs:
        header += [f"{config} Type{type_}".strip() for type_ in TYPES] + [f"{config} marked".strip()]
    lines = []
    for model in dict.fromkeys(cell.model for cell in cells):
        line = [model or "–"]
        for config in configs:
            cell = found.get((model, config))
            line += [_percent(share) for share in cell.shares] if cell and cell.shares else ["–"] * 3
            line.append(f"{cell.marked} of {cell.marked + cell.unmarked}" if cell else "–")
        lines.append(line)
    return header, lines


def _percent(share: Share) -> str:
    return f"{100 * share.share:.2f} ({100 * share.low:.1f}–{100 * share.high:.1f})"
