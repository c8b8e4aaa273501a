"""Real clients write to the embedded Hub and read back from it."""

import json
import threading

import pytest
from datasets import Dataset, Features, List, Value, get_dataset_config_names, load_dataset
from huggingface_hub import DatasetCard, HfApi, hf_hub_download
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from hub_tools.hub import push
from hub_tools.hub.guards import is_loopback
from hub_tools.hub.push import PushError, push_dataset, push_model, push_report, push_space, tag_revision
from hub_tools.hub.runs import Run, find_finished_run, resolve_input, start_run
from tests.tiny_models import save_tiny_student


CARD = "---\nlicense: apache-2.0\n---\n\n# Opinions\n"
FEATURES = Features(
    {
        "id": Value("string"),
        "rating": Value("float32"),
        "implicit": Value("bool"),
        "opinions": List({"target": Value("string"), "start": Value("int32"), "opinion_words": List(Value("string"))}),
    }
)
ROWS = [
    {
        "id": "a",
        "rating": None,
        "implicit": None,
        "opinions": [{"target": None, "start": None, "opinion_words": None}],
    },
    {"id": "b", "rating": None, "implicit": None, "opinions": []},
]


def rows(items=ROWS):
    return Dataset.from_dict({name: [item[name] for item in items] for name in FEATURES}, features=FEATURES)


def files_of(repo_id, repo_type, revision=None):
    return set(HfApi().list_repo_files(repo_id, repo_type=repo_type, revision=revision)) - {".gitattributes"}


@pytest.fixture
def run():
    return start_run("build_corpus", {"min_words": 5}, {"tests/replies": "0" * 40}, command="build_corpus.py").finish()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_student(tmp_path_factory.mktemp("student"), task="tsa")


def test_a_dataset_loads_by_config_and_split_with_its_features(repo_id, run):
    configs = {"tsa": {"train": rows(), "test": rows(ROWS[:1])}, "asa": {"train": rows()}}
    commit = push_dataset(configs, repo_id, CARD, private=False, run=run)
    assert commit == resolve_input(repo_id, "dataset")
    assert get_dataset_config_names(repo_id) == ["tsa", "asa"]
    loaded = load_dataset(repo_id, "tsa")
    assert {split: len(part) for split, part in loaded.items()} == {"train": 2, "test": 1}
    assert loaded["train"].features == FEATURES
    assert loaded["train"].to_list() == ROWS


def test_columns_without_any_value_keep_their_type(repo_id):
    push_dataset({"tsa": {"train": rows(ROWS[1:])}}, repo_id, CARD)
    assert load_dataset(repo_id, "tsa", split="train").features == FEATURES


def test_splits_and_configs_without_rows_are_left_out_so_that_the_rest_loads(repo_id):
    configs = {"tsa": {"train": rows(), "test": rows([])}, "rejected": {"train": rows([])}}
    push_dataset(configs, repo_id, CARD)
    assert get_dataset_config_names(repo_id) == ["tsa"]
    assert list(load_dataset(repo_id, "tsa")) == ["train"]


def test_data_card_and_run_are_one_commit(repo_id, run):
    push_dataset({"tsa": {"train": rows()}}, repo_id, CARD, run=run)
    [ours, initial] = HfApi().list_repo_commits(repo_id, repo_type="dataset")
    assert files_of(repo_id, "dataset", initial.commit_id) == set()
    assert files_of(repo_id, "dataset", ours.commit_id) == {"README.md", "run.json", "tsa/train.parquet"}
    assert ours.title == f"build_corpus: {run.digest[:12]}"


def test_tables_of_an_earlier_layout_go_and_other_files_stay(repo_id, run):
    push_dataset({"old": {"train": rows()}, "tsa": {"train": rows(), "test": rows()}}, repo_id, CARD, run=run)
    HfApi().upload_file(path_or_fileobj=b"a", path_in_repo="notes.txt", repo_id=repo_id, repo_type="dataset")
    push_dataset({"tsa": {"train": rows(ROWS[:1])}}, repo_id, CARD)
    assert files_of(repo_id, "dataset") == {"README.md", "tsa/train.parquet", "notes.txt"}
    assert get_dataset_config_names(repo_id) == ["tsa"]


