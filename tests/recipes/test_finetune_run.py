"""finetune.py whole, on a benchmark of five sentences: what it pushes, what stays, and what it does not do again."""

import sys

import pytest
from datasets import Dataset, load_dataset
from huggingface_hub import ModelCard, hf_hub_download

from hub_tools.hub.push import push_dataset, push_model
from hub_tools.hub.tables import pushed_rows
from hub_tools.students.extraction import load_student
from tests.recipes.recipe_files import load_recipe
from tests.students.miniature import LESSONS
from tests.tiny_models import save_tiny_student


ROWS = [
    {"id": str(number), "sentence": sentence, "text": text, "opinions": [], "implicit": number == 2}
    | {"multiple": number == 3, "hard": False}
    for number, (sentence, text) in enumerate(LESSONS)
]
QUADS = [
    row | {"text": text}
    for row, text in zip(
        ROWS, ["food quality | positive | food | Good", *["bar general | neutral | none | none"] * 4], strict=True
    )
]


@pytest.fixture(scope="module")
def namespace(tmp_path_factory) -> str:
    test = [*ROWS, ROWS[0] | {"id": "9", "hard": True}]
    splits = {"train": ROWS, "validation": ROWS, "test": ROWS, "test_hard": test}
    tables = {"tsa-rest14": splits, "asqp-rest16": dict.fromkeys(("train", "validation", "test"), QUADS)}
    push_dataset(
        {
            config: {split: Dataset.from_list(rows) for split, rows in parts.items()}
            for config, parts in tables.items()
        },
        "runs/fsa-benchmark",
        "---\n---\n# benchmark\n",
    )
    folder = save_tiny_student(tmp_path_factory.mktemp("tiny") / "student", lessons=LESSONS)
    push_model(folder, "runs/t5", card="---\n---\n# t5\n")
    return "runs"


@pytest.fixture
def go(namespace, tmp_path, monkeypatch, capsys):
    def run(*options):
        argv = ["finetune.py", "--namespace", namespace, "--models", "base=t5", "told=t5", "--instructed", "told"]
        argv += ["--configs", "tsa-rest14", "--seeds", "1", "2", "--epochs", "1", "--batch_size", "4", "--lr", "0"]
        monkeypatch.setattr(sys, "argv", [*argv, "--max_length", "20", "--runs", str(tmp_path), *options])
        load_recipe("finetune").main()
        return capsys.readouterr().out

    return run


def test_a_run_and_others_after_it(go, namespace, tmp_path):
    out = go("--publish", "base", "--push_every", "1")
    assert "finetune: 4 cells." in out
    assert "[4/4] told · tsa-rest14 · seed 2: test F1" in out
    rows = load_dataset(f"{namespace}/fsa-results", "scores", split="results").to_list()
    assert len(rows) == 2 * 2 * 6  # labels, seeds; two splits of three subsets
    assert {(row["model"], row["input_form"]) for row in rows} == {("base", "plain"), ("told", "instruction")}
    base = [row for row in rows if row["model"] == "base" and row["subset"] == "all"]
    assert {(row["split"], row["n_sentences"], row["f1"]) for row in base} == {("test_hard", 6, 1.0), ("test", 5, 1.0)}
    assert all(row[f"{rule}_f1"] == 1.0 for row in base for rule in ("strict", "partial", "instructabsa", "absa_quad"))

    # The student knows how it is read, and its card tells the scores of all
    student = load_student(f"{namespace}/t5-sentiment-tsa-rest14")
    assert (student.task, student.model.config.fsa_input_form) == ("tsa", "plain")
    assert "tsa-rest14" in ModelCard.load(f"{namespace}/t5-sentiment-tsa-rest14").text

    assert go("--publish", "base", "--push_every", "1").endswith("holds the results of this very run; reused.\n")

    # Another YAML's rows stand beside them, and both are still found
    out = go("--configs", "asqp-rest16", "--test_num_beams", "2", "--train_shares", "0.4", "1", "--seeds", "1")
    assert "told · asqp-rest16 · 40% of train · seed 1" in out
    both = pushed_rows(f"{namespace}/fsa-results")
    assert len(both["scores"]["results"]) == len(rows) + 2 * 2 * 4
    assert {split: len(part) for split, part in both["predictions"].items()} == {"test_hard": 24, "test": 20}
    assert set(load_dataset(f"{namespace}/fsa-results", "predictions")) == {"test_hard", "test"}
    assert "reused." in go("--publish", "base", "--push_every", "1")

    # A run with other hyper-parameters replaces the rows of its own cells, and the first is no longer what is there
    go("--seeds", "2", "--eval_batch_size", "3")
    third = pushed_rows(f"{namespace}/fsa-results")["scores"]["results"]
    assert len(third) == len(both["scores"]["results"])
    assert len({row["run"] for row in third if row["config"] == "tsa-rest14"}) == 2
    out = go("--publish", "base", "--push_every", "1")
    assert "finetune: 4 cells, 4 finished before." in out
    assert "running" not in out

    table = (tmp_path / "finetune" / "results.md").read_text(encoding="utf-8")
    assert "| tsa-rest14 | base | 100% | 2 of 2 | 100.00 ± 0.00 |" in table
    assert "| asqp-rest16 | told (instruction) | 40% | 1 of 1 |" in table
    path = hf_hub_download(f"{namespace}/t5-sentiment-tsa-rest14", "config.json")
    assert "fsa_instruction" not in open(path, encoding="utf-8").read()


