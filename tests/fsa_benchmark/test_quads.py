"""ACOS and ASQP → benchmark rows: the public counts, both forms alike, and errors that say where."""

import doctest
import json
import logging
from collections import Counter

import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from hub_tools.benchmarks import quads
from hub_tools.benchmarks.fsa import FEATURES
from hub_tools.benchmarks.quads import CONFIGS, EMPTY, FORMS, RESPELT, UNFOUND, _as_written, build, build_rows
from hub_tools.benchmarks.records import BenchmarkError
from hub_tools.evaluation.scoring import score_texts
from hub_tools.opinions import parse


# Sentences and quads of train, validation, test, as the papers of the sets have them (ACL 2021, EMNLP 2021).
SIZES = {
    "acos-rest16": ((1530, 2484), (171, 261), (583, 916)),
    "acos-laptop16": ((2934, 4172), (326, 440), (816, 1161)),
    "asqp-rest15": ((834, 1354), (209, 347), (537, 795)),
    "asqp-rest16": ((1264, 1989), (316, 507), (544, 799)),
}
CATEGORIES = {"acos-rest16": 13, "acos-laptop16": 121, "asqp-rest15": 13, "asqp-rest16": 13}


@pytest.fixture(scope="module")
def changed():
    return {(config, form): Counter() for config in CONFIGS for form in FORMS}


@pytest.fixture(scope="module")
def public(data, changed):
    return {(config, form): build(data, config, form, changes) for (config, form), changes in changed.items()}


by_config = pytest.mark.parametrize("config", CONFIGS)
by_form = pytest.mark.parametrize("form", FORMS)


def quad(target="Pad Thai", opinion="great", category="food quality", polarity="positive"):
    return [target, opinion, category, polarity]


def record(*quads, sentence="The Pad Thai is great, the staff rude.", name=0):
    return {"ID": name, "sentence": sentence, "quads": list(quads)}


def one_row(*quads, **more):
    (row,) = build_rows([record(*quads, **more)], "acos")
    return row


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(quads).failed == 0


@by_config
@by_form
def test_the_published_counts_come_out(public, config, form):
    splits = public[config, form]
    assert tuple(splits) == ("train", "validation", "test")
    sizes = [(len(rows), sum(len(row["opinions"]) for row in rows)) for rows in splits.values()]
    assert tuple(sizes) == SIZES[config]
    categories = {opinion["category"] for rows in splits.values() for row in rows for opinion in row["opinions"]}
    assert len(categories) == CATEGORIES[config]


@by_config
@by_form
def test_every_span_holds_its_target_and_ids_are_unique(public, config, form):
    for rows in public[config, form].values():
        assert len({row["id"] for row in rows}) == len(rows)
        for row in rows:
            for opinion in row["opinions"]:
                span = opinion["start"], opinion["end"]
                assert (opinion["target"] is None) == (span == (None, None))
                assert opinion["target"] is None or row["sentence"][slice(*span)] == opinion["target"]
                assert len(opinion["opinion_words"]) < 2


@by_config
@by_form
def test_gold_fed_back_scores_one_by_both_rules(public, config, form):
    rows = public[config, form]["test"]
    if (config, form) == ("asqp-rest16", "raw"):  # opinion words that are not in their sentence
        rows = [row for row in rows if all(w in row["sentence"] for o in row["opinions"] for w in o["opinion_words"])]
        assert len(rows) == 543
    texts = [row["text"] for row in rows]
    scores = score_texts(texts, texts, [row["sentence"] for row in rows], task=CONFIGS[config].task)
    assert scores["f1"] == scores["strict_f1"] == 1.0
    assert scores["n_malformed"] == scores["n_invented"] == 0


