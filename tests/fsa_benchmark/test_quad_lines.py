"""The raw lines of ACOS and ASQP as records, and what a line that cannot be read is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tools.benchmarks.quad_lines import read_acos, read_asqp
from hub_tools.benchmarks.quads import build_rows
from hub_tools.benchmarks.records import BenchmarkError


@pytest.fixture
def written(tmp_path):
    def write(text, name="f.txt"):
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def test_acos_spans_are_tokens_and_become_characters(written):
    path = written("\ufeffthe pad thai is great .\t1,3 FOOD#QUALITY 2 4,5\t-1,-1 SERVICE#GENERAL 0 -1,-1\r\n\n")
    (record,) = read_acos(path)
    assert record == {
        "ID": 0,
        "line": 1,
        "sentence": "the pad thai is great .",
        "quads": [
            ["pad thai", "great", "FOOD#QUALITY", "positive"],
            ["NULL", "NULL", "SERVICE#GENERAL", "negative"],
        ],
        "spans": [(4, 12), None],
    }


def test_an_empty_span_is_an_opinion_of_no_word(written):
    (row,) = build_rows(read_acos(written("the place .\t1,2 RESTAURANT#PRICES 0 3,3\n")), "acos")
    assert row["opinions"][0]["opinion_words"] == []


def test_asqp_lines_are_read_as_data_and_never_run(written):
    path = written("Loved it .####[['NULL', 'food quality', 'positive', 'Loved']]\n")
    assert read_asqp(path)[0]["quads"] == [["NULL", "Loved", "food quality", "positive"]]
    with pytest.raises(BenchmarkError, match=r"f\.txt:1: what follows #### is not a list of lists"):
        read_asqp(written("x####__import__('os').system('true')\n"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("no tab", r"2: expected a sentence, a tab and quads, found no tab in str 'no tab'"),
        (
            "a b\t0,1 X#Y 3 1,2",
            r"2, quad 1: expected 'from,to CATEGORY polarity from,to' with a polarity of 0, 1 or 2",
        ),
        ("a b\t0,1 X#Y 2 1,2\t0 X#Y 2 1,2", r"2, quad 2: expected 'from,to"),
        ("a b\t0,1 X#Y 2 1,3", r"2, quad 1, opinion: the span 1,3 is not within the sentence's 2 tokens"),
        ("a b\t-1,1 X#Y 2 1,2", r"2, quad 1, target: the span -1,1 is not within"),
        ("a b\t1,1 X#Y 2 1,2", r"2, quad 1, target: the span 1,1 holds no token; implicit is -1,-1"),
    ],
    ids=["no tab", "polarity", "quad", "beyond", "negative", "empty"],
)
def test_a_broken_acos_line_is_named(written, line, message):
    with pytest.raises(BenchmarkError, match=rf"f\.txt:{message}"):
        read_acos(written(f"a b\t0,1 X#Y 2 1,2\n{line}\n"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("no sign", r"2: expected 'sentence####\[\[…\]\]', found no #### in str 'no sign'"),
        ("x####[[", r"2: what follows #### is not a list of lists, found str '\[\['"),
        ("x####" + "[" * 5000, r"2: what follows #### is not a list of lists"),
        ("x####{1: 2}", r"2: expected a list of quads after ####, found dict"),
        ("x####[['a', 'b', 'positive']]", r"2, quad 1: expected \['target', 'category', 'polarity', 'opinion'\]"),
    ],
    ids=["no sign", "cut off", "deep", "no list", "three"],
)
def test_a_broken_asqp_line_is_named(written, line, message):
    good = "x####[['x', 'food quality', 'positive', 'x']]"
    with pytest.raises(BenchmarkError, match=rf"f\.txt:{message}"):
        read_asqp(written(f"{good}\n{line}\n"))


def test_a_record_that_is_wrong_further_on_is_named_by_its_line(written):
    path = written("\nx####[['x', 'food quality', 'great', 'x']]\n")
    with pytest.raises(BenchmarkError, match=r"f\.txt:2, quads\[0\], polarity: found str 'great'"):
        build_rows(read_asqp(path), "asqp", path)


@pytest.mark.parametrize("read", [read_acos, read_asqp])
def test_a_file_without_lines_or_of_other_bytes_is_named(written, read):
    with pytest.raises(BenchmarkError, match=r"f\.txt: expected a sentence a line, found none"):
        read(written("\n\n"))
    with pytest.raises(BenchmarkError, match=r"f\.txt: not UTF-8 at byte 1"):
        read(written(b"a\xff"))


@given(st.text(max_size=60), st.sampled_from([read_acos, read_asqp]))
def test_no_line_but_one_of_quads_is_read(tmp_path_factory, text, read):
    path = tmp_path_factory.getbasetemp() / "any-line"
    path.write_bytes(text.encode("utf-8", "replace"))
    with pytest.raises(BenchmarkError, match="any-line"):
        read(path)
