"""Scores go onto model repos of the embedded Hub, and real clients read them back."""

import threading

import pytest
import yaml
from huggingface_hub import HfApi, ModelCard, hf_hub_download, parse_eval_result_entries

from hub_tools.benchmarks import fsa, quads
from hub_tools.benchmarks.configs import headline_split, subsets_of
from hub_tools.benchmarks.registration import task_id, tasks
from hub_tools.hub import push
from hub_tools.hub.cards import ModelFacts, model_card
from hub_tools.hub.eval_results import SUBSETS, Result, Scores, eval_entries, eval_files, model_index, with_model_index
from hub_tools.hub.push import PushError, push_model, push_scores
from hub_tools.hub.runs import start_run
from tests.tiny_models import save_tiny_student


BENCHMARK = "me/fsa-benchmark"
COMMIT = "c0ffee" * 6 + "c0ff"
SOURCE = "https://huggingface.co/datasets/me/fsa-results"
RESULTS = [
    Result("tsa-rest14", "all", [0.5, 0.6], [0.4, 0.5], sentences=1140),
    Result("tsa-rest14", "implicit", [0.25, 0.25], [0.2, 0.2], sentences=477),
    Result("tsa-rest14", "all", [0.3, 0.3], [0.2, 0.2], system="not distilled"),
    Result("tsa-rest14", "all", [0.55, 0.65], [0.45, 0.55], split="test"),
]
SCORES = Scores(RESULTS, BENCHMARK, task_id, COMMIT, SOURCE, "2026-11-21T10:00:00+00:00")
FILE = ".eval_results/fsa-benchmark.yaml"
CARD = "---\nlicense: apache-2.0\nauthors_note: kept\n---\n\n# A student\n\nSome words — and more.\n"


def push_all(repo_id, results=RESULTS, **changes):
    facts = {"task_id": task_id, "benchmark_revision": COMMIT, "source": SOURCE, "date": SCORES.date, **changes}
    return push_scores(repo_id, results, BENCHMARK, **facts)


def commits_of(repo_id):
    return [commit.commit_id for commit in HfApi().list_repo_commits(repo_id)]


def text_of(repo_id, name, revision=None):
    with open(hf_hub_download(repo_id, name, revision=revision), encoding="utf-8", newline="") as file:
        return file.read()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_student(tmp_path_factory.mktemp("student"), task="tsa")


@pytest.fixture
def student(repo_id, folder):
    """A model repo with weights, card and run, but no scores."""
    push_model(folder, repo_id, card=CARD, run=start_run("finetune", {}, {}).finish())
    return repo_id


def test_each_value_has_its_task_and_a_note_of_how_it_was_measured():
    entries = {entry.task_id: entry for entry in eval_entries(SCORES)}
    assert {name: entry.value for name, entry in entries.items()} == {
        "tsa-rest14-all-paper": 55.0,
        "tsa-rest14-all-strict": 45.0,
        "tsa-rest14-implicit-paper": 25.0,
        "tsa-rest14-implicit-strict": 20.0,
        "tsa-rest14-official-all-paper": 60.0,
        "tsa-rest14-official-all-strict": 50.0,
    }
    assert entries["tsa-rest14-all-strict"].notes == (
        "F1 in per cent by the strict rule; split test_hard, subset all, 1,140 sentences; mean ± standard deviation"
        " of 2 seeds: 45.00 ± 7.07; checkpoints chosen on validation"
    )
    [alone, _] = eval_entries(Scores([Result("asa-rest16", "all", [0.5], [0.5])], BENCHMARK, task_id))
    assert "one seed: 50.00;" in alone.notes


@pytest.mark.parametrize("config", [*fsa.CONFIGS, *quads.CONFIGS])
def test_every_task_of_the_benchmark_can_be_told(config):
    split = headline_split(config)
    results = [Result(config, subset, [0.5], [0.5], split=split) for subset in subsets_of(config)]
    told = {entry.task_id for entry in eval_entries(Scores(results, BENCHMARK, task_id))}
    listed = {task["id"] for task in tasks([config]) if task["split"] == split}
    # A subset without sentences is no task, and nobody has results on it
    assert {name for name in told - listed if "asqp" not in name or "implicit-opinion" not in name} == set()
    assert listed <= told
    assert {*subsets_of(config)} <= {*SUBSETS}


def test_the_file_is_the_hubs_own_form_and_the_same_each_time():
    [(path, content)] = eval_files(SCORES).items()
    assert path == FILE
    assert content == eval_files(SCORES)[path]
    assert parse_eval_result_entries(yaml.safe_load(content)) == eval_entries(SCORES)
    assert yaml.safe_load(content)[0]["source"]["url"] == SOURCE


def test_without_task_ids_or_own_results_there_is_no_file():
    assert eval_files(Scores(RESULTS, BENCHMARK)) == {}
    assert eval_files(Scores(RESULTS[2:3], BENCHMARK, task_id)) == {}


def test_a_config_that_the_benchmark_does_not_list_is_an_error():
    with pytest.raises(ValueError, match="unknown config 'tsa-mars'"):
        eval_files(Scores([Result("tsa-mars", "all", [0.5], [0.5])], BENCHMARK, task_id))


