"""From predictions to result rows: each run scored on its splits and subsets; and new rows among those of old runs."""

from collections.abc import Iterable, Mapping, Sequence

from hub_tools.benchmarks.configs import splits_of, subsets_of, task_of
from hub_tools.evaluation.scoring import score_texts
from hub_tools.opinions import IMPLICIT, fields_of, parse


SCORES = ("precision", "recall", "f1", "strict_precision", "strict_recall", "strict_f1")
EXTRA_RULES = ("instructabsa", "absa-quad", "partial")
EXTRA_SCORES = ("partial_f1", "instructabsa_f1", "absa_quad_f1")
COUNTS = ("n_sentences", "n_gold", "n_predicted", "n_malformed", "n_invented", "n_repeated")

# What one fine-tuning run is: its rows replace those of an earlier one. A run of before these columns had all of
# train, and plain sentences.
KEY = ("model", "config", "seed", "train_share", "input_form")
_KEY_DEFAULTS = {"train_share": 1.0, "input_form": "plain"}


def prediction_rows(rows: Sequence[Mapping], predictions: Sequence[str], seed: int) -> list[dict]:
    """Benchmark rows and what a student wrote for them → prediction rows, in the contract's columns (plus `hard`)."""
    return [
        {
            "id": row["id"],
            "sentence": row["sentence"],
            "reference": row["text"],
            "prediction": prediction,
            "implicit": row["implicit"],
            "multiple": row["multiple"],
            "hard": row["hard"],
            "seed": seed,
        }
        for row, prediction in zip(rows, predictions, strict=True)
    ]


def is_in(row: Mapping, subset: str, task: str) -> bool:
    """
    Whether a prediction row belongs to a subset.

    `implicit` and `multiple` are the row's own flags. `implicit_aspect` and `implicit_opinion`: some gold quad has
    "none" for its target, or for its opinion words.
    """
    if subset in ("implicit_aspect", "implicit_opinion"):
        place = fields_of(task).index("target" if subset == "implicit_aspect" else "opinion")
        return any(quad[place] == IMPLICIT for quad in parse(row["reference"], task, row["sentence"]).pairs)
    return subset == "all" or bool(row[subset])


def result_rows(
    predictions: Sequence[Mapping], config: str, facts: Mapping[str, object], splits: Sequence[str] = ()
) -> list[dict]:
    """
    Scores one run's predictions: a row per split and subset, fractions in [0, 1] by every rule.

    Args:
        predictions: prediction rows of the config's headline split; where that is `test_hard`, the official `test` is
            the part of it that is not marked `hard` (paper 1, arXiv 2412.18552, Table 12), so one set serves both.
        config: of the benchmark; a task alone will do.
        facts: further columns, the same on each row: model, config, seed, how the run came to be.
        splits: of `splits_of(config)`, if not all of them.
    """
    task = task_of(config)
    rows = []
    for split in splits or splits_of(config):
        part = [row for row in predictions if split == "test_hard" or not row["hard"]]
        for subset in subsets_of(config):
            chosen = [row for row in part if is_in(row, subset, task)]
            scores = score_texts(
                [row["prediction"] for row in chosen],
                [row["reference"] for row in chosen],
                [row["sentence"] for row in chosen],
                task=task,
                rules=EXTRA_RULES,
            )
            kept = {key: scores[key] for key in (*SCORES, *EXTRA_SCORES, *COUNTS)}
            rows.append({**facts, "split": split, "subset": subset, **kept})
    return rows


def key_of(row: Mapping) -> tuple:
    """Which fine-tuning run a result or prediction row is of."""
    return tuple(row.get(name, _KEY_DEFAULTS.get(name)) for name in KEY)


def united(earlier: Iterable[Mapping], rows: Sequence[Mapping]) -> list[dict]:
    """
    The earlier rows without those of a run that has rows of its own now, and then `rows`.

    All get the same columns, in the order of the new rows: what an earlier one does not have is None, or for the
    columns of `KEY` what it meant then.
    """
    replaced = {key_of(row) for row in rows}
    kept = [row for row in earlier if key_of(row) not in replaced]
    names = dict.fromkeys(name for row in (*rows[:1], *kept) for name in row)
    return [{name: row.get(name, _KEY_DEFAULTS.get(name)) for name in names} for row in (*kept, *rows)]
