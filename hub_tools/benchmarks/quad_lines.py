"""The raw public files of ACOS and ASQP, a sentence a line, as records that `quads.build_rows` reads.

ACOS  the pizza is great .<tab>1,2 FOOD#QUALITY 2 3,4     token spans [from, to), -1,-1: implicit; 0–2: polarity
ASQP  The pizza is great .####[['pizza', 'food quality', 'positive', 'great']]     'NULL': implicit
"""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hub_tools.benchmarks.records import BenchmarkError, read_text, show


POLARITIES = {"0": "negative", "1": "neutral", "2": "positive"}
_QUAD = re.compile(r"(-?\d{1,6}),(-?\d{1,6}) (\S+) (\S+) (-?\d{1,6}),(-?\d{1,6})", re.ASCII)

Record = dict[str, Any]


def read_acos(path: Path) -> list[Record]:
    """Read an ACOS file (`.tsv`). Records: `ID` (position), `line`, `sentence`, `quads`, `spans` in characters.

    Raises:
        BenchmarkError: names the file, the line and the quad.
    """
    return _read(path, _acos_line)


def read_asqp(path: Path) -> list[Record]:
    """Read an ASQP file (`.txt`). Records: `ID` (position), `line`, `sentence`, `quads`.

    Raises:
        BenchmarkError: names the file, the line and the quad.
    """
    return _read(path, _asqp_line)


def _read(path: Path, parse: Callable[[str, str], Record]) -> list[Record]:
    lines = ((number, line) for number, line in enumerate(read_text(path).split("\n"), 1) if line.strip())
    records = [
        {"ID": position, "line": number, **parse(line.rstrip("\r"), f"{path}:{number}")}
        for position, (number, line) in enumerate(lines)
    ]
    if not records:
        raise BenchmarkError(f"{path}: expected a sentence a line, found none")
    return records


def _acos_line(line: str, at: str) -> Record:
    sentence, *quads = line.split("\t")
    if not quads:
        raise BenchmarkError(f"{at}: expected a sentence, a tab and quads, found no tab in {show(line)}")
    tokens = list(_tokens(sentence))
    read = [_acos_quad(quad, sentence, tokens, f"{at}, quad {i}") for i, quad in enumerate(quads, 1)]
    return {"sentence": sentence, "quads": [quad for quad, _ in read], "spans": [span for _, span in read]}


def _acos_quad(
    text: str, sentence: str, tokens: list[tuple[int, int]], at: str
) -> tuple[list[str], tuple[int, int] | None]:
    found = _QUAD.fullmatch(text)
    if not found or found[4] not in POLARITIES:
        raise BenchmarkError(
            f"{at}: expected 'from,to CATEGORY polarity from,to' with a polarity of 0, 1 or 2, found {show(text)}"
        )
    target, opinion = (
        _span(int(found[i]), int(found[i + 1]), tokens, f"{at}, {name}") for i, name in ((1, "target"), (5, "opinion"))
    )
    if target and target[0] == target[1]:
        raise BenchmarkError(f"{at}, target: the span {found[1]},{found[2]} holds no token; implicit is -1,-1")
    words = ["NULL" if span is None else sentence[slice(*span)] for span in (target, opinion)]
    return [*words, found[3], POLARITIES[found[4]]], target


def _span(first: int, last: int, tokens: list[tuple[int, int]], at: str) -> tuple[int, int] | None:
    """Tokens [first, last) as characters; None for the implicit -1,-1. A span may be empty, as one opinion's is."""
    if (first, last) == (-1, -1):
        return None
    if not 0 <= first <= last <= len(tokens):
        raise BenchmarkError(f"{at}: the span {first},{last} is not within the sentence's {len(tokens)} tokens")
    return (0, 0) if first == last else (tokens[first][0], tokens[last - 1][1])


def _tokens(sentence: str) -> Iterator[tuple[int, int]]:
    start = 0
    for token in sentence.split(" "):
        yield start, start + len(token)
        start += len(token) + 1


def _asqp_line(line: str, at: str) -> Record:
    sentence, sign, written = line.partition("####")
    if not sign:
        raise BenchmarkError(f"{at}: expected 'sentence####[[…]]', found no #### in {show(line)}")
    try:
        quads = ast.literal_eval(written.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise BenchmarkError(f"{at}: what follows #### is not a list of lists, found {show(written)}") from error
    if not isinstance(quads, list):
        raise BenchmarkError(f"{at}: expected a list of quads after ####, found {show(quads)}")
    for number, quad in enumerate(quads, 1):
        if not isinstance(quad, list | tuple) or len(quad) != 4:
            raise BenchmarkError(
                f"{at}, quad {number}: expected ['target', 'category', 'polarity', 'opinion'], found {show(quad)}"
            )
    return {
        "sentence": sentence,
        "quads": [[target, opinion, category, polarity] for target, category, polarity, opinion in quads],
    }