def test_rows_that_another_run_pushed_meanwhile_stay(go, namespace, monkeypatch):
    recipe, asked = load_recipe("finetune"), []
    go("--seeds", "3")

    def rows_before_somebody_pushed(results, commit):
        rows = pushed_rows(results, commit)
        if not asked:
            theirs = recipe.with_rows(rows, [rows["scores"]["results"][0] | {"model": "theirs"}], {})
            push_dataset(theirs, results, "---\n---\n# theirs\n")
        asked.append(commit)
        return rows

    monkeypatch.setattr(recipe, "pushed_rows", rows_before_somebody_pushed)
    monkeypatch.setattr(recipe, "holds", lambda *_: False)
    go("--seeds", "3")
    assert len(set(asked)) == 2
    models = {row["model"] for row in pushed_rows(f"{namespace}/fsa-results")["scores"]["results"]}
    assert {"theirs", "base", "told"} <= models


def test_a_set_of_ones_own_may_lie_in_a_repo_of_its_own(go, namespace):
    splits = {split: Dataset.from_list(ROWS) for split in ("train", "validation", "test")}
    push_dataset({"tsa-mine": splits}, f"{namespace}/my-reviews", "---\n---\n# mine\n")
    with pytest.raises(
        RuntimeError, match="tsa-mine of runs/my-reviews has the splits train, validation, test; needed"
    ):
        go("--benchmark", f"{namespace}/my-reviews", "--configs", "tsa-mine")
    splits["test_hard"] = splits["test"]  # as `fsa convert --push` writes it
    push_dataset({"tsa-mine": splits}, f"{namespace}/my-reviews", "---\n---\n# mine\n")
    go("--benchmark", f"{namespace}/my-reviews", "--configs", "tsa-mine", "--publish", "base")
    assert ModelCard.load(f"{namespace}/t5-sentiment-tsa-mine").data.datasets == [f"{namespace}/my-reviews"]
    rows = [row for row in pushed_rows(f"{namespace}/fsa-results")["scores"]["results"] if row["config"] == "tsa-mine"]
    assert {(row["split"], row["n_sentences"]) for row in rows if row["subset"] == "all"} == {
        ("test_hard", 5),
        ("test", 5),
    }


def test_a_failed_cell_is_told_at_the_end_and_the_rest_is_kept(go, tmp_path, monkeypatch):
    from hub_tools.students import crew

    whole = crew.run_cell

    def run_cell(cell, grid, hear):
        if (cell.model, cell.seed) == ("base", 2):
            raise RuntimeError("CUDA out of memory")
        whole(cell, grid, hear)

    monkeypatch.setattr(crew, "run_cell", run_cell)
    with pytest.raises(RuntimeError, match=r"1 cells failed(.|\n)*seed 2: RuntimeError: CUDA out of memory"):
        go("--runs", str(tmp_path / "other"))
    monkeypatch.undo()
