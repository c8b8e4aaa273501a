"""The embedded Hub under huggingface_hub: repos, files, revisions, errors."""

import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi, HfFileSystem
from huggingface_hub.errors import (
    BadRequestError,
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from hub_tools.hub.embedded import EmbeddedHub, reading


@pytest.fixture(scope="module")
def api(hub: EmbeddedHub) -> HfApi:
    return HfApi()


@pytest.fixture(scope="module")
def stranger(hub: EmbeddedHub) -> HfApi:
    return HfApi(token=False)


@pytest.fixture
def repo(api: HfApi, repo_id: str) -> Iterator[str]:
    api.create_repo(repo_id)
    return repo_id


def read(repo_id: str, path: str, **options: object) -> bytes:
    return Path(huggingface_hub.hf_hub_download(repo_id, path, **options)).read_bytes()


def status_of(error: pytest.ExceptionInfo[HfHubHTTPError]) -> int:
    return error.value.response.status_code


def test_the_token_in_hf_home_opens_the_hub(api: HfApi) -> None:
    assert api.whoami()["name"] == "local"
    assert api.whoami()["auth"]["accessToken"]["role"] == "write"


@pytest.mark.parametrize("repo_type", ["model", "dataset", "space"])
def test_repos_of_three_types_are_created_listed_and_deleted(api: HfApi, repo_id: str, repo_type: str) -> None:
    options = {"repo_type": repo_type}
    url = api.create_repo(repo_id, space_sdk="gradio" if repo_type == "space" else None, **options)
    assert (url.repo_id, url.repo_type) == (repo_id, repo_type)
    listing = getattr(api, f"list_{repo_type}s")
    assert [info.id for info in listing(search=repo_id)] == [repo_id]
    assert repo_id in [info.id for info in listing(author="tests")]
    assert api.repo_exists(repo_id, **options)
    api.delete_repo(repo_id, **options)
    assert not api.repo_exists(repo_id, **options)
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo(repo_id, **options)
    api.delete_repo(repo_id, missing_ok=True, **options)


def test_a_repo_without_namespace_is_the_local_users(api: HfApi, repo_id: str) -> None:
    name = repo_id.split("/")[1]
    assert api.create_repo(name).repo_id == f"local/{name}"


def test_creating_twice_is_a_conflict_unless_that_is_fine(api: HfApi, repo: str) -> None:
    with pytest.raises(HfHubHTTPError, match="already created") as error:
        api.create_repo(repo)
    assert status_of(error) == 409
    assert api.create_repo(repo, exist_ok=True).repo_id == repo


def test_a_moved_repo_keeps_its_files_and_leaves_its_old_name(api: HfApi, repo: str) -> None:
    api.upload_file(path_or_fileobj=b"kept", path_in_repo="a.txt", repo_id=repo)
    api.move_repo(repo, f"{repo}-moved")
    assert read(f"{repo}-moved", "a.txt") == b"kept"
    with pytest.raises(RepositoryNotFoundError):
        api.model_info(repo)
    api.create_repo(repo)
    with pytest.raises(HfHubHTTPError, match="already exists"):
        api.move_repo(repo, f"{repo}-moved")


def test_small_files_come_back_as_they_were_sent(api: HfApi, repo: str, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("path")
    uploads = {"bytes.txt": b"bytes", "sub/path é #%.txt": tmp_path / "p.txt", "file.txt": io.BytesIO(b"file")}
    for path, content in uploads.items():
        api.upload_file(path_or_fileobj=content, path_in_repo=path, repo_id=repo)
    assert {path: read(repo, path) for path in uploads} == dict(
        zip(uploads, (b"bytes", b"path", b"file"), strict=True)
    )
    info = api.get_paths_info(repo, ["bytes.txt"])[0]
    assert (info.size, info.lfs) == (5, None)
    assert info.blob_id == hashlib.sha1(b"blob 5\0bytes").hexdigest()


def test_an_empty_file_is_a_file(api: HfApi, repo: str) -> None:
    api.upload_file(path_or_fileobj=b"", path_in_repo="pkg/__init__.py", repo_id=repo)
    assert read(repo, "pkg/__init__.py") == b""


@pytest.mark.parametrize("size", [1_200_000, 40_000_000], ids=["single", "multipart"])
def test_large_files_go_through_lfs_and_are_checked(api: HfApi, repo: str, tmp_path: Path, size: int) -> None:
    content = os.urandom(1000) * (size // 1000)
    (tmp_path / "weights").write_bytes(content)
    api.upload_file(path_or_fileobj=tmp_path / "weights", path_in_repo="w/weights.safetensors", repo_id=repo)
    info = api.get_paths_info(repo, ["w/weights.safetensors"])[0]
    assert (info.lfs.sha256, info.lfs.size) == (hashlib.sha256(content).hexdigest(), size)
    assert read(repo, "w/weights.safetensors") == content
    assert [item.filename for item in api.list_lfs_files(repo)] == ["w/weights.safetensors"]


def test_a_folder_is_one_commit_and_unchanged_files_are_not_sent_again(api: HfApi, repo: str, tmp_path: Path) -> None:
    for path in ("a.txt", "sub/b.txt", "sub/deep/c.parquet", "skip.log"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    api.upload_folder(folder_path=tmp_path, repo_id=repo, ignore_patterns="*.log")
    assert sorted(api.list_repo_files(repo)) == [".gitattributes", "a.txt", "sub/b.txt", "sub/deep/c.parquet"]
    assert api.get_paths_info(repo, "sub/deep/c.parquet")[0].lfs is not None
    head = api.model_info(repo).sha
    api.upload_folder(folder_path=tmp_path, repo_id=repo, ignore_patterns="*.log")
    assert api.model_info(repo).sha == head
    api.upload_folder(folder_path=tmp_path / "sub", repo_id=repo, path_in_repo="sub", delete_patterns="*.txt")
    assert "sub/b.txt" in api.list_repo_files(repo)


def test_gitignore_rules_are_kept(api: HfApi, repo: str, tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("# a comment\ncheckpoint-*/\n*.tmp\n!keep.tmp\n/only-root.txt\n")
    for path in ("checkpoint-1/w.txt", "a.tmp", "keep.tmp", "only-root.txt", "x/only-root.txt", "x/b.tmp"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(path)
    api.upload_folder(folder_path=tmp_path, repo_id=repo)
    assert set(api.list_repo_files(repo)) == {".gitattributes", ".gitignore", "keep.tmp", "x/only-root.txt"}


def test_files_are_deleted_copied_and_renamed_in_one_commit(api: HfApi, repo: str) -> None:
    big = os.urandom(1_100_000)
    adds = {"old.txt": b"old", "big.bin": big, "dir/1.txt": b"1", "dir/2.txt": b"2"}
    api.create_commit(repo, [CommitOperationAdd(*item) for item in adds.items()], commit_message="add")
    operations = [
        CommitOperationCopy("old.txt", "new.txt"),
        CommitOperationCopy("big.bin", "copy.bin"),
        CommitOperationDelete("old.txt"),
        CommitOperationDelete("dir/"),
    ]
    api.create_commit(repo, operations, commit_message="rearrange")
    assert sorted(api.list_repo_files(repo)) == [".gitattributes", "big.bin", "copy.bin", "new.txt"]
    assert (read(repo, "new.txt"), read(repo, "copy.bin")) == (b"old", big)
    with pytest.raises(RemoteEntryNotFoundError, match="doesn't exist"):
        api.delete_file("old.txt", repo)


def test_a_path_cannot_be_file_and_folder(api: HfApi, repo: str) -> None:
    api.upload_file(path_or_fileobj=b"file", path_in_repo="a", repo_id=repo)
    with pytest.raises(BadRequestError, match="a is a file"):
        api.upload_file(path_or_fileobj=b"in it", path_in_repo="a/b", repo_id=repo)
    assert "a/b" not in api.list_repo_files(repo)


def test_branches_and_tags_hold_their_revision(api: HfApi, repo: str) -> None:
    first = api.upload_file(path_or_fileobj=b"1", path_in_repo="v.txt", repo_id=repo).oid
    api.create_branch(repo, branch="feature/one")
    api.create_tag(repo, tag="v1.0", tag_message="the first")
    api.upload_file(path_or_fileobj=b"2", path_in_repo="v.txt", repo_id=repo)
    api.upload_file(path_or_fileobj=b"3", path_in_repo="v.txt", repo_id=repo, revision="feature/one")
    api.create_branch(repo, branch="old", revision=first)
    revisions = {"main": b"2", "feature/one": b"3", "v1.0": b"1", first: b"1", first[:8]: b"1", "old": b"1"}
    assert {revision: read(repo, "v.txt", revision=revision) for revision in revisions} == revisions
    refs = api.list_repo_refs(repo)
    assert {ref.name for ref in refs.branches} == {"main", "feature/one", "old"}
    assert [(ref.name, ref.target_commit) for ref in refs.tags] == [("v1.0", first)]
    for create, delete, name in (("branch", "branch", "old"), ("tag", "tag", "v1.0")):
        with pytest.raises(HfHubHTTPError) as error:
            getattr(api, f"create_{create}")(repo, **{create: name})
        assert status_of(error) == 409
        getattr(api, f"create_{create}")(repo, **{create: name}, exist_ok=True)
        getattr(api, f"delete_{delete}")(repo, **{delete: name})
        with pytest.raises(RevisionNotFoundError):
            getattr(api, f"delete_{delete}")(repo, **{delete: name})
    with pytest.raises(HfHubHTTPError, match="main branch"):
        api.delete_branch(repo, branch="main")
    with pytest.raises(BadRequestError, match="not a branch"):
        api.upload_file(path_or_fileobj=b"4", path_in_repo="v.txt", repo_id=repo, revision=first)


def test_history_lists_commits_newest_first_and_squashes(api: HfApi, repo: str) -> None:
    for number in range(3):
        api.upload_file(
            path_or_fileobj=b"%d" % number, path_in_repo="n.txt", repo_id=repo, commit_message=f"n {number}"
        )
    titles = [commit.title for commit in api.list_repo_commits(repo)]
    assert titles == ["n 2", "n 1", "n 0", "initial commit"]
    item = api.get_paths_info(repo, "n.txt", expand=True)[0]
    assert item.last_commit.title == "n 2"
    api.super_squash_history(repo, commit_message="one")
    assert [commit.title for commit in api.list_repo_commits(repo)] == ["one"]
    assert read(repo, "n.txt") == b"2"


def test_long_histories_wide_trees_and_many_repos_come_in_pages(
    api: HfApi, repo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "TREE_PAGE", 4)
    monkeypatch.setattr(reading, "COMMITS_PAGE", 2)
    monkeypatch.setattr(reading, "LIST_PAGE", 2)
    additions = [CommitOperationAdd(f"many/{number}.txt", b"%d" % number) for number in range(11)]
    api.create_commit(repo, additions, commit_message="many")
    assert len(list(api.list_repo_tree(repo, "many"))) == 11
    assert len(list(api.list_repo_tree(repo, recursive=True))) == 13
    for number in range(3):
        api.create_commit(repo, [CommitOperationAdd("n.txt", b"%d" % number)], commit_message=str(number))
    assert [commit.title for commit in api.list_repo_commits(repo)] == ["2", "1", "0", "many", "initial commit"]
    for number in range(4):
        api.create_repo(f"{repo}-{number}")
    assert len(list(api.list_models(search=repo))) == 5


def test_a_tree_shows_one_level_unless_asked_for_all(api: HfApi, repo: str) -> None:
    additions = [CommitOperationAdd(path, path.encode()) for path in ("a.txt", "x/b.txt", "x/y z/c.txt")]
    api.create_commit(repo, additions, commit_message="tree")
    assert {item.path for item in api.list_repo_tree(repo)} == {".gitattributes", "a.txt", "x"}
    assert {item.path for item in api.list_repo_tree(repo, "x")} == {"x/b.txt", "x/y z"}
    assert {item.path for item in api.list_repo_tree(repo, "x", recursive=True)} == {"x/b.txt", "x/y z", "x/y z/c.txt"}
    assert {item.path for item in api.get_paths_info(repo, ["x", "a.txt", "none"])} == {"x", "a.txt"}
    with pytest.raises(RemoteEntryNotFoundError):
        list(api.list_repo_tree(repo, "none"))


def test_missing_things_raise_their_own_errors(api: HfApi, stranger: HfApi, repo: str) -> None:
    for client in (api, stranger):
        with pytest.raises(RepositoryNotFoundError):
            client.model_info("tests/none")
        with pytest.raises(RepositoryNotFoundError):
            client.model_info("t5-small")
        with pytest.raises(RepositoryNotFoundError):
            client.hf_hub_download("t5-small", "config.json")
        with pytest.raises(RevisionNotFoundError):
            client.hf_hub_download(repo, "a.txt", revision="none")
        with pytest.raises(RemoteEntryNotFoundError):
            client.hf_hub_download(repo, "none.txt")
    with pytest.raises(RevisionNotFoundError):
        api.upload_file(path_or_fileobj=b"", path_in_repo="a", repo_id=repo, revision="none")


def test_a_commit_on_an_old_parent_is_refused(api: HfApi, repo: str) -> None:
    head = api.model_info(repo).sha
    api.upload_file(path_or_fileobj=b"1", path_in_repo="a.txt", repo_id=repo, parent_commit=head)
    with pytest.raises(HfHubHTTPError, match="A commit has happened since") as error:
        api.upload_file(path_or_fileobj=b"2", path_in_repo="a.txt", repo_id=repo, parent_commit=head)
    assert status_of(error) == 412
    assert read(repo, "a.txt") == b"1"


def test_a_private_repo_is_invisible_to_strangers(api: HfApi, stranger: HfApi, repo_id: str) -> None:
    api.create_repo(repo_id, private=True)
    api.upload_file(path_or_fileobj=b"secret", path_in_repo="a.txt", repo_id=repo_id)
    assert api.model_info(repo_id).private
    with pytest.raises(RepositoryNotFoundError):
        stranger.model_info(repo_id)
    with pytest.raises(RepositoryNotFoundError):
        stranger.hf_hub_download(repo_id, "a.txt")
    with pytest.raises(RepositoryNotFoundError):
        stranger.auth_check(repo_id)
    assert repo_id not in [info.id for info in stranger.list_models(search=repo_id)]
    assert repo_id in [info.id for info in api.list_models(search=repo_id)]
    api.update_repo_settings(repo_id, visibility="public")
    assert stranger.model_info(repo_id).id == repo_id


def test_a_gated_repo_shows_itself_but_not_its_files(api: HfApi, stranger: HfApi, repo: str) -> None:
    api.upload_file(path_or_fileobj=b"gated", path_in_repo="a.txt", repo_id=repo)
    api.update_repo_settings(repo, gated="auto")
    assert stranger.model_info(repo).gated == "auto"
    with pytest.raises(GatedRepoError):
        stranger.hf_hub_download(repo, "a.txt")
    with pytest.raises(GatedRepoError):
        stranger.auth_check(repo)
    api.auth_check(repo)
    assert read(repo, "a.txt") == b"gated"


def test_strangers_and_wrong_tokens_cannot_write(stranger: HfApi, api: HfApi, repo: str) -> None:
    with pytest.raises(HfHubHTTPError) as error:
        stranger.upload_file(path_or_fileobj=b"", path_in_repo="a", repo_id=repo)
    assert status_of(error) == 401
    with pytest.raises(HfHubHTTPError, match="must be authenticated"):
        stranger.create_repo(f"{repo}-2")
    with pytest.raises(HfHubHTTPError, match="Invalid credentials") as error:
        HfApi(token="hf_someone_else").model_info(repo)
    assert status_of(error) == 401
    assert api.list_repo_files(repo) == [".gitattributes"]


def test_a_snapshot_holds_what_was_asked_for(api: HfApi, repo: str, tmp_path: Path) -> None:
    additions = [CommitOperationAdd(path, path.encode()) for path in ("a.txt", "x/b.txt", "x/c.json")]
    sha = api.create_commit(repo, additions, commit_message="files").oid
    folder = Path(api.snapshot_download(repo, allow_patterns="*.txt"))
    assert folder.name == sha
    assert {str(path.relative_to(folder)) for path in folder.rglob("*.*")} == {"a.txt", "x/b.txt"}
    api.snapshot_download(repo, local_dir=tmp_path)
    assert (tmp_path / "x" / "c.json").read_text() == "x/c.json"


def test_the_file_system_reads_ranges_writes_and_globs(api: HfApi, repo: str) -> None:
    content = bytes(range(256)) * 8000
    api.upload_file(path_or_fileobj=content, path_in_repo="data/all.bin", repo_id=repo)
    files = HfFileSystem(block_size=1000)
    with files.open(f"{repo}/data/all.bin", "rb") as file:
        file.seek(1_234_567)
        assert file.read(321) == content[1_234_567:1_234_888]
    assert files.cat_file(f"{repo}/data/all.bin", start=5, end=9) == content[5:9]
    assert files.glob(f"{repo}/**/*.bin") == [f"{repo}/data/all.bin"]
    with files.open(f"{repo}/new.txt", "w") as file:
        file.write("written")
    assert files.read_text(f"{repo}/new.txt") == "written"
    files.mv(f"{repo}/new.txt", f"{repo}/moved.txt")
    files.rm(f"{repo}/data/all.bin")
    assert sorted(files.ls(repo, detail=False)) == [f"{repo}/.gitattributes", f"{repo}/moved.txt"]


def test_lists_are_filtered_by_tag_and_come_in_pages(api: HfApi, repo_id: str) -> None:
    for number in range(3):
        api.create_repo(f"{repo_id}-{number}")
        card = f"---\ntags: [one-of-three-{number % 2}]\nlicense: mit\ndatasets: [a/b]\n---\n# Card\n"
        api.upload_file(path_or_fileobj=card.encode(), path_in_repo="README.md", repo_id=f"{repo_id}-{number}")
    found = [info.id for info in api.list_models(search=repo_id, filter="one-of-three-0")]
    assert sorted(found) == [f"{repo_id}-0", f"{repo_id}-2"]
    assert len(list(api.list_models(search=repo_id, trained_dataset="a/b", limit=2))) == 2
    tags = api.model_info(f"{repo_id}-1").tags
    assert {"one-of-three-1", "license:mit", "dataset:a/b"} <= set(tags)


def test_what_the_hub_does_not_offer_is_said_clearly_and_at_once(api: HfApi, repo: str) -> None:
    with pytest.raises(HfHubHTTPError, match="has nothing at GET /api/collections") as error:
        list(api.list_collections())
    assert status_of(error) == 404
