"""The report recipe whole, on the embedded Hub: from a results repo to a folder, the repo's card and model cards."""

import re
import sys
import uuid
from itertools import product

import pytest
from datasets import Dataset
from huggingface_hub import DatasetCard, HfApi, ModelCard
from huggingface_hub.errors import LocalEntryNotFoundError

from hub_tools.arguments import read_arguments
from hub_tools.evaluation.paper_tables import ReportError
from hub_tools.evaluation.results import prediction_rows, result_rows
from hub_tools.hub.errors import PushError
from hub_tools.hub.push import push_dataset
from hub_tools.hub.runs import start_run
from tests.recipes.recipe_files import arguments_type, load_recipe


SENTENCES = [
    ("The soup was cold.", "soup | negative"),
    ("Great food, slow staff.", "food | positive ; staff | negative"),
]


@pytest.fixture
def namespace() -> str:
    return f"ns-{uuid.uuid4().hex[:8]}"


def results(config="tsa-rest14"):
    """Score and prediction rows: `base` says nothing on odd sentences, `distilled` makes a mistake on every fifth."""
    scores, predictions = [], []
    for model, seed in product(("base", "distilled"), (42, 52)):
        rows = []
        for number in range(40):
            sentence, text = SENTENCES[number % 2]
            flags = {"implicit": number % 4 == 0, "multiple": False, "hard": number >= 30}
            rows.append({"id": f"s{number}", "sentence": sentence, "text": text, **flags})
        lines = [row["text"] for row in rows]
        if model == "base":
            lines[1::2] = [""] * 20
        else:
            lines[4::5] = ["fish | positive"] * 8
        facts = {"model": model, "repo_id": f"me/{model}", "revision": "0" * 40, "config": config}
        answered = prediction_rows(rows, lines, seed)
        scores += result_rows(answered, config, {**facts, "seed": seed, "validation_f1": 0.5})
        predictions += [{**facts, **row} for row in answered]
    return scores, predictions


def push_results(namespace, tables):
    run = start_run("finetune", {}, {f"{namespace}/fsa-benchmark": "1" * 40}, command="finetune.py").finish()
    card = "---\nlicense: apache-2.0\n---\n# Results\n"
    push_dataset(tables, f"{namespace}/fsa-results", card, run=run)


@pytest.fixture
def go(monkeypatch, tmp_path, namespace, capsys):
    def go(*options: str) -> str:
        flags = ["--namespace", namespace, "--title", "A title", "--runs", str(tmp_path), "--resamples", "200"]
        monkeypatch.setattr(sys, "argv", ["report.py", *flags, *options])
        load_recipe("report").main()
        return capsys.readouterr().out

    return go


def test_from_results_to_report_pages_and_cards(go, namespace, tmp_path):
    scores, predictions = results()
    tables = {
        "scores": {"results": Dataset.from_list(scores)},
        "predictions": {"test_hard": Dataset.from_list(predictions)},
    }
    push_results(namespace, tables)
    student = f"{namespace}/t5-tsa-rest14"
    HfApi().create_repo(student)
    HfApi().upload_file(
        path_or_fileobj=b"---\nlicense: mit\n---\n# A student\n", path_in_repo="README.md", repo_id=student
    )
    docs = tmp_path / "docs"
    out = go("--students", "distilled=t5", "--docs", str(docs), "--reviews", "base=0", "distilled=100")

    folder = tmp_path / "report"
    assert (folder / "tables" / "table_4.tex").is_file()
    assert (folder / "figures" / "reviews.svg").is_file()
    assert [path.name for path in (folder / "browsers").iterdir()] == ["tsa-rest14-distilled.html"]
    assert re.search(r"distilled against base: better on \d, worse on \d and open on \d of 2 config-subsets", out)
    assert "Table 13" in out  # named as missing
    assert "1 model cards" in out

    assert sorted(path.name for path in docs.iterdir()) == [
        "figures", "results.csv", "results.md", "significance.csv", "tables",
    ]  # fmt: skip
    assert not [path for path in docs.rglob("*.md") if "The soup was cold" in path.read_text()]

    files = HfApi().list_repo_files(f"{namespace}/fsa-results", repo_type="dataset")
    assert {"report/results.md", "report/figures/scores.png", "report/browsers/tsa-rest14-distilled.html"} <= {*files}
    assert "(report/figures/scores.png)" in DatasetCard.load(f"{namespace}/fsa-results").text
    values = {entry.metric_name: entry.metric_value for entry in ModelCard.load(student).data.eval_results}
    of = {row["subset"]: row for row in scores if row["model"] == "distilled" and row["split"] == "test_hard"}
    assert values["F1 (strict rule), all"] == round(100 * of["all"]["strict_f1"], 2)
    assert not any("multiple" in name for name in values)  # without sentences
    assert ".eval_results/fsa-benchmark.yaml" in HfApi().list_repo_files(student)


