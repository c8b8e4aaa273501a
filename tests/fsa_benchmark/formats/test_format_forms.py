"""Each format in the form in which its authors publish it, and real files both ways."""

import json
from pathlib import Path

import pytest

from hub_tools.benchmarks import fsa
from hub_tools.benchmarks.formats import FORMATS, Losses, content, label_studio, read
from hub_tools.benchmarks.formats.semeval import NOT_XML
from hub_tools.opinions import parse


SOUP = "The soup was cold but the staff were kind ."
FORMS = {
    "semeval2014": """<?xml version="1.0" encoding="UTF-8"?>
<sentences>
  <sentence id="813"><text>The soup was cold but the staff were kind .</text>
    <aspectTerms>
      <aspectTerm term="soup" polarity="negative" from="4" to="8"/>
      <aspectTerm term="staff" polarity="positive" from="26" to="31"/>
    </aspectTerms>
    <aspectCategories><aspectCategory category="food" polarity="negative"/></aspectCategories>
  </sentence>
</sentences>""",
    "semeval2016": """<Reviews><Review rid="81"><sentences>
  <sentence id="81:0"><text>The soup was cold but the staff were kind .</text><Opinions>
    <Opinion target="soup" category="FOOD#QUALITY" polarity="negative" from="4" to="8"/>
    <Opinion target="staff" category="SERVICE#GENERAL" polarity="positive" from="26" to="31"/>
  </Opinions></sentence></sentences></Review></Reviews>""",
    "pyabsa-apc": """The $T$ was cold but the staff were kind .
soup
Negative
The soup was cold but the $T$ were kind .
staff
1
""",
    "pyabsa-atepc": "\n".join(
        f"{word} {'B-ASP' if word in ('soup', 'staff') else 'O'} {said if word == term else '-999'}"
        + "\n" * (word == "." )
        for term, said in (("soup", "Negative"), ("staff", "Positive"))
        for word in SOUP.split()
    ),
    "instructabsa": "raw_text,aspectTerms\n" + SOUP + ","
    "\"[{'term': 'soup', 'polarity': 'negative'}, {'term': 'staff', 'polarity': 'positive'}]\"\n",
    "setfit": f"text,span,label,ordinal\n{SOUP},soup,negative,0\n{SOUP},staff,positive,0\n",
    "setfit-jsonl": f'{{"text": "{SOUP}", "span": "soup", "label": "negative", "ordinal": 0}}\n'
    f'{{"text": "{SOUP}", "span": "staff", "label": "positive", "ordinal": 0}}\n',
    "uabsa": f"{SOUP}####[([1], 'NEG'), ([6], 'POS')]\n",
    "aste": f"{SOUP}####[([1], [3], 'NEG'), ([6], [8], 'POS')]\n",
    "tasd": f"{SOUP}####[('soup', 'food quality', 'negative'), ('staff', 'service general', 'positive')]\n",
    "asqp": f"{SOUP}####[['soup', 'food quality', 'negative', 'cold'], "
    "['staff', 'service general', 'positive', 'kind']]\n",
    "acos": f"{SOUP}\t1,2 FOOD#QUALITY 0 3,4\t6,7 SERVICE#GENERAL 2 8,9\n",
    "scorer-json": json.dumps([{"ID": 0, "sentence": SOUP, "quads": [
        ["soup", "cold", "food quality", "negative"], ["staff", "kind", "service general", "positive"]]}]),
    "pyabsa-jsonl": json.dumps({"text": SOUP, "labels": [
        {"aspect": "soup", "opinion": "cold", "polarity": "negative", "category": "NULL"},
        {"aspect": "staff", "opinion": "kind", "polarity": "positive", "category": "NULL"}]}),
    "csv": f"sentence,target,polarity\n{SOUP},soup,negative\n{SOUP},staff,positive\n",
    "tsv": f"sentence\ttext\n{SOUP}\tsoup | negative ; staff | positive\n",
    "jsonl": f'{{"sentence": "{SOUP}", "text": "soup | negative ; staff | positive"}}\n',
}  # fmt: skip


