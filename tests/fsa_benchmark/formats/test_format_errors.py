"""Each error says where it is and what is wrong, all of a file's at once; bad files never end in a traceback."""

import contextlib
import doctest
import importlib
import json
import pkgutil
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub_tools.benchmarks import formats
from hub_tools.benchmarks.formats import FORMATS, FormatError, Losses, content, guess, read, write
from hub_tools.benchmarks.formats.nearest import nearest
from hub_tools.benchmarks.formats.problems import SHOWN


CSV = "id,sentence,target,start,end,category,polarity,opinion\n"
XML_2014 = (
    '<sentences><sentence id="7"><text>The soup rocks.</text><aspectTerms>\n{}\n</aspectTerms></sentence></sentences>'
)
XML_2016 = (
    '<Reviews><Review rid="1"><sentences><sentence id="1:0"><text>The soup.</text>'
    "\n{}\n</sentence></sentences></Review></Reviews>"
)

# (format, task, content, what the error says); the file is called reviews.
WRONG = {
    "misspelt": (
        "csv",
        "tsa",
        CSV + "1,The battery died.,battry,,,,negative,\n",
        "reviews:2: 'battry' is not in the sentence 'The battery died.'; nearest 'battery' at 4–11",
    ),
    "nothing near": (
        "csv",
        "tsa",
        CSV + "1,The battery died.,zzz,,,,negative,\n",
        "reviews:2: 'zzz' is not in the sentence 'The battery died.'\n",
    ),
    "line after a break in quotes": (
        "csv",
        "tsa",
        CSV + '1,"The\nbattery died.",battery,,,,negative,\n2,Hm.,x,,,,neutral,\n',
        "reviews:4: 'x' is not in the sentence 'Hm.'",
    ),
    "polarity": (
        "csv",
        "tsa",
        CSV + "1,The battery died.,battery,,,,postive,\n",
        "reviews:2: unknown polarity 'postive'; allowed: positive, neutral, negative, conflict; nearest 'positive'",
    ),
    "no polarity": ("csv", "tsa", CSV + "1,The battery died.,battery,,,,,\n", "reviews:2: unknown polarity ''"),
    "span": (
        "csv",
        "tsa",
        CSV + "1,The battery of this old thing died.,battery,22,29,,negative,\n",
        "reviews:2: the span 22–29 holds 'd thing', not 'battery', which is at 4–11",
    ),
    "half a span": (
        "csv",
        "tsa",
        CSV + "1,The battery died.,battery,4,,,negative,\n",
        "start and end should both be given",
    ),
    "offset": (
        "csv",
        "tsa",
        CSV + "1,The battery died.,battery,four,11,,negative,\n",
        "reviews:2: start should be a number of characters, found 'four'",
    ),
    "two sentences of one id": (
        "csv",
        "tsa",
        CSV + "1,One.,One,,,,neutral,\n1,Two.,Two,,,,neutral,\n",
        "reviews:3: id '1' has another sentence at line 2: 'One.'",
    ),
    "empty sentence": ("csv", "tsa", CSV + "1,,soup,,,,neutral,\n", "reviews:2: the sentence is empty"),
    "separator": (
        "csv",
        "tsa",
        "sentence,target,polarity\nGood, cheap.,x,positive\n",
        "reviews:2: 4 cells, the header has 3; a cell that holds the separator or a line break must be in quotes",
    ),
    "column": ("csv", "tsa", "text,aspect\na,b\n", "reviews:1: has no column 'sentence'; found: 'text, aspect'"),
    "open quotes": ("csv", "tsa", CSV + '1,"The soup,x,,,,neutral,\n', "not readable as CSV (unexpected end of data)"),
    "sign": ("csv", "tsa", CSV + "1,A|B died.,A|B,,,,neutral,\n", "reviews:2: 'A|B' holds a '|' or ';'"),
    "opinion of a quad": (
        "csv",
        "asqp",
        CSV + "1,The soup was cold.,soup,,,FOOD,negative,colt\n",
        "reviews:2: 'colt' is not in the sentence 'The soup was cold.'; nearest 'cold' at 13–17",
    ),
    "quad without opinion": (
        "csv",
        "asqp",
        CSV + "1,The soup.,soup,,,FOOD,negative,\n",
        "opinion_words of 'soup' should be",
    ),
    "text form": (
        "csv",
        "tsa",
        "sentence,text\nThe soup.,soup | positive | x\n",
        "reviews:2: expected 'target | polarity', found 'soup | positive | x'",
    ),
    "json": (
        "jsonl",
        "tsa",
        '{"sentence": "a"}\n{"sentence"\n',
        "reviews:2: not JSON (Expecting ':' delimiter, column 12)",
    ),
    "no object": ("jsonl", "tsa", "[1]\n", "reviews:1: expected an object, found list"),
    "opinions": (
        "jsonl",
        "tsa",
        '{"sentence": "a", "opinions": 5}\n',
        "reviews:1: opinions should be a list of objects",
    ),
    "sentence of numbers": (
        "jsonl",
        "tsa",
        '{"sentence": 5, "opinions": []}\n',
        "the sentence should be text, found int 5",
    ),
    "surrogate": (
        "jsonl",
        "tsa",
        '{"sentence": "\\ud83d", "opinions": []}\n',
        "reviews:1: the sentence holds half a character",
    ),
    "id twice": (
        "jsonl",
        "tsa",
        '{"id": "1", "sentence": "a", "opinions": []}\n' * 2,
        "reviews:2: id '1' occurs before, at 1",
    ),
    "neither": (
        "jsonl",
        "tsa",
        '{"sentence": "a", "opinions": [{"polarity": "neutral"}]}\n',
        "reviews:1: an opinion has neither a target nor a category",
    ),
    "2014 term": (
        "semeval2014",
        "tsa",
        XML_2014.format('\n<aspectTerm term="soups" polarity="positive" from="4" to="9"/>'),
        "reviews:3: 'soups' is not in the sentence 'The soup rocks.'; nearest 'soup' at 4–8",
    ),
    "2014 attribute": (
        "semeval2014",
        "tsa",
        XML_2014.format('<aspectTerm term="soup" from="4" to="8"/>'),
        "reviews:2: <aspectTerm> has no 'polarity'; found: term, from, to",
    ),
    "2014 offset": (
        "semeval2014",
        "tsa",
        XML_2014.format('<aspectTerm term="soup" polarity="positive" from="-1" to="8"/>'),
        "reviews:2: <aspectTerm>: from='-1' is no number of characters",
    ),
    "2014 for 2016": (
        "semeval2016",
        "tsa",
        XML_2014.format(""),
        "expected <Reviews>, found <sentences>\nreviews looks like semeval2014",
    ),
    "2016 target": (
        "semeval2016",
        "asa",
        XML_2016.format(
            '<Opinions><Opinion target="soupp" category="F#Q" polarity="positive" from="4" to="8"/></Opinions>'
        ),
        "reviews:2: 'soupp' is not in the sentence 'The soup.'; nearest 'soup' at 4–8",
    ),
    "2016 no text": (
        "semeval2016",
        "asa",
        "<Reviews>\n<sentence id='1'/></Reviews>",
        "reviews:2: <sentence> has no <text>",
    ),
    "no xml": ("semeval2016", "asa", "<Reviews>\n<x></Reviews>", "reviews:2: not XML (mismatched tag, column 6)"),
    "encoding": ("semeval2016", "asa", '<?xml version="1.0" encoding="klingon"?><Reviews/>', "save it as UTF-8"),
    "apc mark": ("pyabsa-apc", "tsa", "The soup\nsoup\nPositive\n", "reviews:1: expected $T$ once"),
    "apc end": ("pyabsa-apc", "tsa", "The $T$\nsoup\n", "reviews:1: expected three lines an opinion"),
    "apc polarity": ("pyabsa-apc", "tsa", "The $T$\nsoup\nGreat\n", "reviews:2: unknown polarity 'Great'"),
    "atepc": ("pyabsa-atepc", "tsa", "The O -999\nsoup B-ASP\n", "reviews:2: expected a token, its tag"),
    "pyabsa labels": ("pyabsa-jsonl", "tsa", '{"text": "a", "labels": [{}]}\n', "reviews:1: expected `labels`"),
    "instructabsa": (
        "instructabsa",
        "tsa",
        "raw_text,aspectTerms\nThe soup.,__import__('os')\n",
        "reviews:2: aspectTerms should be a list like [{'term': …, 'polarity': …}]",
    ),
    "setfit span": (
        "setfit",
        "tsa",
        "text,span,label,ordinal\nThe soup.,sop,positive,0\n",
        "reviews:2: 'sop' is not in the sentence 'The soup.'; nearest 'soup' at 4–8",
    ),
    "setfit ordinal": (
        "setfit",
        "tsa",
        "text,span,label,ordinal\nThe soup.,soup,positive,1\n",
        "reviews:2: ordinal '1' of 'soup', which is in the text 1 times (from 0)",
    ),
    "tuples": (
        "asqp",
        "asqp",
        "The soup .####[['soup', 'food quality', 'positive']]\n",
        "item 1, ['soup', 'food quality', 'positive']: expected ['target', 'category', 'polarity', 'opinion']",
    ),
    "no list": ("asqp", "asqp", "The soup .####print(1)\n", "reviews:1: expected a sentence, #### and a list"),
    "token": ("aste", "tsa", "The soup .####[([7], [1], 'POS')]\n", "the sentence has the tokens 0 to 2, not [7]"),
    "gap": ("aste", "tsa", "The soup .####[([0, 2], [1], 'POS')]\n", "the tokens [0, 2] do not follow one another"),
    "letters": ("uabsa", "tsa", "The soup .####[([1], 'GOOD')]\n", "unknown polarity 'GOOD'; allowed: POS, NEG, NEU"),
    "acos token": ("acos", "acos", "the soup .\t1,9 FOOD 2 -1,-1\n", "reviews:1: tokens 1,9 of '1,9 FOOD 2 -1,-1'"),
    "acos quad": ("acos", "acos", "the soup .\t1,2 FOOD positive -1,-1\n", "reviews:1: expected a quad like"),
    "scorer": (
        "scorer-json",
        "acos",
        '[{"sentence": "a", "quads": [["a"]]}]',
        "reviews: record 0: expected `sentence` and `quads`",
    ),
    "no array": ("scorer-json", "acos", "{}", "reviews: expected a JSON array of sentences, found dict"),
    "unlabelled": (
        "label-studio",
        "tsa",
        '[{"data": {"sentence": "a"}}]',
        "reviews: task 0 (id None): nobody annotated it",
    ),
    "no polarity in a region": (
        "label-studio",
        "tsa",
        '[{"id": 4, "data": {"text": "The soup."}, "annotations": [{"result": [{"id": "x", "value": {"start": 4,'
        ' "end": 8,'
        ' "text": "soup", "labels": ["target"]}}]}]}]',
        "reviews: task 0 (id 4): the region 'soup' has no polarity; it says: target",
    ),
}


