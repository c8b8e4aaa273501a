"""A table once, written three ways: Markdown for people on the Hub, LaTeX (booktabs) for papers, CSV for programs.

>>> sizes = Table("sizes", "Sizes", [("", "model"), ("TSA", "All")], [Block("Ours", [["base", Value(56.2, 0.51)]])])
>>> print(to_csv(sizes))
block,model,TSA All,TSA All sd
Ours,base,56.20,0.51
<BLANKLINE>
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple


MISSING = "–"


class Value(NamedTuple):
    """A number of points of F1: a mean, its standard deviation over seeds where there are several, or a difference."""

    mean: float
    sd: float | None = None
    signed: bool = False  # a difference: "+3.73"

    def __str__(self) -> str:
        number = f"{self.mean:+.2f}" if self.signed else f"{self.mean:.2f}"
        return number if self.sd is None else f"{number} ± {self.sd:.2f}"


Cell = str | Value | None  # None: nothing was scored


@dataclass(frozen=True)
class Block:
    """Lines that may be compared with one another; another block's may not."""

    heading: str
    lines: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Table:
    """`columns` are (heading over several columns or "", name); the first `text_columns` of them hold words."""

    name: str  # of its files
    title: str
    columns: Sequence[tuple[str, str]]
    blocks: Sequence[Block]
    note: str = ""
    text_columns: int = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        for block in self.blocks:
            for line in block.lines:
                if len(line) != len(self.columns):
                    raise ValueError(
                        f"table {self.name}, block {block.heading!r}: a line of {len(line)} cells should have "
                        f"{len(self.columns)}: {line}"
                    )


def shown(cell: Cell) -> str:
    """`"81.25 ± 0.50"`, words as they are, "–" where nothing was scored."""
    return MISSING if cell is None else str(cell)


# --- Markdown --------------------------------------------------------------------------------------------------------


def to_markdown(table: Table) -> str:
    """Title, one GitHub table per block under the block's heading, and the note."""
    header = [" ".join(filter(None, column)) for column in table.columns]
    parts = [f"**{markdown_text(table.title)}**"]
    for block in table.blocks:
        parts += [f"*{markdown_text(block.heading)}*"] if block.heading else []
        lines = [[markdown_text(shown(cell)) for cell in line] for line in block.lines]
        parts.append(markdown(header, lines, table.text_columns))
    return "\n\n".join([*parts, *([table.note] if table.note else [])]) + "\n"


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]], text_columns: int = 3) -> str:
    """A GitHub table, the text columns to the left and numbers to the right."""
    rule = [":--" if column < text_columns else "--:" for column in range(len(header))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *lines))


def markdown_text(text: str) -> str:
    """A label in a cell: what would end the cell or begin markup is escaped."""
    return re.sub(r"([\\|<>`*\[\]])", r"\\\1", " ".join(text.split()))


# --- LaTeX -----------------------------------------------------------------------------------------------------------

LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "–": "--", "−": "$-$", "×": r"$\times$",
    "≥": r"$\geq$", "≤": r"$\leq$", "·": r"$\cdot$", "<": r"\textless{}", ">": r"\textgreater{}",
    "’": "'", "…": r"\ldots{}",
}  # fmt: skip


def latex_text(text: str) -> str:
    """Text as LaTeX prints it, with every special character escaped; `*` and backquotes of Markdown are dropped."""
    return "".join(LATEX.get(character, character) for character in re.sub(r"[*`]", "", " ".join(text.split())))


def to_latex(table: Table) -> str:
    """A `table*` with `\\toprule` and the like, the standard deviations as subscripts; blocks have headings in it."""
    width = len(table.columns)
    specification = "l" * table.text_columns + "r" * (width - table.text_columns)
    names = " & ".join(latex_text(name) for _, name in table.columns) + r" \\"
    lines = [r"\toprule", *_groups(table), names]
    for block in table.blocks:
        lines.append(r"\midrule")
        if block.heading:
            lines.append(rf"\multicolumn{{{width}}}{{l}}{{\textit{{{latex_text(block.heading)}}}}} \\")
        lines += [" & ".join(map(_latex_cell, line)) + r" \\" for line in block.lines]
    tabular = [rf"\begin{{tabular}}{{{specification}}}", *lines, r"\bottomrule", r"\end{tabular}"]
    if width > 8:
        tabular = [r"\resizebox{\textwidth}{!}{%", *tabular, "}"]
    caption = latex_text(" ".join(filter(None, [table.title + ".", table.note])))
    head = ["% \\usepackage{booktabs,graphicx}", r"\begin{table*}[t]", r"\centering", r"\small"]
    tail = [rf"\caption{{{caption}}}", rf"\label{{tab:{table.name.replace('_', '-')}}}", r"\end{table*}"]
    return "\n".join([*head, *tabular, *tail]) + "\n"


def _groups(table: Table) -> Iterable[str]:
    """The line of headings over several columns, and the rules below each."""
    if not any(group for group, _ in table.columns):
        return []
    cells, rules, place = [], [], 1
    for group, columns in groupby(table.columns, key=lambda column: column[0]):
        size = len(list(columns))
        cells.append(rf"\multicolumn{{{size}}}{{c}}{{{latex_text(group)}}}" if group else " & ".join([""] * size))
        rules += [rf"\cmidrule(lr){{{place}-{place + size - 1}}}"] if group else []
        place += size
    return [" & ".join(cells) + r" \\", " ".join(rules)]


def _latex_cell(cell: Cell) -> str:
    if not isinstance(cell, Value):
        return latex_text(shown(cell))
    number = shown(cell._replace(sd=None)).replace("-", "$-$")
    return number if cell.sd is None else rf"{number}$_{{\pm {cell.sd:.2f}}}$"


# --- CSV -------------------------------------------------------------------------------------------------------------


def to_csv(table: Table) -> str:
    """The table's lines with the block in the first column; spreads have columns of their own, gaps are empty."""
    lines = [line for block in table.blocks for line in block.lines]
    spread = [
        any(isinstance(line[column], Value) and line[column].sd is not None for line in lines)
        for column in range(len(table.columns))
    ]
    header = ["block"]
    for column, has_spread in zip(table.columns, spread, strict=True):
        name = " ".join(filter(None, column))
        header += [name, f"{name} sd"] if has_spread else [name]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    for block in table.blocks:
        for line in block.lines:
            cells = [block.heading]
            for cell, has_spread in zip(line, spread, strict=True):
                sd = cell.sd if isinstance(cell, Value) else None
                number = f"{cell.mean:.2f}" if isinstance(cell, Value) else cell
                cells.append("" if number in (None, MISSING) else number)
                cells += ["" if sd is None else f"{sd:.2f}"] if has_spread else []
            writer.writerow(cells)
    return out.getvalue()
