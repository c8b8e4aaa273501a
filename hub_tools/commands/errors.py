"""`fsa errors sample | table`: wrong predictions in a sheet for a person to mark, and the table of marked sheets."""

import argparse
import csv
import io
from pathlib import Path

from hub_tools.commands.screen import positive


def add(commands: argparse._SubParsersAction) -> None:
    """The command, its two parts and their options."""
    parts = commands.add_parser("errors", help="errors for a person to mark, and what was marked").add_subparsers(
        dest="part", required=True
    )
    sampling = parts.add_parser("sample", help="wrong predictions, drawn at random → a sheet to mark")
    sampling.add_argument(
        "predictions", type=Path, help=".jsonl with `prediction` (and `id`; `sentence`, `reference` if without gold)"
    )
    sampling.add_argument("gold", type=Path, nargs="?", help=".jsonl with `sentence` and `reference` or `text`")
    sampling.add_argument("--task", required=True, help="tsa, asa, acos, asqp, or fields joined by commas")
    sampling.add_argument("--n", type=positive, default=100, help="how many errors (default: 100)")
    sampling.add_argument("--seed", type=int, default=0, help="the same seed draws the same errors (default: 0)")
    sampling.add_argument("--stratified", action="store_true", help="each kind of error gets its part of the sample")
    sampling.add_argument("--model", default="", help="the model's name in the table, where the file tells none")
    sampling.add_argument("--config", default="", help="the config's name in the table, where the file tells none")
    sampling.add_argument("-o", "--output", type=Path, default=Path("sheet.csv"), help="default: sheet.csv")
    sampling.set_defaults(run=sample)
    tabling = parts.add_parser("table", help="marked sheets → the shares of types 1 to 3, and how far people agree")
    tabling.add_argument("sheets", type=Path, nargs="+", help="as `fsa errors sample` wrote them, `type` filled")
    tabling.add_argument("-o", "--output", type=Path, help=".md or .csv (default: Markdown on the screen)")
    tabling.set_defaults(run=table)


def sample(options: argparse.Namespace) -> int:
    """Draws errors and writes the sheet, unless that would overwrite what somebody marked."""
    from hub_tools.evaluation.error_sheet import SheetError, read_sheet, sample_errors, write_sheet
    from hub_tools.evaluation.rows import read_rows

    if options.output.exists():
        marked = sum(line["type"] != "" for line in read_sheet(options.output))
        if marked:
            raise SheetError(f"{options.output}: holds {marked} marks; give another file with -o, or move it away.")
    rows = read_rows(options.predictions, options.gold)
    lines = sample_errors(
        rows, options.task, options.n, options.seed, options.stratified, options.model, options.config
    )
    write_sheet(lines, options.output)
    print(
        f"{options.output}: {len(lines)} of {lines[0]['errors']} errors ({lines[0]['items']} items in all). "
        "Fill the column 'type': 1 both are reasonable, 2 the sentence is too little to tell, 3 the model is wrong."
    )
    return 0


def table(options: argparse.Namespace) -> int:
    """Reads the marked sheets; prints or writes the table and, of sheets that overlap, the agreement."""
    from hub_tools.evaluation.error_sheet import SheetError, defused, read_sheet
    from hub_tools.evaluation.error_types import agreements, table_lines, type_table
    from hub_tools.evaluation.rows import write_text
    from hub_tools.evaluation.typesetting import markdown, markdown_text

    if options.output and options.output.suffix not in (".md", ".csv"):
        raise SheetError(f"{options.output}: should end in .md or .csv")
    sheets = {str(path): read_sheet(path) for path in dict.fromkeys(options.sheets)}
    header, lines = table_lines(type_table(sheets))
    escaped = [[markdown_text(cell) for cell in line] for line in (header, *lines)]
    text = markdown(escaped[0], escaped[1:], text_columns=1) + "\n"
    if options.output and options.output.suffix == ".csv":
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows(map(defused, line) for line in (header, *lines))
        write_text(buffer.getvalue(), options.output)
    elif options.output:
        write_text(text, options.output)
    else:
        print(text)
    print("Shares are of all items, in percent (95 % interval); type 1 reasonable, 2 lacks context, 3 wrong.")
    for found in agreements(sheets):
        kappa = "not defined" if found.kappa is None else f"{found.kappa:.2f}"
        left, right = found.sheets
        print(f"{left} and {right}: {found.marked} marked by both, {100 * found.agreed:.0f} % alike, kappa {kappa}.")
    return 0