def read_text(tmp_path, name, task, text, **options):
    path = tmp_path / "reviews"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(path, name, task, **options)


@pytest.mark.parametrize("case", WRONG)
def test_an_error_says_where_and_what(case, tmp_path):
    name, task, text, expected = WRONG[case]
    with pytest.raises(FormatError) as error:
        read_text(tmp_path, name, task, text)
    assert expected in f"{error.value}\n".replace(f"{tmp_path}/", "")


def test_all_errors_of_a_file_are_told_and_those_after_the_twentieth_counted(tmp_path):
    rows = "".join(f"{n},The battery died.,battry,,,,negative,\n" for n in range(25))
    with pytest.raises(FormatError) as error:
        read_text(tmp_path, "csv", "tsa", CSV + rows)
    lines = str(error.value).splitlines()
    assert len(lines) == SHOWN + 1
    assert lines[-1] == "and 5 more"


def test_one_wrong_opinion_rejects_its_whole_sentence_and_no_other(tmp_path):
    text = CSV + "1,The soup died.,soup,,,,negative,\n2,Tea.,Tea,,,,neutral,\n1,The soup died.,sop,,,,negative,\n"
    rows, problems = read_text(tmp_path, "csv", "tsa", text, skip_invalid=True)
    assert [row["id"] for row in rows] == ["2"]
    (rejected,) = problems.rejected
    assert (rejected["place"], rejected["id"], rejected["sentence"]) == ("2", "1", "The soup died.")
    assert rejected["reasons"] == ["4: 'sop' is not in the sentence 'The soup died.'; nearest 'soup' at 4–8"]


