"""Figures are written, and hold something."""

from hub_tools.evaluation.figures import draw_losses, draw_scores
from hub_tools.evaluation.results import SCORES
from hub_tools.evaluation.tables import summarise


def row(model, config, seed, f1, subset="all", split="test_hard", n_sentences=10, strict_f1=None):
    """A result row whose scores are all `f1` (a fraction), but for the strict ones if they are given."""
    strict = {name: f1 if strict_f1 is None else strict_f1 for name in SCORES if name.startswith("strict")}
    place = {"model": model, "config": config, "split": split, "subset": subset, "seed": seed}
    return place | dict.fromkeys(SCORES, f1) | strict | {"n_sentences": n_sentences}


def comparison():
    rows = []
    for model, gain in (("base", 0.0), ("distilled", 0.125)):
        for seed, f1 in ((1, 0.50), (2, 0.54)):
            rows.append(row(model, "tsa-rest14", seed, f1 + gain, strict_f1=f1))
            rows.append(row(model, "tsa-rest14", seed, 1.0, "implicit", n_sentences=0))
            rows.append(row(model, "tsa-rest14", seed, f1, split="test"))
    return rows


def test_figures_are_written_as_png(tmp_path):
    draw_scores(summarise(comparison()), tmp_path / "new" / "scores.png", "Title")
    curves = {
        name: [[step, 3 / (step + 1)] for step in range(40)] for name in ("training", "held out", "third", "4th")
    }
    draw_losses({**curves, "empty": []}, tmp_path / "loss.png", "Title")
    for path in (tmp_path / "new" / "scores.png", tmp_path / "loss.png"):
        assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        assert path.stat().st_size > 5000
