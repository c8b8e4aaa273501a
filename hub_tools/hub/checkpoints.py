"""The checkpoints of a training run as a revision of its model's repo, so that another machine can go on with it.

    remote = HubCheckpoints(repo_id, run.digest, private=arguments.private)
    model, log = pretrain(..., run=run.digest, remote=remote)
    push_model(...)            # the student itself
    remote.finish()            # its checkpoints are of no more use

Each run has a branch of its own, `checkpoints-<12 digits of its digest>`, for runs with other options may go by the
same name. It has the newest one only, as one commit: the files of the folder that the trainer wrote (see
`hub_tools.students.checkpoints`) and a card. History is squashed after each push, and the run's states that no branch
or tag holds any more are deleted where the Hub can do so, for each may have gigabytes. (The embedded Hub keeps what
was uploaded: what is pushed there lies on this machine a second time.)
"""

from __future__ import annotations

import errno
import json
import logging
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.errors import RemoteEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

from .errors import PushError, explained
from .guards import is_loopback
from .push import push_model


logger = logging.getLogger(__name__)

PREFIX = "checkpoints-"
STATE, RECORD = "state.safetensors", "checkpoint.json"
FILES = (STATE, "log.json", RECORD)
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)  # what a disk says, and no Hub
CARD = """---
tags: [checkpoint]
---

# A checkpoint of a training run

Step {step} of the run `{run}`: weights, the optimiser's moments and the log so far. It is here so that the run can go
on elsewhere; it is no finished model, and goes when the run is finished.
"""


