"""Pictures of scores: what is drawn where, read back from the axes and the SVG."""

import xml.etree.ElementTree as ElementTree

import pytest

from hub_tools.evaluation.curves import Point, published_scaling
from hub_tools.evaluation.results import SCORES
from hub_tools.evaluation.score_figures import (
    draw_differences,
    draw_rules,
    draw_scaling,
    draw_scores,
    draw_shares,
    short_number,
)
from hub_tools.evaluation.statistics import Comparison
from hub_tools.evaluation.tables import summarise


def row(model, config, seed, f1, subset="all", split="test_hard", n_sentences=10):
    place = {"model": model, "config": config, "split": split, "subset": subset, "seed": seed}
    return place | dict.fromkeys(SCORES, f1) | {"n_sentences": n_sentences}


def comparison(models=("base", "distilled")):
    rows = []
    for number, model in enumerate(models):
        for seed, f1 in ((1, 0.50), (2, 0.54)):
            rows.append(row(model, "tsa-rest14", seed, f1 + number / 10))
            rows.append(row(model, "tsa-rest14", seed, 1.0, "implicit", n_sentences=0))
            rows.append(row(model, "tsa-rest14", seed, f1, split="test"))
            rows.append(row(model, "acos-rest16", seed, f1, "implicit_aspect", split="test"))
    return rows


@pytest.fixture
def drawn(monkeypatch):
    """The axes of the figures that were written, before they are let go."""
    from matplotlib import pyplot

    kept = []
    monkeypatch.setattr(pyplot, "close", lambda figure: kept.append(figure))
    yield kept
    monkeypatch.undo()
    pyplot.close("all")


def texts(figure):
    return [text.get_text() for text in figure.findobj(match=lambda item: hasattr(item, "get_text"))]


def test_bars_are_of_the_headline_split_and_leave_out_what_has_no_sentences(tmp_path, drawn):
    draw_scores(summarise(comparison()), tmp_path / "scores", "Title")
    (figure,) = drawn
    (axis,) = figure.axes
    assert axis.get_title() == "TSA-Rest14"
    assert [label.get_text() for label in axis.get_xticklabels()] == ["All"]
    assert [bar.get_height() for bar in axis.patches] == pytest.approx([52, 62])
    assert {path.suffix for path in tmp_path.iterdir()} == {".svg", ".png"}


def test_differences_have_a_panel_a_baseline_and_a_mark_by_their_verdict(tmp_path, drawn):
    def found(baseline, model, difference, p_holm, subset="all"):
        numbers = (difference, difference - 0.03, difference + 0.03, p_holm, p_holm, 0.02, 0.03)
        return Comparison("tsa-rest14", "test_hard", subset, baseline, model, "paper", 9, 3, 3, 0.4, 0.4, *numbers)

    rows = [found("base", "a", 0.1, 0.01), found("base", "b", 0.02, 0.3), found("a", "b", -0.08, 0.02)]
    draw_differences([*rows, found("base", "a", 0.2, 0.01, "implicit")], tmp_path / "differences.svg", "Title")
    left, right = drawn[0].axes
    assert [left.get_title(), right.get_title()] == ["… less base", "… less a"]
    assert [label.get_text() for label in left.get_yticklabels()] == ["a · TSA-Rest14", "b · TSA-Rest14"]
    marks = [[points.get_offsets().tolist() for points in axis.collections[1::2]] for axis in (left, right)]
    assert [[len(own) for own in of] for of in marks] == [[1, 0, 1], [0, 1, 0]]  # better, worse, open
    assert marks[0][0][0] == pytest.approx([10, 0])


def test_quads_have_a_picture_of_their_own(tmp_path, drawn):
    draw_scores(summarise(comparison()), tmp_path / "quads", "Title", quads=True)
    (axis,) = drawn[0].axes
    assert axis.get_title() == "ACOS-Rest16"
    assert [label.get_text() for label in axis.get_xticklabels()] == ["Implicit\naspect"]


def test_given_intervals_are_the_whiskers(tmp_path, drawn):
    bounds = {("base", "tsa-rest14", "all"): (40.0, 71.0)}
    draw_scores(summarise(comparison(["base"])), tmp_path / "scores", "Title", intervals=bounds)
    (axis,) = drawn[0].axes
    (whisker,) = axis.collections
    assert whisker.get_segments()[0][:, 1] == pytest.approx([40, 71])
    assert axis.get_ylim()[1] > 71


def test_many_models_and_strange_labels_are_drawn(tmp_path):
    models = [f"model <{number}> & $x_{{" for number in range(10)]
    draw_scores(summarise(comparison(models)), tmp_path / "scores.svg", "Title")
    ElementTree.parse(tmp_path / "scores.svg")


def test_the_rules_picture_shows_both_scores_and_what_lies_between(tmp_path, drawn):
    gap = {"config": "tsa-rest14", "model": "base", "f1": 70.0, "strict_f1": 64.5}
    draw_rules([{**gap, "malformed": 1.0, "invented": 2.0, "repeated": 3.0}], tmp_path / "rules", "Title")
    right = drawn[0].axes[1]
    assert "-5.5" in texts(drawn[0])
    assert [bar.get_width() for bar in right.patches] == pytest.approx([1, 2, 3])


def test_shares_are_labelled_in_percent(tmp_path, drawn):
    curves = {"base": [Point(1.0, 56.2, 0.4, 3), Point(0.05, 40, 1.0, 3)], "distilled": [Point(0.05, 51, 0.0, 1)]}
    draw_shares(curves, tmp_path / "shares", "Title", "mean of 12 cells")
    (axis,) = drawn[0].axes
    assert [label.get_text() for label in axis.get_xticklabels()] == ["5 %", "100 %"]
    assert list(axis.lines[0].get_xdata()) == [0.05, 1.0]  # in order, whatever the order they came in


def test_published_points_have_a_panel_of_their_own(tmp_path, drawn):
    ours = {"lexicon": [Point(0, 20, 0.3, 3), Point(100_000, 30, 0.2, 3)]}
    draw_scaling(ours, tmp_path / "scaling", "Title", "mean of 6 cells", "reviews", published_scaling())
    left, right = drawn[0].axes
    assert (left.get_title(), right.get_title()) == ("Ours", "Published, arXiv 2412.18552")
    assert [len(axis.lines) for axis in (left, right)] == [1, 3]
    assert [label.get_text() for label in right.get_xticklabels()] == ["0", "100K", "1M"]


def test_a_single_point_can_be_drawn(tmp_path):
    draw_scaling({"lexicon": [Point(0, 20, 0.0, 1)]}, tmp_path / "scaling", "Title", "mean", "parameters")


@pytest.mark.parametrize(("number", "text"), [(0, "0"), (750, "750"), (3907, "3.91K"), (2.2e8, "220M"), (7e9, "7B")])
def test_numbers_are_short(number, text):
    assert short_number(number) == text