def read_text(tmp_path, name, task, text):
    path = tmp_path / "file"
    path.write_text(text, encoding="utf-8")
    return read(path, name, task)


@pytest.mark.parametrize("name", FORMS)
def test_the_published_form_is_read(name, tmp_path):
    (row,) = read_text(tmp_path, name, "tsa", FORMS[name]).rows
    assert row["sentence"] == SOUP
    assert row["text"] == "soup | negative ; staff | positive"
    assert [(item["start"], item["end"]) for item in row["opinions"]] == [(4, 8), (26, 31)]
    words = {"aste", "asqp", "acos", "scorer-json", "pyabsa-jsonl"}
    assert [item["opinion_words"] for item in row["opinions"]] == (
        [["cold"], ["kind"]] if name in words else [None] * 2
    )
    assert row["implicit"] is (False if name in words else None)
    assert row["multiple"]


@pytest.mark.parametrize("name", ["asqp", "acos", "scorer-json"])
def test_quads_are_written_in_the_text_form_of_quads(name, tmp_path):
    (row,) = read_text(tmp_path, name, "acos", FORMS[name]).rows
    assert row["text"] == "food quality | negative | soup | cold ; service general | positive | staff | kind"


def test_categories_of_2014_and_of_instructabsa_are_for_aspects(tmp_path):
    (row,) = read_text(tmp_path, "semeval2014-categories", "asa", FORMS["semeval2014"]).rows
    assert row["text"] == "food | negative"
    text = "raw_text,aspectCategories\nWe left.,\"[{'category': 'food', 'polarity': 'negative'}]\"\n"
    assert read_text(tmp_path, "instructabsa-categories", "asa", text).rows[0]["text"] == "food | negative"


def test_no_opinion_in_instructabsa_is_no_opinion(tmp_path):
    text = "raw_text,aspectTerms\nWe left.,\"[{'term': 'noaspectterm', 'polarity': 'none'}]\"\n"
    assert read_text(tmp_path, "instructabsa", "tsa", text).rows[0]["opinions"] == []


def test_implicit_targets_and_opinions_are_none_and_nothing(tmp_path):
    for name, text in {
        "acos": "yum !\t-1,-1 FOOD#QUALITY 2 -1,-1\n",
        "asqp": "yum !####[['NULL', 'FOOD#QUALITY', 'positive', 'NULL']]\n",
        "csv": "sentence,target,category,polarity,opinion\nyum !,NULL,FOOD#QUALITY,positive,NULL\n",
    }.items():
        (row,) = read_text(tmp_path, name, "acos", text).rows
        assert (row["opinions"][0]["target"], row["opinions"][0]["opinion_words"]) == (None, [])
        assert row["text"] == "food quality | positive | none | none"
        assert row["implicit"] is True


def test_a_repeated_target_is_at_its_next_place_unless_the_opinions_tell_them_apart(tmp_path):
    text = "soup of soups and soup####[{}]\n"
    two = read_text(tmp_path, "tasd", "tsa", text.format("('soup', 'a', 'positive'), ('soup', 'a', 'negative')")).rows[
        0
    ]
    assert [item["start"] for item in two["opinions"]] == [0, 18]
    one = read_text(tmp_path, "tasd", "tsa", text.format("('soup', 'a', 'positive'), ('soup', 'b', 'positive')")).rows[
        0
    ]
    assert [item["start"] for item in one["opinions"]] == [0, 0]


def test_sentences_out_of_scope_and_opinions_on_reviews_are_noted(tmp_path):
    text = (
        '<Reviews><Review rid="1"><sentences><sentence id="1:0" OutOfScope="TRUE"><text>Hm.</text>'
        "</sentence></sentences>"
        '<Opinions><Opinion category="FOOD" polarity="positive"/></Opinions></Review></Reviews>'
    )
    rows, problems = read_text(tmp_path, "semeval2016", "asa", text)
    assert rows[0]["opinions"] == []
    assert +problems.notes == {
        "sentences marked OutOfScope have no opinions; rows do not keep the mark": 1,
        "opinions on whole reviews were passed over": 1,
    }