def test_a_file_with_nothing_right_is_an_error_even_if_what_is_wrong_is_skipped(tmp_path):
    with pytest.raises(FormatError, match="battry"):
        read_text(tmp_path, "csv", "tsa", CSV + "1,The battery died.,battry,,,,negative,\n", skip_invalid=True)


def test_a_span_a_little_off_is_moved_onto_its_target_and_counted(tmp_path):
    rows, problems = read_text(tmp_path, "csv", "tsa", CSV + "1,The soup died.,soup,6,10,,negative,\n")
    assert (rows[0]["opinions"][0]["start"], rows[0]["opinions"][0]["end"]) == (4, 8)
    assert problems.notes == {"spans were moved by at most 5 characters onto their targets": 1}


@pytest.mark.parametrize("name", ["semeval2014", "semeval2014-categories", "semeval2016"])
def test_a_document_type_is_refused_before_its_entities_grow(name, tmp_path):
    bomb = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;">]><sentences><sentence id="&b;"/></sentences>'
    task = FORMATS[name].tasks[-1]
    with pytest.raises(FormatError, match=r"reviews:1: holds a .!DOCTYPE., which is refused"):
        read_text(tmp_path, name, task, bomb)
    outside = '<!DOCTYPE x SYSTEM "file:///etc/passwd"><sentences/>'
    with pytest.raises(FormatError, match="refused"):
        read_text(tmp_path, name, task, outside)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("blank", ["", " \n\r\n"])