def test_repos_are_private_unless_asked_otherwise(repo_id):
    push_dataset({"tsa": {"train": rows()}}, repo_id, CARD)
    assert HfApi().dataset_info(repo_id).private
    assert not any(info.id == repo_id for info in HfApi(token=False).list_datasets(author="tests"))


def test_a_dataset_needs_rows_to_push(repo_id):
    with pytest.raises(PushError, match="nothing to push"):
        push_dataset({"tsa": {"train": rows([])}}, repo_id, CARD)


def test_a_card_that_the_hub_refuses_is_explained(repo_id):
    with pytest.raises(PushError, match="could not read the card"):
        push_dataset({"tsa": {"train": rows()}}, repo_id, "---\nlicense: [unclosed\n---\n# x\n")


def test_a_model_loads_with_card_run_and_tag(repo_id, run, folder):
    commit = push_model(folder, repo_id, card=CARD, run=run, tag="v1")
    assert AutoModelForSeq2SeqLM.from_pretrained(repo_id, revision="v1").config.fsa_task == "tsa"
    assert AutoTokenizer.from_pretrained(repo_id)("pasta").input_ids
    assert {"README.md", "run.json", "model.safetensors", "tokenizer.json"} <= files_of(repo_id, "model", commit)


def test_a_branch_is_made_for_a_revision_and_main_stays(repo_id, folder):
    push_model(folder, repo_id, card=CARD, revision="seed-52")
    assert "model.safetensors" in files_of(repo_id, "model", "seed-52")
    assert files_of(repo_id, "model") == set()


def test_weights_of_an_earlier_push_do_not_linger_beside_the_new_ones(repo_id, folder):
    HfApi().create_repo(repo_id)
    for name in ("model-00001-of-00002.safetensors", "last-checkpoint/model.safetensors"):
        HfApi().upload_file(path_or_fileobj=b"old", path_in_repo=name, repo_id=repo_id)
    push_model(folder, repo_id, card=CARD)
    assert "model-00001-of-00002.safetensors" not in files_of(repo_id, "model")
    assert "last-checkpoint/model.safetensors" in files_of(repo_id, "model")


@pytest.mark.parametrize("name", ["training_args.bin", "deep/optimizer.pt", "scaler.pkl"])
def test_pickles_are_refused_by_name(repo_id, tmp_path, name):
    (tmp_path / "model.safetensors").write_bytes(b"x")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(PushError, match=f"pickles.*{name}"):
        push_model(tmp_path, repo_id, card=CARD)


def test_a_folder_without_weights_is_refused(repo_id, tmp_path):
    with pytest.raises(PushError, match=r"holds no \*.safetensors, found: nothing"):
        push_model(tmp_path, repo_id, card=CARD)


def test_a_token_is_never_pushed(repo_id, tmp_path):
    token = "hf_" + "a1B2" * 9
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(PushError, match=r"README.md holds what looks like a Hugging Face token") as raised:
        push_model(tmp_path, repo_id, card=CARD + token)
    assert token not in str(raised.value)
    (tmp_path / "config.json").write_text(json.dumps({"hub_token": token}))
    with pytest.raises(PushError, match=r"config.json holds"):
        push_model(tmp_path, repo_id, card=CARD)
    assert not HfApi().repo_exists(repo_id)


def test_a_tag_moves_to_the_commit_it_is_given(repo_id, folder):
    first = push_model(folder, repo_id, card=CARD, tag="best")
    second = push_model(folder, repo_id, card=CARD + "more\n", tag="best")
    assert first != second == resolve_input(repo_id, "model", "best")
    tag_revision(repo_id, "best", second, "model")  # nothing to do
    assert resolve_input(repo_id, "model", "best") == second


