"""Benchmark files as records: read with errors that name file, record and field."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


Row = dict[str, Any]


class BenchmarkError(ValueError):
    """A benchmark file that cannot be used: says which file, record and field, what was found, what is allowed."""


def read_text(path: Path) -> str:
    """The text of a benchmark file, UTF-8 with or without a byte order mark.

    Raises:
        BenchmarkError: the file is not there, or not to be read, or no UTF-8.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise BenchmarkError(
            f"{path}: no such file; the official files go below <data>/fsa_datasets/w_hard, those of quads below "
            "<data>/quads"
        ) from error
    except OSError as error:
        raise BenchmarkError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise BenchmarkError(f"{path}: not UTF-8 at byte {error.start}") from error


def read_records(path: Path) -> list[dict[str, Any]]:
    """Read a benchmark file: a non-empty JSON array of objects.

    Raises:
        BenchmarkError: as `read_text`, or it is something else.
    """
    try:
        records = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise BenchmarkError(f"{path}:{error.lineno}:{error.colno}: not JSON ({error.msg})") from error
    except RecursionError as error:
        raise BenchmarkError(f"{path}: not a benchmark file (nested too deeply)") from error
    if not isinstance(records, list) or not records:
        raise BenchmarkError(f"{path}: expected a non-empty JSON array of records, found {show(records)}")
    for index, record in enumerate(records):
        if not isinstance(record, dict):
            raise BenchmarkError(f"{path}: record {index}: expected an object, found {show(record)}")
    return records


def digest_files(folder: Path, pattern: str = "**/*.json") -> str:
    """SHA-256 over the names and contents of a folder's files: equal if and only if a benchmark's input is.

    Raises:
        BenchmarkError: there is no such folder, or nothing in it that matches.
    """
    paths = sorted(path for path in Path(folder).glob(pattern) if path.is_file())
    if not paths:
        raise BenchmarkError(f"{folder}: no {pattern} files; the official files go below <data>/fsa_datasets/w_hard")
    digest = hashlib.sha256()
    for path in paths:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return digest.hexdigest()


def check_ids(rows: Sequence[Row], place: Path | str) -> None:
    """Raise `BenchmarkError` if two rows have one `id`; `place` is named."""
    seen: set[str] = set()
    for row in rows:
        if row["id"] in seen:
            raise BenchmarkError(f"{place}: ID {row['id']!r} occurs more than once; IDs must be unique")
        seen.add(row["id"])


def field(container: Mapping[str, Any], name: str, at: str) -> Any:
    """The value of a field that must be there; `at` is the place to name in the error."""
    if name not in container:
        raise BenchmarkError(f"{at}: has no field {name!r}; found: {', '.join(container) or 'nothing'}")
    return container[name]


def text_field(container: Mapping[str, Any], name: str, at: str) -> str:
    """The value of a field that must be a string with something in it."""
    value = field(container, name, at)
    if not isinstance(value, str) or not value.strip():
        raise BenchmarkError(f"{at}, {name}: expected a non-empty string, found {show(value)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:  # JSON may escape half a character; Parquet cannot hold it
        raise BenchmarkError(f"{at}, {name}: character {error.start} is a lone surrogate, no text") from error
    return value


def show(value: Any) -> str:
    """A value found where another was expected, with its type, cut to a line."""
    return f"{type(value).__name__} {value!r:.80}"
