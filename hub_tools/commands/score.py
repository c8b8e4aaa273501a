"""`fsa score`: predictions against gold, by named rules, with intervals, tests and tables on request."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hub_tools.commands.screen import show


if TYPE_CHECKING:
    import numpy

RULES = ("paper", "strict", "instructabsa", "absa-quad", "partial")  # written here too: --help should import nothing
SUBSETS = ("all", "implicit", "multiple", "implicit_aspect", "implicit_opinion")
TEXTS = ("predictions", "references", "sentences")
CATEGORIES_SHOWN = 20

Samples = dict[tuple[str, str], "numpy.ndarray"]  # (subset, rule) → counts of shape (1, sentences, 4)


def add(commands: argparse._SubParsersAction) -> None:
    """The command and its options."""
    scoring = commands.add_parser(
        "score", help="predictions against gold, by the paper's rule, a strict one and others"
    )
    scoring.add_argument("predictions", type=Path, help=".jsonl with `prediction` (and `id`)")
    scoring.add_argument(
        "gold",
        type=Path,
        nargs="?",
        help=".jsonl with `reference` or `text`, `sentence` (and `id`, subsets); not needed where the predictions hold"
        " them too",
    )
    scoring.add_argument(
        "--task", required=True, help="tsa, asa, acos, asqp; other tuples: their fields (target,opinion,polarity) or 3"
    )
    scoring.add_argument(
        "--rule", choices=(*RULES, "all"), default="paper", help="strict is always printed beside it (default: paper)"
    )
    scoring.add_argument("--details", action="store_true", help="tables by polarity and category, and a confusion")
    scoring.add_argument("--interval", action="store_true", help="a 95%% bootstrap interval of each F1")
    scoring.add_argument("--against", type=Path, metavar="OTHER", help="other predictions, tested against these")
    scoring.add_argument("--json", action="store_true", help="print JSON (F1 from 0 to 1) instead of tables (percent)")
    scoring.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Joins predictions to gold and prints scores by the chosen rules, and what else was asked for."""
    from hub_tools.evaluation.breakdown import breakdown
    from hub_tools.evaluation.files import read_scored
    from hub_tools.evaluation.scoring import score_texts

    rules = RULES if options.rule == "all" else tuple(dict.fromkeys((options.rule, "strict")))
    columns = read_scored(options.predictions, options.gold)
    columns.pop("ids")
    found: dict = score_texts(**columns, task=options.task, rules=rules)
    subsets = [subset for subset in SUBSETS if subset == "all" or f"n_{subset}" in found]
    samples = sampled(columns, options.task, rules, subsets) if options.interval or options.against else {}
    if samples:
        found["intervals"] = intervals(samples)
    if options.against:
        others = read_scored(options.against, options.gold or options.predictions)
        found["against"] = compared(samples, sampled(columns | others, options.task, rules, subsets))
    if options.details:
        found["breakdown"] = breakdown(*(columns[name] for name in TEXTS), options.task)
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    show_scores(found, subsets, rules)
    if options.against:
        show_comparison(found["against"], options.predictions, options.against)
    if options.details:
        show_breakdown(found["breakdown"])
    return 0


def sampled(columns: Mapping[str, list | None], task: str, rules: Sequence[str], subsets: Sequence[str]) -> Samples:
    """Each sentence's counts, by rule, over each subset that has sentences."""
    import numpy

    from hub_tools.evaluation.rules import sentence_counts
    from hub_tools.evaluation.scoring import implicit_flags

    predictions, references, sentences = (columns[name] for name in TEXTS)
    flags = {"all": [True] * len(sentences), "implicit": columns["implicit"], "multiple": columns["multiple"]}
    flags |= implicit_flags(references, sentences, task)
    counts = {rule: numpy.array(sentence_counts(predictions, references, sentences, task, rule)) for rule in rules}
    chosen = {subset: numpy.flatnonzero(flags[subset]) for subset in subsets}
    return {
        (subset, rule): counts[rule][None, places]
        for subset, places in chosen.items()
        for rule in rules
        if len(places)
    }


def intervals(samples: Samples) -> list[dict]:
    """Rows of `subset, rule, low, high`: 95 % of resamples of the sentences have an F1 between the two."""
    from hub_tools.evaluation.statistics import score_interval

    rows = []
    for (subset, rule), counts in samples.items():
        _, low, high = score_interval(counts)
        rows.append({"subset": subset, "rule": rule, "low": low, "high": high})
    return rows