def region(name="polarity", start=4, end=8, id_="r", **value):
    return {"id": id_, "from_name": name, "to_name": "text", "value": {"start": start, "end": end, **value}}


def exported(*result, sentence="The soup was cold", **task):
    return json.dumps([{"id": 9, "data": {"text": sentence}, "annotations": [{"result": list(result)}], **task}])


def test_label_studio_regions_choices_and_lines_are_opinions(tmp_path):
    text = exported(
        region(text="soup", labels=["Negative"]),
        region("category", text=["FOOD#QUALITY"]),
        region("opinion", text=["cold"]),
        {"from_name": "service", "type": "choices", "value": {"choices": ["positive"]}},
        {
            "from_name": "untargeted",
            "type": "textarea",
            "value": {"text": ["AMBIENCE | neutral | none", "PRICE | neutral"]},
        },
        {"type": "relation", "from_id": "r", "to_id": "q"},
    )
    (row,) = read_text(tmp_path, "label-studio", "asa", text).rows
    assert row["id"] == "9"
    found = [(o["target"], o["category"], o["polarity"], o["opinion_words"]) for o in row["opinions"]]
    assert found == [
        (None, "service", "positive", None),
        ("soup", "FOOD#QUALITY", "negative", ["cold"]),
        (None, "AMBIENCE", "neutral", []),
        (None, "PRICE", "neutral", None),
    ]


def test_a_region_labelled_target_has_its_polarity_among_its_choices(tmp_path):
    text = exported(region("ner", text="soup", labels=["target"]), region("feeling", choices=["negative"]))
    assert read_text(tmp_path, "label-studio", "tsa", text).rows[0]["text"] == "soup | negative"


def test_offsets_that_count_an_emoji_twice_are_mended(tmp_path):
    text = exported(region(start=6, end=10, text="soup", labels=["positive"]), sentence="😀 soup 😀 soup")
    wrong = text.replace('"start": 6', '"start": 3').replace('"end": 10', '"end": 7')
    for content_ in (text.replace('"start": 6, "end": 10', '"start": 2, "end": 6'), wrong):
        (row,) = read_text(tmp_path, "label-studio", "tsa", content_).rows
        assert (row["opinions"][0]["start"], row["opinions"][0]["end"]) == (2, 6)


def test_cancelled_annotations_do_not_count_and_predictions_do_where_there_is_no_other(tmp_path):
    task = json.loads(exported(region(text="soup", labels=["negative"])))[0]
    cancelled = {"was_cancelled": True, "result": [region(text="soup", labels=["positive"])]}
    both = json.dumps([task | {"annotations": [cancelled, *task["annotations"]]}])
    assert read_text(tmp_path, "label-studio", "tsa", both).rows[0]["text"] == "soup | negative"
    only = json.dumps([task | {"annotations": [cancelled], "predictions": task["annotations"]}])
    rows, problems = read_text(tmp_path, "label-studio", "tsa", only)
    assert rows[0]["text"] == "soup | negative"
    assert problems.notes["tasks have predictions only, which were read"] == 1


def test_the_labelling_configuration_names_every_field_that_is_written(tmp_path):
    from xml.etree import ElementTree

    names = {node.get("name") for node in ElementTree.fromstring(label_studio.CONFIG).iter() if node.get("name")}
    assert names == {"polarity", "text", "category", "opinion", "expressed", "untargeted"}
    opinions = [
        {"target": "soup", "start": 0, "end": 4, "category": "A", "polarity": "neutral", "opinion_words": words}
        for words in (["x"], [])
    ]
    opinions.append(opinions[0] | {"target": None, "start": None, "end": None})
    row = {"id": "1", "sentence": "soup", "opinions": opinions, "hard": False, "implicit": True, "multiple": False}
    written = json.loads(content([row], "label-studio", "tsa", Losses()))
    assert {part["from_name"] for part in written[0]["annotations"][0]["result"]} == names - {"text"}


