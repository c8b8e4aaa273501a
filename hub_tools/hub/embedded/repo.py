"""One repo: what its files, commits and settings look like, and how they are read and written."""

import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from hub_tools.hub.embedded import durable
from hub_tools.hub.embedded.errors import HubError, bad_request, entry_not_found, revision_not_found
from hub_tools.hub.embedded.names import RepoKey


MAIN = "refs/heads/main"
COMMIT_ID = re.compile(r"[0-9a-f]{7,40}")


class Entry(TypedDict):
    """A file of a tree: `oid` is git's id (of the pointer, for LFS), `commit` the last one that changed it."""

    oid: str
    sha256: str
    size: int
    lfs: bool
    commit: str


class Commit(TypedDict):
    """A commit: `tree` names the file in `trees/` that maps paths to entries."""

    id: str
    parents: list[str]
    title: str
    message: str
    date: str
    author: str
    tree: str


class Settings(TypedDict):
    """What `repo.json` holds. `refs` maps full reference names to commit ids."""

    created: str
    updated: str
    visibility: str
    gated: str | bool
    sdk: NotRequired[str | None]
    refs: dict[str, str]
    discussions: list[dict[str, Any]]


Tree = dict[str, Entry]


def now() -> str:
    """Return the time in the form that the clients parse."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def folders_of(path: str) -> Iterator[str]:
    """Yield the folders that a path lies in, outermost first: `a`, `a/b` for `a/b/c`."""
    end = path.find("/")
    while end != -1:
        yield path[:end]
        end = path.find("/", end + 1)


# Commits and trees never change once they are written, and their ids are never used twice.
@lru_cache(maxsize=128)
def _read_tree(path: Path) -> Tree:
    return durable.read_json(path)


@lru_cache(maxsize=4096)
def _read_commit(path: Path) -> Commit:
    return durable.read_json(path)


@dataclass
class Repo:
    """One repo: its key, its folder and the settings last written. Trees and commits are read when asked."""

    key: RepoKey
    folder: Path
    settings: Settings
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    gone: bool = False

    @property
    def private(self) -> bool:
        """Whether strangers must not know of it (`private`, and `protected`, which hides a Space's files)."""
        return self.settings["visibility"] != "public"

    def resolve(self, revision: str) -> str:
        """Return the commit id of a branch, tag, `refs/…` name, or commit id (7 to 40 digits).

        Raises:
            HubError: 404 RevisionNotFound.
        """
        refs = self.settings["refs"]
        for name in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision):
            if name in refs:
                return refs[name]
        if COMMIT_ID.fullmatch(revision):
            found = [path.stem for path in (self.folder / "commits").glob(f"{revision}*.json")]
            if len(found) == 1:
                return found[0]
        raise revision_not_found(revision)

    def branch(self, revision: str) -> str:
        """Return the full name of a branch that can be committed to (`main`, `refs/pr/1`, …).

        Raises:
            HubError: 404 RevisionNotFound if there is none; 400 if `revision` is a tag or a commit.
        """
        for name in (f"refs/heads/{revision}", revision):
            if name in self.settings["refs"] and not name.startswith("refs/tags/"):
                return name
        commit = self.resolve(revision)
        raise HubError(
            400, f"{revision} is a tag or a commit ({commit[:7]}), not a branch: nothing can be added to it."
        )

    def commit(self, commit_id: str) -> Commit:
        """Read one commit."""
        return _read_commit(self.folder / "commits" / f"{commit_id}.json")

    def tree(self, commit_id: str) -> Tree:
        """Read the files of one commit. The result is shared: copy it before changing it."""
        return _read_tree(self.folder / "trees" / f"{self.commit(commit_id)['tree']}.json")

    def entry(self, commit_id: str, path: str) -> Entry:
        """Return the entry of one file.

        Raises:
            HubError: 404 EntryNotFound.
        """
        tree = self.tree(commit_id)
        if path not in tree:
            raise entry_not_found(path, commit_id)
        return tree[path]

    def history(self, commit_id: str) -> Iterator[Commit]:
        """Yield a commit and its first parents, newest first."""
        while commit_id:
            commit = self.commit(commit_id)
            yield commit
            commit_id = commit["parents"][0] if commit["parents"] else ""

    def write_commit(self, tree: Tree, parents: list[str], title: str, message: str, author: str) -> str:
        """Write a commit that no reference points to yet, and return its id. Entries with commit "" become its own.

        Raises:
            HubError: 400, if a path would be both a file and a folder.
        """
        for path in tree:
            for folder in folders_of(path):
                if folder in tree:
                    raise bad_request(f"{folder} is a file, so {path} cannot be in it: delete one of them first.")
        date = now()
        content = {path: (entry["oid"], entry["size"]) for path, entry in sorted(tree.items())}
        facts = json.dumps([parents, title, message, date, author, content, os.urandom(8).hex()])
        commit_id = hashlib.sha1(facts.encode(), usedforsecurity=False).hexdigest()
        tree = {path: {**entry, "commit": entry["commit"] or commit_id} for path, entry in sorted(tree.items())}
        tree_id = hashlib.sha1(json.dumps(tree).encode(), usedforsecurity=False).hexdigest()
        tree_path = self.folder / "trees" / f"{tree_id}.json"
        if not tree_path.exists():
            durable.write_json(tree_path, tree)
        commit = Commit(
            id=commit_id, parents=parents, title=title, message=message, date=date, author=author, tree=tree_id
        )
        durable.write_json(self.folder / "commits" / f"{commit_id}.json", commit)
        return commit_id

    @contextmanager
    def change(self) -> Iterator[Settings]:
        """Yield a copy of the settings to change; they are written, and seen by others, when the block ends well."""
        with self.lock:
            if self.gone:  # deleted or moved while we waited for the lock
                raise HubError(404, f"Repository not found: {self.key.id}", "RepoNotFound")
            settings = deepcopy(self.settings)
            yield settings
            settings["updated"] = now()
            durable.write_json(self.folder / "repo.json", settings)
            self.settings = settings
