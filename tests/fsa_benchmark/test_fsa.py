"""Official files → benchmark rows: paper 1's counts, the reference's target strings, and errors that say where."""

import copy
import doctest
import json
from pathlib import Path

import pytest
from datasets import Dataset, load_dataset

from hub_tools.benchmarks import fsa
from hub_tools.benchmarks.fsa import CONFIGS, FEATURES, SPLITS, build, build_rows, summary
from hub_tools.benchmarks.records import BenchmarkError, digest_files, read_records
from hub_tools.evaluation.scoring import score_texts
from hub_tools.opinions import parse


# Paper 1 (arXiv 2412.18552), Table 2: sentences, targets, aspects, implicit, multiple; None where it has a dash.
TABLE_2 = {
    ("tsa-rest14", "train"): (2432, 2972, None, None, 277),
    ("tsa-rest14", "validation"): (609, 721, None, None, 78),
    ("tsa-rest14", "test"): (800, 1134, None, 192, 85),
    ("tsa-rest14", "hard"): (340, 383, 504, 285, 104),
    ("tsa-laptop14", "train"): (2436, 1922, None, None, 148),
    ("tsa-laptop14", "validation"): (609, 436, None, None, 34),
    ("tsa-laptop14", "test"): (800, 654, None, 133, 40),
    ("tsa-laptop14", "hard"): (237, 290, 382, 212, 59),
    ("asa-rest16", "train"): (1600, 1386, 1823, None, 114),
    ("asa-rest16", "validation"): (400, 386, 477, None, 29),
    ("asa-rest16", "test"): (676, 623, 751, 199, 42),
    ("asa-rest16", "hard"): (340, 383, 504, 285, 104),
    ("asa-laptop16", "train"): (2000, None, 2349, None, 126),
    ("asa-laptop16", "validation"): (500, None, 560, None, 25),
    ("asa-laptop16", "test"): (808, None, 801, 250, 35),
    ("asa-laptop16", "hard"): (237, 290, 382, 212, 59),
}
# Sentences and pairs of the merged test set: all, implicit, multiple. The 84 cells of paper 1's Table 5 are multiples
# of one pair, which fixes these numbers.
MERGED_TEST = {
    "tsa-rest14": ((1140, 1517), (477, 701), (189, 451)),
    "tsa-laptop14": ((1037, 944), (345, 492), (99, 222)),
    "asa-rest16": ((1016, 1255), (484, 653), (146, 325)),
    "asa-laptop16": ((1045, 1183), (462, 706), (94, 222)),
}


@pytest.fixture(scope="module")
def official(data):
    return {config: build(data, config) for config in CONFIGS}


def aspect(target="soup", start="4", end="8", polarity="positive", category="FOOD#QUALITY", **more):
    return {"from": start, "to": end, "target": target, "category": category, "polarity": polarity, **more}


def record(*aspects, sentence="The soup was hot, the tea was cold.", name="1"):
    return {"ID": name, "sentence": sentence, "aspects": list(aspects)}


def one_row(*aspects, task="tsa", **more):
    (row,) = build_rows([record(*aspects, **more)], task, hard=False)
    return row


def test_the_example_in_the_docstring_holds():
    assert doctest.testmod(fsa).failed == 0


@pytest.mark.parametrize(("config", "split"), TABLE_2)
def test_the_counts_of_table_2_come_out(official, config, split):
    rows = official[config]["test_hard" if split == "hard" else split]
    counts = summary([row for row in rows if row["hard"]] if split == "hard" else rows)
    names = ("sentences", "targets", "aspects", "implicit", "multiple")
    expected = dict(zip(names, TABLE_2[config, split], strict=True))
    assert {name: counts[name] for name in names if expected[name] is not None} == {
        name: count for name, count in expected.items() if count is not None
    }
    assert (counts["implicit"] is None) == (split in ("train", "validation"))


@pytest.mark.parametrize("config", CONFIGS)
def test_the_subsets_of_the_merged_test_set_have_the_papers_sizes(official, config):
    rows, task = official[config]["test_hard"], CONFIGS[config].task
    subsets = rows, [row for row in rows if row["implicit"]], [row for row in rows if row["multiple"]]
    sizes = [
        (len(subset), sum(len(parse(row["text"], task, row["sentence"]).pairs) for row in subset))
        for subset in subsets
    ]
    assert tuple(sizes) == MERGED_TEST[config]


