"""The embedded Hub when it is killed, restarted, or written to by several at once."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from hub_tools.hub.embedded import EmbeddedHub
from hub_tools.hub.embedded.server import running


@contextmanager
def server(root: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Serve `root` from a process of its own, which can be killed."""
    command = [sys.executable, "-m", "hub_tools.hub.embedded", "serve", "--root", str(root)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert b"Embedded Hub at" in process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def client(root: Path) -> HfApi:
    facts = running(root)
    assert facts is not None
    return HfApi(endpoint=facts["endpoint"], token=(root / "hf_home" / "token").read_text())


def contents(number: int) -> dict[str, bytes]:
    """Two files that belong together: a regular one and an LFS one, which name their commit."""
    return {"number.txt": str(number).encode(), "weights.bin": hashlib.sha256(str(number).encode()).digest() * 2000}


def commit_until_it_dies(api: HfApi, start: int, acknowledged: list[int]) -> None:
    for number in range(start, start + 10_000):
        operations = [CommitOperationAdd(path, content) for path, content in contents(number).items()]
        try:
            api.create_commit("me/m", operations, commit_message=str(number))
        except Exception:
            return
        acknowledged.append(number)


def test_a_kill_during_commits_leaves_the_repo_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The client must give up at once when the server dies, instead of asking again for 23 seconds.
    clock = SimpleNamespace(sleep=lambda _: None, time=time.time, perf_counter=time.perf_counter)
    monkeypatch.setattr("huggingface_hub.utils._http.time", clock)
    chance = random.Random(7)
    root = tmp_path / "hub"
    with server(root):
        client(root).create_repo("me/m")
    acknowledged: list[int] = [-1]
    for _ in range(6):
        with server(root) as process:
            start = acknowledged[-1] + 2  # the one in flight at the kill may have been written
            arguments = (client(root), start, acknowledged)
            writer = threading.Thread(target=commit_until_it_dies, args=arguments)
            writer.start()
            known = len(acknowledged)
            while len(acknowledged) < known + 2 and writer.is_alive():
                time.sleep(0.01)
            time.sleep(chance.uniform(0, 0.1))
            process.send_signal(signal.SIGKILL)
            writer.join()
        with server(root):
            api = client(root)
            titles = [commit.title for commit in api.list_repo_commits("me/m")]
            newest = int(titles[0]) if titles[0].isdecimal() else -1
            assert newest in (acknowledged[-1], acknowledged[-1] + 1)
            if newest >= 0:
                folder = Path(api.snapshot_download("me/m", cache_dir=tmp_path / "cache"))
                assert {path: (folder / path).read_bytes() for path in contents(newest)} == contents(newest)
            written = {int(title) for title in titles if title.isdecimal()}
            assert set(acknowledged[1:]) <= written
    assert len(acknowledged) > 12, "the server was killed before it had acknowledged commits"


def test_a_restart_keeps_everything_on_the_same_port(tmp_path: Path) -> None:
    with EmbeddedHub(tmp_path / "hub") as hub:
        api = HfApi(endpoint=hub.endpoint, token=hub.token)
        api.create_repo("me/d", repo_type="dataset", private=True)
        api.upload_file(
            path_or_fileobj=os.urandom(2_000_000), path_in_repo="a.bin", repo_id="me/d", repo_type="dataset"
        )
        api.create_tag("me/d", tag="v1", repo_type="dataset")
        api.create_discussion("me/d", "A title", repo_type="dataset")
        before = (
            hub.endpoint,
            hub.token,
            api.dataset_info("me/d", files_metadata=True),
            api.list_repo_refs("me/d", repo_type="dataset"),
        )
    (tmp_path / "hub" / "incoming" / "half-received").write_bytes(b"half")
    with EmbeddedHub(tmp_path / "hub") as hub:
        api = HfApi(endpoint=hub.endpoint, token=hub.token)
        after = (
            hub.endpoint,
            hub.token,
            api.dataset_info("me/d", files_metadata=True),
            api.list_repo_refs("me/d", repo_type="dataset"),
        )
        assert after == before
        assert api.get_discussion_details("me/d", 1, repo_type="dataset").title == "A title"
        assert list((tmp_path / "hub" / "incoming").iterdir()) == []


def test_two_writers_on_the_same_parent_cannot_both_win(hub: EmbeddedHub, repo_id: str) -> None:
    api = HfApi()
    api.create_repo(repo_id)
    head = api.model_info(repo_id).sha
    outcomes: list[int] = []

    def write(number: int) -> None:
        operation = CommitOperationAdd("a.txt", b"%d" % number)
        try:
            api.create_commit(repo_id, [operation], commit_message=f"{number}", parent_commit=head)
            outcomes.append(200)
        except HfHubHTTPError as error:
            outcomes.append(error.response.status_code)

    _at_once(write, 6)
    assert sorted(outcomes) == [200, 412, 412, 412, 412, 412]
    assert len(api.list_repo_commits(repo_id)) == 2


def test_writers_without_a_parent_wait_for_each_other(hub: EmbeddedHub, repo_id: str) -> None:
    api = HfApi()
    api.create_repo(repo_id)

    def write(number: int) -> None:
        api.upload_file(path_or_fileobj=os.urandom(50), path_in_repo=f"{number}.bin", repo_id=repo_id)

    _at_once(write, 8)
    assert len(api.list_repo_commits(repo_id)) == 9
    assert len(api.list_repo_files(repo_id)) == 9


def test_a_repo_created_by_many_at_once_is_created_once(hub: EmbeddedHub, repo_id: str) -> None:
    outcomes: list[bool] = []

    def create(number: int) -> None:
        try:
            HfApi().create_repo(repo_id)
            outcomes.append(True)
        except HfHubHTTPError:
            outcomes.append(False)

    _at_once(create, 6)
    assert sum(outcomes) == 1
    assert len(HfApi().list_repo_commits(repo_id)) == 1


def test_the_same_large_file_sent_by_two_clients_arrives_once(hub: EmbeddedHub, repo_id: str) -> None:
    content = os.urandom(1 << 20) * 40
    api = HfApi()
    api.create_repo(repo_id)

    def send(number: int) -> None:
        api.upload_file(path_or_fileobj=content, path_in_repo=f"{number}.bin", repo_id=repo_id)

    _at_once(send, 3)
    assert {info.lfs.sha256 for info in api.get_paths_info(repo_id, ["0.bin", "1.bin", "2.bin"])} == {
        hashlib.sha256(content).hexdigest()
    }
    path = huggingface_hub.hf_hub_download(repo_id, "1.bin")
    assert Path(path).read_bytes() == content
    assert list((hub.root / "incoming").iterdir()) == []


def _at_once(target: object, count: int) -> None:
    threads = [threading.Thread(target=target, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_file_that_lost_its_end_on_the_disk_is_not_served_as_whole(hub: EmbeddedHub, repo_id: str) -> None:
    api = HfApi()
    api.create_repo(repo_id)
    api.upload_file(path_or_fileobj=b"whole content", path_in_repo="a.txt", repo_id=repo_id)
    blob = hashlib.sha256(b"whole content").hexdigest()
    path = hub.root / "blobs" / blob[:2] / blob
    path.write_bytes(b"whole")
    with pytest.raises(LocalEntryNotFoundError) as error:
        api.hf_hub_download(repo_id, "a.txt")
    assert "damaged (5 bytes instead of 13)" in str(error.value.__cause__)
    path.unlink()
    with pytest.raises(LocalEntryNotFoundError) as error:
        api.hf_hub_download(repo_id, "a.txt")
    assert "is missing" in str(error.value.__cause__)


def test_settings_on_disk_are_json_that_names_every_reference(hub: EmbeddedHub, repo_id: str) -> None:
    api = HfApi()
    api.create_repo(repo_id)
    stored = json.loads((hub.root / "repos" / "models" / repo_id / "repo.json").read_text())
    assert stored["refs"] == {"refs/heads/main": api.model_info(repo_id).sha}
