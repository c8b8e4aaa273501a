# Copy of hub_tools/evaluation/files.py, made by `make copies`; edit the original
"""Predictions and gold in files, joined for the scorer."""

import json
from collections.abc import Sequence
from pathlib import Path


class ScoringFileError(ValueError):
    """A predictions or gold file that cannot be scored; the message names file and line."""


def read_scored(predictions: Path, gold: Path | None = None) -> dict[str, list | None]:
    """
    Reads predictions and gold into the arguments of `score_texts`, and `ids`: an entry per gold line, in gold's order.

    Gold lines hold `sentence` and `reference` (or `text`, as in fsa-benchmark), and may hold `id, implicit, multiple`;
    prediction lines hold `prediction`, and `id` if gold does. With ids (texts or whole numbers; 7 is the same as "7")
    the files are joined by them, otherwise line by line, and `ids` are gold's line numbers. Without `gold`, one file
    holds both on each line, as the prediction rows of fine-tuning runs do: one run's rows at a time.

    Raises:
        ScoringFileError: a file is absent or not JSON lines; a field is missing; ids are repeated, missing on one
            side only, or do not match; without ids, the files differ in length; a subset is marked on some lines only.
    """
    given = read_lines(predictions)
    if gold is None:
        gold, wanted = predictions, given
        if not {"sentence", "reference", "text"} & set(wanted[0][1]):
            raise ScoringFileError(
                f"{predictions}: holds no gold (fields: {', '.join(wanted[0][1])}). Give a gold file too, or write "
                "`sentence` and `reference` on each line."
            )
        ids = list(by_id(gold, wanted)) if "id" in wanted[0][1] else None
    else:
        wanted = read_lines(gold)
        ids = list(by_id(gold, wanted)) if "id" in wanted[0][1] else None
        given = _joined(predictions, given, gold, len(wanted), ids)
    reference = "reference" if "reference" in wanted[0][1] else "text"
    return {
        "ids": ids or [str(line) for line, _ in wanted],
        "predictions": [value(predictions, line, row, "prediction") for line, row in given],
        "references": [value(gold, line, row, reference) for line, row in wanted],
        "sentences": [value(gold, line, row, "sentence") for line, row in wanted],
        "implicit": flags(gold, wanted, "implicit"),
        "multiple": flags(gold, wanted, "multiple"),
    }


def _joined(
    predictions: Path, given: list[tuple[int, dict]], gold: Path, n_gold: int, ids: list[str] | None
) -> list[tuple[int, dict]]:
    """The prediction lines in gold's order."""
    if ids is None:
        if len(given) != n_gold:
            raise ScoringFileError(
                f"{predictions} has {len(given)} lines, {gold} has {n_gold}; without `id` they are joined by line."
            )
        return given
    answers, known = by_id(predictions, given), set(ids)
    missing = [id_ for id_ in ids if id_ not in answers]
    extra = [id_ for id_ in answers if id_ not in known]
    if missing or extra:
        found = [_some(missing, f"of {gold} without a prediction")] if missing else []
        found += [_some(extra, f"that {gold} does not have")] if extra else []
        raise ScoringFileError(
            f"{predictions}: {'; '.join(found)}. Every sentence needs one prediction; '' says 'no opinion'."
        )
    return [answers[id_] for id_ in ids]


def read_lines(path: Path) -> list[tuple[int, dict]]:
    """(line number, object) of each line that is not blank."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # splitlines would also split at U+2028 in a text
    except (OSError, UnicodeDecodeError) as error:
        raise ScoringFileError(f"{path}: cannot be read ({error}).") from error
    rows = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ScoringFileError(f"{path}:{number}: not JSON ({error.msg}, column {error.colno}).") from error
            if not isinstance(row, dict):
                raise ScoringFileError(f"{path}:{number}: expected an object, found {type(row).__name__}.")
            rows.append((number, row))
    if not rows:
        raise ScoringFileError(f"{path}: holds no lines.")
    return rows


def by_id(path: Path, rows: list[tuple[int, dict]]) -> dict[str, tuple[int, dict]]:
    """Rows by their `id`, which must be there once each."""
    found: dict[str, tuple[int, dict]] = {}
    for line, row in rows:
        number = row.get("id")
        id_ = str(number) if type(number) is int else value(path, line, row, "id")
        if id_ in found:
            raise ScoringFileError(
                f"{path}:{line}: id {id_!r} occurs before, at line {found[id_][0]}; of several runs, give one's rows."
            )
        found[id_] = (line, row)
    return found


def value(path: Path, line: int, row: dict, name: str) -> str:
    """A text field that must be there."""
    if not isinstance(row.get(name), str):
        raise ScoringFileError(
            f"{path}:{line}: field '{name}' should be text, found {row.get(name)!r}; fields: {', '.join(row)}."
        )
    return row[name]


def flags(path: Path, rows: list[tuple[int, dict]], name: str) -> list[bool] | None:
    """The subset's flags, or None where no line has one."""
    found = [row.get(name) for _, row in rows]
    if all(flag is None for flag in found):
        return None
    for (line, _), flag in zip(rows, found, strict=True):
        if not isinstance(flag, bool):
            raise ScoringFileError(
                f"{path}:{line}: field '{name}' should be true or false on every line, or on none; found {flag!r}."
            )
    return found


def _some(ids: Sequence[str], what: str) -> str:
    """How many, and which: at most three of them."""
    shown = ", ".join(f"'{id_}'" for id_ in ids[:3]) + (", …" if len(ids) > 3 else "")
    return f"{len(ids)} id{'s' if len(ids) > 1 else ''} {what} ({shown})"
