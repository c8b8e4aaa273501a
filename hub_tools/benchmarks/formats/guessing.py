"""Which format a file is in, where its first lines leave no doubt."""

import json
import re
from pathlib import Path


_START = 65_536  # bytes looked at


def guess(path: Path, data: bytes) -> str | None:
    """The name of the format, or None where it could be several.

    >>> guess(Path("x.txt"), b"The soup was cold .####[([1], [3], 'NEG')]")
    'aste'
    """
    text = data[:_START].decode("utf-8-sig", "replace").lstrip()
    first = text.partition("\n")[0].strip()
    if text.startswith("<"):
        return _xml(text)
    if text.startswith("["):
        return _json(text)
    if text.startswith("{"):
        return _json_line(first)
    if "####" in first:
        return _tuples(text)
    if re.search(r"\t-?\d+,-?\d+ \S+ [012] -?\d+,-?\d+\s", f"{text}\n"):
        return "acos"
    if "$T$" in first:
        return "pyabsa-apc"
    if re.fullmatch(r"\S+ (O|B-ASP) \S+", first):
        return "pyabsa-atepc"
    return _header(first.replace('"', ""), path.suffix.lower())


def _xml(text: str) -> str | None:
    if "<Reviews" in text:
        return "semeval2016"
    if "<aspectCategory " in text and "<aspectTerm " not in text:
        return "semeval2014-categories"
    return "semeval2014" if "<sentences" in text else None


def _json(text: str) -> str | None:
    if '"quads"' in text:
        return "scorer-json"
    return "label-studio" if '"data"' in text and ('"annotations"' in text or '"predictions"' in text) else None


def _json_line(line: str) -> str | None:
    try:
        names = {*json.loads(line)}
    except (ValueError, RecursionError):
        return None
    if {"text", "labels"} <= names:
        return "pyabsa-jsonl"
    if {"text", "span", "label"} <= names:
        return "setfit-jsonl"
    return "jsonl" if "sentence" in names else None


def _tuples(text: str) -> str | None:
    shapes = {
        r"####\s*\[\(\[[\d, ]+\], *'": "uabsa",
        r"####\s*\[\(\[[\d, ]+\], *\[": "aste",
        r"####\s*\[\((?:'[^']*'|\"[^\"]*\"), ": "tasd",
        r"####\s*\[\[(?:'[^']*'|\"[^\"]*\"), ": "asqp",
    }
    found = {name for shape, name in shapes.items() if re.search(shape, text)}
    return found.pop() if len(found) == 1 else None


def _header(line: str, suffix: str) -> str | None:
    names = {*re.split("[,\t]", line)}
    if "raw_text" in names and names & {"aspectTerms", "aspectCategories"}:
        return "instructabsa" if "aspectTerms" in names else "instructabsa-categories"
    if {"text", "span", "label", "ordinal"} <= names:
        return "setfit"
    if "sentence" in names and names & {"polarity", "text"}:
        return "tsv" if "\t" in line else "csv"
    return None
