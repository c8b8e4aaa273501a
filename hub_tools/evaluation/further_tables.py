"""Tables that the paper does not have: what the choice of a scoring rule changes, and the numbers of its Figure 5."""

from collections.abc import Mapping, Sequence

from hub_tools.evaluation.curves import rule_gaps, share_curves
from hub_tools.evaluation.paper_tables import config_name
from hub_tools.evaluation.results import EXTRA_SCORES
from hub_tools.evaluation.typesetting import Block, Table, Value


OTHER_RULES = dict(zip(EXTRA_SCORES, ("Partial", "InstructABSA", "ABSA-QUAD"), strict=True))
COUNTS = ("malformed", "invented", "repeated")


def rules_table(rows: Sequence[Mapping]) -> Table:
    """What the choice of rule changes: scores by each rule that was computed, and items that only `strict` counts."""
    gaps = rule_gaps(rows)
    further = [name for name in EXTRA_SCORES if gaps and all(name in gap for gap in gaps)]
    scores = ["precision", "recall", "f1", "strict_f1", *further]
    columns = [
        ("", "Config"), ("", "Method"), ("Paper", "P"), ("Paper", "R"), ("Paper", "F1"), ("Strict", "F1"),
        *((OTHER_RULES[name], "F1") for name in further), ("", "Strict less paper"),
        *(("Per 100 items", name.capitalize()) for name in COUNTS),
    ]  # fmt: skip
    lines = [
        [
            config_name(gap["config"]),
            gap["model"],
            *(Value(gap[name]) for name in scores),
            Value(-gap["gap"], signed=True),
            *(Value(gap[name]) for name in COUNTS),
        ]
        for gap in gaps
    ]
    note = "Means over seeds on all sentences. Other papers' rules are for comparison only: some can be fooled."
    return Table(
        "rules", "The same predictions by several rules (percent)", columns, [Block("", lines)], note, text_columns=2
    )


def shares_table(rows: Sequence[Mapping]) -> list[Table]:
    """F1 against the share of training sentences (the numbers of the paper's Figure 5), if there are several."""
    found, cells = share_curves(rows)
    if not any(found.values()):
        return []
    shares = sorted({point.x for points in found.values() for point in points})
    lines = []
    for model, points in found.items():
        values = {point.x: Value(point.mean, point.sd if point.seeds > 1 else None) for point in points}
        lines.append([model, *(values.get(share) for share in shares)])
    columns = [("", "Method"), *(("Share of train", f"{100 * share:g} %") for share in shares)]
    title = f"Less training data (F1 in percent, paper rule, mean of {cells} cells)"
    return [Table("shares", title, columns, [Block("", lines)], "Validation sets are whole.")]
