# Copy of hub_tools/evaluation/scoring.py, made by `make copies`; edit the original
"""Precision, recall and F1 of opinion texts by two rules: the paper's and a strict one.

    >>> score_texts(["food | positive"], ["food | positive ; staff | negative"], ["Good food, rude staff."])["f1"]
    0.6666666666666666

Both rules read predictions and references with `hub_tools.opinions.parse` and count over all sentences together.

- **Paper** (`precision, recall, f1`; arXiv 2412.18552, as its reference code computes it): what cannot be read, or is
  not in the sentence, is dropped before counting. A predicted pair is right if the sentence's references hold it, a
  reference pair is found if the predictions hold it; repeats count each time on either side.
- **Strict** (`strict_…`): a sentence's pairs are sets, so a repeat neither helps nor hurts; and every malformed item
  and every invented target is a false positive.

Under both, precision is 1 where nothing was predicted, recall is 1 where there is nothing to find, and F1 is 0 where
both are 0. So an empty subset scores 1 by definition and means nothing: `n_implicit` and `n_multiple` tell.

Standard library and `hub_tools.opinions` only: a copy of this file travels with the metric.
"""

from collections.abc import Iterable, Sequence
from itertools import compress, repeat
from typing import NamedTuple

from .opinions import check_task, parse


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
) -> dict[str, float | int]:
    """Score predicted texts against reference texts, overall and on the two subsets of paper 1.

    Args:
        predictions, references: texts as `hub_tools.opinions.serialize` writes them, one per sentence.
        sentences: the sentences themselves, which decide whether a target is invented.
        implicit, multiple: whether each sentence belongs to the subset; `None`, or all `None`, where that is unknown,
            and then the subset's keys are absent.
        task: one of `hub_tools.opinions.TASKS`.

    Returns:
        Fractions in [0, 1]: `precision, recall, f1` and `strict_precision, strict_recall, strict_f1`, and the same
        with `implicit_` and `multiple_` before them, over all pairs of the subset's sentences. Counts over all
        sentences: `n_sentences, n_gold, n_predicted` (well-formed pairs, repeats included), `n_malformed, n_invented,
        n_repeated` (predicted pairs beyond a pair's first in its sentence), and the subsets' sizes in sentences,
        `n_implicit, n_multiple`.

    Raises:
        ValueError: unknown task, unequal lengths, or a flag that is known for some sentences only.
        TypeError: an entry that is not a string, or a flag that is not a boolean.
    """
    check_task(task)
    columns = check_columns(predictions, references, sentences, implicit, multiple)
    total, subsets = _totals(columns, task)
    scores: dict[str, float | int] = _rules(total)
    for name, (size, subset) in subsets.items():
        scores |= {f"{name}_{key}": value for key, value in _rules(subset).items()}
        scores[f"n_{name}"] = size
    return scores | {
        "n_sentences": len(columns["sentences"]),
        "n_gold": total.gold,
        "n_predicted": total.predicted,
        "n_malformed": total.malformed,
        "n_invented": total.invented,
        "n_repeated": total.predicted - total.distinct_predicted,
    }


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


def _totals(columns: dict[str, list | None], task: str) -> tuple[Tally, dict[str, tuple[int, Tally]]]:
    """The sum over all sentences and, for each subset that is known, its size and sum.

    In chunks, so that a million sentences need no million tuples at a time, which would cost more time than memory.
    """
    total = Tally()
    subsets = {name: (0, Tally()) for name in ("implicit", "multiple") if columns[name] is not None}
    for start in range(0, len(columns["sentences"]), CHUNK):
        chunk = {name: column[start : start + CHUNK] for name, column in columns.items() if column is not None}
        tallies = list(map(_tally, chunk["predictions"], chunk["references"], chunk["sentences"], repeat(task)))
        total = _sum([total, *tallies])
        for name, (size, subset) in subsets.items():
            chosen = list(compress(tallies, chunk[name]))
            subsets[name] = size + len(chosen), _sum([subset, *chosen])
    return total, subsets


def _tally(prediction: str, reference: str, sentence: str, task: str) -> tuple[int, ...]:
    """Count one sentence, as the fields of a `Tally`; linear in the length of its texts.

    Plain tuples and the two short cuts (equal texts, no pairs) halve the time for 100,000 sentences.
    """
    predicted, malformed, invented = parse(prediction, task, sentence)
    n_predicted = len(predicted)
    if prediction == reference:
        n = n_predicted if n_predicted < 2 else len(set(predicted))
        return n_predicted, n_predicted, n_predicted, n_predicted, n, n, n, malformed, invented
    gold = parse(reference, task, sentence)[0]
    if not gold and not predicted:
        return 0, 0, 0, 0, 0, 0, 0, malformed, invented
    gold_set, predicted_set = set(gold), set(predicted)
    right = gold_set & predicted_set
    found = len(gold) if len(right) == len(gold_set) else sum([pair in right for pair in gold])
    predicted_right = n_predicted if len(right) == len(predicted_set) else sum([pair in right for pair in predicted])
    n_distinct = len(gold_set), len(predicted_set), len(right)
    return len(gold), found, n_predicted, predicted_right, *n_distinct, malformed, invented


def _sum(tallies: Sequence[tuple[int, ...]]) -> Tally:
    return Tally(*map(sum, zip(*tallies, strict=True)))


def _rules(total: Tally) -> dict[str, float]:
    strict_predicted = total.distinct_predicted + total.malformed + total.invented
    paper = _f1(total.predicted_right, total.predicted, total.gold_found, total.gold)
    strict = _f1(total.distinct_right, strict_predicted, total.distinct_right, total.distinct_gold)
    names = ("precision", "recall", "f1")
    return dict(zip(names, paper, strict=True)) | {f"strict_{n}": v for n, v in zip(names, strict, strict=True)}


def _f1(right: int, predicted: int, found: int, gold: int) -> tuple[float, float, float]:
    # The same operations in the same order as the reference's, so that the floats are the same to the last bit.
    precision = right / predicted if predicted else 1.0
    recall = found / gold if gold else 1.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return precision, recall, f1


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