@pytest.mark.parametrize("config", CONFIGS)
def test_gold_fed_back_scores_one_by_both_rules(official, config):
    rows = official[config]["test_hard"]
    texts = [row["text"] for row in rows]
    flags = [[row[name] for row in rows] for name in ("implicit", "multiple")]
    scores = score_texts(texts, texts, [row["sentence"] for row in rows], *flags, CONFIGS[config].task)
    assert {value for name, value in scores.items() if not name.startswith("n_")} == {1.0}
    assert scores["n_malformed"] == scores["n_invented"] == 0


def reference_items(record, task):
    """The reference's target string as (text, sort key) items, stated plainly: its own data, its own order."""
    if task == "tsa":
        kept = {
            (a["target"], a["polarity"], (a["from"], a["to"]))
            for a in record["aspects"]
            if a["target"] not in ("NULL", None)
        }
        return [(f"{target} | {polarity}", span) for target, polarity, span in sorted(kept, key=lambda it: it[-1])]
    texts = []
    for a in record["aspects"]:
        text = f"{a['category'].lower().replace('#', ' ')} | {a['polarity']}"
        if text not in texts:
            texts.append(text)
    return [(text, number) for number, text in enumerate(texts)]


@pytest.mark.parametrize("config", CONFIGS)
def test_every_text_is_the_references_target_string(official, data, config):
    task, folder = CONFIGS[config]
    chance = 0
    for split, names in SPLITS.items():
        records = [r for n in names for r in read_records(data / "fsa_datasets/w_hard" / folder / n)]
        assert len(records) == len(official[config][split])
        for row, official_record in zip(official[config][split], records, strict=True):
            assert (row["id"], row["sentence"]) == (official_record["ID"], official_record["sentence"])
            items = reference_items(official_record, task)
            if len({key for _, key in items}) == len(items):
                assert row["text"] == " ; ".join(text for text, _ in items)
            else:  # one span, two polarities: the reference leaves these to the order of a set
                assert row["hard"]
                assert sorted(row["text"].split(" ; ")) == sorted(text for text, _ in items)
                chance += 1
    assert chance == {"tsa-rest14": 20, "tsa-laptop14": 7}.get(config, 0)


def test_the_string_order_of_offsets_matters_as_often_as_known(official):
    def by_number(row):
        items = {(o["start"], o["end"]): f"{o['target']} | {o['polarity']}" for o in row["opinions"]}
        return " ; ".join(items[span] for span in sorted(items))

    differing = {
        config: sum(row["text"] != by_number(row) for row in official[config]["train"])
        for config in ("tsa-rest14", "tsa-laptop14")
    }
    assert differing == {"tsa-rest14": 348, "tsa-laptop14": 174}


@pytest.mark.parametrize("config", CONFIGS)
def test_every_span_holds_its_target_and_ids_are_unique(official, config):
    for rows in official[config].values():
        assert len({row["id"] for row in rows}) == len(rows)
        for row in rows:
            for o in row["opinions"]:
                assert (o["target"] is None) == (o["start"] is None) == (o["end"] is None)
                assert o["target"] is None or row["sentence"][o["start"] : o["end"]] == o["target"]


def test_spans_that_lost_their_whitespace_are_moved_and_reported(data, caplog):
    with caplog.at_level("INFO"):
        for config in CONFIGS:
            build(data, config)
    told = [record.getMessage() for record in caplog.records if "moved" in record.getMessage()]
    assert [(Path(text.split(":")[0]).name, text.split("moved ")[1].split()[0]) for text in told] == [
        ("train.json", "88"),
        ("dev.json", "15"),
    ]


def test_rows_survive_parquet_with_missing_and_empty_opinion_words_apart(official, tmp_path):
    rows = official["tsa-rest14"]["test"][:50] + official["tsa-rest14"]["train"][:50]
    Dataset.from_list(rows, features=FEATURES).to_parquet(tmp_path / "rows.parquet")
    back = load_dataset("parquet", data_files=str(tmp_path / "rows.parquet"), cache_dir=str(tmp_path), split="train")
    assert back.to_list() == rows
    assert back.features == FEATURES


def test_offsets_that_are_strings_sort_as_strings_and_numbers_as_numbers():
    sentence = "The soup was hot, the tea was cold."
    soup, tea = (4, 8), (22, 25)
    as_numbers = [aspect("tea", *tea), aspect("soup", *soup)]
    as_strings = [aspect("tea", *map(str, tea)), aspect("soup", *map(str, soup))]
    assert one_row(*as_numbers, sentence=sentence)["text"] == "soup | positive ; tea | positive"
    assert one_row(*as_strings, sentence=sentence)["text"] == "tea | positive ; soup | positive"


