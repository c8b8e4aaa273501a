"""Wrong predictions for people to judge: a sheet to mark, and to read back.

    sample_errors(rows, "tsa", n=100, seed=0) → write_sheet(…, "sheet.csv"); a person fills the column `type`;
    read_sheet("sheet.csv") → hub_tools.evaluation.error_types

Paper 1 (arXiv 2412.18552), section 4.5 and Table 7, has people sort about 100 wrong predictions into three types: 1,
both gold and prediction are reasonable; 2, the sentence is too little to tell; 3, the model is wrong. An *item* here
is one finding of `hub_tools.evaluation.errors`: a gold item and the prediction that stands for it, or a missed gold
item, or a predicted item that stands for none. An *error* is an item that is not right; errors are what is drawn.

A sheet is CSV that opens in a spreadsheet: UTF-8 with a byte order mark, and a cell that a spreadsheet would take for
a formula has an apostrophe before it, which is taken away again when it is read.
"""

import csv
import hashlib
import io
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hub_tools.evaluation.errors import KINDS, Finding, classify_all
from hub_tools.evaluation.rows import write_text


TYPES = ("1", "2", "3")
COLUMNS = (
    "item",  # the same for the same error in every sheet
    "id",
    "sentence",
    "gold",
    "prediction",
    "kind",
    "suggestion",
    "type",  # for a person: 1, 2, 3 or empty
    "note",  # for a person
    "whole gold",
    "whole prediction",
    "model",
    "config",
    "errors",  # in the whole file
    "items",  # in the whole file
)
_FORMULA = tuple("=+-@\t\r＝＋－＠")


class SheetError(ValueError):
    """A sheet that cannot be made or read; the message names file, row and column."""


def sample_errors(
    rows: Sequence[Mapping[str, Any]],
    task: str,
    n: int = 100,
    seed: int = 0,
    stratified: bool = False,
    model: str = "",
    config: str = "",
) -> list[dict[str, str]]:
    """
    Draws errors at random, without replacement, and sorts them by kind and place for a person to go through.

    Args:
        rows: as `hub_tools.evaluation.rows.read_rows` gives them.
        n: how many; all of them where there are fewer.
        seed: the same seed and rows give the same sample.
        stratified: every kind gets its part of `n` (largest remainders), which narrows nothing but chance between
            kinds; without it each error is as likely as any other.
        model, config: what the sheet says they are, where the rows do not.

    Raises:
        SheetError: no errors, or rows of several models.
        ValueError: unknown task.
    """
    models = sorted({row.get("model") or model for row in rows})
    if len(models) > 1:
        raise SheetError(f"the predictions are of {len(models)} models ({', '.join(models)}); sample each on its own")
    findings = classify_all(rows, task)
    wrong = [
        (list(KINDS).index(finding.kind), place, number, finding)
        for place, found in enumerate(findings)
        for number, finding in enumerate(found)
        if finding.kind != "right"
    ]
    if not wrong:
        raise SheetError("there are no errors to sample: every prediction equals its gold")
    items = sum(map(len, findings))
    drawn = sorted(_draw(wrong, n, random.Random(seed), stratified), key=lambda error: error[:3])
    facts = {"errors": str(len(wrong)), "items": str(items)}
    return [
        _line(
            rows[place], number, finding, {"model": models[0], "config": rows[place].get("config") or config, **facts}
        )
        for _, place, number, finding in drawn
    ]


def _draw(wrong: list[tuple], n: int, chance: random.Random, stratified: bool) -> list[tuple]:
    n = min(n, len(wrong))
    if not stratified:
        return chance.sample(wrong, n)
    strata: dict[int, list[tuple]] = {}
    for error in wrong:
        strata.setdefault(error[0], []).append(error)
    parts = {kind: n * len(errors) / len(wrong) for kind, errors in strata.items()}
    sizes = {kind: int(part) for kind, part in parts.items()}
    for kind in sorted(parts, key=lambda kind: (sizes[kind] - parts[kind], kind))[: n - sum(sizes.values())]:
        sizes[kind] += 1
    return [error for kind in sorted(strata) for error in chance.sample(strata[kind], sizes[kind])]