class HubCheckpoints:
    """
    Copies checkpoints to a Hub while training goes on, and fetches the newest one of the same run.

    One is copied at a time, by a thread. A checkpoint that comes while another is on its way, or that the Hub does
    not take, is not copied; the next one is tried again. So a Hub that is slow or down costs a run nothing but the
    age of its copy.

    Args:
        repo_id: the student's repo; it is made if it does not exist.
        run: digest of the run (`Run.digest`).
        private: who may see the repo, if it has to be made.

    Attributes:
        branch: the only one that is written, squashed or deleted.
    """

    def __init__(self, repo_id: str, run: str, *, private: bool = True) -> None:
        self.repo_id, self.run, self.private = repo_id, run, private
        self.branch = f"{PREFIX}{run[:12]}"
        self._thread: threading.Thread | None = None
        self._reading: Path | None = None
        self._taken: Path | None = None  # the last one whose copy was begun
        self._copied: Path | None = None  # the last one that arrived
        self._last = False  # no checkpoint follows
        self._over = False  # the student itself is on the Hub

    @property
    def reading(self) -> Path | None:
        """The checkpoint that is on its way just now."""
        return self._reading

    def offer(self, checkpoint: Path) -> None:
        """Copies the folder in the background, unless another one is still on its way; never raises."""
        if self._thread is not None and self._thread.is_alive():
            logger.info("%s is not copied: %s is still on its way to the Hub.", checkpoint.name, self._reading)
            return
        self._reading = self._taken = checkpoint
        # A daemon: a Hub that does not answer must not keep a finished run from ending.
        self._thread = threading.Thread(target=self._copy, args=[checkpoint], name="checkpoint-push", daemon=True)
        self._thread.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Waits for the copy under way, at most so long; whether none is left."""
        if self._thread is not None:
            self._thread.join(seconds)
        return self._thread is None or not self._thread.is_alive()

    def settle(self, checkpoint: Path, seconds: float = 60) -> bool:
        """
        Waits so long, as a run stops, for the Hub to have its last checkpoint; says whether it has. Never raises.

        The copy dies with the process, and of a machine that dies too nothing else is left. A checkpoint that was
        passed over for another one is offered again; Ctrl-C ends the wait.
        """
        self._last, end, name = True, time.monotonic() + seconds, checkpoint.name
        try:
            if self._copied != checkpoint:
                logger.warning("Waiting up to %.0f s for the Hub to have %s; Ctrl-C: no longer.", seconds, name)
            if self._taken != checkpoint and self.wait(seconds):
                self.offer(checkpoint)
            self.wait(max(0.0, end - time.monotonic()))
        except KeyboardInterrupt:
            pass
        place = f"{self.repo_id}, revision {self.branch}"
        if self._copied == checkpoint:
            logger.warning("The Hub has %s (%s): another machine can go on from it.", name, place)
            return True
        there = f"; of this session it has {self._copied.name}" if self._copied else ""
        logger.warning("The Hub does not have %s (%s)%s. Keep %s to go on from it.", name, place, there, checkpoint)
        return False

    def _copy(self, checkpoint: Path) -> None:
        try:
            self.push(checkpoint)
            self._copied = checkpoint
            logger.info("%s lies on the Hub too (%s, revision %s).", checkpoint.name, self.repo_id, self.branch)
        except Exception as error:  # whatever it is, it must not stop the training
            follows = "" if self._last else "; the next one will be tried"
            if not self._over:  # else it is of no more use, and its files may be gone
                logger.warning("%s was not copied to the Hub%s. (%s)", checkpoint.name, follows, error)
        finally:
            self._reading = None
            if self._over:  # `finish` waits no more
                self._clear()

    def push(self, checkpoint: Path) -> str:
        """Makes the folder the branch's only commit, which is returned.

        Raises:
            PushError: as `push_model` raises it.
        """
        record = json.loads((checkpoint / RECORD).read_text(encoding="utf-8"))
        card = CARD.format(step=record["step"], run=self.run[:12])
        with explained(f"look for checkpoints in model {self.repo_id}"):
            earlier = self._own_states()
        push_model(checkpoint, self.repo_id, card=card, private=self.private, revision=self.branch)
        api = HfApi()
        with explained(f"squash the checkpoints of {self.repo_id}"):
            api.super_squash_history(self.repo_id, branch=self.branch, commit_message=f"step {record['step']}")
            self._delete_unheld(earlier)
            return api.model_info(self.repo_id, revision=self.branch).sha

    def _own_states(self) -> set[str]:
        """The sums of the states in the history of this run's branch, which may be deleted; none if there is none."""
        if is_loopback(constants.ENDPOINT):
            return set()  # the embedded Hub cannot delete one
        try:
            commits = HfApi().list_repo_commits(self.repo_id, revision=self.branch)
        except (RepositoryNotFoundError, RevisionNotFoundError):
            return set()
        return self._states(commit.commit_id for commit in commits)

    def _states(self, commits: Iterable[str]) -> set[str]:
        """The sums of the states that these commits hold."""
        found = (info for commit in commits for info in HfApi().get_paths_info(self.repo_id, STATE, revision=commit))
        return {info.lfs.sha256 for info in found if info.lfs}

    def _delete_unheld(self, states: set[str]) -> None:
        """Deletes for good those that no branch or tag holds: squashing alone leaves them in the Hub's store.

        Only this run's own ones are asked for. The Hub lists what was ever uploaded to the repo, also what another run
        has uploaded and is about to commit.
        """
        if not states:
            return
        api = HfApi()
        refs = api.list_repo_refs(self.repo_id)
        unheld = states - self._states({ref.target_commit for ref in (*refs.branches, *refs.tags)})
        old = [each for each in api.list_lfs_files(self.repo_id) if each.file_oid in unheld]
        if old:
            api.permanently_delete_lfs_files(self.repo_id, old, rewrite_history=False)

    def newest(self) -> int | None:
        """The step of the newest checkpoint of this run on the Hub; None if it has none.

        Raises:
            PushError: the Hub cannot be asked.
        """
        with explained(f"look for checkpoints in model {self.repo_id}"):
            record, _ = self._record()
        return record["step"] if record else None

    def fetch(self, folder: Path) -> Path | None:
        """Puts the newest checkpoint of this run into `folder` as `step-N`; None if the Hub has none.

        Raises:
            PushError: the Hub cannot be asked, or `folder` not be written. The run could only begin anew, and its
                checkpoints would be replaced.
        """
        partial = folder / "fetched"
        shutil.rmtree(partial, ignore_errors=True)
        with explained(f"look for checkpoints in model {self.repo_id}"):
            record, commit = self._record()
        if record is None:
            return None
        final = folder / f"step-{record['step']:07d}"
        with explained(f"fetch {final.name} of model {self.repo_id}"), _written(final):
            for name in FILES:
                hf_hub_download(self.repo_id, name, revision=commit, local_dir=partial)
            shutil.rmtree(partial / ".cache", ignore_errors=True)
            shutil.rmtree(final, ignore_errors=True)  # a damaged one, or there would be nothing to fetch
            partial.rename(final)
        logger.info("%s was fetched from %s.", final.name, self.repo_id)
        return final

    def _record(self) -> tuple[dict[str, Any] | None, str]:
        """What the branch says of its checkpoint, if that is one of this run, and the branch's commit."""
        try:
            commit = HfApi().model_info(self.repo_id, revision=self.branch).sha
            with _written(Path(constants.HF_HUB_CACHE)):
                path = hf_hub_download(self.repo_id, RECORD, revision=commit)
            record = json.loads(Path(path).read_text(encoding="utf-8"))
        except (RepositoryNotFoundError, RevisionNotFoundError, RemoteEntryNotFoundError, json.JSONDecodeError):
            return None, ""
        ours = isinstance(record, dict) and isinstance(record.get("step"), int) and record.get("run") == self.run
        return (record if ours else None), commit

    def finish(self, seconds: float = 60) -> None:
        """
        Takes this run's checkpoint off the Hub after the copy under way, for which it waits so long; never raises.

        One that takes longer takes itself off when it has arrived, if the process still lives then. A run that finds
        its student on the Hub calls this too, for those that did not.
        """
        self._over = True
        if not self.wait(seconds):
            logger.warning("A checkpoint is still on its way to %s, to be taken off again.", self.repo_id)
            return
        self._clear()

    def _clear(self) -> None:
        with _logged(f"the branch {self.branch} of {self.repo_id} stays"), explained(f"clear model {self.repo_id}"):
            try:
                branches = {branch.name for branch in HfApi().list_repo_refs(self.repo_id).branches}
            except RepositoryNotFoundError:
                return
            if self.branch in branches:
                states = self._own_states()
                HfApi().delete_branch(self.repo_id, branch=self.branch)
                self._delete_unheld(states)
            if others := sorted(name for name in branches - {self.branch} if name.startswith(PREFIX)):
                logger.info("%s has checkpoints of other runs, which stay: %s.", self.repo_id, ", ".join(others))


@contextmanager
def _logged(consequence: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        logger.warning("%s: %s", consequence, error)


@contextmanager
def _written(place: Path) -> Iterator[None]:
    """Tells a disk that is full, or may not be written, from a Hub that refuses: to `explained` they are the same."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK:
            raise
        said = f"could not write {place}: {error.strerror}. Make room there, or name another folder"
        raise PushError(said) from error
