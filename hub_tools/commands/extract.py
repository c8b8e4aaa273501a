"""`fsa extract`: reviews in a file → a table of opinions with quotes."""

import argparse
import sys
from pathlib import Path

from hub_tools.commands.screen import positive, show


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    extracting = commands.add_parser("extract", help="reviews in a file → a table of opinions with quotes")
    extracting.add_argument("reviews", type=Path, help=".csv, .tsv, .jsonl, .parquet or .txt")
    extracting.add_argument("--student", required=True, help="fine-tuned student: a repo on the Hub, or a folder")
    extracting.add_argument("--revision", help="branch, tag or commit of the student")
    extracting.add_argument("--column", help="of the texts (default: a usual name, such as text or review)")
    extracting.add_argument(
        "-o",
        "--output",
        type=Path,
        help=".csv or .jsonl, a row per opinion: the text's number from 1, what the opinion is on, polarity, "
        "sentence, place (default: a table on the screen)",
    )
    extracting.add_argument("--batch_size", type=positive, default=64, help="sentences at a time (default: 64)")
    extracting.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Loads the student, reads the texts, writes one row per opinion."""
    from tqdm.auto import tqdm

    from hub_tools.reviews.tables import read_texts, write_table
    from hub_tools.students.extraction import extract_table, load_student, table_columns

    texts, column = read_texts(options.reviews, options.column)
    student = load_student(options.student, options.revision)
    print(
        f"{len(texts)} texts from column '{column}' of {options.reviews}; student {options.student}.", file=sys.stderr
    )
    columns = table_columns(student.task)
    with tqdm(texts, unit="text", file=sys.stderr, disable=None) as progress:
        rows = extract_table(student, progress, options.batch_size)
        if options.output:
            count = write_table(rows, columns, options.output)
        else:
            rows = list(rows)
            count = len(rows)
    if options.output:
        print(f"{count} opinions written to {options.output}.", file=sys.stderr)
    else:
        shown = columns[:-2]
        show(shown, [["" if row[key] is None else str(row[key]) for key in shown] for row in rows])
    return 0
