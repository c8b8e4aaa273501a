"""Predictions in a file → rows to look at: each with its sentence, gold, prediction, and what else is known."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hub_tools.evaluation.files import ScoringFileError, flags, read_lines, read_scored, value


FLAGS = ("implicit", "multiple", "hard")
FACTS = ("model", "config", "seed")


def read_rows(predictions: Path, gold: Path | None = None) -> list[dict[str, Any]]:
    """
    Reads JSON lines into rows `id, sentence, reference, prediction` and, where known, `implicit, multiple, hard`
    (booleans) and `model, config, seed`; `id` is the line's number where the file has none.

    Without `gold`, each prediction line holds its own `sentence` and `reference` (or `text`), as the rows of
    fine-tuning runs do; several seeds or models may share a file then. With `gold`, the two files are joined as
    `hub_tools.evaluation.files.read_scored` does.

    Raises:
        ScoringFileError: a file that cannot be read or joined, a field that is missing, or rows of several configs.
    """
    given = read_lines(predictions)
    if gold is None:
        source, lines = predictions, given
        if "prediction" in given[0][1] and "sentence" not in given[0][1]:
            raise ScoringFileError(
                f"{predictions}: holds predictions without sentences; give the gold file too, or write `sentence` and "
                "`reference` on each line."
            )
        reference = "reference" if "reference" in given[0][1] else "text"
        columns = {
            name: [value(predictions, line, row, field) for line, row in given]
            for name, field in (("sentence", "sentence"), ("reference", reference), ("prediction", "prediction"))
        }
    else:
        source, lines = gold, read_lines(gold)
        scored = read_scored(predictions, gold)
        columns = {name: scored[f"{name}s"] for name in ("sentence", "reference", "prediction")}
    found = {name: flags(source, lines, name) for name in FLAGS}
    columns |= {name: column for name, column in found.items() if column is not None}
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    facts = _facts(predictions, given)
    if gold is not None and "id" in lines[0][1]:
        by_id = {str(row["id"]): fact for (_, row), fact in zip(given, facts, strict=True)}
        facts = [by_id[str(row["id"])] for _, row in lines]
    return [
        {"id": str(raw.get("id", line)), **row, **fact}
        for row, (line, raw), fact in zip(rows, lines, facts, strict=True)
    ]


def _facts(path: Path, lines: Sequence[tuple[int, Mapping]]) -> list[dict[str, str]]:
    """Model, config and seed of each line, as text; one config only, since another one's gold is another task's."""
    facts = [{name: str(row[name]) for name in FACTS if row.get(name) is not None} for _, row in lines]
    configs = sorted({fact["config"] for fact in facts if "config" in fact})
    if len(configs) > 1:
        raise ScoringFileError(f"{path}: holds {len(configs)} configs ({', '.join(configs)}); give the rows of one.")
    return facts


def write_text(text: str, path: Path, encoding: str = "utf-8") -> None:
    """Writes a file in one piece: whoever reads it sees the old one or the new one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding=encoding, newline="")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
