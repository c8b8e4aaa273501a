"""`fsa score`: predictions in a file against gold in a file."""

import argparse
import json
from pathlib import Path

from hub_tools.commands.screen import show


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    scoring = commands.add_parser("score", help="predictions against gold, by both rules")
    scoring.add_argument("predictions", type=Path, help=".jsonl with `prediction` (and `id`)")
    scoring.add_argument("gold", type=Path, help=".jsonl with `reference` or `text`, `sentence` (and `id`, subsets)")
    scoring.add_argument("--task", required=True, help="tsa or asa")
    scoring.add_argument("--json", action="store_true", help="print JSON instead of a table")
    scoring.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
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
