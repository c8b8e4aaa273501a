"""Precision, recall and F1 of opinion texts: by the paper's rule and a strict one, and by others on request.

    >>> score_texts(["food | positive"], ["food | positive ; staff | negative"], ["Good food, rude staff."])["f1"]
    0.6666666666666666

All rules are those of `hub_tools.evaluation.rules`, which says what each counts. The paper's (`precision, recall, f1`)
and the strict one (`strict_…`) are always there, counted together in one pass over the texts; `rules` adds others.

Under all, precision is 1 where nothing was predicted, recall is 1 where there is nothing to find, and F1 is 0 where
both are 0. So an empty subset scores 1 by definition and means nothing: `n_implicit` and its like tell.

Standard library, `hub_tools.opinions` and its neighbour `rules` only: copies of these files travel with the metric.
"""

from collections.abc import Iterable, Sequence
from itertools import compress, repeat
from typing import NamedTuple

from hub_tools.evaluation.rules import Counts, check_rule, f1_of, sentence_counts
from hub_tools.opinions import IMPLICIT, check_task, fields_of, parse


CHUNK = 1000  # sentences counted at a time


class Tally(NamedTuple):
    """What one sentence, or a sum of them, adds to the scores."""

    gold: int = 0  # reference pairs, repeats included
    gold_found: int = 0
    predicted: int = 0  # well-formed predicted pairs, repeats included
    predicted_right: int = 0
    distinct_gold: int = 0
    distinct_predicted: int = 0
    distinct_right: int = 0
    malformed: int = 0
    invented: int = 0


def score_texts(
    predictions: Sequence[str],
    references: Sequence[str],
    sentences: Sequence[str],
    implicit: Sequence[bool] | None = None,
    multiple: Sequence[bool] | None = None,
    task: str = "tsa",
    rules: Sequence[str] = (),
) -> dict[str, float | int]:
    """Score predicted texts against reference texts, overall and on subsets.

    Args:
        predictions, references: texts as `hub_tools.opinions.serialize` writes them, one per sentence.
        sentences: the sentences themselves, which decide whether a target is invented.
        implicit, multiple: whether each sentence belongs to the subset of paper 1; `None`, or all `None`, where that
            is unknown, and then the subset's keys are absent.
        task: what `hub_tools.opinions.fields_of` reads: one of `TASKS`, or fields.
        rules: further ones of `hub_tools.evaluation.rules.RULES`; "paper" and "strict" may stand there too.

    Returns:
        Fractions in [0, 1]: `precision, recall, f1` and `strict_precision, strict_recall, strict_f1`, and for each
        further rule `partial_precision …` or its like ("absa-quad" as `absa_quad_…`; this one and "instructabsa" may
        exceed 1). The same with `implicit_` and `multiple_` before them, over all items of the subset's sentences;
        for "acos" and "asqp" also with `implicit_aspect_` and `implicit_opinion_`, over the sentences with a gold
        quad whose target, or whose opinion words, are implicit. Counts over all sentences: `n_sentences, n_gold,
        n_predicted` (well-formed items, repeats included), `n_malformed, n_invented, n_repeated` (predicted items
        beyond an item's first in its sentence), and the subsets' sizes in sentences, `n_implicit …`.

    Raises:
        ValueError: unknown task or rule, unequal lengths, or a flag that is known for some sentences only.
        TypeError: an entry that is not a string, or a flag that is not a boolean.
    """
    check_task(task)
    further = further_rules(rules)
    columns = check_columns(predictions, references, sentences, implicit, multiple)
    total, subsets = _totals(columns, task, further)
    scores: dict[str, float | int] = _scores(total)
    for name, subset in subsets.items():
        scores |= {f"{name}_{key}": value for key, value in _scores(subset).items()}
        scores[f"n_{name}"] = subset.sentences
    return scores | {
        "n_sentences": len(columns["sentences"]),
        "n_gold": total.tally.gold,
        "n_predicted": total.tally.predicted,
        "n_malformed": total.tally.malformed,
        "n_invented": total.tally.invented,
        "n_repeated": total.tally.predicted - total.tally.distinct_predicted,
    }


