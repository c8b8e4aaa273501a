"""Scoring rules by name: what each counts in a sentence, so that anyone's predictions can be put under all of them.

    >>> said, gold, sentence = "food | positive ; tea | negative", "food | positive", "Good food."
    >>> counts = sentence_counts([said], [gold], [sentence], "tsa", "strict")
    >>> counts, f1_of(counts[0])
    ([Counts(right=1, predicted=2, found=1, gold=1)], (0.5, 1.0, 0.6666666666666666))

An *item* is one opinion of a text, a tuple of the task's fields. Counts are summed over the sentences; precision is
Σright / Σpredicted, recall Σfound / Σgold, F1 their harmonic mean. The rules differ in what they count:

- **paper** (arXiv 2412.18552, as its reference code counts): items that cannot be read, or that name what is not in
  the sentence, are dropped first. A predicted item is right if the gold holds it, a gold item found if the prediction
  holds it; repeats count each time, on either side.
- **strict** (ours): sets, so a repeat neither helps nor hurts; malformed and invented items are false positives.
- **instructabsa** (`T5Generator.get_metrics` in InstructABSA/utils.py of kevinscaria/InstructABSA): an item is the
  text "term:polarity"; a gold item is found if it is part of some predicted item or some predicted item is part of it.
  One prediction may serve any number of gold items, and both precision and recall divide the found gold items, so F1
  may exceed 1. Items are joined by ", " and split there again, as their texts are, so a term with a comma is two.
- **absa-quad** (`compute_f1_scores` in eval_utils.py of IsakZhang/ABSA-QUAD): each predicted item that the gold holds
  is a hit, repeats included, and precision and recall both divide the hits: F1 may exceed 1. Whatever has not the
  right number of fields, an empty text too, is a tuple of empty texts, which equals any other such tuple.
- **partial** (ours): strict, with credit between 0 and 1 for what is nearly right; see `credit`.

How their texts are restated in our form. InstructABSA writes "noaspectterm:none" where a sentence has no opinion, and
counts it like any other item: our empty text stands for it, in predictions as in the gold. (To see what an output of
no text at all does there, predict "|", an item of empty fields: it is part of every gold item.) More than two fields
are joined by ":" too; the repository's own branch for triplets reads the predicted polarity from the gold, which is
not restated. ABSA-QUAD reads sentences such as "food quality is great because …"; the same is done with items at "|".
Neither checks a polarity or looks into the sentence. Neither defines a score of no sentences at all.

Standard library and `hub_tools.opinions` only: a copy of this file travels with the metric.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from hub_tools.opinions import IMPLICIT, fields_of, parse


RULES = ("paper", "strict", "instructabsa", "absa-quad", "partial")

Item = tuple[str, ...]

_WORDS = re.compile(r"\w+|[^\w\s]")


class Counts(NamedTuple):
    """What one sentence, or a sum of them, adds to a rule's score; whole numbers except for "partial"."""

    right: float  # predicted items that are right (partial: the credit they earn)
    predicted: float  # predicted items that count
    found: float  # gold items that are found
    gold: float  # gold items


def sentence_counts(
    predictions: Sequence[str], references: Sequence[str], sentences: Sequence[str], task: str, rule: str
) -> list[Counts]:
    """The counts of each sentence by one rule.

    Args:
        predictions, references: texts as `hub_tools.opinions.serialize` writes them, one per sentence.
        sentences: the sentences themselves, which decide whether a target is invented.
        task: what `hub_tools.opinions.fields_of` reads.
        rule: one of `RULES`.

    Raises:
        ValueError: unknown task or rule, or columns of unequal length.
    """
    fields_of(task)
    check_rule(rule)
    count = _COUNTING[rule]
    columns = zip(predictions, references, sentences, strict=True)
    return [count(prediction, reference, sentence, task) for prediction, reference, sentence in columns]