def test_an_empty_file_is_told(name, blank, tmp_path):
    with pytest.raises(FormatError, match=r"reviews: (is empty|holds no sentences)"):
        read_text(tmp_path, name, (FORMATS[name].tasks or ("tsa",))[0], blank)


@pytest.mark.parametrize("name", FORMATS)
def test_no_such_file_and_a_folder_are_told(name, tmp_path):
    task = (FORMATS[name].tasks or ("tsa",))[0]
    with pytest.raises(FormatError, match="no such file"):
        read(tmp_path / "none", name, task)
    with pytest.raises(FormatError, match=r"cannot be read \(Is a directory\)"):
        read(tmp_path, name, task)


@pytest.mark.parametrize("name", [name for name in FORMATS if not name.startswith("semeval")])
def test_bytes_that_are_not_utf_8_are_told_with_their_line(name, tmp_path):
    task = (FORMATS[name].tasks or ("tsa",))[0]
    with pytest.raises(FormatError, match=r"reviews:2: not UTF-8 \(byte 0xe9\); save it as UTF-8"):
        read_text(tmp_path, name, task, b"a\ncaf\xe9\n")
    with pytest.raises(FormatError, match="is UTF-16; save it as UTF-8"):
        read_text(tmp_path, name, task, "a\n".encode("utf-16"))


@pytest.mark.parametrize("name", FORMATS)
def test_a_byte_order_mark_and_windows_line_ends_change_nothing(name, tmp_path):
    task = (FORMATS[name].tasks or ("asqp",))[0]
    item = {
        "target": "soup",
        "start": 4,
        "end": 8,
        "category": "FOOD",
        "polarity": "negative",
        "opinion_words": ["cold"],
    }
    row = {"id": "1", "sentence": "the soup was cold", "opinions": [item], "text": ""}
    row |= {"hard": False, "implicit": False, "multiple": False}
    plain = content([row], name, task, Losses()).decode()
    windows = plain.replace("\r\n", "\n").replace("\n", "\r\n").encode("utf-8-sig")
    assert read_text(tmp_path, name, task, windows).rows == read_text(tmp_path, name, task, plain).rows


def test_xml_may_declare_another_encoding(tmp_path):
    text = '<?xml version="1.0" encoding="ISO-8859-1"?>' + XML_2014.format(
        '<aspectTerm term="crème" polarity="positive" from="0" to="5"/>'
    ).replace("The soup rocks.", "crème rocks.")
    (row,) = read_text(tmp_path, "semeval2014", "tsa", text.encode("latin-1")).rows
    assert row["text"] == "crème | positive"


SOUP = {
    "id": "1",
    "sentence": "The soup was cold",
    "opinions": [
        {
            "target": "soup",
            "start": 4,
            "end": 8,
            "category": "FOOD#Q",
            "polarity": "negative",
            "opinion_words": ["cold"],
        }
    ],
    "text": "",
    "hard": False,
    "implicit": False,
    "multiple": False,
}