# --- real files ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def official(data):
    return {config: fsa.build(data, config) for config in ("tsa-rest14", "asa-rest16", "asa-laptop16")}


def without_words(rows):
    """The rows as a format without opinion words and hard sentences gives them back."""
    bare = [{**row, "opinions": [o | {"opinion_words": None} for o in row["opinions"]]} for row in rows]
    return [row | {"implicit": None, "hard": False} for row in bare]


@pytest.mark.parametrize(
    ("config", "name"),
    [("tsa-rest14", "semeval2014"), ("tsa-rest14", "semeval2016"), ("asa-rest16", "semeval2016"),
     ("asa-laptop16", "semeval2014-categories")],
)  # fmt: skip
def test_the_benchmark_comes_back_from_semeval_xml(official, config, name, tmp_path):
    for split, rows in official[config].items():
        if name == "semeval2014-categories" and split == "test_hard":
            continue  # its hard sentences have targets
        path = tmp_path / f"{split}.xml"
        losses = Losses()
        path.write_bytes(content(rows, name, config[:3], losses))
        back = read(path, name, config[:3]).rows
        expected = without_words(rows)
        if name == "semeval2014":  # holds no category, and no opinion without a target
            expected = [
                row | {"opinions": [o | {"category": None} for o in row["opinions"] if o["target"]]}
                for row in expected
            ]
            expected = [row | {"multiple": len({o["polarity"] for o in row["opinions"]}) > 1} for row in expected]
        assert back == expected
        if split in ("train", "validation"):
            assert not losses
            assert back == rows


@pytest.mark.parametrize("name", ["jsonl", "csv", "tsv"])
def test_the_benchmark_comes_back_from_tables(official, name, tmp_path):
    for config, splits in official.items():
        losses = Losses()
        path = tmp_path / f"x.{name}"
        path.write_bytes(content(splits["test_hard"], name, config[:3], losses))
        assert read(path, name, config[:3]).rows == splits["test_hard"]
        assert not losses


RAW = {
    "acos_rest16/test.tsv": ("acos", 583, 0),
    "acos_rest16/train.tsv": ("acos", 1530, 1),
    "acos_laptop16/test.tsv": ("acos", 816, 0),
    "asqp_rest15/test.txt": ("asqp", 537, 0),
    "asqp_rest16/train.txt": ("asqp", 1264, 3),
    "t5/asqp/rest16/test.json": ("scorer-json", 544, 0),
    "t5/acos/laptop16/dev.json": ("scorer-json", 326, 0),
}


@pytest.mark.parametrize("file", RAW)
def test_public_quads_are_read_and_come_back(data: Path, file, tmp_path):
    name, count, wrong = RAW[file]
    path = data / "quads" / file
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    rows, problems = read(path, name, "asqp", skip_invalid=True)
    assert (len(rows) + len(problems.rejected), len(problems.rejected)) == (count, wrong)
    for row in rows[:200]:
        assert len(parse(row["text"], "asqp", row["sentence"]).pairs) == len(row["opinions"])
    losses = Losses()
    again = tmp_path / "again"
    again.write_bytes(content(rows, name, "asqp", losses))
    assert not losses
    plain = [row | {"id": ""} for row in rows]
    assert [row | {"id": ""} for row in read(again, name, "asqp").rows] == plain
    if name == "asqp" and not wrong:
        assert again.read_bytes() == path.read_bytes()


def test_xml_forbids_what_xml_cannot_hold():
    import re

    assert [sign for sign in map(chr, range(0x2100)) if re.match(NOT_XML, sign)] == [
        chr(code) for code in range(32) if code not in (9, 10, 13)
    ]
    assert set(FORMATS) >= {"semeval2014", "semeval2016"}
