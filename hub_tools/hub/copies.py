"""The committed copies: what metrics and Spaces need from `hub_tools`, put beside them.

A metric or a Space is uploaded alone and must load for strangers who have only the Hub, so it may import nothing but
its siblings. The originals stay in `hub_tools`; this writes their copies, with the imports turned to siblings:

    python -m hub_tools.hub.copies            # write them
    python -m hub_tools.hub.copies --check    # exit 1 if one differs from its original, and name it
"""

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("metrics", "spaces")
# A metric is loaded as a package (`evaluate` copies its files into one); a Space's files are top-level modules.
SIBLING_PREFIX = {"metrics": ".", "spaces": ""}

_IMPORT = re.compile(r"^from hub_tools\.(?:\w+\.)*(\w+) import\b", re.MULTILINE)
_LEFT_OVER = re.compile(r"^\s*(?:from|import) +hub_tools\b.*", re.MULTILINE)
_HEADER = "# Copy of "
# Turned imports of a Space look like a library's and would have to move up among them, and those of a metric may come
# in another order than their originals; the copy keeps their place.
_UNSORTED = "  # ruff: noqa: I001"


class Copy(NamedTuple):
    """An original and where its copy lies, both relative to the project's root."""

    source: str
    destination: str


COPIES = (
    Copy("hub_tools/opinions.py", "metrics/fsa_f1/opinions.py"),
    Copy("hub_tools/evaluation/rules.py", "metrics/fsa_f1/rules.py"),
    Copy("hub_tools/evaluation/scoring.py", "metrics/fsa_f1/scoring.py"),
    Copy("hub_tools/evaluation/breakdown.py", "metrics/fsa_f1/breakdown.py"),
    Copy("hub_tools/evaluation/files.py", "metrics/fsa_f1/files.py"),
    Copy("hub_tools/opinions.py", "spaces/t5_sentiment/opinions.py"),
    Copy("hub_tools/students/extraction.py", "spaces/t5_sentiment/extraction.py"),
    Copy("hub_tools/students/splitting.py", "spaces/t5_sentiment/splitting.py"),
)


class CopyError(RuntimeError):
    """An original that cannot be copied: missing, or importing from `hub_tools` what is not beside its copy."""


def render(copy: Copy, root: Path = ROOT, copies: Sequence[Copy] = COPIES) -> str:
    """The text the copy must have: a line that says what it is, then the original with its imports turned.

    Raises:
        CopyError: the original is missing, or imports a module of `hub_tools` that has no copy in the same folder.
    """
    try:
        original = (root / copy.source).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise CopyError(f"{copy.source}: no such file, wanted for {copy.destination}") from error
    folder = Path(copy.destination).parent
    prefix = SIBLING_PREFIX[folder.parts[0]]
    siblings = {Path(c.destination).stem for c in copies if Path(c.destination).parent == folder}

    def turn(match: re.Match[str]) -> str:
        module = match[1]
        return f"from {prefix}{module} import" if module in siblings else match[0]

    text = _IMPORT.sub(turn, original)
    if left_over := _LEFT_OVER.search(text):
        line = left_over[0].strip()
        raise CopyError(f"{copy.source}: {line!r} cannot be turned to a copy in {folder}; add one to COPIES")
    turned = re.findall(r"^from \.(\w+) import\b", text, re.MULTILINE)
    remark = _UNSORTED if turned != sorted(turned) or (text != original and not prefix) else ""
    return f"{_HEADER}{copy.source}, made by `make copies`; edit the original{remark}\n{text}"


def differences(root: Path = ROOT, copies: Sequence[Copy] = COPIES) -> list[str]:
    """One line per copy that is missing, differs from its original, or has lost it; empty when all is well."""
    found = []
    for copy in copies:
        path = root / copy.destination
        if not path.is_file():
            found.append(f"{copy.destination}: missing, wanted from {copy.source}")
        elif path.read_text(encoding="utf-8") != render(copy, root, copies):
            found.append(f"{copy.destination}: differs from {copy.source}")
    known = {copy.destination for copy in copies}
    for path in sorted(path for folder in FOLDERS for path in (root / folder).glob("*/*.py")):
        name = path.relative_to(root).as_posix()
        if name not in known and path.read_text(encoding="utf-8").startswith(_HEADER):
            found.append(f"{name}: says it is a copy but is not in COPIES")
    return found


def write(root: Path = ROOT, copies: Sequence[Copy] = COPIES) -> list[str]:
    """Write every copy that is missing or differs, each file whole or not at all; returns those written."""
    rendered = {copy.destination: render(copy, root, copies) for copy in copies}
    written = []
    for destination, text in rendered.items():
        path = root / destination
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
            file.write(text)
        os.chmod(file.name, 0o644)  # temporary files are private; these are source files
        os.replace(file.name, path)
        written.append(destination)
    return written


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the copies, or with `--check` only compare; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m hub_tools.hub.copies", description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a copy differs")
    options = parser.parse_args(arguments)
    try:
        if not options.check:
            sys.stdout.writelines(f"wrote {name}\n" for name in write())
            return 0
        found = differences()
    except CopyError as error:
        found = [str(error)]
    sys.stderr.writelines(f"{line}\n" for line in found)
    if found and options.check:
        sys.stderr.write("run `make copies`\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
