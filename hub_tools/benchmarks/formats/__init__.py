"""Other people's files ↔ benchmark rows: `FORMATS` is the one place that lists them.

    reading = read(Path("Restaurants_Test_Gold.xml"), "semeval2014", "tsa")
    write(reading.rows, Path("gold.jsonl"), "jsonl", "tsa")

A reader makes drafts of sentences; `rows` checks them in one place, so that every format gives the same errors. What
a format cannot hold is counted by `fitting` before anything is written.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hub_tools.benchmarks.formats import acos, instructabsa, label_studio, pyabsa, semeval, setfit, tables, tuples
from hub_tools.benchmarks.formats.fitting import Format, Losses, fitted
from hub_tools.benchmarks.formats.guessing import guess
from hub_tools.benchmarks.formats.problems import FormatError, Problems, encoded
from hub_tools.benchmarks.formats.rows import rows_of
from hub_tools.benchmarks.records import Row
from hub_tools.opinions import check_task


__all__ = ["FORMATS", "Format", "FormatError", "Losses", "Reading", "content", "guess", "read", "write"]

FORMATS: dict[str, Format] = {
    "jsonl": tables.JSONL,
    "csv": tables.CSV,
    "tsv": tables.TSV,
    "semeval2014": semeval.TERMS_2014,
    "semeval2014-categories": semeval.CATEGORIES_2014,
    "semeval2016": semeval.OPINIONS_2016,
    "pyabsa-apc": pyabsa.APC,
    "pyabsa-atepc": pyabsa.ATEPC,
    "pyabsa-jsonl": pyabsa.QUADS,
    "instructabsa": instructabsa.TERMS,
    "instructabsa-categories": instructabsa.CATEGORIES,
    "setfit": setfit.CSV,
    "setfit-jsonl": setfit.JSONL,
    "uabsa": tuples.UABSA,
    "aste": tuples.ASTE,
    "tasd": tuples.TASD,
    "asqp": tuples.ASQP,
    "acos": acos.TSV,
    "scorer-json": acos.JSON,
    "label-studio": label_studio.TASKS,
}


class Reading(NamedTuple):
    """A file as benchmark rows."""

    rows: list[Row]
    problems: Problems  # what was rejected, and notes on what was passed over


def read(path: Path, name: str, task: str, *, skip_invalid: bool = False) -> Reading:
    """Read a file of a format into benchmark rows for a task.

    Args:
        path: the file; UTF-8, with or without a byte order mark (XML may declare another encoding).
        name: one of `FORMATS`.
        task: what `text` is to hold: one of `hub_tools.opinions.TASKS`, or fields joined by commas.
        skip_invalid: leave out the sentences with problems instead of raising; `problems` says which and why.

    Raises:
        FormatError: the file cannot be read, or (unless `skip_invalid`) sentences in it cannot be used: all of them,
            by line, the first 20 in full; or no sentence is left.
    """
    format = format_of(name, task)
    problems = Problems(path)
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise FormatError(f"{path}: no such file") from error
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror})") from error
    found = guess(Path(path), data)
    hint = f"{path} looks like {found}, not {name}." if found and not name.startswith(found) else ""
    try:
        rows = rows_of(format.read(data, problems, task), task, problems)
    except FormatError as error:
        raise FormatError("\n".join(filter(None, [str(error), hint]))) from error
    if problems.found and not (skip_invalid and rows):
        raise FormatError(problems.summary(hint))
    if not rows:
        raise FormatError(f"{path}: holds no sentences")
    return Reading(rows, problems)


def content(rows: Sequence[Row], name: str, task: str, losses: Losses) -> bytes:
    """The file that holds the rows in a format; what it cannot hold is added to `losses`.

    Raises:
        FormatError: nothing is left that it could hold, or its task is another.
    """
    format = format_of(name, task)
    kept = fitted(rows, format, task, losses)
    if not kept:
        raise FormatError(losses.told(name) if losses else f"{name}: there are no rows to write")
    return encoded(format.write(kept, task))


def write(rows: Sequence[Row], path: Path, name: str, task: str, *, lossy: bool = False) -> Losses:
    """Write rows as a file of a format, whole or not at all; returns what it could not hold.

    Raises:
        FormatError: the format cannot hold all of the rows, unless `lossy`; or the file cannot be written.
    """
    losses = Losses()
    data = content(rows, name, task, losses)
    if losses and not lossy:
        raise FormatError(losses.told(name))
    write_whole(Path(path), data)
    return losses


def format_of(name: str, task: str) -> Format:
    """A format by its name, for a task it serves."""
    if name not in FORMATS:
        raise FormatError(f"unknown format {name!r}; allowed: {', '.join(FORMATS)}")
    check_task(task)
    tasks = FORMATS[name].tasks
    if tasks and task not in tasks:
        raise FormatError(f"{name} is for the task{'s' * (len(tasks) > 1)} {' and '.join(tasks)}, not {task!r}")
    return FORMATS[name]


def write_whole(path: Path, data: bytes) -> None:
    """A file, whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    except OSError as error:
        raise FormatError(f"{path}: cannot be written ({error.strerror})") from error
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
        os.chmod(draft, 0o644)
        os.replace(draft, path)
    except OSError as error:
        raise FormatError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        if os.path.exists(draft):
            os.unlink(draft)
