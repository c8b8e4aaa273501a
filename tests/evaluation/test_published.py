"""The paper's numbers, checked against themselves: the averages it prints follow from the cells it prints."""

import os
import re
from pathlib import Path
from statistics import mean

import pytest

from hub_tools.evaluation.published import FSA, published


PAPER = Path(__file__).resolve().parents[2].parent / "shared" / "reference" / "papers" / "paper1_full_text.md"
NUMBERS = (4, 6, 12, 13)
MISPRINTED = {("", "InstructABSA"): 1.05, ("Mixtral-8x7b", "Distil (ANL w/o L)"): 2.48}  # the cells give 1.07, 2.40
by_table = pytest.mark.parametrize("number", NUMBERS)


@by_table
def test_every_line_has_a_score_for_every_cell(number):
    table = published(number)
    assert {len(line.scores) for line in table.lines} == {len(table.cells)}
    assert all(0 < score < 100 for line in table.lines for score in line.scores)


@pytest.mark.parametrize("number", [4, 6, 13])
def test_printed_averages_follow_from_the_printed_cells(number):
    baseline, *others = published(number).lines
    assert baseline.average == pytest.approx(mean(baseline.scores), abs=0.0051)
    misprinted = {
        (line.teacher, line.method): line.average
        for line in others
        if line.average != pytest.approx(mean(line.scores) - mean(baseline.scores), abs=0.0051)
    }
    assert misprinted == (MISPRINTED if number == 4 else {})


def test_the_baseline_of_table_4_is_the_papers():
    baseline = published(4).lines[0]
    assert (baseline.method, baseline.average, round(mean(baseline.scores), 2)) == ("T5-base", 56.20, 56.20)
    assert len(published(4).lines) == 27


def test_table_6_holds_the_multiple_columns_of_table_4():
    table = published(4)
    multiple = [index for index, (_, subset) in enumerate(table.cells) if subset == "multiple"]
    known = {tuple(line.scores[index] for index in multiple) for line in table.lines}
    by_method = {line.method: line.scores for line in published(6).lines}
    assert {by_method["T5-base"], by_method["R12421"]} <= known


def test_table_12_prints_no_average():
    assert {line.average for line in published(12).lines} == {None}
    assert [config for config, _ in published(12).cells] == list(FSA)


@by_table
def test_every_number_stands_in_the_papers_text(number):
    paper = Path(os.environ.get("FSA_PAPER", PAPER))
    if not paper.is_file():
        pytest.skip(f"the paper's text is not at {paper}")
    before, found, _ = paper.read_text(encoding="utf-8").partition(f"\nTable {number}: ")
    assert found
    printed = before[before.rindex("\nMethods\t") :]
    rows = [line.split("\t") for line in printed.splitlines()]
    numbers = [
        [float(cell) for cell in cells if cell] for _, *cells in rows if any(re.search(r"\d\.\d\d", c) for c in cells)
    ]
    ours = [[*line.scores, *([] if line.average is None else [line.average])] for line in published(number).lines]
    assert ours == numbers
