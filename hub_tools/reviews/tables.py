"""Users' own files: a column of texts from CSV, JSON lines or Parquet, and tables written whole or not at all."""

import csv
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as parquet
from pyarrow.lib import ArrowException


READABLE = (".csv", ".tsv", ".jsonl", ".parquet", ".txt")
TEXT_COLUMNS = ("text", "review", "sentence", "content", "comment", "body")


class TableError(ValueError):
    """A user's file that cannot be read; the message says what was found, where, and what is allowed."""


def read_texts(path: Path, column: str | None = None) -> tuple[list[str], str]:
    """
    The texts of one column of a file, and the column's name.

    Args:
        path: .csv, .tsv (with a header), .jsonl, .parquet, or .txt (one text a line; a blank line is an empty text,
            so that the nth text is line n).
        column: which one; by default the first of `text, review, sentence, content, comment, body`, or the only one.

    Raises:
        TableError: no such file, kind or column; a row that is not readable (file:row).
    """
    if not path.is_file():
        raise TableError(f"{path}: no such file.")
    kind = path.suffix.lower()
    if kind not in READABLE:
        raise TableError(f"{path}: a '{kind}' file; readable: {', '.join(READABLE)}.")
    try:
        if kind == ".txt":
            rows = [(number, {"text": line}) for number, line in enumerate(read_lines(path), 1)]
        elif kind == ".parquet":
            rows = list(enumerate(parquet.read_table(path).to_pylist(), 1))
        else:
            rows = list(read_rows(path, kind))
    except UnicodeDecodeError as error:
        raise TableError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8 first.") from error
    except (OSError, ArrowException) as error:
        raise TableError(f"{path}: cannot be read ({error}).") from error
    if not rows:
        raise TableError(f"{path}: holds no rows.")
    name = choose_column(path, list(rows[0][1]), column)
    return [text_of(row, name, f"{path}:{number}") for number, row in rows], name


def read_lines(path: Path) -> list[str]:
    """Lines of a text file as they are; a line break at the end begins no further line."""
    lines = path.read_text(encoding="utf-8-sig").split("\n")
    return lines if lines[-1] else lines[:-1]


def read_rows(path: Path, kind: str) -> Iterator[tuple[int, dict]]:
    """(row number, dictionary) of a CSV, TSV or JSON-lines file; a CSV's header is row 1."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        if kind != ".jsonl":
            csv.field_size_limit(sys.maxsize)
            try:
                for number, row in enumerate(csv.DictReader(lines, delimiter="\t" if kind == ".tsv" else ","), 2):
                    if None in row:
                        raise TableError(
                            f"{path}:{number}: more cells than the header has columns; a text that holds the "
                            f"separator must be in quotes. Left over: {row[None]!s:.60}."
                        )
                    yield number, row
            except csv.Error as error:
                raise TableError(f"{path}: not readable as {kind[1:].upper()} ({error}).") from error
            return
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    row = json.loads(line.rstrip())
                except json.JSONDecodeError as error:
                    raise TableError(f"{path}:{number}: not JSON ({error.msg}, column {error.colno}).") from error
                if not isinstance(row, dict):
                    raise TableError(f"{path}:{number}: expected an object, found {type(row).__name__}.")
                yield number, row


def choose_column(path: Path, found: Sequence[str], column: str | None) -> str:
    """The column asked for, or the one that a file of reviews would have."""
    names = {str(name).lower(): name for name in found if name}
    if column is not None:
        if column not in found:
            raise TableError(f"{path}: has no column '{column}'; found: {', '.join(map(str, found))}.")
        return column
    for name in TEXT_COLUMNS:
        if name in names:
            return names[name]
    if len(found) == 1:
        return found[0]
    raise TableError(
        f"{path}: which column holds the texts? Name it with --column; found: {', '.join(map(str, found))}."
    )


def text_of(row: dict, name: str, where: str) -> str:
    """The text of a row; an empty cell is an empty text, which has no opinions."""
    value = row.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TableError(f"{where}: column '{name}' holds {type(value).__name__} {value!r:.60}, expected text.")
    if not value.isascii() and any("\ud800" <= sign <= "\udfff" for sign in value):
        raise TableError(f"{where}: column '{name}' holds half a character (a lone surrogate) in {value!r:.60}.")
    return value


def write_table(rows: Iterable[dict], columns: Sequence[str], path: Path) -> int:
    """
    Writes rows as CSV (.csv) or JSON lines (.jsonl), atomically, and returns their number.

    Raises:
        TableError: another kind of file is asked for, or its folder cannot be written.
    """
    if path.suffix.lower() not in (".csv", ".jsonl"):
        raise TableError(f"{path}: the output should be .csv or .jsonl.")
    count = 0
    try:
        descriptor, draft = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}-")
    except OSError as error:
        raise TableError(f"{path}: cannot be written ({error.strerror}).") from error
    try:
        with open(descriptor, "w", encoding="utf-8", newline="") as lines:
            writer = csv.DictWriter(lines, columns)
            if path.suffix.lower() == ".csv":
                writer.writeheader()
            for row in rows:
                if path.suffix.lower() == ".csv":
                    writer.writerow(row)
                else:
                    lines.write(json.dumps(row, ensure_ascii=False) + "\n")
                count += 1
        os.chmod(draft, 0o644)
        os.replace(draft, path)
    finally:
        if os.path.exists(draft):
            os.unlink(draft)
    return count
