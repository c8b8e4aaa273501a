"""Users' own files: rows of CSV, JSON lines or Parquet, one at a time, and tables written whole or not at all."""

import csv
import gzip
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

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


def kind_of(path: Path) -> str:
    """The ending that tells a file's kind: `.json` of reviews.JSON.gz."""
    return Path(path.stem if path.suffix.lower() == ".gz" else path.name).suffix.lower()


def read_rows(path: Path, kind: str) -> Iterator[tuple[int, dict]]:
    """
    (row number, dictionary) of a Parquet, CSV, TSV or JSON-lines file, one at a time; a CSV's header is row 1.

    A text file may be compressed with gzip (ending in .gz).
    """
    if kind == ".parquet":
        yield from read_parquet(path)
        return
    with open_bytes(path) as file:
        if kind in (".csv", ".tsv"):
            yield from read_csv(path, file, "\t" if kind == ".tsv" else ",")
        else:
            yield from read_json_lines(path, file)


def open_bytes(path: Path) -> BinaryIO:
    """The file's bytes, decompressed where its name ends in .gz."""
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")


def read_parquet(path: Path) -> Iterator[tuple[int, dict]]:
    """Rows of a Parquet file, a few at a time."""
    with parquet.ParquetFile(path) as table:
        rows = (row for batch in table.iter_batches(batch_size=1000) for row in batch.to_pylist())
        yield from enumerate(rows, 1)


def read_csv(path: Path, file: BinaryIO, delimiter: str) -> Iterator[tuple[int, dict]]:
    """Rows of a file with a header; one that has more cells than the header is a text without its quotes."""
    csv.field_size_limit(sys.maxsize)
    lines = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    try:
        for number, row in enumerate(csv.DictReader(lines, delimiter=delimiter), 2):
            if None in row:
                raise TableError(
                    f"{path}:{number}: more cells than the header has columns; a text that holds the "
                    f"separator must be in quotes. Left over: {row[None]!s:.60}."
                )
            yield number, row
    except csv.Error as error:
        raise TableError(f"{path}: not readable as {kind_of(path)[1:].upper()} ({error}).") from error


def read_json_lines(path: Path, file: BinaryIO) -> Iterator[tuple[int, dict]]:
    """An object a line; blank lines are passed over and counted."""
    for number, line in enumerate(file, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            row = json.loads(text) if text else None
        except UnicodeDecodeError as error:
            raise TableError(f"{path}:{number}: not UTF-8 at byte {error.start}; save it as UTF-8 first.") from error
        except json.JSONDecodeError as error:
            raise TableError(f"{path}:{number}: not JSON ({error.msg}, column {error.colno}).") from error
        except (RecursionError, ValueError) as error:  # nested too deeply, or a whole number of thousands of digits
            raise TableError(f"{path}:{number}: not JSON that can be read ({error}).") from error
        if text:
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