def test_opinions_without_a_target_come_last_for_targets_and_stay_in_place_for_aspects():
    aspects = aspect("NULL", "0", "0", category="B#B"), aspect("tea", "22", "25"), aspect(None, None, None)
    assert [o["target"] for o in one_row(*aspects)["opinions"]] == ["tea", None, None]
    assert [o["target"] for o in one_row(*aspects, task="asa")["opinions"]] == [None, "tea", None]
    assert one_row(*aspects, task="asa")["text"] == "b b | positive ; food quality | positive"


def test_one_span_with_two_polarities_keeps_the_order_of_annotation():
    text = one_row(aspect(polarity="neutral"), aspect(polarity="negative"), aspect(polarity="neutral"))["text"]
    assert text == "soup | neutral ; soup | negative"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (None, []),
        ("", []),
        ([], []),
        ("so good", ["so good"]),
        ([{"from": 1, "to": 2, "opinion": "hot"}, {"from": 3, "to": 4, "opinion": "nice"}], ["hot", "nice"]),
    ],
)
def test_opinion_words_become_a_list_and_none_of_them_means_implicit(words, expected):
    row = one_row(aspect(opinion_words=words))
    assert (row["opinions"][0]["opinion_words"], row["implicit"]) == (expected, not expected)


def test_implicit_is_unknown_where_nobody_annotated_opinion_words():
    row = one_row(aspect())
    assert (row["opinions"][0]["opinion_words"], row["implicit"]) == (None, None)


def test_polarities_of_opinions_without_a_target_count_for_multiple():
    assert one_row(aspect(), aspect(None, None, None, "negative"))["multiple"]
    assert not one_row(aspect(), aspect(None, None, None))["multiple"]


def test_a_span_nearby_is_moved_onto_its_target():
    (opinion,) = one_row(aspect(start="6", end="10"))["opinions"]
    assert (opinion["start"], opinion["end"]) == (4, 8)


BROKEN = [
    ({"sentence": 5}, r"record 0 \(ID '1'\), sentence: expected a non-empty string, found int 5"),
    ({"sentence": " "}, "sentence: expected a non-empty string, found str ' '"),
    ({"sentence": "\ud800 soup"}, "sentence: character 0 is a lone surrogate"),
    ({"ID": None}, r"record 0 \(ID None\), ID: expected a non-empty string, found NoneType"),
    ({"aspects": None}, "aspects: expected an array, found NoneType"),
    ({"aspects": ["soup"]}, r"aspects\[0\]: expected an object, found str 'soup'"),
    ({"aspects": [{}]}, r"aspects\[0\]: has no field 'target'; found: nothing"),
    ({"aspects": [aspect(polarity="good")]}, r"aspects\[0\].polarity: found str 'good', allowed: positive, neutral"),
    ({"aspects": [aspect(polarity=[])]}, r"aspects\[0\].polarity: found list \[\]"),
    ({"aspects": [aspect(start="x")]}, r"aspects\[0\].from: expected a number of characters, found str 'x'"),
    ({"aspects": [aspect(end=True)]}, r"aspects\[0\].to: expected a number of characters, found bool"),
    ({"aspects": [aspect(start=-4)]}, r"aspects\[0\].from: expected a number of characters, found int -4"),
    ({"aspects": [aspect(start="400", end="404")]}, "the span 400:404 is outside its 35 characters"),
    (
        {"aspects": [aspect(start="22", end="26")]},
        "the span 22:26 is 'tea ' of .* and the target 'soup' is not within 5",
    ),
    ({"aspects": [aspect(start="4", end="9")]}, "the span 4:9 is 'soup '"),
    ({"aspects": [aspect(start="4", end=8)]}, "from and to are strings in places and integers in others"),
    ({"aspects": [aspect(), aspect("tea", 22, 25)]}, "from and to are strings in places and integers in others"),
    ({"aspects": [aspect(target=7)]}, "target: expected a non-empty string, found int 7"),
    ({"aspects": [aspect(category=7)]}, "category: expected a non-empty string, found int 7"),
    ({"aspects": [aspect(opinion_words=7)]}, "opinion_words: expected a string, null, or an array of objects"),
    ({"aspects": [aspect(opinion_words=[{}])]}, r"opinion_words\[0\]: has no field 'opinion'; found: nothing"),
    ({"aspects": [aspect(opinion_words=[]), aspect()]}, r"aspects\[1\]: has no field 'opinion_words'; found: from"),
    ({"sentence": "a | b", "aspects": [aspect("| b", "2", "5")]}, r"aspects: '\| b' holds a '\|' or ';'"),
]


