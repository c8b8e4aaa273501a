"""What is wrong with a user's file: all of it, each problem with its place, not only the first."""

import ast
import json
import warnings
from collections import Counter
from pathlib import Path

from hub_tools.benchmarks.records import BenchmarkError


SHOWN = 20


class FormatError(BenchmarkError):
    """A file that cannot be converted: says where, what was found, and what to do."""


class Problems:
    """What was found wrong while one file was read.

    Attributes:
        found: (place, message) in the order of the file; a place is a line or a record.
        rejected: what was left out, one dictionary per sentence: `place, id, sentence, reasons`.
        notes: message → how often, for what was passed over or mended; nobody has to act on them.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = path
        self.found: list[tuple[str, str]] = []
        self.rejected: list[dict] = []
        self.notes: Counter[str] = Counter()

    def add(self, place: int | str, message: str) -> None:
        """Note a problem with something that is no sentence yet: a line that cannot be read."""
        self.reject(place, [(place, message)])

    def reject(
        self, place: int | str, reasons: list[tuple[int | str, str]], id_: object = None, sentence: object = None
    ) -> None:
        """Note why a sentence cannot be used, each reason with its own place."""
        self.found += [(f"{where}", reason) for where, reason in reasons]
        self.rejected.append(
            {
                "place": f"{place}",
                "id": id_,
                "sentence": sentence,
                "reasons": [reason if where == place else f"{where}: {reason}" for where, reason in reasons],
            }
        )

    def fatal(self, place: int | str | None, message: str) -> FormatError:
        """An error after which the rest of the file says nothing."""
        return FormatError(f"{self.path}{_at(place)}: {message}")

    def summary(self, hint: str = "") -> str:
        """The first 20 problems, a line each, and how many more there are."""
        lines = [f"{self.path}{_at(place)}: {message}" for place, message in self.found[:SHOWN]]
        if len(self.found) > SHOWN:
            lines.append(f"and {len(self.found) - SHOWN} more")
        return "\n".join([*lines, *([hint] if hint else [])])


def decoded(data: bytes, problems: Problems) -> str:
    """A file's text: UTF-8, with or without a byte order mark.

    Raises:
        FormatError: it is not UTF-8, or there is nothing in it.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise problems.fatal(None, "is UTF-16; save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise problems.fatal(line, f"not UTF-8 (byte 0x{data[error.start]:02x}); save it as UTF-8") from error
    if not text.strip():
        raise problems.fatal(None, "is empty")
    return text


def encoded(text: str) -> bytes:
    """UTF-8 that `decoded` turns back into the text, though that begin with what looks like a byte order mark."""
    return text.encode("utf-8-sig" if text.startswith("\ufeff") else "utf-8")


def numbered_lines(text: str) -> list[tuple[int, str]]:
    """(number, line) of the lines that are not blank. They end at "\\n" or "\\r\\n": sentences may hold U+2028."""
    lines = ((number, line.removesuffix("\r")) for number, line in enumerate(text.split("\n"), 1))
    return [(number, line) for number, line in lines if line.strip()]


def parsed_json(text: str, problems: Problems, place: int | str | None = None) -> object:
    """What a text says in JSON.

    Raises:
        FormatError: it is not JSON.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise problems.fatal(place or error.lineno, f"not JSON ({error.msg}, column {error.colno})") from error
    except (RecursionError, ValueError) as error:  # nested too deeply, or a number of thousands of digits
        raise problems.fatal(place, "not JSON that can be read") from error


def parsed_literal(text: str) -> object:
    """What a Python literal stands for, or None if the text is none. Nothing is run."""
    try:
        with warnings.catch_warnings(action="ignore"):  # Python warns of "\\d" in other people's strings
            return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None


def json_lines(text: str, problems: Problems) -> list[tuple[int, dict]]:
    """(line, object) of a JSON-lines file; lines that are no objects are problems."""
    rows = []
    for number, line in numbered_lines(text):
        try:
            row = parsed_json(line, problems, number)
        except FormatError as error:
            problems.add(number, str(error).removeprefix(f"{problems.path}:{number}: "))
            continue
        if isinstance(row, dict):
            rows.append((number, row))
        else:
            problems.add(number, f"expected an object, found {type(row).__name__}")
    return rows


def _at(place: int | str | None) -> str:
    if place is None:
        return ""
    return f":{place}" if f"{place}".isdecimal() else f": {place}"