def check_rule(rule: str) -> None:
    """Raise `ValueError` unless `rule` is one of `RULES`."""
    if rule not in RULES:
        raise ValueError(f"unknown rule {rule!r}; allowed: {', '.join(RULES)}")


def f1_of(counts: Sequence[float]) -> tuple[float, float, float]:
    """Precision, recall and F1 of summed counts (in `Counts`' order), as fractions.

    Precision is 1 where nothing was predicted, recall is 1 where there is nothing to find, F1 is 0 where both are 0.
    """
    right, predicted, found, gold = counts
    # The same operations in the same order as the reference's, so that the floats are the same to the last bit.
    precision = right / predicted if predicted else 1.0
    recall = found / gold if gold else 1.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return precision, recall, f1


def credit(predicted: Item, gold: Item, task: str) -> float:
    """How nearly right a predicted item is, for a gold item, in [0, 1]: the product of its fields' credits.

    A product, since an item is of use only if it says the right thing of the right thing: any field that is all wrong
    leaves nothing, and a polarity shared by chance earns nothing. Symmetric. Per field, 1 for equal texts, else:

    - target and opinion words: 2·r / (m + n), for texts of m and n words (punctuation marks are words, white space is
      nothing) whose longest common run has r words; 0 if one is "none" (implicit).
    - category: ½ if the entity (its first word) or the attribute (the rest) is the same, else 0.
    - polarity: ½ between neighbours, where neutral lies between positive and negative, and conflict next to all
      three; 0 between positive and negative.
    - a field of which nothing is known: 0.

    >>> credit(("chicken wings", "positive"), ("spicy chicken wings", "neutral"), "tsa")  # 2·2 / (2 + 3) · ½
    0.4
    """
    product = 1.0
    for field, said, wanted in zip(fields_of(task), predicted, gold, strict=True):
        if said != wanted:
            product *= _FIELD_CREDIT[field](said, wanted)
        if not product:
            break
    return product


def _paper(prediction: str, reference: str, sentence: str, task: str) -> Counts:
    said, wanted = parse(prediction, task, sentence).pairs, parse(reference, task, sentence).pairs
    said_set, wanted_set = set(said), set(wanted)
    right, found = sum(item in wanted_set for item in said), sum(item in said_set for item in wanted)
    return Counts(right, len(said), found, len(wanted))


def _strict(prediction: str, reference: str, sentence: str, task: str) -> Counts:
    said, wanted, wrong = _sets(prediction, reference, sentence, task)
    right = len(said & wanted)
    return Counts(right, len(said) + wrong, right, len(wanted))


def _partial(prediction: str, reference: str, sentence: str, task: str) -> Counts:
    """As strict, but right and found are the credit of distinct predicted items, each assigned to at most one distinct
    gold item and each gold item to at most one of them, so that the sum over the sentence is the largest possible."""
    said, wanted, wrong = _sets(prediction, reference, sentence, task)
    if not said or not wanted or said == wanted:
        earned = float(len(said & wanted))
    else:
        earned = best_sum([[credit(item, other, task) for other in sorted(wanted)] for item in sorted(said)])
    return Counts(earned, len(said) + wrong, earned, len(wanted))


def _sets(prediction: str, reference: str, sentence: str, task: str) -> tuple[set[Item], set[Item], int]:
    """Distinct predicted items, distinct gold items, and how many predicted items were malformed or invented."""
    said = parse(prediction, task, sentence)
    return set(said.pairs), set(parse(reference, task, sentence).pairs), said.malformed + said.invented


def _instructabsa(prediction: str, reference: str, sentence: str, task: str) -> Counts:
    said, wanted = _colon_items(prediction), _colon_items(reference)
    found = sum(any(item in other or other in item for item in said) for other in wanted)
    return Counts(found, len(said), found, len(wanted))


def _colon_items(text: str) -> list[str]:
    """A text's items as InstructABSA has them."""
    items = [[part.strip() for part in item.split("|")] for item in text.split(";") if item.strip()]
    joined = ", ".join(":".join(parts) if any(parts) else "" for parts in items)
    return (joined if items else "noaspectterm:none").split(", ")