def test_a_space_mirrors_its_folder_without_by_products(repo_id, tmp_path):
    (tmp_path / "README.md").write_text("---\ntitle: T\nsdk: gradio\n---\n# T\n")
    (tmp_path / "app.py").write_text("print(1)\n")
    (tmp_path / "old.py").write_text("")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "app.cpython-311.pyc").write_bytes(b"x")
    push_space(tmp_path, repo_id, variables={"FSA_STUDENT": "me/student"})
    assert files_of(repo_id, "space") == {"README.md", "app.py", "old.py"}
    assert HfApi().space_info(repo_id).sdk == "gradio"
    (tmp_path / "old.py").unlink()
    push_space(tmp_path, repo_id)
    assert files_of(repo_id, "space") == {"README.md", "app.py"}


def test_a_space_must_name_its_sdk(repo_id, tmp_path):
    with pytest.raises(PushError, match="sdk"):
        push_space(tmp_path, repo_id)
    (tmp_path / "README.md").write_text("# no metadata\n")
    with pytest.raises(PushError, match="sdk"):
        push_space(tmp_path, repo_id)


def test_writers_at_the_same_time_all_get_through(repo_id):
    push_dataset({"tsa": {"train": rows()}}, repo_id, CARD)
    failures = []

    def write(number):
        try:
            push_dataset({f"c{number}": {"train": rows()}}, repo_id, CARD)
        except Exception as error:  # whatever it is, the test reports it
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    [config] = get_dataset_config_names(repo_id)
    assert files_of(repo_id, "dataset") == {"README.md", f"{config}/train.parquet"}


def test_a_hub_that_others_keep_changing_is_asked_again_and_then_reported(repo_id, monkeypatch):
    monkeypatch.setattr(push.time, "sleep", lambda seconds: waits.append(seconds))
    waits: list[float] = []
    original = HfApi.create_commit

    def stale(self, *args, **kwargs):
        return original(self, *args, **{**kwargs, "parent_commit": "0" * 40})

    monkeypatch.setattr(HfApi, "create_commit", stale)
    with pytest.raises(PushError, match="others kept committing"):
        push_dataset({"tsa": {"train": rows()}}, repo_id, CARD)
    assert len(waits) == push.ATTEMPTS - 1


def test_a_bad_token_is_explained_without_being_shown(repo_id, folder, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 34)
    with pytest.raises(PushError, match="Set HF_TOKEN") as raised:
        push_model(folder, repo_id, card=CARD)
    assert "x" * 34 not in str(raised.value)


def test_a_hub_that_is_not_there_is_explained(repo_id, folder, monkeypatch):
    monkeypatch.setattr(push, "HfApi", lambda: HfApi(endpoint="http://127.0.0.1:9"))
    with pytest.raises(PushError, match=r"cannot be reached.*fsa hub"):
        push_model(folder, repo_id, card=CARD)


def test_a_repo_id_that_is_none_is_explained(folder):
    with pytest.raises(PushError, match="Repo id"):
        push_model(folder, "not/a/repo", card=CARD)


@pytest.mark.parametrize(
    ("endpoint", "is_local"),
    [
        ("http://localhost:80", True),
        ("http://[::1]:1", True),
        ("http://127.0.0.1.evil.example", False),
        ("http://10.0.0.1", False),
        ("", False),
    ],
)
def test_loopback_is_told_from_its_look_alikes(endpoint, is_local):
    assert is_loopback(endpoint) is is_local


def test_a_finished_run_is_found_by_its_digest(repo_id, run):
    assert find_finished_run(repo_id, "dataset", run.digest) is None
    push_dataset({"tsa": {"train": rows()}}, repo_id, CARD, run=run)
    assert find_finished_run(repo_id, "dataset", run.digest) == run
    assert find_finished_run(repo_id, "dataset", "0" * 64) is None
    assert find_finished_run(repo_id, "dataset", run.digest, revision="no-such-branch") is None