@by_config
def test_both_forms_say_the_same_but_for_spacing(public, config):
    """Sentence by sentence under the same id; the texts are equal up to the spaces that tokenisation left."""
    raw, detokenised = (public[config, form] for form in ("raw", "detokenised"))
    equal = squeezed = total = 0
    for split, rows in raw.items():
        assert [row["id"] for row in rows] == [row["id"] for row in detokenised[split]]
        for row, other in zip(rows, detokenised[split], strict=True):
            items, others = (parse(one["text"], CONFIGS[config].task, one["sentence"]).pairs for one in (row, other))
            total += len(row["opinions"])
            equal += sum((Counter(items) & Counter(others)).values())
            squeezed += "".join(row["text"].split()).lower() == "".join(other["text"].split()).lower()
            assert (row["implicit"], row["multiple"]) == (other["implicit"], other["multiple"])
    assert equal / total > 0.96
    assert squeezed >= sum(len(rows) for rows in raw.values()) - 2


def test_raw_spans_are_the_annotators_and_found_ones_are_nearly_always_the_same(public):
    """Where a word stands twice, only the spans of raw ACOS say which is meant."""
    same = total = 0
    for config in ("acos-rest16", "acos-laptop16"):
        for rows in public[config, "raw"].values():
            for row in rows:
                quads = [
                    [o["target"] or "NULL", *(o["opinion_words"] or ["NULL"]), o["category"], o["polarity"]]
                    for o in row["opinions"]
                ]
                found = one_row(*quads, sentence=row["sentence"])
                for opinion, other in zip(row["opinions"], found["opinions"], strict=True):
                    if opinion["target"]:
                        total += 1
                        same += opinion["start"] == other["start"]
    assert 0.98 < same / total < 1


def test_categories_are_kept_as_each_form_writes_them(public):
    forms = [public["acos-rest16", form]["test"][0]["opinions"][0]["category"] for form in ("raw", "detokenised")]
    assert forms[0].isupper()
    assert forms[0].lower().replace("#", " ") == forms[1]


def test_implicit_means_an_implicit_opinion_and_asqp_has_none(public):
    implicit = {config: sum(row["implicit"] for row in public[config, "raw"]["test"]) for config in CONFIGS}
    assert implicit == {"acos-rest16": 164, "acos-laptop16": 286, "asqp-rest15": 0, "asqp-rest16": 0}
    assert not any(row["hard"] for splits in public.values() for rows in splits.values() for row in rows)


def test_repeated_quads_stay_in_the_rows(public):
    def has_repeat(row):
        return len({json.dumps(opinion) for opinion in row["opinions"]}) < len(row["opinions"])

    found = sum(
        has_repeat(row) for config in CONFIGS for rows in public[config, "detokenised"].values() for row in rows
    )
    assert found == 30


def test_what_was_changed_is_counted(public, changed):
    assert set(public) == set(changed)
    assert {key: dict(changes) for key, changes in changed.items() if changes} == {
        ("acos-rest16", "detokenised"): {EMPTY: 1},
        ("acos-rest16", "raw"): {EMPTY: 1},
        ("asqp-rest15", "raw"): {RESPELT: 2, UNFOUND: 1},
        ("asqp-rest16", "raw"): {RESPELT: 2, UNFOUND: 2},
    }


def test_rows_survive_parquet(public, tmp_path):
    rows = public["acos-rest16", "detokenised"]["test"]
    Dataset.from_list(rows, features=FEATURES).to_parquet(tmp_path / "test.parquet")
    assert Dataset.from_parquet(str(tmp_path / "test.parquet"), cache_dir=str(tmp_path)).to_list() == rows


# --- Records ---------------------------------------------------------------------------------------------------------


def test_null_is_implicit_and_the_text_says_none():
    row = one_row(quad("NULL", "NULL", "service general", "negative"), quad())
    first, second = row["opinions"]
    assert (first["target"], first["start"], first["opinion_words"]) == (None, None, [])
    assert (second["start"], second["end"], second["opinion_words"]) == (4, 12, ["great"])
    assert row["text"] == "service general | negative | none | none ; food quality | positive | Pad Thai | great"
    assert (row["implicit"], row["multiple"], row["hard"], row["id"]) == (True, True, False, "0")


def test_an_implicit_target_alone_does_not_make_a_sentence_implicit():
    assert one_row(quad("NULL", "rude", "service general"))["implicit"] is False