def _line(row: Mapping[str, Any], number: int, finding: Finding, facts: Mapping[str, str]) -> dict[str, str]:
    gold, predicted = (" | ".join(item) if item else "" for item in (finding.gold, finding.predicted))
    key = (facts["model"], facts["config"], row["id"], row.get("seed"), finding.kind, gold, predicted, number)
    return {
        "item": "e" + hashlib.sha256(repr(key).encode("utf-8", "replace")).hexdigest()[:10],
        "id": str(row["id"]) if row.get("seed") is None else f"{row['id']} (seed {row['seed']})",
        "sentence": row["sentence"],
        "gold": gold,
        "prediction": predicted or finding.text,
        "kind": KINDS[finding.kind][0] + (f" ({finding.detail})" if finding.kind == "wrong_category" else ""),
        "suggestion": suggest(finding),
        "type": "",
        "note": "",
        "whole gold": row["reference"],
        "whole prediction": row["prediction"],
        **facts,
    }


def suggest(finding: Finding) -> str:
    """
    A type by rule, for a person to overrule: 2 where the sentence may be too little; 1 where gold and prediction are
    near (a boundary, implicit or said, a category of the same entity or attribute, a polarity beside gold's, or
    something that nobody annotated); else 3.
    """
    if finding.needs_context:
        return "2? may need context"
    if finding.kind == "wrong_polarity":
        differing = set(finding.gold or ()) ^ set(finding.predicted or ())
        near = bool(differing & {"neutral", "conflict"})
        return "1? neighbouring polarity" if near else "3? opposite polarity"
    if finding.kind == "wrong_category":
        return f"1? {finding.detail.removeprefix('category: ')}" if "same" in finding.detail else "3?"
    return "1?" if finding.kind in ("wrong_boundary", "wrong_implicit", "spurious") else "3?"


def write_sheet(lines: Sequence[Mapping[str, str]], path: Path) -> None:
    """Writes a sheet in one piece; formulas are defused (see the module's text)."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows([defused(line[name]) for name in COLUMNS] for line in lines)
    write_text(table.getvalue(), Path(path), encoding="utf-8-sig")


def defused(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    text = text.encode("utf-8", "replace").decode()  # half a surrogate pair is no UTF-8
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) or text.startswith("'") else text


def read_sheet(path: Path) -> list[dict[str, str]]:
    """
    Reads a sheet back, as comma, semicolon or tab separated values: what spreadsheets save.

    Raises:
        SheetError: unreadable; a column is missing; an item occurs twice; `type` is not 1, 2, 3 or empty; `errors` and
            `items` are not the counts they were. Rows are counted as a spreadsheet does, the header being row 1.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SheetError(f"{path}: cannot be read ({error}).") from error
    except UnicodeDecodeError as error:
        raise SheetError(f"{path}: is not UTF-8; save it as 'CSV UTF-8'.") from error
    separator = max(",;\t", key=text.partition("\n")[0].count)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise SheetError(f"{path}: is not CSV ({error}).") from error
    header = [name.strip().lower() for name in rows[0]] if rows else []
    wanted = ("item", "type", "model", "config", "errors", "items")
    if missing := [name for name in wanted if name not in header]:
        raise SheetError(f"{path}: lacks the column {missing[0]!r}; columns: {', '.join(header) or 'none'}.")
    lines: dict[str, dict[str, str]] = {}
    for number, cells in enumerate(rows[1:], 2):
        if any(map(str.strip, cells)):
            line = dict(zip(header, [_fused(cell) for cell in cells] + [""] * len(header), strict=False))
            _check(line, f"{path}:{number}")
            if line["item"] in lines:
                raise SheetError(f"{path}:{number}: item {line['item']!r} occurs before; each is marked once a sheet.")
            lines[line["item"]] = line
    if not lines:
        raise SheetError(f"{path}: holds no rows.")
    return list(lines.values())


def _fused(cell: str) -> str:
    return cell[1:] if cell.startswith("'") else cell


def _check(line: dict[str, str], where: str) -> None:
    """Checks one row and puts its `type` into its plain form."""
    line["type"] = line["type"].strip()
    if line["type"] not in ("", *TYPES):
        raise SheetError(f"{where}: 'type' found {line['type']!r}, allowed 1, 2, 3 or empty.")
    for name in ("errors", "items"):
        if not (line[name].isascii() and line[name].isdigit()):
            raise SheetError(
                f"{where}: {name!r} found {line[name]!r}, expected a whole number as `fsa errors sample` wrote."
            )
    if not 0 < int(line["errors"]) <= int(line["items"]):
        raise SheetError(f"{where}: 'errors' found {line['errors']}, expected 1 to 'items', {line['items']}.")
    if not line["item"].strip():
        raise SheetError(f"{where}: 'item' is empty; it tells which error this is, so leave it as it was written.")