@pytest.mark.parametrize(("change", "message"), BROKEN)
def test_a_broken_record_is_named_with_its_field_and_what_was_found(change, message):
    with pytest.raises(BenchmarkError, match=message):
        build_rows([record(aspect()) | change], "tsa", hard=False)


def test_a_missing_field_and_a_missing_category_are_named():
    broken = record(aspect())
    del broken["sentence"]
    with pytest.raises(BenchmarkError, match=r"has no field 'sentence'; found: ID, aspects"):
        build_rows([broken], "tsa", hard=False)
    with pytest.raises(BenchmarkError, match="category: expected a non-empty string, found NoneType None"):
        build_rows([record(aspect(category=None))], "asa", hard=False)


def write(folder, files):
    folder = folder / "fsa_datasets" / "w_hard" / "atsa" / "rest14"
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return folder


GOOD = {f"{name}.json": [record(aspect(), name=name)] for name in ("train", "dev", "test", "hard_test")}


def test_a_small_folder_becomes_four_splits(tmp_path):
    write(tmp_path, GOOD | {"test.json": b"\xef\xbb\xbf" + json.dumps(GOOD["test.json"]).encode()})
    splits = build(tmp_path, "tsa-rest14")
    ids = {split: [(row["id"], row["hard"]) for row in rows] for split, rows in splits.items()}
    assert ids == {
        "train": [("train", False)],
        "validation": [("dev", False)],
        "test": [("test", False)],
        "test_hard": [("test", False), ("hard_test", True)],
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[", r"dev.json:1:2: not JSON"),
        (b"\xff\xfe", "dev.json: not UTF-8 at byte 0"),
        (b"[" * 100_000, "dev.json: not a benchmark file"),
        ({}, "dev.json: expected a non-empty JSON array of records, found dict {}"),
        ([], "dev.json: expected a non-empty JSON array of records, found list"),
        ([1], "dev.json: record 0: expected an object, found int 1"),
        ([record(aspect())] * 2, r"dev.json: record 1 \(ID '1'\), ID: occurs before"),
    ],
)
def test_a_broken_file_is_named(tmp_path, content, message):
    write(tmp_path, GOOD | {"dev.json": content})
    with pytest.raises(BenchmarkError, match=message):
        build(tmp_path, "tsa-rest14")


def test_a_missing_file_an_unknown_config_and_an_id_in_both_test_files_are_named(tmp_path):
    folder = write(tmp_path, GOOD)
    with pytest.raises(BenchmarkError, match="unknown config 'tsa'; allowed: tsa-rest14, tsa-laptop14"):
        build(tmp_path, "tsa")
    (folder / "hard_test.json").write_text(json.dumps(GOOD["test.json"]))
    with pytest.raises(BenchmarkError, match=r"ID 'test' occurs more than once in test_hard \(test.json \+ hard_test"):
        build(tmp_path, "tsa-rest14")
    (folder / "hard_test.json").unlink()
    with pytest.raises(BenchmarkError, match=r"hard_test.json: no such file"):
        build(tmp_path, "tsa-rest14")


def test_reading_leaves_its_input_alone():
    records = [record(aspect(opinion_words="hot"))]
    before = copy.deepcopy(records)
    build_rows(records, "tsa", hard=False)
    assert records == before


def test_the_digest_of_a_folder_follows_names_and_contents(tmp_path):
    folder = write(tmp_path, GOOD)
    first = digest_files(tmp_path)
    (folder / "notes.txt").write_text("not part of the benchmark")
    assert digest_files(tmp_path) == first
    (folder / "dev.json").rename(folder / "val.json")
    assert digest_files(tmp_path) != first
    (folder / "val.json").rename(folder / "dev.json")
    (folder / "dev.json").write_text("[]")
    assert digest_files(tmp_path) != first
    with pytest.raises(BenchmarkError, match=r"nowhere: no .*json files"):
        digest_files(tmp_path / "nowhere")
