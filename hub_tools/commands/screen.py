"""What the commands share: tables on the screen, and numbers as argparse wants them."""

import argparse


def positive(text: str) -> int:
    """A whole number from 1, as argparse wants it."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, not {text!r}")
    return int(text)


def show(header: list[str], lines: list[list[str]]) -> None:
    """A table on the screen."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(*header)
    for line in lines:
        table.add_row(*map(escape, line))
    Console().print(table)
