"""`fsa browse`: predictions as one HTML page to filter and read, and a table of errors by name."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hub_tools.commands.screen import show


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    browsing = commands.add_parser("browse", help="predictions → an HTML page of errors to filter and read")
    browsing.add_argument(
        "predictions", type=Path, help=".jsonl with `prediction` (and `id`; `sentence`, `reference` if without gold)"
    )
    browsing.add_argument("gold", type=Path, nargs="?", help=".jsonl with `sentence` and `reference` or `text`")
    browsing.add_argument("--task", required=True, help="tsa, asa, acos, asqp, or fields joined by commas")
    browsing.add_argument("-o", "--output", type=Path, default=Path("errors.html"), help="default: errors.html")
    browsing.add_argument("--against", type=Path, help="another system's predictions, to show beside these")
    browsing.add_argument("--title", help="the page's heading (default: the systems' names)")
    browsing.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Names the errors, writes the page, prints the table and where the page is."""
    from hub_tools.evaluation.browser import write_browser
    from hub_tools.evaluation.rows import read_rows

    rows = read_rows(options.predictions, options.gold)
    others = read_rows(options.against, options.gold) if options.against else None
    systems = [(_name(rows, options.predictions), rows)]
    if others:
        systems.append((_name(others, options.against), others))
    names = [name for name, _ in systems]
    title = options.title or f"Errors of {' and '.join(names)}"
    write_browser(rows, options.output, title, options.task, others, names)
    show_errors(options.task, systems)
    print(f"{options.output}: open it in a web browser, it needs nothing else.")
    return 0


def _name(rows: Sequence[Mapping[str, Any]], path: Path) -> str:
    """What to call a system: its model where the rows name one, else its file."""
    models = {row.get("model") for row in rows}
    return str(models.pop()) if len(models) == 1 and None not in models else path.stem


def show_errors(task: str, systems: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]) -> None:
    """The error table on the screen: a line per kind, for each system the count and its share of all items."""
    from hub_tools.evaluation.errors import KINDS, classify_all, count_errors

    tables = [(name, {row["kind"]: row for row in count_errors(classify_all(rows, task))}) for name, rows in systems]
    lines = []
    for kind, (label, meaning) in KINDS.items():
        counted = [table.get(kind) for _, table in tables]
        if any(counted):
            cells = [f"{row['count']} ({100 * row['share']:.1f} %)" if row else "0" for row in counted]
            lines.append([label, *cells, meaning])
    unclear = [sum(row["needs_context"] for row in table.values()) for _, table in tables]
    if any(unclear):
        lines.append(["may need context", *map(str, unclear), "a guess; these are counted above too"])
    show(["items", *(name for name, _ in tables), "meaning"], lines)