def test_a_set_of_ones_own_is_scored_on_the_card_without_a_task_of_the_registered_benchmark(go, namespace):
    scores, predictions = results("tsa-mine")
    tables = {"results": Dataset.from_list(scores)}
    push_results(namespace, {"scores": tables, "predictions": {"test_hard": Dataset.from_list(predictions)}})
    repo_id = f"{namespace}/t5-tsa-mine"
    HfApi().create_repo(repo_id)
    HfApi().upload_file(
        path_or_fileobj=b"---\nlicense: apache-2.0\n---\n# Mine\n", path_in_repo="README.md", repo_id=repo_id
    )

    assert "Scores on 1 model cards" in go("--students", "distilled=t5", "--browsers", "false")
    assert {result.dataset_config for result in ModelCard.load(repo_id).data.eval_results} == {"tsa-mine"}
    assert not [name for name in HfApi().list_repo_files(repo_id) if name.startswith(".eval_results")]


def test_a_report_of_results_from_before_there_were_predictions_or_shares(go, namespace, tmp_path):
    push_results(namespace, {"scores": {"results": Dataset.from_list(results()[0])}})
    out = go()
    assert "the results hold no predictions" in out
    assert not (tmp_path / "report" / "browsers").exists()
    assert not (tmp_path / "report" / "significance.csv").exists()
    assert (tmp_path / "report" / "figures" / "scores.png").is_file()
    again = go("--students", "distilled=t5")  # over the first report, and a student that nobody pushed
    assert f"{namespace}/t5-tsa-rest14: there is no such model" in again


def test_a_report_asked_for_a_model_without_results_says_which_there_are(go, namespace, tmp_path):
    push_results(namespace, {"scores": {"results": Dataset.from_list(results()[0])}})
    with pytest.raises(ReportError, match="no results of 'nobody'; the models with results: base, distilled"):
        go("--baseline", "nobody")
    assert list(tmp_path.iterdir()) == []


def test_docs_that_hold_other_things_are_left_alone(tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "guide.md").write_text("mine")
    with pytest.raises(ValueError, match="holds other files than a report"):
        load_recipe("report").copy_report(tmp_path, docs)


def test_several_baselines_are_a_list_like_any_other(tmp_path):
    report = arguments_type("report")
    given = ["--namespace", "me", "--title", "T"]
    assert read_arguments(report, given).baseline == []
    assert read_arguments(report, [*given, "--baseline", "base", "distilled"]).baseline == ["base", "distilled"]
    path = tmp_path / "report.yaml"
    for text, found in (("base", ["base"]), ("[base, distilled]", ["base", "distilled"])):
        path.write_text(f"namespace: me\ntitle: T\nbaseline: {text}\n")
        assert read_arguments(report, [str(path)]).baseline == found


def test_of_the_students_repos_only_those_that_were_pretrained_tell(namespace):
    repos = {stage: f"{namespace}/{stage}" for stage in ("pretrain", "finetune", "no-run", "gone")}
    rows = []
    for stage, repo_id in repos.items():
        commit = "0" * 40
        if stage != "gone":
            HfApi().create_repo(repo_id)
            run = start_run(stage, {"objective": "rating"}, {}, command="").finish(pairs=7).to_json()
            text = "not a run" if stage == "no-run" else run
            commit = HfApi().upload_file(path_or_fileobj=text.encode(), path_in_repo="run.json", repo_id=repo_id).oid
        rows.append({"model": stage, "repo_id": repo_id, "revision": commit})
    (((repo_id, commit), run),) = load_recipe("report").read_runs([*rows, {"model": "of old"}]).items()
    assert (repo_id, commit) == (repos["pretrain"], rows[0]["revision"])
    assert (run["facts"], run["config"]) == ({"pairs": 7}, {"objective": "rating"})


@pytest.mark.parametrize("recipe", ["report", "build_corpus"])
def test_a_hub_that_does_not_answer_is_not_one_without_a_run(recipe, monkeypatch):
    """The client says so by an error whose name begins as that of a file which is not there."""

    def gone(*_, **__):
        raise LocalEntryNotFoundError("not in the cache, and the Hub cannot be reached")

    module = load_recipe(recipe)
    monkeypatch.setattr(module, "hf_hub_download", gone)
    rows = [{"model": "m", "repo_id": "a/b", "revision": "0" * 40}]
    with pytest.raises(PushError, match=r"could not read run\.json of .* a/b on .*the Hub cannot be reached"):
        module.read_runs(rows) if recipe == "report" else module.cost_of("a/b", "0" * 40)


def test_students_are_given_by_label_and_name():
    read = load_recipe("report").read_students
    assert read(["distilled=t5", "base=plain"]) == {"distilled": "t5", "base": "plain"}
    for wrong in (["distilled"], ["a=x", "a=y"]):
        with pytest.raises(ValueError, match="distinct label=name"):
            read(wrong)
