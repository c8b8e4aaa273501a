"""
`fsa`: what a person with reviews, predictions or a laptop needs, without writing code.

fsa extract reviews.csv --student me/t5-sentiment-tsa-rest14 -o opinions.csv
fsa score predictions.jsonl gold.jsonl --task tsa
fsa plan recipes/configs/demo/label_reviews.yaml --n 50000
fsa hub serve | run -- COMMAND | env
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status. Bad input gives one line on stderr and 1, a wrong command 2."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv[:1] == ["hub"]:  # light: no torch, and everything after `--` belongs to the command
        from hub_tools.hub.embedded.commands import main as hub

        return hub(argv[1:])
    options = parser().parse_args(argv)
    try:
        return options.run(options)
    except KeyboardInterrupt:
        print("fsa: stopped; nothing was written.", file=sys.stderr)
        return 130
    except (ValueError, RuntimeError, OSError) as error:
        if not type(error).__module__.startswith(("hub_tools", "builtins")):
            raise
        print(f"fsa {argv[0]}: {error}", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    result = argparse.ArgumentParser(
        prog="fsa", description="Fine-grained sentiment analysis with distilled students."
    )
    commands = result.add_subparsers(dest="command", required=True)
    extracting = commands.add_parser("extract", help="reviews in a file → a table of opinions with quotes")
    extracting.add_argument("reviews", type=Path, help=".csv, .tsv, .jsonl, .parquet or .txt")
    extracting.add_argument("--student", required=True, help="fine-tuned student: a repo on the Hub, or a folder")
    extracting.add_argument("--revision", help="branch, tag or commit of the student")
    extracting.add_argument("--column", help="which column holds the texts (default: text, review, …)")
    extracting.add_argument("-o", "--output", type=Path, help=".csv or .jsonl (default: a table on the screen)")
    extracting.add_argument("--batch_size", type=positive, default=64, help="sentences at a time")
    extracting.set_defaults(run=extract)
    scoring = commands.add_parser("score", help="predictions against gold, by both rules")
    scoring.add_argument("predictions", type=Path, help=".jsonl with `prediction` (and `id`)")
    scoring.add_argument("gold", type=Path, help=".jsonl with `reference` or `text`, `sentence` (and `id`, subsets)")
    scoring.add_argument("--task", required=True, help="tsa or asa")
    scoring.add_argument("--json", action="store_true", help="print JSON instead of a table")
    scoring.set_defaults(run=score)
    planning = commands.add_parser("plan", help="what a labelling run will take: requests, tokens, price, hours, disk")
    planning.add_argument("--json", action="store_true", help="print JSON instead of a table")
    planning.add_argument("config", help="the run's label_reviews.yaml")
    planning.add_argument("settings", nargs=argparse.REMAINDER, help="[--key value …] [--json]: as the recipe takes")
    planning.set_defaults(run=plan)
    commands.add_parser("hub", help="a Hub on this machine: serve | run -- COMMAND | env")
    return result


def positive(text: str) -> int:
    """A whole number from 1, as argparse wants it."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, not {text!r}")
    return int(text)


def extract(options: argparse.Namespace) -> int:
    """Loads the student, reads the texts, writes one row per opinion."""
    from tqdm.auto import tqdm

    from hub_tools.reviews.tables import read_texts, write_table
    from hub_tools.students.extraction import extract_table, load_student

    texts, column = read_texts(options.reviews, options.column)
    student = load_student(options.student, options.revision)
    print(
        f"{len(texts)} texts from column '{column}' of {options.reviews}; student {options.student}.", file=sys.stderr
    )
    name = "target" if student.task == "tsa" else "category"
    columns = ["row", name, "polarity", "sentence", "start", "end"]
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
        show(columns[:4], [[str(row[key]) for key in columns[:4]] for row in rows])
    return 0


def score(options: argparse.Namespace) -> int:
    """Joins predictions to gold and prints both rules' scores."""
    from hub_tools.evaluation.files import read_scored
    from hub_tools.evaluation.scoring import score_texts

    scores = score_texts(**read_scored(options.predictions, options.gold), task=options.task)
    if options.json:
        print(json.dumps(scores, indent=2))
        return 0
    lines = []
    for subset, prefix in (("All", ""), ("Implicit", "implicit_"), ("Multiple", "multiple_")):
        for rule, key in (("paper", ""), ("strict", "strict_")):
            if f"{prefix}{key}f1" in scores:
                numbers = [f"{100 * scores[f'{prefix}{key}{name}']:.2f}" for name in ("precision", "recall", "f1")]
                if not scores[f"n_{prefix[:-1] or 'sentences'}"]:
                    numbers = ["–"] * 3  # nothing to score would count as all right
                lines.append([subset, rule, *numbers])
    show(["subset", "rule", "precision", "recall", "F1"], lines)
    print(", ".join(f"{key[2:]} {value}" for key, value in scores.items() if key.startswith("n_")))
    return 0


def plan(options: argparse.Namespace) -> int:
    """Prints what the run will take; 1 where it does not fit the limits that its YAML sets."""
    from hub_tools.arguments import read_arguments, use_hub
    from hub_tools.labelling.arguments import LabelReviews
    from hub_tools.labelling.planning import plan_run

    settings = [setting for setting in options.settings if setting != "--json"]
    arguments = read_arguments(LabelReviews, [options.config, *settings])
    if any(name.startswith("hub:") for name in arguments.files):
        use_hub(arguments.hub)
    planned = plan_run(arguments)
    if options.json or len(settings) < len(options.settings):
        print(json.dumps(planned.as_json(), indent=2, ensure_ascii=False))
    else:
        show([planned.teacher, "low", "likely", "high", "at most"], planned.as_rows())
        print("\n".join(f"- {note}" for note in planned.notes))
    for doubt in planned.doubts:
        print(f"fsa plan: {doubt}.", file=sys.stderr)
    return 1 if planned.doubts else 0


def show(header: list[str], lines: list[list[str]]) -> None:
    """A table on the screen."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(*header)
    for line in lines:
        table.add_row(*map(escape, line))
    Console().print(table)


if __name__ == "__main__":
    raise SystemExit(main())