def first_task(name):
    return (FORMATS[name].tasks or ("asqp",))[0]


def rows_or_error(tmp_path, name, text):
    """Anything but rows or a FormatError is a failure."""
    with contextlib.suppress(FormatError):
        read_text(tmp_path, name, first_task(name), text, skip_invalid=True)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(max_size=20) | st.text(string.printable + "é😀", max_size=20).map(str.encode), cuts=st.data())
def test_a_damaged_file_ends_in_rows_or_in_a_format_error(name, noise, cuts, tmp_path):
    whole = content([SOUP, SOUP | {"id": "2"}], name, first_task(name), Losses())
    start, end = sorted(cuts.draw(st.tuples(*[st.integers(0, len(whole))] * 2)))
    rows_or_error(tmp_path, name, whole[:start] + noise + whole[cuts.draw(st.sampled_from([start, end])) :])


def nodes(tree, path=()):
    """The paths of all nodes of a JSON tree."""
    yield path
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield from nodes(value, (*path, key))


LEAVES = (
    st.none() | st.booleans() | st.integers(-3, 10**20) | st.floats() | st.sampled_from(["a", "", "positive", "["])
)
SHAPES = LEAVES | st.lists(LEAVES, max_size=2) | st.dictionaries(st.sampled_from(["id", "text", "start"]), LEAVES)


@pytest.mark.parametrize("name", ["label-studio", "scorer-json", "jsonl", "pyabsa-jsonl", "setfit-jsonl"])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_json_with_anything_in_any_place_ends_in_rows_or_in_a_format_error(name, data, tmp_path):
    tree = [json.loads(content([SOUP], name, first_task(name), Losses()))]
    *path, last = data.draw(st.sampled_from([path for path in nodes(tree) if path]))
    node = tree
    for key in path:
        node = node[key]
    node[last] = data.draw(SHAPES)
    rows_or_error(tmp_path, name, json.dumps(tree[0]))


def test_deep_nesting_is_told(tmp_path):
    for name, text in (("scorer-json", "[" * 100_000), ("asqp", "a####" + "[" * 100_000), ("jsonl", "[" * 100_000)):
        with pytest.raises(FormatError):
            read_text(tmp_path, name, "asqp", text)


def test_unknown_formats_and_tasks_of_other_formats_are_told(tmp_path):
    with pytest.raises(FormatError, match="unknown format 'xlsx'; allowed: jsonl, csv"):
        read(tmp_path, "xlsx", "tsa")
    with pytest.raises(FormatError, match="setfit is for the task tsa, not 'asa'"):
        read(tmp_path, "setfit", "asa")


def test_what_cannot_be_held_is_said_before_anything_is_written(tmp_path):
    gold = tmp_path / "gold.csv"
    gold.write_text(CSV + "1,The soup was cold.,soup,,,,negative,cold\n2,We left.,,,,,,\n")
    rows = read(gold, "csv", "tsa").rows
    output = tmp_path / "out" / "gold.xml"
    with pytest.raises(
        FormatError, match=r"semeval2014 cannot hold all of it: 1 opinions lose their opinion words.*--lossy"
    ):
        write(rows, output, "semeval2014", "tsa")
    assert not output.parent.exists()
    losses = write(rows, output, "semeval2014", "tsa", lossy=True)
    assert losses.lines()[0] == "1 opinions lose their opinion words, or that they are implicit"
    assert [path.name for path in output.parent.iterdir()] == ["gold.xml"]


@pytest.mark.parametrize("wanted", ["battry", "the batery", "Battery-life"])
def test_the_nearest_words_are_those_that_look_alike(wanted):
    sentence = "I love it, but the battery life (2 hours) is a joke."
    match = nearest(wanted, sentence)
    assert sentence[match.start : match.end] == match.text
    assert "battery" in match.text
    assert nearest("zebra", sentence) is None


def test_every_file_that_is_written_is_known_again(tmp_path):
    for name, format in FORMATS.items():
        path = tmp_path / f"file{format.suffix}"
        assert guess(path, content([SOUP], name, first_task(name), Losses())) == name


def test_the_examples_in_the_docstrings_hold():
    for module in pkgutil.iter_modules(formats.__path__):
        assert doctest.testmod(importlib.import_module(f"{formats.__name__}.{module.name}")).failed == 0