def test_a_target_is_found_as_a_whole_word_first_and_at_one_place_for_all_its_quads():
    sentence = "Foodies say the food is good food."
    row = one_row(quad("food", "good"), quad("food", "NULL", "food prices"), sentence=sentence)
    assert [opinion["start"] for opinion in row["opinions"]] == [16, 16]
    assert one_row(quad("iPad", "great"), sentence="iPads are great")["opinions"][0]["start"] == 0


def test_opinion_words_that_are_not_in_the_sentence_are_kept_and_reported(caplog):
    with caplog.at_level(logging.INFO):
        row = one_row(quad(opinion="greatest"), quad(opinion="GREAT ,"))
    assert [opinion["opinion_words"] for opinion in row["opinions"]] == [["greatest"], ["great,"]]
    assert [record.getMessage() for record in caplog.records] == [
        f"<records>: {UNFOUND}: 1",
        f"<records>: {RESPELT}: 1",
    ]


@given(st.lists(st.sampled_from(["ca", "n't", "BE", "é", "İ", "beat", "!"]), min_size=1), st.data())
def test_words_are_found_whatever_their_case_and_spacing(tokens, draw):
    sentence = " ".join(tokens)
    start = draw.draw(st.integers(0, len(tokens) - 1))
    wanted = "".join(tokens[start : draw.draw(st.integers(start + 1, len(tokens)))])
    found = _as_written(wanted.upper(), sentence)
    if "İ" in tokens:  # two characters in lower case: no way back
        assert found is None
    else:
        assert found in sentence
        assert "".join(found.split()).lower() == wanted.lower()


BROKEN = [
    ({"sentence": " "}, r"sentence: expected a non-empty string, found str ' '"),
    ({"quads": []}, r"quads: expected a non-empty array, found list \[\]"),
    ({"quads": None}, r"quads: expected a non-empty array, found NoneType None"),
    ({"quads": [["a", "b", "c"]]}, r"quads\[0\]: expected four strings \(target, opinion, category, polarity\)"),
    ({"quads": [quad(), [1, "b", "c", "d"]]}, r"quads\[1\]: expected four strings"),
    (
        {"quads": [quad(polarity="conflict")]},
        r"quads\[0\], polarity: found str 'conflict', allowed: positive, neutral",
    ),
    ({"quads": [quad(category="")]}, r"quads\[0\], category: expected a non-empty string"),
    ({"quads": [quad(target="")]}, r"quads\[0\], target: expected a non-empty string"),
    ({"quads": [quad(target="soup")]}, r"quads\[0\], target: 'soup' is not in the sentence 'The Pad Thai is"),
    ({"quads": [quad(opinion="a | b")]}, r"quads: 'a \| b' holds a '\|' or ';'"),
    ({"quads": [quad(opinion="\ud800")]}, r"quads\[0\], opinion: character 0 is a lone surrogate"),
    ({"ID": True}, r"ID: expected a non-empty string, found bool True"),
]


@pytest.mark.parametrize(("change", "message"), BROKEN, ids=range(len(BROKEN)))
def test_a_broken_record_is_named_with_its_field_and_what_was_found(change, message):
    with pytest.raises(BenchmarkError, match=rf"f\.json: record 1 \(ID .*\), {message}"):
        build_rows([record(quad()), record(quad(), name=1) | change], "asqp", path="f.json")


def test_a_missing_field_and_a_repeated_id_are_named():
    with pytest.raises(BenchmarkError, match=r"record 0 \(ID 0\): has no field 'quads'; found: ID, sentence"):
        build_rows([{"ID": 0, "sentence": "x"}], "acos")
    with pytest.raises(BenchmarkError, match=r"<records>: ID '0' occurs more than once"):
        build_rows([record(quad()), record(quad())], "acos")


def test_an_unknown_config_an_unknown_form_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(BenchmarkError, match=r"unknown config 'acos-rest15'; allowed: acos-rest16, acos-laptop16"):
        build(tmp_path, "acos-rest15")
    with pytest.raises(BenchmarkError, match=r"unknown form of quads 'cooked'; allowed: detokenised, raw"):
        build(tmp_path, "acos-rest16", "cooked")
    with pytest.raises(BenchmarkError, match=r"rest16/train\.json: no such file; .* quads below <data>/quads"):
        build(tmp_path, "acos-rest16")