def further_rules(rules: Sequence[str]) -> tuple[str, ...]:
    """The rules beyond those that are always there, each once, in the order given.

    Raises:
        ValueError: an unknown rule.
        TypeError: one text instead of a list.
    """
    if isinstance(rules, str):
        raise TypeError(f"rules must be a list of rules, found one text, {rules!r}")
    for rule in rules:
        check_rule(rule)
    return tuple(rule for rule in dict.fromkeys(rules) if rule not in ("paper", "strict"))


def check_columns(
    predictions: Sequence[str],
    references: Sequence[str],
    sentences: Sequence[str],
    implicit: Sequence[bool] | None = None,
    multiple: Sequence[bool] | None = None,
) -> dict[str, list | None]:
    """The columns of `score_texts` as lists, flags that nobody annotated as `None`; raises as `score_texts` does."""
    texts = {"predictions": predictions, "references": references, "sentences": sentences}
    columns = {name: _texts(name, column) for name, column in texts.items()}
    columns |= {"implicit": _flags("implicit", implicit), "multiple": _flags("multiple", multiple)}
    lengths = {name: len(column) for name, column in columns.items() if column is not None}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{length} {name}" for name, length in lengths.items())
        raise ValueError(f"columns must be of equal length, found {found}")
    return columns


class _Total:
    """What the sentences of a subset add up to."""

    def __init__(self, further: Sequence[str]) -> None:
        self.sentences = 0
        self.tally = Tally()
        self.counts = {rule: Counts(0, 0, 0, 0) for rule in further}

    def add(self, tallies: Sequence[tuple[int, ...]], counts: dict[str, Sequence[Counts]]) -> None:
        self.sentences += len(tallies)
        self.tally = Tally(*_sum([self.tally, *tallies]))
        for rule, added in counts.items():
            self.counts[rule] = Counts(*_sum([self.counts[rule], *added]))


def _totals(columns: dict[str, list | None], task: str, further: Sequence[str]) -> tuple[_Total, dict[str, _Total]]:
    """The total over all sentences and over each subset that is known.

    In chunks, so that a million sentences need no million tuples at a time, which would cost more time than memory.
    """
    known = [name for name in ("implicit", "multiple") if columns[name] is not None]
    total = _Total(further)
    subsets = {name: _Total(further) for name in (*known, *_IMPLICIT_FIELDS.get(task, {}))}
    for start in range(0, len(columns["sentences"]), CHUNK):
        chunk = {name: column[start : start + CHUNK] for name, column in columns.items() if column is not None}
        texts = chunk["predictions"], chunk["references"], chunk["sentences"]
        gold = _gold(*texts[1:], task) if task in _IMPLICIT_FIELDS else None
        tallies = list(map(_tally, *texts, repeat(task), gold if gold is not None else repeat(None)))
        counts = {rule: sentence_counts(*texts, task, rule) for rule in further}
        total.add(tallies, counts)
        chunk |= _implicit_flags(gold, task)
        for name, subset in subsets.items():
            subset.add(
                list(compress(tallies, chunk[name])),
                {rule: list(compress(column, chunk[name])) for rule, column in counts.items()},
            )
    return total, subsets


# The subsets that are read off the references themselves: where the field is "none" in some gold item.
_QUAD_SUBSETS = {"implicit_aspect": "target", "implicit_opinion": "opinion"}
_IMPLICIT_FIELDS = {"acos": _QUAD_SUBSETS, "asqp": _QUAD_SUBSETS}


def implicit_flags(references: Sequence[str], sentences: Sequence[str], task: str) -> dict[str, list[bool]]:
    """Which sentences belong to `implicit_aspect` and to `implicit_opinion`; nothing for tasks other than quads."""
    return _implicit_flags(_gold(references, sentences, task) if task in _IMPLICIT_FIELDS else None, task)