def compared(ours: Samples, theirs: Samples) -> list[dict]:
    """Rows of `subset, rule, f1, other_f1, difference, low, high, p_value, p_holm`; Holm over a rule's subsets."""
    from hub_tools.evaluation.statistics import holm, mean_f1, paired_test

    rows = []
    for (subset, rule), counts in ours.items():
        other = theirs[subset, rule]
        rows.append({"subset": subset, "rule": rule, "f1": mean_f1(counts), "other_f1": mean_f1(other)})
        rows[-1] |= paired_test(other, counts)._asdict()
    for rule in dict.fromkeys(row["rule"] for row in rows):
        family = [row for row in rows if row["rule"] == rule]
        for row, p_value in zip(family, holm([row["p_value"] for row in family]), strict=True):
            row["p_holm"] = p_value
    return rows


def show_scores(found: Mapping, subsets: Sequence[str], rules: Sequence[str]) -> None:
    """Subset × rule, and the counts below."""
    bounds = {(row["subset"], row["rule"]): [row["low"], row["high"]] for row in found.get("intervals", ())}
    lines = []
    for subset in subsets:
        for rule in rules:
            prefix = ("" if subset == "all" else f"{subset}_") + (
                "" if rule == "paper" else f"{rule}_".replace("-", "_")
            )
            numbers = [percent(found[f"{prefix}{name}"]) for name in ("precision", "recall", "f1")]
            if not found["n_sentences" if subset == "all" else f"n_{subset}"]:
                numbers = ["–"] * 3  # nothing to score would count as all right
            if bounds:
                low_high = bounds.get((subset, rule))
                numbers.append("–".join(map(percent, low_high)) if low_high else "–")
            lines.append([titled(subset), rule, *numbers])
    show(["subset", "rule", "precision", "recall", "F1", *(["95 % interval"] if bounds else [])], lines)
    print(", ".join(f"{key[2:]} {value}" for key, value in found.items() if key.startswith("n_")))
    if {"instructabsa", "absa-quad"} & set(rules):
        print("instructabsa and absa-quad count some hits more than once: their F1 may exceed 100.")


def show_comparison(rows: Sequence[Mapping], first: Path, second: Path) -> None:
    """The other's F1, by how much the first is better, and how often chance would do as much."""
    lines = []
    for row in rows:
        better, low, high = (f"{100 * row[name]:+.2f}" for name in ("difference", "low", "high"))
        p_values = [f"{row[name]:.4f}" for name in ("p_value", "p_holm")]
        lines.append(
            [titled(row["subset"]), row["rule"], percent(row["other_f1"]), better, f"{low}…{high}", *p_values]
        )
    print(f"\n{first} against {second}:")
    show(["subset", "rule", "other", "diff.", "95 % interval", "p", "Holm"], lines)
    n_subsets = len({row["subset"] for row in rows})
    print(
        "p: paired randomisation over sentences; Holm: p corrected for "
        f"{n_subsets} {'subset' if n_subsets == 1 else 'subsets'}.\n"
        "This compares two files, not two methods: runs with other seeds may differ."
    )


def show_breakdown(found: Mapping) -> None:
    """Tables by polarity and by category, and the confusion of polarities."""
    print("\nBy the strict rule; malformed and invented items have no class, and are only in the score above.")
    for field in ("polarity", "category"):
        if field in found:
            rows = list(found[field].items())
            lines = [class_line(name, row) for name, row in rows[:CATEGORIES_SHOWN]]
            show([field, "precision", "recall", "F1", "in gold", "predicted"], lines)
            if len(rows) > CATEGORIES_SHOWN:
                print(f"and {len(rows) - CATEGORIES_SHOWN} more with less support (--json has all)")
    if "confusion" in found:
        matrix = found["confusion"]
        header = ["gold \\ predicted", *next(iter(matrix.values()))]
        lines = [
            ["(not in gold)" if gold == "spurious" else gold, *map(str, row.values())] for gold, row in matrix.items()
        ]
        show(header, lines)
        print("Items that agree in all but the polarity face each other.")


def class_line(name: str, row: Mapping) -> list[str]:
    """A class's scores, with a dash for the precision of what was never said and the recall of what is not there."""
    precision = percent(row["precision"]) if row["predicted"] else "–"
    recall = percent(row["recall"]) if row["support"] else "–"
    return [name, precision, recall, percent(row["f1"]), str(row["support"]), str(row["predicted"])]


def titled(subset: str) -> str:
    """`"Implicit aspect"`"""
    return subset.capitalize().replace("_", " ")


def percent(fraction: float) -> str:
    """`"81.25"`"""
    return f"{100 * fraction:.2f}"
