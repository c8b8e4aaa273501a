"""Checkpoints as a revision on the embedded Hub: one at a time, in the background, and only for their own run."""

import errno
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
from hub_tools.hub.checkpoints import FILES, STATE, HubCheckpoints
from hub_tools.hub.push import PushError


RUN, OTHER = "ab" * 32, "cd" * 32


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
    assert HubCheckpoints(repo_id, RUN).newest() == 6
    found = HubCheckpoints(repo_id, RUN).fetch(tmp_path / "there")
    assert found == tmp_path / "there" / "step-0000006"
    assert contents(found) == contents(tmp_path / "here" / "step-0000006")
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["step-0000006"]


def test_the_branch_holds_one_commit_and_main_none_of_it(tmp_path, repo_id):
    remote = HubCheckpoints(repo_id, RUN)
    for step in (1, 2, 3):
        commit = remote.push(written(tmp_path, step))
    assert remote.branch == "checkpoints-abababababab"
    [only] = HfApi().list_repo_commits(repo_id, revision=remote.branch)
    assert (only.commit_id, only.title) == (commit, "step 3")
    assert set(HfApi().list_repo_files(repo_id, revision=remote.branch)) - {".gitattributes"} == {*FILES, "README.md"}
    assert not set(FILES) & set(HfApi().list_repo_files(repo_id))
    assert HfApi().model_info(repo_id).private


def test_runs_of_one_name_neither_fetch_nor_replace_nor_clear_each_others_checkpoints(tmp_path, repo_id, caplog):
    caplog.set_level(logging.INFO)
    here, other = HubCheckpoints(repo_id, RUN), HubCheckpoints(repo_id, OTHER)
    other.push(written(tmp_path / "other", 9, OTHER))
    assert here.newest() is None
    assert here.fetch(tmp_path / "here") is None
    assert not (tmp_path / "here").exists()
    here.push(written(tmp_path / "mine", 3))
    assert (here.newest(), other.newest()) == (3, 9)
    here.finish()
    assert (here.newest(), other.newest()) == (None, 9)
    assert f"{repo_id} has checkpoints of other runs, which stay: {other.branch}." in caplog.text
    assert contents(other.fetch(tmp_path / "there")) == contents(tmp_path / "other" / "step-0000009")


def test_a_checkpoint_of_a_run_whose_digest_begins_alike_is_not_fetched(tmp_path, repo_id):
    namesake = RUN[:12] + OTHER[12:]
    HubCheckpoints(repo_id, namesake).push(written(tmp_path / "other", 9, namesake))
    assert HubCheckpoints(repo_id, RUN).fetch(tmp_path / "here") is None


def test_without_a_repo_or_a_branch_there_is_nothing_to_fetch(tmp_path, repo_id):
    assert HubCheckpoints(repo_id, RUN).fetch(tmp_path) is None
    HfApi().create_repo(repo_id, private=True)
    assert HubCheckpoints(repo_id, RUN).fetch(tmp_path) is None


def test_a_finished_run_leaves_no_checkpoint_on_the_hub(tmp_path, repo_id):
    remote = HubCheckpoints(repo_id, RUN)
    remote.finish()  # before any was pushed, and without a repo
    remote.offer(written(tmp_path, 3))
    remote.finish()
    assert remote.branch not in {branch.name for branch in HfApi().list_repo_refs(repo_id).branches}
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
    with pytest.raises(PushError, match="could not look for checkpoints"):
        HubCheckpoints(repo_id, RUN).newest()


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


@pytest.fixture
def slowly(monkeypatch):
    """Copies that take until they are let go; each is (name, its release)."""
    begun, release = [], threading.Semaphore(0)

    def slow(self, checkpoint):
        begun.append(checkpoint.name)
        assert release.acquire(timeout=30)
        if begun[-1] in broken:
            raise FileNotFoundError(checkpoint)

    broken = set()
    monkeypatch.setattr(HubCheckpoints, "push", slow)
    yield SimpleNamespace(begun=begun, release=release.release, broken=broken)
    for _ in range(9):
        release.release()


def test_a_run_that_stops_waits_for_its_last_checkpoint_and_offers_it_again(tmp_path, repo_id, slowly, caplog):
    remote, first, last = HubCheckpoints(repo_id, RUN), written(tmp_path, 3), written(tmp_path, 4)
    remote.offer(first)
    remote.offer(last)  # passed over
    slowly.release()
    slowly.release()
    assert remote.settle(last, 30)
    assert slowly.begun == ["step-0000003", "step-0000004"]
    assert f"The Hub has step-0000004 ({repo_id}, revision {remote.branch}): another machine can go on" in caplog.text
    assert remote.settle(last, 30)  # nothing more to copy
    assert slowly.begun == ["step-0000003", "step-0000004"]


