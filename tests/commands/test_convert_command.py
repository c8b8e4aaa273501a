"""`fsa convert` as its user meets it: files, lines on stderr, a folder and a Hub repo that `load_dataset` reads."""

import json
from pathlib import Path

import pytest
from datasets import load_dataset
from huggingface_hub import HfApi

from hub_tools import cli
from hub_tools.benchmarks.fsa import FEATURES
from hub_tools.students.finetuning import TRAINING_SPLITS


REVIEWS = """id,sentence,target,polarity
1,The battery lasts long.,battery,positive
2,"The old laptop, it has a new battery.",battry,negative
3,We left.,,
"""
GOOD = REVIEWS.replace("battry", "battery")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("reviews.csv").write_text(REVIEWS, encoding="utf-8")
    Path("good.csv").write_text(GOOD, encoding="utf-8")
    return tmp_path


def convert(*arguments):
    return cli.main(["convert", *arguments])


def lines(path):
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def files(folder="."):
    return sorted(path.name for path in Path(folder).iterdir())


def test_what_is_converted_can_be_scored(folder, capsys):
    assert convert("good.csv", "gold.jsonl", "--task", "tsa") == 0
    assert [row["text"] for row in lines("gold.jsonl")] == ["battery | positive", "battery | negative", ""]
    assert capsys.readouterr().err == "good.csv: 3 sentences (csv, tsa)\ngold.jsonl: written (jsonl).\n"
    predictions = [{"id": row["id"], "prediction": row["text"]} for row in lines("gold.jsonl")]
    Path("pred.jsonl").write_text("".join(json.dumps(row) + "\n" for row in predictions))
    assert cli.main(["score", "pred.jsonl", "gold.jsonl", "--task", "tsa", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["strict_f1"] == 1


def test_an_error_is_told_by_line_and_nothing_is_written(folder, capsys):
    assert convert("reviews.csv", "gold.jsonl", "--task", "tsa") == 1
    assert capsys.readouterr().err == (
        "fsa convert: reviews.csv:3: 'battry' is not in the sentence 'The old laptop, it has a new battery.'; "
        "nearest 'battery' at 29–36\n"
    )
    assert files() == ["good.csv", "reviews.csv"]


def test_what_is_skipped_is_kept_in_a_file_with_the_reasons(folder, capsys):
    assert convert("reviews.csv", "gold.jsonl", "--task", "tsa", "--skip_invalid") == 0
    assert [row["id"] for row in lines("gold.jsonl")] == ["1", "3"]
    (rejected,) = lines("gold.jsonl.rejected.jsonl")
    assert (rejected["file"], rejected["place"], rejected["id"]) == ("reviews.csv", "3", "2")
    assert "nearest 'battery' at 29–36" in rejected["reasons"][0]
    assert "reviews.csv: 2 sentences (csv, tsa), 1 rejected" in capsys.readouterr().err


def test_what_would_be_lost_is_told_and_nothing_is_written_unless_that_is_agreed_to(folder, capsys):
    assert convert("good.csv", "gold.txt", "--task", "tsa", "--to", "pyabsa-apc") == 1
    assert (
        "pyabsa-apc cannot hold all of it: 1 sentences without such opinions are left out" in capsys.readouterr().err
    )
    assert not Path("gold.txt").exists()
    assert convert("good.csv", "gold.txt", "--task", "tsa", "--to", "pyabsa-apc", "--lossy") == 0
    assert "lost: 1 sentences without such opinions are left out" in capsys.readouterr().err
    assert Path("gold.txt").read_text().startswith("The $T$ lasts long.\nbattery\nPositive\n")


def test_the_format_is_guessed_and_the_task_too_where_there_is_one(folder, capsys):
    assert convert("good.csv", "gold.xml", "--task", "tsa", "--to", "semeval2014") == 0
    assert convert("gold.xml", "again.csv") == 0
    assert "gold.xml: 3 sentences (semeval2014, tsa)" in capsys.readouterr().err
    assert convert("again.csv", "gold.jsonl", "--task", "tsa") == 0
    assert [row["text"] for row in lines("gold.jsonl")] == ["battery | positive", "battery | negative", ""]


def test_categories_are_read_for_the_task_of_categories(folder):
    Path("a.xml").write_text(
        '<sentences><sentence id="1"><text>Soup!</text><aspectTerms><aspectTerm term="Soup" polarity="positive"'
        ' from="0" to="4"/></aspectTerms><aspectCategories><aspectCategory category="food" polarity="positive"/>'
        "</aspectCategories></sentence></sentences>"
    )
    assert convert("a.xml", "asa.jsonl", "--task", "asa") == 0
    assert lines("asa.jsonl")[0]["text"] == "food | positive"


def test_a_folder_of_splits_is_read_by_load_dataset_with_the_benchmarks_columns(folder, capsys):
    Path("words.csv").write_text("sentence,target,polarity,opinion\nThe soup rocks.,soup,positive,rocks\n")
    splits = ["train=good.csv", "validation=good.csv", "test=words.csv"]
    assert convert(*splits, "mine", "--config", "tsa-mine") == 0
    assert "load_dataset('mine', 'tsa-mine') reads it." in capsys.readouterr().err
    data = load_dataset("mine", "tsa-mine", cache_dir="cache")
    assert list(data) == ["train", "validation", "test", "test_hard"]
    assert data["train"].features == data["test"].features == FEATURES
    assert data["train"][0]["implicit"] is None
    assert data["test"][0]["implicit"] is False
    assert data["test_hard"][:] == data["test"][:]


def test_a_benchmark_on_the_hub_can_be_fine_tuned_on(folder, repo_id, capsys):
    splits = ["train=good.csv", "validation=good.csv", "test=reviews.csv"]
    assert convert(*splits, "--push", repo_id, "--config", "tsa-mine", "--skip_invalid") == 0
    assert f"pushed {repo_id}: load_dataset({repo_id!r}, 'tsa-mine')" in capsys.readouterr().err
    data = load_dataset(repo_id, "tsa-mine")
    assert {*TRAINING_SPLITS, "test", "test_hard"} == {*data}
    assert data["train"].features == FEATURES
    assert data["train"]["text"][:2] == ["battery | positive", "battery | negative"]
    assert HfApi().dataset_info(repo_id).private
    assert Path("reviews.csv.rejected.jsonl").is_file()
    card = Path(HfApi().hf_hub_download(repo_id, "README.md", repo_type="dataset")).read_text()
    assert "1 sentences of test were left out" in card


def test_a_push_removes_no_other_config(folder, repo_id, capsys):
    assert convert("train=good.csv", "--push", repo_id, "--config", "tsa-mine") == 0
    assert convert("train=good.csv", "--push", repo_id, "--config", "tsa-mine", "--public") == 0
    assert convert("train=good.csv", "--push", repo_id, "--config", "tsa-other") == 1
    assert f"{repo_id} holds other configs (tsa-mine), which a push would remove" in capsys.readouterr().err


WRONG = {
    "nothing": ([], "what is to be converted to where?"),
    "one path": (["good.csv"], "what is to be converted to where?"),
    "no task": (["good.csv", "x.jsonl"], "which task is it? --task tsa"),
    "unknown task": (["good.csv", "x.jsonl", "--task", "tsaa"], "unknown task 'tsaa'"),
    "unknown format": (
        ["good.csv", "x.jsonl", "--task", "tsa", "--from", "xls"],
        "unknown format 'xls'; allowed: jsonl",
    ),
    "unknown output": (["good.csv", "x.xml", "--task", "tsa"], "x.xml: which format should it have? --to"),
    "output of another task": (["good.csv", "x.csv", "--task", "asa", "--to", "setfit"], "setfit is for the task tsa"),
    "no file": (["none.csv", "x.jsonl", "--task", "tsa"], "none.csv: no such file"),
    "unclear input": (["plain.txt", "x.jsonl", "--task", "tsa"], "plain.txt: which format is it? --from jsonl, csv"),
    "another format": (
        ["good.csv", "x.jsonl", "--task", "tsa", "--from", "aste"],
        "good.csv looks like csv, not aste.",
    ),
    "in place": (["good.csv", "good.csv", "--task", "tsa"], "good.csv is an input; give the output another name"),
    "split": (
        ["dev=good.csv", "x", "--config", "tsa-x"],
        "unknown split in 'dev=good.csv'; allowed: train, validation",
    ),
    "split twice": (["test=good.csv", "test=reviews.csv", "x", "--config", "tsa-x"], "a second file for test"),
    "no split": (["good.csv", "reviews.csv", "x", "--config", "tsa-x"], "a second file for one output; name splits"),
    "some splits": (["train=good.csv", "reviews.csv", "x", "--config", "tsa-x"], "every input needs its split"),
    "no config": (["train=good.csv", "x"], "splits need the name of their config, e.g. --config tsa-mine"),
    "config": (["train=good.csv", "x", "--config", "mine"], "config 'mine': should be a task (tsa, asa, acos, asqp)"),
    "config of a path": (["train=good.csv", "x", "--config", "tsa-../x"], "config 'tsa-../x': should be a task"),
    "task and config": (
        ["train=good.csv", "x", "--config", "tsa-x", "--task", "asa"],
        "the config begins with its task",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_command_is_told_in_a_line_and_writes_nothing(case, folder, capsys):
    Path("plain.txt").write_text("Nothing but a sentence.\n")
    arguments, expected = WRONG[case]
    before = files()
    assert convert(*arguments) == 1
    assert expected in capsys.readouterr().err
    assert files() == before


def test_the_formats_are_listed_with_what_they_cannot_hold(capsys):
    assert convert("--list") == 0
    out = capsys.readouterr().out
    assert (
        "semeval2014 (tsa): XML of SemEval 2014 Task 4, aspect terms\n    cannot hold: categories; opinion words"
        in out
    )
    assert convert("--labelling_config") == 0
    assert capsys.readouterr().out.startswith("<View>")
