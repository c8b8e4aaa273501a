"""Writing to a repo: how each file is to be sent (preupload), and commits made of NDJSON operations."""

import base64
import binascii
import fnmatch
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from hub_tools.hub.embedded.blobs import Blobs, checked_sha256, git_blob_id, lfs_pointer
from hub_tools.hub.embedded.discussions import commit_event
from hub_tools.hub.embedded.errors import HubError, bad_request
from hub_tools.hub.embedded.names import file_path
from hub_tools.hub.embedded.repo import Entry, Repo, Tree


# `Dataset.push_to_hub` deletes its temporary Parquet files once they are pre-uploaded: these must never be "regular".
LARGE_SUFFIXES = (
    ".7z .arrow .bin .bz2 .ckpt .ftz .gguf .gz .h5 .joblib .model .msgpack .npy .npz .onnx .ot .parquet .pb"
    " .pickle .pkl .pt .pth .rar .safetensors .tar .tflite .tgz .wasm .xz .zip .zst"
).split()
LARGE_BYTES = 1_000_000
REGULAR_LIMIT = 64 << 20
GIT_ATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LARGE_SUFFIXES).encode()


def regular_entry(blobs: Blobs, content: bytes) -> Entry:
    """Store `content` and return the entry of a regular file."""
    return Entry(oid=git_blob_id(content), sha256=blobs.add(content), size=len(content), lfs=False, commit="")


def large_entry(blobs: Blobs, sha256: str, announced: int | None) -> Entry:
    """Return the entry of a file that was uploaded before.

    Raises:
        HubError: 400, if its content is not here or has another size.
    """
    size = blobs.size(sha256)
    if size is None:
        raise bad_request(f"The content {sha256} was never uploaded: upload it through the LFS batch endpoint first.")
    if announced is not None and announced != size:
        raise bad_request(f"The content {sha256} has {size} bytes, not the {announced} announced.")
    return Entry(oid=git_blob_id(lfs_pointer(sha256, size)), sha256=sha256, size=size, lfs=True, commit="")


def upload_mode(path: str, size: int, sample: bytes) -> str:
    """Return "lfs" for binary, big and weight files, "regular" for small text, from the first bytes of a file."""
    if size == 0:
        return "regular"
    if size >= LARGE_BYTES or PurePosixPath(path).suffix.lower() in LARGE_SUFFIXES or b"\0" in sample:
        return "lfs"
    try:
        sample.decode()
    except UnicodeDecodeError as error:
        # The sample may cut a character in two; anything wrong earlier is not text.
        return "lfs" if error.start < len(sample) - 3 else "regular"
    return "regular"


def ignored(path: str, rules: str) -> bool:
    """Return whether `.gitignore` rules leave `path` out (`*`, `?`, `[…]`, `/` anchors, `dir/` and `!` are known)."""
    result = False
    parts = path.split("/")
    for line in rules.splitlines():
        rule = line.rstrip()
        if not rule or rule.startswith("#"):
            continue
        negated, rule = rule.startswith("!"), rule.removeprefix("!")
        only_folder, rule = rule.endswith("/"), rule.rstrip("/")
        anchored, rule = "/" in rule, rule.lstrip("/").removeprefix("**/")
        for depth in range(1, len(parts) + (0 if only_folder else 1)):
            candidate = "/".join(parts[:depth]) if anchored else parts[depth - 1]
            if fnmatch.fnmatchcase(candidate, rule):
                result = not negated
    return result


def preupload(repo: Repo, blobs: Blobs, commit_id: str, payload: Any) -> dict[str, Any]:
    """Answer the preupload call: the mode of each file, whether it is ignored, and the id it has now."""
    tree = repo.tree(commit_id)
    rules = payload.get("gitIgnore")
    if rules is None and ".gitignore" in tree:
        rules = blobs.read(tree[".gitignore"]["sha256"]).decode(errors="replace")
    answers = []
    for file in payload["files"]:
        path = file_path(file["path"])
        known = tree.get(path)
        answers.append(
            {
                "path": path,
                "uploadMode": upload_mode(path, int(file["size"]), base64.b64decode(file.get("sample") or "")),
                "shouldIgnore": ignored(path, rules or ""),
                "oid": known and (known["sha256"] if known["lfs"] else known["oid"]),
            }
        )
    return {"files": answers}