def _absa_quad(prediction: str, reference: str, sentence: str, task: str) -> Counts:
    size = len(fields_of(task))
    said, wanted = _tuples(prediction, size), _tuples(reference, size)
    hits = sum(item in wanted for item in said)
    return Counts(hits, len(said), hits, len(wanted))


def _tuples(text: str, size: int) -> list[Item]:
    """A text's items as ABSA-QUAD has them."""
    items = [tuple(part.strip() for part in item.split("|")) for item in text.split(";")]
    return [item if len(item) == size else ("",) * size for item in items]


_COUNTING = {
    "paper": _paper,
    "strict": _strict,
    "instructabsa": _instructabsa,
    "absa-quad": _absa_quad,
    "partial": _partial,
}


@lru_cache(maxsize=1 << 14)
def _span_credit(said: str, wanted: str) -> float:
    if IMPLICIT in (said, wanted):
        return 0.0
    first, second = _WORDS.findall(said), _WORDS.findall(wanted)
    longest, runs = 0, [0] * (len(second) + 1)  # runs[j]: length of the common run that ends before second[j]
    for word in first:
        runs = [0, *(runs[j] + 1 if word == other else 0 for j, other in enumerate(second))]
        longest = max(longest, *runs)
    return 2 * longest / (len(first) + len(second)) if longest else 0.0


def _category_credit(said: str, wanted: str) -> float:
    (entity, _, attribute), (other_entity, _, other_attribute) = said.partition(" "), wanted.partition(" ")
    return 0.5 if entity == other_entity or attribute == other_attribute != "" else 0.0


def _polarity_credit(said: str, wanted: str) -> float:
    return 0.0 if {said, wanted} == {"positive", "negative"} else 0.5


_FIELD_CREDIT = {
    "target": _span_credit,
    "opinion": _span_credit,
    "category": _category_credit,
    "polarity": _polarity_credit,
    "field": lambda said, wanted: 0.0,
}


def best_sum(credits: Sequence[Sequence[float]]) -> float:
    """The largest sum of entries of a matrix, no two from one row or one column: an exact one-to-one assignment.

    The Hungarian algorithm by shortest augmenting paths, O(r²·c) for r rows and c ≥ r columns (transposed if fewer).
    Rows and columns of zeros are left out first, as most are.

    >>> best_sum([[0.9, 0.8], [0.8, 0.1]])  # not 0.9 + 0.1
    1.6
    """
    rows = [row for row in credits if any(row)]
    columns = [column for column in zip(*rows, strict=True) if any(column)]
    rows = columns if len(columns) < len(rows) else list(zip(*columns, strict=True))
    if len(rows) < 2:
        return max(rows[0]) if rows else 0.0
    width = len(rows[0])
    row_price, column_price = [0.0] * len(rows), [0.0] * (width + 1)
    holder = [-1] * (width + 1)  # the row that holds a column; the last column is where a new row enters
    for new in range(len(rows)):
        holder[width] = new
        column, slack, before, seen = width, [float("inf")] * width, [width] * width, [False] * (width + 1)
        while holder[column] >= 0:
            seen[column] = True
            row, step, nearest = holder[column], float("inf"), width
            for j in range(width):
                if not seen[j]:
                    cost = -rows[row][j] - row_price[row] - column_price[j]
                    if cost < slack[j]:
                        slack[j], before[j] = cost, column
                    if slack[j] < step:
                        step, nearest = slack[j], j
            for j in range(width + 1):
                if seen[j]:
                    row_price[holder[j]] += step
                    column_price[j] -= step
                elif j < width:
                    slack[j] -= step
            column = nearest
        while column != width:  # hand each column on the path to the row that came from before it
            holder[column] = holder[before[column]]
            column = before[column]
        holder[width] = -1
    return sum(rows[holder[j]][j] for j in range(width) if holder[j] >= 0)
