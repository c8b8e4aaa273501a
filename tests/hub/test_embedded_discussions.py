"""The embedded Hub under huggingface_hub: discussions and pull requests."""

from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, hf_hub_download
from huggingface_hub.errors import BadRequestError, HfHubHTTPError

from hub_tools.hub.embedded import EmbeddedHub


@pytest.fixture(scope="module")
def api(hub: EmbeddedHub) -> HfApi:
    return HfApi()


@pytest.fixture
def repo(api: HfApi, repo_id: str) -> str:
    api.create_repo(repo_id, repo_type="dataset")
    files = {"a.txt": b"a\n", "b.txt": b"b\n", "c.txt": b"c\n"}
    operations = [CommitOperationAdd(*item) for item in files.items()]
    api.create_commit(repo_id, operations, commit_message="base", repo_type="dataset")
    return repo_id


def read(repo: str, path: str, revision: str = "main") -> str:
    return Path(hf_hub_download(repo, path, repo_type="dataset", revision=revision)).read_text()


def test_a_discussion_is_opened_answered_renamed_and_closed(api: HfApi, repo: str) -> None:
    options = {"repo_type": "dataset"}
    num = api.create_discussion(repo, "A question", description="What is this?", **options).num
    comment = api.comment_discussion(repo, num, "An answer", **options)
    api.edit_discussion_comment(repo, num, comment.id, "A better answer", **options)
    api.rename_discussion(repo, num, "A good question", **options)
    api.change_discussion_status(repo, num, "closed", comment="Done", **options)
    details = api.get_discussion_details(repo, num, **options)
    assert (details.title, details.status, details.is_pull_request) == ("A good question", "closed", False)
    texts = [event.content for event in details.events if event.type == "comment"]
    assert texts == ["What is this?", "A better answer", "Done"]
    api.hide_discussion_comment(repo, num, comment.id, **options)
    assert api.get_discussion_details(repo, num, **options).events[1].hidden
    assert [found.num for found in api.get_repo_discussions(repo, **options, discussion_status="closed")] == [num]
    assert list(api.get_repo_discussions(repo, **options, discussion_status="open")) == []
    with pytest.raises(HfHubHTTPError, match="no discussion"):
        api.get_discussion_details(repo, 99, **options)


def test_a_pull_request_is_proposed_reviewed_and_merged(api: HfApi, repo: str) -> None:
    options = {"repo_type": "dataset"}
    operations = [CommitOperationAdd("a.txt", b"new a\n"), CommitOperationDelete("b.txt")]
    commit = api.create_commit(repo, operations, commit_message="change", create_pr=True, **options)
    assert (commit.pr_num, commit.pr_revision) == (1, "refs/pr/1")
    assert read(repo, "a.txt") == "a\n"
    assert read(repo, "a.txt", "refs/pr/1") == "new a\n"
    more = CommitOperationAdd("d.txt", b"d\n")
    api.create_commit(repo, [more], commit_message="more", revision="refs/pr/1", **options)
    api.upload_file(path_or_fileobj=b"new c\n", path_in_repo="c.txt", repo_id=repo, **options)  # meanwhile, on main
    details = api.get_discussion_details(repo, 1, **options)
    assert "+new a" in details.diff
    assert (details.status, details.conflicting_files) == ("open", [])
    api.merge_pull_request(repo, 1, comment="Thanks", **options)
    assert set(api.list_repo_files(repo, **options)) == {".gitattributes", "a.txt", "c.txt", "d.txt"}
    assert (read(repo, "a.txt"), read(repo, "c.txt")) == ("new a\n", "new c\n")
    details = api.get_discussion_details(repo, 1, **options)
    assert (details.status, details.merge_commit_oid) == ("merged", api.dataset_info(repo).sha)
    with pytest.raises(BadRequestError, match="not an open pull request"):
        api.merge_pull_request(repo, 1, **options)
    assert [ref.ref for ref in api.list_repo_refs(repo, include_pull_requests=True, **options).pull_requests]


def test_a_conflicting_pull_request_is_not_merged(api: HfApi, repo: str) -> None:
    options = {"repo_type": "dataset"}
    api.create_commit(repo, [CommitOperationAdd("a.txt", b"mine")], commit_message="mine", create_pr=True, **options)
    api.create_commit(repo, [CommitOperationAdd("a.txt", b"theirs")], commit_message="theirs", **options)
    assert api.get_discussion_details(repo, 1, **options).conflicting_files == ["a.txt"]
    with pytest.raises(HfHubHTTPError, match=r"merge by hand: a\.txt"):
        api.merge_pull_request(repo, 1, **options)
    assert read(repo, "a.txt") == "theirs"


def test_an_empty_pull_request_can_be_filled_by_uploads(api: HfApi, repo: str) -> None:
    options = {"repo_type": "dataset"}
    num = api.create_pull_request(repo, "To be filled", **options).num
    assert api.get_discussion_details(repo, num, **options).status == "draft"
    api.upload_file(path_or_fileobj=b"x", path_in_repo="x.txt", repo_id=repo, revision=f"refs/pr/{num}", **options)
    api.change_discussion_status(repo, num, "open", **options)
    api.merge_pull_request(repo, num, **options)
    assert read(repo, "x.txt") == "x"
