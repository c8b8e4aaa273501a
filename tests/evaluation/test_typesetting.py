"""One table in three forms: that each can be read back, whatever the labels are."""

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tools.evaluation.typesetting import Block, Table, Value, latex_text, markdown, to_csv, to_latex, to_markdown


COLUMNS = [("", "Method"), ("TSA-Rest14", "All"), ("TSA-Rest14", "Imp"), ("", "Avg")]
OURS = Block(
    "Ours",
    [["base", Value(56.2, 0.515), None, Value(56.2)], ["a & b", Value(60), Value(1.5), Value(-3.726, signed=True)]],
)
PUBLISHED = Block("Published, arXiv 2412.18552", [["T5-base", Value(67.33), Value(51.73), Value(56.2)]])
TABLE = Table("table_4", "Scores, 100 %", COLUMNS, [OURS, PUBLISHED], "A note.")

labels = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Value(56.204), "56.20"),
        (Value(56.2, 0.515), "56.20 ± 0.52"),
        (Value(3.73, signed=True), "+3.73"),
        (Value(-1.456, signed=True), "-1.46"),
    ],
    ids=["mean", "spread", "gain", "loss"],
)
def test_values_have_two_digits(value, text):
    assert str(value) == text


def test_a_line_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match=r"table t, block 'Ours': a line of 1 cells should have 2"):
        Table("t", "T", [("", "Method"), ("", "All")], [Block("Ours", [["base"]])])


# --- Markdown --------------------------------------------------------------------------------------------------------


def test_markdown_has_a_table_per_block_under_its_heading():
    assert to_markdown(TABLE) == (
        "**Scores, 100 %**\n\n"
        "*Ours*\n\n"
        "| Method | TSA-Rest14 All | TSA-Rest14 Imp | Avg |\n"
        "| :-- | --: | --: | --: |\n"
        "| base | 56.20 ± 0.52 | – | 56.20 |\n"
        "| a & b | 60.00 | 1.50 | -3.73 |\n\n"
        "*Published, arXiv 2412.18552*\n\n"
        "| Method | TSA-Rest14 All | TSA-Rest14 Imp | Avg |\n"
        "| :-- | --: | --: | --: |\n"
        "| T5-base | 67.33 | 51.73 | 56.20 |\n\n"
        "A note.\n"
    )


@given(labels)
def test_no_label_breaks_a_markdown_table(label):
    table = Table("t", "T", COLUMNS, [Block("", [[label, None, None, None]])])
    line = to_markdown(table).strip().split("\n")[-1]
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 5


def test_markdown_puts_text_left_and_numbers_right():
    assert markdown(["config", "subset", "rule", "base"], [["tsa", "All", "paper", "50.00"]]) == (
        "| config | subset | rule | base |\n| :-- | :-- | :-- | --: |\n| tsa | All | paper | 50.00 |"
    )


# --- LaTeX -----------------------------------------------------------------------------------------------------------


def test_latex_has_rules_groups_headings_and_spreads_as_subscripts():
    text = to_latex(TABLE)
    assert r"\begin{tabular}{lrrr}" in text
    assert r" & \multicolumn{2}{c}{TSA-Rest14} &  \\" in text
    assert r"\cmidrule(lr){2-3}" in text
    assert r"\multicolumn{4}{l}{\textit{Published, arXiv 2412.18552}} \\" in text
    assert r"base & 56.20$_{\pm 0.52}$ & -- & 56.20 \\" in text
    assert r"a \& b & 60.00 & 1.50 & $-$3.73 \\" in text
    assert r"\caption{Scores, 100 \%. A note.}" in text
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 1
    assert r"\resizebox" not in text


def test_a_wide_table_is_fitted_to_the_page():
    columns = [("", "Method"), *(("A", f"{number}") for number in range(9))]
    assert r"\resizebox{\textwidth}{!}{%" in to_latex(Table("t", "T", columns, [Block("", [["base"] + [None] * 9])]))


@given(labels, labels)
def test_no_label_breaks_latex(label, heading):
    """Braces balance, every line of the tabular has its three column ends, and nothing special is left bare."""
    text = to_latex(Table("t", label, COLUMNS, [Block(heading, [[label, None, None, None]])]))
    bare = re.sub(r"\\[\\{}&%$#_]", "", text)
    assert bare.count("{") == bare.count("}")
    (line,) = [line for line in text.splitlines() if line.endswith(r"-- & -- & -- \\")]
    assert len(re.findall(r"(?<!\\)&", line)) == 3
    assert not re.search(r"(?<!\\)[#_~^%]", latex_text(label).replace(r"\textbackslash{}", ""))


# --- CSV -------------------------------------------------------------------------------------------------------------


def test_csv_gives_spreads_columns_of_their_own_and_leaves_gaps_empty():
    assert list(csv.reader(io.StringIO(to_csv(TABLE)))) == [
        ["block", "Method", "TSA-Rest14 All", "TSA-Rest14 All sd", "TSA-Rest14 Imp", "Avg"],
        ["Ours", "base", "56.20", "0.52", "", "56.20"],
        ["Ours", "a & b", "60.00", "", "1.50", "-3.73"],
        ["Published, arXiv 2412.18552", "T5-base", "67.33", "", "51.73", "56.20"],
    ]


@given(labels, labels)
def test_csv_reads_back_any_label(label, heading):
    table = Table("t", "T", COLUMNS, [Block(heading, [[label, None, None, Value(1.0)]])])
    (line,) = list(csv.DictReader(io.StringIO(to_csv(table), newline="")))
    assert (line["block"], line["Method"], line["Avg"]) == (heading, "" if label == "–" else label, "1.00")
