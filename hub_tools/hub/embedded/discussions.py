"""Discussions and pull requests. They live in a repo's settings; the commits of pull request N are in `refs/pr/N`."""

import difflib
import os
from typing import Any

from hub_tools.hub.embedded.blobs import Blobs
from hub_tools.hub.embedded.errors import HubError, bad_request
from hub_tools.hub.embedded.repo import MAIN, Repo, Settings, Tree, now


STATUSES = ("open", "closed")
DIFF_LIMIT = 200_000
DIFF_FILES = 100


def event(kind: str, author: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return one event of a discussion."""
    return {"id": os.urandom(12).hex(), "type": kind, "createdAt": now(), "author": {"name": author}, "data": data}


def comment_event(author: str, text: str) -> dict[str, Any]:
    """Return the event of a comment."""
    data = {"edited": False, "hidden": False, "latest": {"raw": text, "html": "", "updatedAt": now()}}
    return event("comment", author, data)


def commit_event(author: str, commit_id: str, title: str) -> dict[str, Any]:
    """Return the event of a commit in a pull request."""
    return event("commit", author, {"oid": commit_id, "subject": title})


def open_discussion(
    settings: Settings, author: str, title: str, text: str, base: str | None = None, status: str = "open"
) -> int:
    """Add a discussion to `settings`, or with `base`, the commit it starts from, a pull request. Return its number."""
    title = title.strip()
    if not 3 <= len(title) <= 200:
        raise bad_request(f"The title has {len(title)} characters: 3 to 200 are needed.")
    num = max((discussion["num"] for discussion in settings["discussions"]), default=0) + 1
    discussion = {
        "num": num,
        "title": title,
        "status": status,
        "createdAt": now(),
        "author": {"name": author},
        "isPullRequest": base is not None,
        "base": base,
        "mergeCommitId": None,
        "events": [comment_event(author, text)],
    }
    settings["discussions"].append(discussion)
    if base is not None:
        settings["refs"][f"refs/pr/{num}"] = base
    return num


def find(settings: Settings, num: int) -> dict[str, Any]:
    """Return a discussion.

    Raises:
        HubError: 404 if there is none of that number.
    """
    for discussion in settings["discussions"]:
        if discussion["num"] == num:
            return discussion
    raise HubError(404, f"There is no discussion or pull request {num}.")


def find_comment(discussion: dict[str, Any], comment_id: str) -> dict[str, Any]:
    """Return the event of a comment.

    Raises:
        HubError: 404 if there is none of that id.
    """
    for found in discussion["events"]:
        if found["id"] == comment_id and found["type"] == "comment":
            return found
    raise HubError(404, f"There is no comment {comment_id} in discussion {discussion['num']}.")


def summary(repo: Repo, discussion: dict[str, Any]) -> dict[str, Any]:
    """Return what the list of discussions shows."""
    keys = ("num", "title", "status", "createdAt", "author", "isPullRequest")
    return {key: discussion[key] for key in keys} | {"repo": {"name": repo.key.id, "type": repo.key.type[:-1]}}


def details(repo: Repo, blobs: Blobs, discussion: dict[str, Any]) -> dict[str, Any]:
    """Return a discussion with its events and, for a pull request, its conflicts and its diff."""
    result = summary(repo, discussion) | {"events": discussion["events"], "filesWithConflicts": [], "diff": None}
    if discussion["isPullRequest"]:
        base = repo.tree(discussion["base"])
        ours = repo.tree(repo.settings["refs"][f"refs/pr/{discussion['num']}"])
        result["changes"] = {"base": MAIN, "mergeCommitId": discussion["mergeCommitId"]}
        result["diff"] = diff(blobs, base, ours)
        if discussion["status"] in ("open", "draft"):
            result["filesWithConflicts"] = merge_trees(base, ours, repo.tree(repo.settings["refs"][MAIN]))[1]
    return result


def merge_trees(base: Tree, ours: Tree, main: Tree) -> tuple[Tree, list[str]]:
    """Return `main` with what `ours` changed since `base`, and the paths that both changed to different contents."""

    def content(tree: Tree, path: str) -> str | None:
        return tree[path]["sha256"] if path in tree else None

    merged, conflicts = dict(main), []
    for path in sorted(base.keys() | ours.keys()):
        mine, before, theirs = content(ours, path), content(base, path), content(main, path)
        if mine == before or mine == theirs:
            continue
        if theirs != before:
            conflicts.append(path)
        elif mine is None:
            merged.pop(path, None)
        else:
            merged[path] = {**ours[path], "commit": ""}
    return merged, conflicts


def merge(repo: Repo, num: int, author: str) -> str:
    """Merge a pull request into main and return the new commit.

    Raises:
        HubError: 404 for an unknown number, 400 for one that is not an open pull request, 409 for conflicts (named).
    """
    with repo.change() as settings:
        discussion = find(settings, num)
        if not discussion["isPullRequest"] or discussion["status"] not in ("open", "draft"):
            raise bad_request(f"Discussion {num} is not an open pull request (status: {discussion['status']}).")
        head, ours = settings["refs"][MAIN], settings["refs"][f"refs/pr/{num}"]
        tree, conflicts = merge_trees(repo.tree(discussion["base"]), repo.tree(ours), repo.tree(head))
        if conflicts:
            raise HubError(409, f"These files were changed on main too, merge by hand: {', '.join(conflicts)}")
        title = f"{discussion['title']} (#{num})"
        settings["refs"][MAIN] = discussion["mergeCommitId"] = repo.write_commit(tree, [head, ours], title, "", author)
        discussion["status"] = "merged"
        discussion["events"].append(event("status-change", author, {"status": "merged"}))
    return discussion["mergeCommitId"]


def diff(blobs: Blobs, before: Tree, after: Tree) -> str:
    """Return a unified diff of the small text files; the others are only named."""
    lines: list[str] = []
    changed = [path for path in sorted(before.keys() | after.keys()) if before.get(path) != after.get(path)]
    for path in changed[:DIFF_FILES]:
        sides = [tree.get(path) for tree in (before, after)]
        lines.append(f"diff --git a/{path} b/{path}\n")
        if any(side and (side["lfs"] or side["size"] > DIFF_LIMIT) for side in sides):
            lines.append(f"Binary files a/{path} and b/{path} differ\n")
            continue
        texts = [
            blobs.read(side["sha256"]).decode(errors="replace").splitlines(True) if side else [] for side in sides
        ]
        names = [f"{prefix}/{path}" if side else "/dev/null" for prefix, side in zip("ab", sides, strict=True)]
        lines += difflib.unified_diff(*texts, *names)
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