def _gold(references: Sequence[str], sentences: Sequence[str], task: str) -> list[list[tuple[str, ...]]]:
    return [parse(reference, task, sentence)[0] for reference, sentence in zip(references, sentences, strict=True)]


def _implicit_flags(gold: list[list[tuple[str, ...]]] | None, task: str) -> dict[str, list[bool]]:
    places = {name: fields_of(task).index(field) for name, field in _IMPLICIT_FIELDS.get(task, {}).items()}
    return {name: [IMPLICIT in [item[place] for item in items] for items in gold] for name, place in places.items()}


def _tally(
    prediction: str, reference: str, sentence: str, task: str, gold: list[tuple[str, ...]] | None
) -> tuple[int, ...]:
    """Count one sentence, as the fields of a `Tally`; linear in the length of its texts.

    `gold` is the reference parsed, where that was needed before. Plain tuples and the short cuts (equal texts, equal
    items) halve the time for 100,000 sentences.
    """
    predicted, malformed, invented = parse(prediction, task, sentence)
    if gold is None:
        gold = predicted if prediction == reference else parse(reference, task, sentence)[0]
    n_predicted = len(predicted)
    if predicted == gold:
        n = n_predicted if n_predicted < 2 else len(set(predicted))
        return n_predicted, n_predicted, n_predicted, n_predicted, n, n, n, malformed, invented
    gold_set, predicted_set = set(gold), set(predicted)
    right = gold_set & predicted_set
    found = len(gold) if len(right) == len(gold_set) else sum([pair in right for pair in gold])
    predicted_right = n_predicted if len(right) == len(predicted_set) else sum([pair in right for pair in predicted])
    n_distinct = len(gold_set), len(predicted_set), len(right)
    return len(gold), found, n_predicted, predicted_right, *n_distinct, malformed, invented


def _sum(rows: Sequence[Sequence[float]]) -> list[float]:
    return list(map(sum, zip(*rows, strict=True)))


def _scores(total: _Total) -> dict[str, float]:
    """Precision, recall and F1 by each rule."""
    tally = total.tally
    strict_predicted = tally.distinct_predicted + tally.malformed + tally.invented
    by_prefix = {
        "": (tally.predicted_right, tally.predicted, tally.gold_found, tally.gold),
        "strict_": (tally.distinct_right, strict_predicted, tally.distinct_right, tally.distinct_gold),
    } | {f"{rule.replace('-', '_')}_": counts for rule, counts in total.counts.items()}
    names = ("precision", "recall", "f1")
    return {
        f"{prefix}{name}": value
        for prefix, counts in by_prefix.items()
        for name, value in zip(names, f1_of(counts), strict=True)
    }


def _texts(name: str, column: Iterable[str]) -> list[str]:
    if isinstance(column, (str, bytes)) or not isinstance(column, Iterable):
        raise TypeError(f"{name} must be a list of strings, found one {type(column).__name__}")
    texts = list(column)
    if set(map(type, texts)) - {str}:
        for index, text in enumerate(texts):
            if not isinstance(text, str):
                raise TypeError(f"{name}[{index}] must be a string, found {type(text).__name__}: {text!r:.80}")
    return texts


def _flags(name: str, column: Iterable[bool] | None) -> list[bool] | None:
    if column is None:
        return None
    if isinstance(column, (str, bytes)) or not isinstance(column, Iterable):
        raise TypeError(f"{name} must be a list of booleans, found one {type(column).__name__}")
    flags = list(column)
    if flags and all(flag is None for flag in flags):
        return None
    for index, flag in enumerate(flags if set(map(type, flags)) - {bool} else ()):
        if flag is None:
            raise ValueError(f"{name}[{index}] is None while others are known; give all flags, or None for the column")
        # numpy's booleans are not `bool`, but `== bool(...)` holds for them; the text "False" must not count as true.
        if isinstance(flag, (str, bytes)) or flag not in (True, False):
            raise TypeError(f"{name}[{index}] must be a boolean, found {type(flag).__name__}: {flag!r:.80}")
    return flags
