"""Checkpoints as a revision on the embedded Hub: one at a time, in the background, and only for their own run."""

import hashlib
import json
import logging
import socket
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from huggingface_hub import HfApi
from safetensors.numpy import save_file

from hub_tools.hub import checkpoints
from hub_tools.hub.checkpoints import BRANCH, FILES, STATE, HubCheckpoints
from hub_tools.hub.push import PushError


RUN = "ab" * 32


def written(folder, step, run=RUN):
    """A checkpoint as the trainer writes it, with other contents at each step."""
    path = folder / f"step-{step:07d}"
    path.mkdir(parents=True)
    save_file({"weight.w": np.full(40_000, step, np.float32)}, path / STATE)
    (path / "log.json").write_text(json.dumps({"log": {}, "numbers": {}}))
    sums = {name: hashlib.sha256((path / name).read_bytes()).hexdigest() for name in (STATE, "log.json")}
    (path / "checkpoint.json").write_text(json.dumps({"step": step, "run": run, "sha256": sums}))
    return path


def contents(path):
    return {file.name: file.read_bytes() for file in path.iterdir()}


@pytest.fixture
def nobody(monkeypatch):
    """A Hub that is down: nothing listens at the address that the clients use."""

    def break_off():
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{port}")
        monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", f"http://127.0.0.1:{port}")

    return break_off


def test_another_machine_gets_the_newest_checkpoint_byte_by_byte(tmp_path, repo_id):
    here = HubCheckpoints(repo_id, RUN)
    for step in (3, 6):
        here.offer(written(tmp_path / "here", step))
        assert here.wait(60)
    found = HubCheckpoints(repo_id, RUN).fetch(tmp_path / "there")
    assert found == tmp_path / "there" / "step-0000006"
    assert contents(found) == contents(tmp_path / "here" / "step-0000006")
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["step-0000006"]


def test_the_branch_holds_one_commit_and_main_none_of_it(tmp_path, repo_id):
    remote = HubCheckpoints(repo_id, RUN)
    for step in (1, 2, 3):
        commit = remote.push(written(tmp_path, step))
    [only] = HfApi().list_repo_commits(repo_id, revision=BRANCH)
    assert (only.commit_id, only.title) == (commit, "step 3")
    assert set(HfApi().list_repo_files(repo_id, revision=BRANCH)) - {".gitattributes"} == {*FILES, "README.md"}
    assert not set(FILES) & set(HfApi().list_repo_files(repo_id))
    assert HfApi().model_info(repo_id).private


def test_a_checkpoint_of_another_run_is_not_fetched(tmp_path, repo_id):
    HubCheckpoints(repo_id, "cd" * 32).push(written(tmp_path / "other", 9, "cd" * 32))
    assert HubCheckpoints(repo_id, RUN).fetch(tmp_path / "here") is None
    assert not (tmp_path / "here").exists()


def test_without_a_repo_or_a_branch_there_is_nothing_to_fetch(tmp_path, repo_id):
    assert HubCheckpoints(repo_id, RUN).fetch(tmp_path) is None
    HfApi().create_repo(repo_id, private=True)
    assert HubCheckpoints(repo_id, RUN).fetch(tmp_path) is None


def test_a_finished_run_leaves_no_checkpoint_on_the_hub(tmp_path, repo_id):
    remote = HubCheckpoints(repo_id, RUN)
    remote.finish()  # before any was pushed, and without a repo
    remote.offer(written(tmp_path, 3))
    remote.finish()
    assert BRANCH not in {branch.name for branch in HfApi().list_repo_refs(repo_id).branches}
    remote.finish()


def test_a_hub_that_is_down_is_told_in_one_warning_and_tried_again(tmp_path, repo_id, nobody, caplog, monkeypatch):
    remote = HubCheckpoints(repo_id, RUN)
    with monkeypatch.context():
        nobody()
        remote.offer(written(tmp_path, 3))
        assert remote.wait(60)
    monkeypatch.undo()
    assert "step-0000003 was not copied to the Hub; the next one will be tried" in caplog.text
    assert remote.reading is None
    remote.offer(written(tmp_path, 6))
    assert remote.wait(60)
    assert remote.fetch(tmp_path / "there").name == "step-0000006"


def test_a_hub_that_is_down_is_no_reason_to_begin_anew(tmp_path, repo_id, nobody):
    nobody()
    with pytest.raises(PushError, match="could not look for checkpoints"):
        HubCheckpoints(repo_id, RUN).fetch(tmp_path)


def test_a_slow_hub_gets_the_next_checkpoint_and_holds_up_nobody(tmp_path, repo_id, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    started, answer, pushed = threading.Event(), threading.Event(), []

    def slow(self, checkpoint):
        pushed.append(checkpoint.name)
        started.set()
        assert answer.wait(30)

    monkeypatch.setattr(HubCheckpoints, "push", slow)
    remote = HubCheckpoints(repo_id, RUN)
    first = written(tmp_path, 3)
    remote.offer(first)
    assert started.wait(30)
    assert remote.reading == first
    remote.offer(written(tmp_path, 6))  # returns though the first is on its way
    assert not remote.wait(0)
    answer.set()
    assert remote.wait(30)
    remote.offer(written(tmp_path, 9))
    assert remote.wait(30)
    assert pushed == ["step-0000003", "step-0000009"]
    assert "step-0000006 is not copied" in caplog.text


def test_states_of_earlier_checkpoints_are_deleted_where_a_hub_can(repo_id, monkeypatch):
    files = [SimpleNamespace(filename=name, file_oid=oid) for name, oid in [(STATE, "old"), (STATE, "new")]]
    files.append(SimpleNamespace(filename="model.safetensors", file_oid="old"))
    deleted = []
    monkeypatch.setattr(checkpoints, "is_loopback", lambda endpoint: False)
    monkeypatch.setattr(HfApi, "list_lfs_files", lambda self, repo: files)
    monkeypatch.setattr(
        HfApi, "permanently_delete_lfs_files", lambda self, repo, old, rewrite_history: deleted.append(old)
    )
    HubCheckpoints(repo_id, RUN)._delete_states_but("new")
    assert deleted == [[files[0]]]