def test_a_repo_without_a_readable_run_counts_as_not_run(repo_id, run):
    push_dataset({"tsa": {"train": rows()}}, repo_id, CARD)
    assert find_finished_run(repo_id, "dataset", run.digest) is None
    HfApi().upload_file(path_or_fileobj=b"[1", path_in_repo="run.json", repo_id=repo_id, repo_type="dataset")
    assert find_finished_run(repo_id, "dataset", run.digest) is None


def test_a_run_that_did_not_finish_is_not_reused(repo_id):
    run = start_run("pretrain", {}, {})
    push_dataset({"tsa": {"train": rows()}}, repo_id, CARD, run=run)
    assert find_finished_run(repo_id, "dataset", run.digest) is None


def test_an_input_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"no dataset tests/nowhere.*Run the stage that writes it first"):
        resolve_input("tests/nowhere", "dataset")


def test_the_digest_changes_with_what_decides_the_result_and_with_nothing_else():
    run = start_run("pretrain", {"lr": 0.1, "num_proc": 1}, {"a/b": "1"})
    assert run.digest == start_run("pretrain", {"num_proc": 8, "lr": 0.1}, {"a/b": "1"}, command="other").digest
    others = [
        start_run("finetune", {"lr": 0.1}, {"a/b": "1"}),
        start_run("pretrain", {"lr": 0.2}, {"a/b": "1"}),
        start_run("pretrain", {"lr": 0.1}, {"a/b": "2"}),
    ]
    assert len({run.digest, *(other.digest for other in others)}) == 4


def test_a_run_survives_json_and_keeps_no_secret(tmp_path):
    config = {"token": "s3cret", "hub_token": "s3cret", "nested": {"api_key": "s3cret"}, "note": "hf_" + "z" * 34}
    harmless = {"max_new_tokens": 100, "tokenizer": "t5", "folder": tmp_path, "seeds": (1, 2)}
    command = "x.py --hub_token s3cret --api-key=s3cret --max_new_tokens 100"
    run = start_run("label_reviews", config | harmless, {}, command=command).finish()
    text = run.to_json()
    assert Run.from_json(text) == run
    assert "s3cret" not in text
    assert "zzzz" not in text
    assert run.config["max_new_tokens"] == 100
    assert run.config["seeds"] == [1, 2]
    assert "--max_new_tokens 100" in run.command
    assert run.hardware["cores"] >= 1
    assert {"python", "torch", "transformers", "fsa-distill"} <= set(run.libraries)
    assert run.seconds >= 0


def test_the_pushed_run_can_be_read_by_a_person(repo_id, run):
    push_dataset({"tsa": {"train": rows()}}, repo_id, CARD, run=run)
    with open(hf_hub_download(repo_id, "run.json", repo_type="dataset")) as file:
        facts = json.load(file)
    assert facts["stage"] == "build_corpus"
    assert facts["digest"] == run.digest
    assert facts["inputs"] == {"tests/replies": "0" * 40}


def test_a_report_joins_the_card_and_leaves_tables_and_run_as_they_were(repo_id, run, tmp_path):
    push_dataset({"scores": {"results": rows()}}, repo_id, CARD, run=run)
    (tmp_path / "results.md").write_text("first")
    (tmp_path / "old.md").write_text("old")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "table_4.csv").write_text("F1\n")
    push_report(tmp_path, repo_id, "## Report\n\nfirst")
    (tmp_path / "results.md").write_text("second")
    (tmp_path / "old.md").unlink()
    push_report(tmp_path, repo_id, "## Report\n\nsecond")

    files = HfApi().list_repo_files(repo_id, repo_type="dataset")
    assert "report/results.md" in files
    assert "report/tables/table_4.csv" in files
    assert "report/old.md" not in files
    card = DatasetCard.load(repo_id)
    assert card.text.count("## Report") == 1
    assert "second" in card.text
    assert card.data.configs[0]["config_name"] == "scores"
    assert find_finished_run(repo_id, "dataset", run.digest)
    assert load_dataset(repo_id, "scores", split="results").num_rows == len(ROWS)
