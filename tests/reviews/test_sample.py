"""The shipped sample: same seed, same bytes; splits apart; reviews without benchmark sentences."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hub_tools.reviews.readers import read_reviews
from hub_tools.reviews.sample import SETS, generate, plain
from hub_tools.reviews.sentences import DOMAINS, lexicon
from hub_tools.reviews.settings import ReviewSettings


SPLITS = {"train": 160, "dev": 40, "test": 60, "hard_test": 40}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample") / "data"
    generate(folder)
    return folder


def _records(sample: Path, name: str, split: str) -> list[dict]:
    path = sample / "fsa_datasets" / "w_hard" / name / f"{split}.json"
    return json.loads(path.read_text(encoding="utf-8-sig"))


def _reviews(sample: Path) -> list[dict]:
    return list(read_reviews(ReviewSettings(data=str(sample), files=["reviews"])))


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_seed_gives_the_same_bytes_in_any_process(sample: Path, tmp_path: Path):
    command = [sys.executable, "-m", "hub_tools.reviews.sample", str(tmp_path / "again")]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": "7"})
    assert _files(tmp_path / "again") == _files(sample)
    generate(tmp_path / "other", seed=1)
    assert _files(tmp_path / "other") != _files(sample)


def test_a_folder_that_holds_the_sample_is_left_and_any_other_is_refused(sample: Path, tmp_path: Path):
    before = {path: path.stat().st_mtime_ns for path in sample.rglob("*")}
    generate(sample)
    assert before == {path: path.stat().st_mtime_ns for path in sample.rglob("*")}
    with pytest.raises(FileExistsError, match="is not this sample"):
        generate(sample, seed=2)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="remove it"):
        generate(tmp_path)


def test_a_failed_run_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hub_tools.reviews.sample._RETRIES", 1)
    with pytest.raises(ValueError, match="distinct sentences"):
        generate(tmp_path / "data", reviews=0, train=2000, dev=0, test=0, hard=0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("split", SPLITS)
def test_every_target_and_opinion_word_lies_where_its_offsets_say(sample: Path, name: str, split: str):
    records = _records(sample, name, split)
    assert len(records) == SPLITS[split]
    for record in records:
        for aspect in record["aspects"]:
            if aspect["target"] not in (None, "NULL"):
                assert record["sentence"][int(aspect["from"]) : int(aspect["to"])] == aspect["target"]
            for word in aspect.get("opinion_words") or ():
                if isinstance(word, dict):
                    assert record["sentence"][word["from"] : word["to"]] == word["opinion"]


def test_each_split_has_the_record_habits_of_the_official_files(sample: Path):
    def aspects(name: str, split: str) -> list[dict]:
        return [aspect for record in _records(sample, name, split) for aspect in record["aspects"]]

    assert all("opinion_words" not in a for name in SETS for split in ("train", "dev") for a in aspects(name, split))
    assert {type(a["from"]) for a in aspects("atsa/rest14", "train")} == {str}
    assert {type(a["from"]) for a in aspects("acsa/rest16", "hard_test")} == {int, type(None)}
    assert {type(a["opinion_words"]) for a in aspects("atsa/laptop14", "test")} == {str, type(None)}
    assert {type(a["opinion_words"]) for a in aspects("acsa/rest16", "test")} == {list}
    assert {a["target"] for a in aspects("acsa/laptop16", "train")} == {None}
    assert any(a["target"] == "NULL" and a["from"] == "0" for a in aspects("acsa/rest16", "train"))
    assert all(a["category"] is None for a in aspects("atsa/rest14", "train"))
    assert any(a["polarity"] == "conflict" for a in aspects("atsa/rest14", "train"))
    assert all(a["polarity"] != "conflict" for a in aspects("acsa/rest16", "train") + aspects("acsa/rest16", "test"))
    for name in SETS:
        for record in _records(sample, name, "hard_test"):
            implicit = any(not a["opinion_words"] for a in record["aspects"])
            assert implicit or len({a["polarity"] for a in record["aspects"]}) > 1


def test_no_sentence_is_in_two_splits_and_no_review_holds_one(sample: Path):
    sentences: list[str] = []
    for name in SETS:
        for split in SPLITS:
            if not (split == "hard_test" and name.startswith("acsa")):  # one hard set per domain, as officially
                sentences += [plain(record["sentence"]) for record in _records(sample, name, split)]
    assert len(sentences) == len(set(sentences))
    reviews = [f" {plain(row['text'])} " for row in _reviews(sample)]
    assert len(reviews) == 900
    assert not any(f" {sentence} " in review for sentence in sentences for review in reviews)


def test_reviews_show_more_of_the_language_than_the_train_split_does(sample: Path):
    reviews = " ".join(row["text"].lower() for row in _reviews(sample))
    train = " ".join(record["sentence"].lower() for record in _records(sample, "atsa/rest14", "train"))
    test = _records(sample, "atsa/rest14", "test") + _records(sample, "atsa/rest14", "hard_test")
    targets = {a["target"].lower() for record in test for a in record["aspects"] if a["target"]}
    assert len([t for t in targets if t in reviews]) > 1.3 * len([t for t in targets if t in train])


def test_reviews_have_one_to_three_sentences_and_stars(sample: Path):
    rows = _reviews(sample)
    assert {row["rating"] for row in rows} == {1.0, 2.0, 3.0, 4.0, 5.0}
    assert {row["text"].count(".") for row in rows} == {1, 2, 3}
    assert {row["licence"] for row in rows} == {"apache-2.0"}


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_word_lists_are_rich_and_whole(domain: str):
    words = lexicon(domain)
    categories = words["categories"]
    targets = {
        t for category in categories.values() if isinstance(category["targets"], list) for t in category["targets"]
    }
    expressions = {
        e for lists in [*categories.values(), words["any"], words["verbs"]] for p in words["any"] for e in lists[p]
    }
    assert len(targets) >= 60
    assert len(expressions) >= 80
    assert len(words["implicit"]) >= 40
    for template, category, polarity in words["implicit"]:
        assert category in categories, template
        assert polarity in ("positive", "negative"), template