def test_real_clients_read_the_scores_back_and_the_rest_of_the_repo_is_untouched(student):
    before = HfApi().model_info(student, files_metadata=True)
    commit = push_all(student)
    after = HfApi().model_info(student, files_metadata=True)
    assert after.sha == commit != before.sha
    assert HfApi().model_info(student, expand=["evalResults"]).eval_results == eval_entries(SCORES)
    card = ModelCard.load(student)
    assert card.data.eval_results == model_index(SCORES)
    assert card.data.model_name == student.partition("/")[2]
    assert card.text == ModelCard(CARD).text
    assert (card.data.license, card.data["authors_note"]) == ("apache-2.0", "kept")

    def blobs(info):
        return {file.rfilename: file.blob_id for file in info.siblings if file.rfilename not in ("README.md", FILE)}

    assert blobs(before) == blobs(after)
    assert {"run.json", "model.safetensors"} <= set(blobs(after))
    assert len(commits_of(student)) == 3, "created, pushed, scored"


def test_the_same_scores_again_are_no_commit_and_changed_ones_are_one(student):
    first = push_all(student)
    assert push_all(student) == first
    better = [Result("tsa-rest14", "all", [0.7], [0.7])]
    second = push_all(student, better)
    assert commits_of(student)[:2] == [second, first]
    [entry, _] = HfApi().model_info(student, expand=["evalResults"]).eval_results
    assert entry.value == 70.0
    assert [result.metric_value for result in ModelCard.load(student).data.eval_results] == [70.0, 70.0]


def test_results_in_any_order_settle_at_once(student):
    mixed = [RESULTS[0], RESULTS[3], RESULTS[1]]
    assert push_all(student, mixed) == push_all(student, mixed)


def test_results_on_other_datasets_stay(student):
    other = Scores([Result("asa-x", "all", [0.1], [0.1], split="test")], "me/other", None)
    card = with_model_index(CARD, other, student)
    HfApi().upload_file(path_or_fileobj=card.encode(), path_in_repo="README.md", repo_id=student)
    HfApi().upload_file(path_or_fileobj=b"[]", path_in_repo=".eval_results/other.yaml", repo_id=student)
    push_all(student)
    push_all(student, RESULTS[:1])
    found = ModelCard.load(student).data.eval_results
    assert [(entry.dataset_type, entry.metric_value) for entry in found] == [
        ("me/other", 10.0),
        ("me/other", 10.0),
        (BENCHMARK, 55.0),
        (BENCHMARK, 45.0),
    ]
    assert text_of(student, ".eval_results/other.yaml") == "[]"


def test_a_new_student_comes_with_its_scores_and_those_of_the_old_one_go(repo_id, folder):
    facts = ModelFacts(repo_id, "Student", task="tsa", benchmark=BENCHMARK, results=RESULTS)
    first = push_model(folder, repo_id, card=model_card(facts), scores=SCORES)
    assert HfApi().model_info(repo_id, expand=["evalResults"]).eval_results == eval_entries(SCORES)
    assert ModelCard.load(repo_id).data.eval_results == model_index(SCORES)
    assert push_all(repo_id) == first, "nothing to add"
    push_model(folder, repo_id, card=CARD)
    assert not any(name.startswith(".eval_results") for name in HfApi().list_repo_files(repo_id))


def test_the_card_of_a_student_says_the_same_as_push_scores_would(repo_id, folder):
    facts = ModelFacts(repo_id, "Student", task="tsa", benchmark=BENCHMARK, results=RESULTS)
    first = push_model(folder, repo_id, card=model_card(facts))
    assert push_scores(repo_id, RESULTS, BENCHMARK) == first


def test_line_ends_and_a_card_without_metadata_are_kept(repo_id):
    card = "# Only words\r\n\r\nand lines.\r\n"
    scored = with_model_index(card, SCORES, repo_id)
    assert scored.endswith(card)
    assert ModelCard(scored).data.eval_results == model_index(SCORES)
    assert with_model_index(scored, SCORES, repo_id) == scored


def test_a_repo_that_is_not_there_or_has_no_card_is_told(repo_id):
    with pytest.raises(PushError, match=r"could not push scores of .*: there is no such repo"):
        push_all(repo_id)
    HfApi().create_repo(repo_id)
    with pytest.raises(PushError, match=r"has no README.md"):
        push_all(repo_id)


def test_a_card_that_cannot_be_read_is_told(repo_id, folder):
    with pytest.raises(PushError, match="could not read the card"):
        push_model(folder, repo_id, card="---\nlicense: [unclosed\n---\n# x\n", scores=SCORES)


def test_a_commit_in_between_is_looked_at_again(student, monkeypatch):
    real, done = HfApi.create_commit, threading.Event()

    def interrupted(self, repo_id, operations, **options):
        if not done.is_set():
            done.set()
            text = CARD.replace("Some words", "Other words").encode()
            HfApi().upload_file(path_or_fileobj=text, path_in_repo="README.md", repo_id=repo_id)
        return real(self, repo_id, operations, **options)

    monkeypatch.setattr(HfApi, "create_commit", interrupted)
    monkeypatch.setattr(push.time, "sleep", lambda seconds: None)
    push_all(student)
    card = ModelCard.load(student)
    assert "Other words" in card.text
    assert card.data.eval_results == model_index(SCORES)
