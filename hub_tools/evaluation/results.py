"""From predictions to result rows: each run scored on its splits and subsets."""

from collections.abc import Mapping, Sequence

from hub_tools.evaluation.scoring import score_texts


SUBSETS = ("all", "implicit", "multiple")
SCORES = ("precision", "recall", "f1", "strict_precision", "strict_recall", "strict_f1")
COUNTS = ("n_sentences", "n_gold", "n_predicted", "n_malformed", "n_invented", "n_repeated")


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


def result_rows(predictions: Sequence[Mapping], task: str, facts: Mapping[str, object]) -> list[dict]:
    """
    Scores one run's predictions: a row per split and subset, fractions in [0, 1] by both rules.

    Args:
        predictions: prediction rows of the split `test_hard`, the paper's; the official `test` is the part of it that
            is not marked `hard` (the paper's appendix reports it too), so one set of predictions serves both.
        task: `tsa` or `asa`.
        facts: further columns, the same on each row: model, config, seed, how the run came to be.
    """
    rows = []
    for split in ("test_hard", "test"):
        part = [row for row in predictions if split == "test_hard" or not row["hard"]]
        for subset in SUBSETS:
            chosen = [row for row in part if subset == "all" or row[subset]]
            scores = score_texts(
                [row["prediction"] for row in chosen],
                [row["reference"] for row in chosen],
                [row["sentence"] for row in chosen],
                None,
                None,
                task,
            )
            kept = {key: scores[key] for key in (*SCORES, *COUNTS)}
            rows.append({**facts, "split": split, "subset": subset, **kept})
    return rows