@dataclass
class Proposal:
    """A commit as sent: operations in their order, file contents already stored."""

    summary: str = ""
    description: str = ""
    parent: str | None = None
    operations: list[tuple[str, str, Entry | None]] = field(default_factory=list)


def read_proposal(lines: Iterable[bytes], blobs: Blobs) -> Proposal:
    """Read NDJSON operations, storing the contents of regular files as they come.

    Raises:
        HubError: 400, naming the line, for anything that is not an operation of a commit.
    """
    proposal = Proposal()
    seen_header = False
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            operation = json.loads(line)
            key, value = operation["key"], operation["value"]
            if key == "header":
                seen_header = True
                proposal.summary = str(value["summary"])
                proposal.description = str(value.get("description") or "")
                proposal.parent = value.get("parentCommit")
            else:
                proposal.operations.append((key, file_path(value["path"].rstrip("/")), _content(key, value, blobs)))
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
            raise bad_request(f"Line {number} of the commit is not an operation: {error!r}.") from None
    if not seen_header:
        raise bad_request("The commit has no header line: it must start with {'key': 'header', …}.")
    return proposal


def _content(key: str, value: dict[str, Any], blobs: Blobs) -> Entry | None:
    if key == "file":
        if value.get("encoding", "utf-8") == "base64":
            return regular_entry(blobs, base64.b64decode(value["content"], validate=True))
        return regular_entry(blobs, value["content"].encode())
    if key == "lfsFile":
        if value.get("algo", "sha256") != "sha256":
            raise bad_request(f"Unknown algorithm {value['algo']!r}: only sha256 is known.")
        return large_entry(blobs, checked_sha256(value["oid"]), value.get("size"))
    if key in ("deletedFile", "deletedFolder"):
        return None
    raise bad_request(f"Unknown operation {key!r}: it must be one of file, lfsFile, deletedFile, deletedFolder.")


def apply(tree: Tree, operations: list[tuple[str, str, Entry | None]]) -> Tree:
    """Return `tree` with the operations applied in their order.

    Raises:
        HubError: 404 EntryNotFound, when a deleted path is not there.
    """
    new = dict(tree)
    for key, path, entry in operations:
        if entry is not None:
            old = tree.get(path)
            unchanged = old is not None and (old["sha256"], old["lfs"]) == (entry["sha256"], entry["lfs"])
            new[path] = old if old is not None and unchanged else entry
            continue
        inside = [name for name in new if name.startswith(f"{path}/")] if key == "deletedFolder" else []
        gone = inside or [name for name in new if name == path]
        if not gone:
            raise HubError(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
        for name in gone:
            del new[name]
    return new


def check_parent(proposal: Proposal, head: str) -> None:
    """Refuse a commit made on a revision that is no longer the head.

    Raises:
        HubError: 412.
    """
    if proposal.parent and not head.startswith(str(proposal.parent)):
        raise HubError(412, "A commit has happened since. Please refresh and try again.")


def commit(repo: Repo, revision: str, proposal: Proposal, author: str) -> str:
    """Add a commit to a branch and return its id. Writers of one repo wait for each other here.

    Raises:
        HubError: as `Repo.branch`, `check_parent` and `apply` do.
    """
    with repo.change() as settings:
        branch = repo.branch(revision)
        head = settings["refs"][branch]
        check_parent(proposal, head)
        tree = apply(repo.tree(head), proposal.operations)
        new = repo.write_commit(tree, [head], proposal.summary, proposal.description, author)
        settings["refs"][branch] = new
        for discussion in settings["discussions"]:
            if branch == f"refs/pr/{discussion['num']}":
                discussion["events"].append(commit_event(author, new, proposal.summary))
    return new
