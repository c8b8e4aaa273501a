"""build_benchmark.py on a handful of sentences, pushed to the embedded Hub and read back by real clients."""

import json
import sys
import uuid
from pathlib import Path

import pytest
import yaml
from datasets import load_dataset
from huggingface_hub import HfApi, hf_hub_download

from hub_tools.benchmarks.fsa import FEATURES
from hub_tools.benchmarks.records import BenchmarkError
from hub_tools.corpus.contamination import BenchmarkSentences
from hub_tools.corpus.evaluated import evaluated, load_sentences
from tests.recipes.recipe_files import load_recipe


SENTENCE = "The Pad Thai at the corner is great"
FSA = {
    "ID": "1",
    "aspects": [{"from": "4", "to": "12", "target": "Pad Thai", "category": None, "polarity": "positive"}],
}
QUADS = {"ID": 0, "quads": [["Pad Thai", "great", "food quality", "positive"], ["NULL", "NULL", "a b", "negative"]]}
FSA_FILES = ("train", "dev", "test", "hard_test")


def write(path: Path, record: dict, sentence: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([record | {"sentence": sentence}]), "utf-8")


@pytest.fixture
def data_of(tmp_path):
    """A folder of data with one sentence per file; the same one in train and test of the quads."""

    def make(*, quads: bool) -> Path:
        for number, name in enumerate(FSA_FILES):
            sentence = f"The Pad Thai number {number} is great"
            write(tmp_path / "fsa_datasets/w_hard/atsa/rest14" / f"{name}.json", FSA | {"ID": name}, sentence)
        for name in ("train", "dev", "test") if quads else ():
            written = f"{SENTENCE}!" if name == "train" else SENTENCE if name == "test" else f"{SENTENCE} today."
            write(tmp_path / "quads/t5/acos/rest16" / f"{name}.json", QUADS, written)
        return tmp_path

    return make


@pytest.fixture
def run(monkeypatch):
    """Runs the recipe in a namespace of its own; returns the repo's id."""
    namespace = f"ns-{uuid.uuid4().hex[:8]}"

    def go(data: Path, *options: str) -> str:
        argv = ["build_benchmark.py", "--namespace", namespace, "--data", str(data), *options]
        monkeypatch.setattr(sys, "argv", [*argv, "--configs", "tsa-rest14", "acos-rest16"])
        load_recipe("build_benchmark").main()
        return f"{namespace}/fsa-benchmark"

    return go


def on_the_hub(repo_id: str, name: str) -> str:
    return Path(hf_hub_download(repo_id, name, repo_type="dataset")).read_text("utf-8")


def test_quads_are_pushed_beside_the_rest_with_a_card_and_their_tasks(data_of, run, capsys):
    data = data_of(quads=True)
    repo_id = run(data)
    rows = load_dataset(repo_id, "acos-rest16")
    assert rows["test"].features == FEATURES
    assert {split: rows[split].num_rows for split in rows} == {"train": 1, "validation": 1, "test": 1}
    (row,) = rows["test"]
    assert row["text"] == "food quality | positive | Pad Thai | great ; a b | negative | none | none"
    assert [opinion["opinion_words"] for opinion in row["opinions"]] == [["great"], []]
    assert load_dataset(repo_id, "tsa-rest14", split="test_hard").num_rows == 2

    tasks = yaml.safe_load(on_the_hub(repo_id, "eval.yaml"))["tasks"]
    assert {task["config"] for task in tasks} == {"tsa-rest14", "acos-rest16"}
    card = on_the_hub(repo_id, "README.md")
    assert "| acos-rest16 | test | 1 | 1 | 2 | 2 | 1 | 1 | 1 |" in card
    assert "| acos-rest16 test | 1 | 1 (0) |" in card
    for said in ("NUSTM/ACOS", "ST-w-Scorer-ABSA", "Licence: none stated", "`eval.yaml` lists the tasks"):
        assert said in card
    assert "IsakZhang" not in card

    run(data)
    assert "holds this very benchmark; reused" in capsys.readouterr().out


def test_without_a_folder_of_quads_the_rest_is_built_and_it_is_said(data_of, run, capsys):
    repo_id = run(data_of(quads=False))
    assert "quads: without acos-rest16." in capsys.readouterr().out
    assert "acos-rest16/test.parquet" not in HfApi().list_repo_files(repo_id, repo_type="dataset")


def test_a_missing_quad_file_stops_it_before_anything_is_pushed(data_of, run):
    data = data_of(quads=True)
    (data / "quads/t5/acos/rest16/dev.json").unlink()
    with pytest.raises(BenchmarkError, match=r"rest16/dev\.json: no such file"):
        run(data)
    with pytest.raises(BenchmarkError, match=r"unknown form of quads 'cooked'"):
        run(data, "--quads", "cooked")


def test_no_review_that_holds_a_quad_test_sentence_enters_the_corpus(data_of, run):
    repo_id = run(data_of(quads=True))
    sentences = load_sentences(repo_id, HfApi().dataset_info(repo_id).sha)
    ids = [name for name, _ in evaluated(sentences)]
    assert ids == [
        "tsa-rest14/validation/dev",
        "tsa-rest14/test_hard/test",
        "tsa-rest14/test_hard/hard_test",
        "acos-rest16/validation/0",
        "acos-rest16/test/0",
    ]
    (found, *_) = BenchmarkSentences(evaluated(sentences)).find(f"We went. {SENTENCE.upper()}. Bye.")
    assert found.ids == ("acos-rest16/test/0",)
