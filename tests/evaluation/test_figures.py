"""Figures are written, hold what they should, and are the same bytes each time."""

import xml.etree.ElementTree as ElementTree

import pytest

from hub_tools.evaluation.figures import COLOURS, HATCHES, MARKS, draw_losses, styles


CURVES = {name: [[step, 3 / (step + 1)] for step in range(40)] for name in ("training", "held out", "third", "4th")}


def test_a_suffix_decides_the_format(tmp_path):
    draw_losses({**CURVES, "empty": []}, tmp_path / "new" / "loss.png", "Title")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["loss.png"]
    content = (tmp_path / "new" / "loss.png").read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(content) > 5000


def test_without_a_suffix_both_formats_are_written_with_the_same_bytes_each_time(tmp_path):
    for name in ("first", "second"):
        draw_losses(CURVES, tmp_path / name, "Title")
    for suffix in ("svg", "png"):
        first, second = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in ("first", "second"))
        assert first == second
    assert "<dc:date>" not in (tmp_path / "first.svg").read_text()
    assert ElementTree.parse(tmp_path / "first.svg").getroot().tag.endswith("svg")


def test_labels_are_no_formulas(tmp_path):
    """Else matplotlib would read "$5 and $" as mathematics, and stop at what is none."""
    draw_losses({"$5_{": CURVES["training"], "a & b < c": CURVES["4th"]}, tmp_path / "loss.svg", "costs $_{")
    ElementTree.parse(tmp_path / "loss.svg")


@pytest.mark.parametrize("count", [1, 8, 11])
def test_every_name_has_a_style_and_eight_have_their_own(count):
    found = styles([f"model {number}" for number in range(count)])
    assert len(found) == count
    assert len(set(found.values())) == min(count, 8)
    assert len(set(COLOURS)) == len(set(HATCHES)) == len(set(MARKS)) == 8
