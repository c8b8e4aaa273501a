"""
`fsa`: what a person with reviews, predictions or a laptop needs, without writing code.

fsa extract reviews.csv --student me/t5-sentiment-tsa-rest14 -o opinions.csv
fsa score predictions.jsonl gold.jsonl --task tsa
fsa browse predictions.jsonl gold.jsonl --task tsa -o errors.html
fsa errors sample predictions.jsonl gold.jsonl --task tsa -o sheet.csv
fsa errors table sheet.csv
fsa convert Restaurants_Test_Gold.xml gold.jsonl --task tsa
fsa plan recipes/configs/demo/label_reviews.yaml --n 50000
fsa hub serve | run -- COMMAND | env
"""

import argparse
import sys
from collections.abc import Sequence

from hub_tools.commands import browse, convert, errors, extract, plan, score


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
    for command in (extract, score, browse, errors, plan, convert):
        command.add(commands)
    commands.add_parser("hub", help="a Hub on this machine: serve | run -- COMMAND | env")
    return result


if __name__ == "__main__":
    raise SystemExit(main())
