"""The repos on disk: settings, references and discussions in one file each, commits and trees beside it.

    <root>/repos/<type>/<namespace>/<name>/repo.json     what changes; replaced atomically, last of all
                                          /commits/      one immutable file per commit
                                          /trees/        one immutable file per distinct set of files

A commit writes blobs, tree and commit first and `repo.json` last, so that a process killed at any moment leaves the
previous revision whole, and what it had not finished is never referred to.
"""

import os
import shutil
import tempfile
import threading
from pathlib import Path

from hub_tools.hub.embedded import durable
from hub_tools.hub.embedded.blobs import Blobs
from hub_tools.hub.embedded.errors import HubError
from hub_tools.hub.embedded.names import RepoKey
from hub_tools.hub.embedded.repo import MAIN, Repo, Settings, Tree


class Repos:
    """All repos under one root folder. One process owns the folder; its threads share this object."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "repos"
        self.blobs = Blobs(root)
        self._loaded: dict[RepoKey, Repo] = {}
        self._lock = threading.RLock()

    def _path(self, key: RepoKey) -> Path:
        return self.folder / key.type / key.namespace / key.name

    def find(self, key: RepoKey) -> Repo | None:
        """Return a repo, or None if there is none of that key."""
        with self._lock:
            if key not in self._loaded:
                path = self._path(key)
                if not (path / "repo.json").is_file():
                    return None
                self._loaded[key] = Repo(key, path, durable.read_json(path / "repo.json"))
            return self._loaded[key]

    def all(self, type: str) -> list[Repo]:
        """Return every repo of one type (`models`, `datasets` or `spaces`)."""
        keys = [RepoKey(type, *path.parent.parts[-2:]) for path in (self.folder / type).glob("*/*/repo.json")]
        return [repo for key in sorted(keys) if (repo := self.find(key))]

    def create(self, key: RepoKey, settings: Settings, tree: Tree, author: str) -> Repo:
        """Create a repo with a first commit; it appears whole.

        Raises:
            HubError: 409 if it exists.
        """
        draft = Path(tempfile.mkdtemp(dir=self.blobs.incoming_folder))
        repo = Repo(key, draft, settings)
        settings["refs"][MAIN] = repo.write_commit(tree, [], "initial commit", "", author)
        durable.write_json(draft / "repo.json", settings)
        return self._place(draft, key)

    def _place(self, folder: Path, key: RepoKey) -> Repo:
        target = self._path(key)
        with self._lock:
            if target.exists():
                shutil.rmtree(folder, ignore_errors=True)
                raise HubError(409, "You already created this repo")
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(folder, target)
            durable.sync_folder(target.parent)
            repo = self.find(key)
        assert repo is not None
        return repo

    def delete(self, repo: Repo) -> None:
        """Delete a repo: at once for readers, then from the disk. Its blobs stay, as other repos may hold them."""
        with repo.lock, self._lock:
            self._loaded.pop(repo.key, None)
            grave = Path(tempfile.mkdtemp(dir=self.blobs.incoming_folder))
            os.rename(repo.folder, grave / "repo")
            repo.gone = True
        shutil.rmtree(grave, ignore_errors=True)

    def move(self, repo: Repo, key: RepoKey) -> Repo:
        """Give a repo another key.

        Raises:
            HubError: 409 if that key is taken.
        """
        target = self._path(key)
        with repo.lock, self._lock:
            if target.exists():
                raise HubError(409, f"{key.id} already exists: choose another name")
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(repo.folder, target)
            durable.sync_folder(target.parent)
            repo.gone = True
            self._loaded.pop(repo.key, None)
            moved = self.find(key)
        assert moved is not None
        return moved
