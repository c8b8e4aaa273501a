"""`fsa plan`: what a labelling run will take, before anything is spent."""

import argparse
import json
import sys

from hub_tools.commands.screen import show


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    planning = commands.add_parser("plan", help="what a labelling run will take: requests, tokens, price, hours, disk")
    planning.add_argument("--json", action="store_true", help="print JSON instead of a table")
    planning.add_argument("config", help="the run's label_reviews.yaml")
    planning.add_argument("settings", nargs=argparse.REMAINDER, help="[--key value …] [--json]: as the recipe takes")
    planning.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
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