def test_the_wait_for_the_last_checkpoint_has_an_end_and_says_what_the_hub_has(
    tmp_path, repo_id, slowly, caplog, monkeypatch
):
    remote, first, last = HubCheckpoints(repo_id, RUN), written(tmp_path, 3), written(tmp_path, 4)
    remote.offer(first)
    slowly.release()
    assert remote.wait(30)
    assert not remote.settle(last, 0.05)
    place = f"{repo_id}, revision {remote.branch}"
    assert f"The Hub does not have step-0000004 ({place}); of this session it has step-0000003." in caplog.text
    assert f"Keep {last} to go on from it." in caplog.text
    slowly.broken.add("step-0000004")
    slowly.release()
    assert not remote.settle(last, 30)
    assert "step-0000004 was not copied to the Hub. (" in caplog.text  # and no next one will be tried

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(remote, "wait", interrupted)
    assert not remote.settle(last, 30)


@pytest.mark.parametrize("fails", [False, True], ids=["arrives", "fails"])
def test_a_copy_that_outlasts_the_run_takes_the_branch_off_whether_or_not_it_arrives(
    tmp_path, repo_id, monkeypatch, caplog, fails
):
    remote, begun, answer = HubCheckpoints(repo_id, RUN), threading.Event(), threading.Event()
    remote.push(written(tmp_path, 3))
    push = remote.push

    def slow(checkpoint):
        begun.set()
        assert answer.wait(30)
        if fails:
            raise FileNotFoundError("its files are gone")
        push(checkpoint)

    monkeypatch.setattr(remote, "push", slow)
    remote.offer(written(tmp_path, 6))
    assert begun.wait(30)
    remote.finish(0)
    assert remote.newest() == 3
    answer.set()
    assert remote.wait(30)
    assert remote.branch not in {branch.name for branch in HfApi().list_repo_refs(repo_id).branches}
    assert "will be tried" not in caplog.text


def test_a_full_disk_is_not_taken_for_a_hub_that_refuses(tmp_path, repo_id, monkeypatch):
    remote = HubCheckpoints(repo_id, RUN)
    remote.push(written(tmp_path, 3))
    download = checkpoints.hf_hub_download

    def full(repo, name, **where):
        if "local_dir" in where:
            raise OSError(errno.ENOSPC, "No space left on device")
        return download(repo, name, **where)

    monkeypatch.setattr(checkpoints, "hf_hub_download", full)
    place = tmp_path / "there" / "step-0000003"
    with pytest.raises(PushError, match=rf"^could not write {place}: No space left on device\. Make room there"):
        remote.fetch(tmp_path / "there")


@pytest.fixture
def deleted(monkeypatch):
    """What a Hub that can delete states is told to; it lists all that the tests push, and a state under way."""
    monkeypatch.setattr(checkpoints, "is_loopback", lambda endpoint: False)
    uploaded, gone = {"on its way"}, []
    push = checkpoints.push_model

    def noted(folder, *rest, **more):
        uploaded.add(sum_of(folder))
        return push(folder, *rest, **more)

    monkeypatch.setattr(checkpoints, "push_model", noted)
    listed = lambda self, repo: [SimpleNamespace(filename=STATE, file_oid=each) for each in uploaded]  # noqa: E731
    delete = lambda self, repo, old, rewrite_history: gone.extend(each.file_oid for each in old)  # noqa: E731
    monkeypatch.setattr(HfApi, "list_lfs_files", listed)
    monkeypatch.setattr(HfApi, "permanently_delete_lfs_files", delete)
    return gone


def sum_of(checkpoint):
    return hashlib.sha256((checkpoint / STATE).read_bytes()).hexdigest()


def test_states_of_a_runs_earlier_checkpoints_are_deleted_and_nobody_elses(tmp_path, repo_id, deleted):
    mine = [written(tmp_path / "mine", step) for step in (3, 6, 9)]
    theirs = [written(tmp_path / "theirs", step, OTHER) for step in (6, 12)]
    here, other = HubCheckpoints(repo_id, RUN), HubCheckpoints(repo_id, OTHER)
    for remote, checkpoint in [(here, mine[0]), (other, theirs[0]), (here, mine[1]), (here, mine[2])]:
        remote.push(checkpoint)
    assert sum_of(mine[1]) == sum_of(theirs[0])  # the other run's still is that of its step 6
    assert deleted == [sum_of(mine[0])]
    other.push(theirs[1])
    assert deleted == [sum_of(mine[0]), sum_of(mine[1])]
    here.finish()
    assert deleted == [sum_of(mine[0]), sum_of(mine[1]), sum_of(mine[2])]
