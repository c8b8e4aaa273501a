"""The repo of replies: filled while the run goes on, read back by a run that goes on elsewhere.

Replies are appended as Parquet shards `replies/<labelling>-00000.parquet`, in the order in which they came;
`<labelling>` is a digest of what the run asks, so that shards of another prompt or teacher are told apart and go with
the last push. The journal remembers up to where it has been pushed.
"""

import json
import logging
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from types import TracebackType

import pyarrow as arrow
import pyarrow.parquet as parquet
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import RepositoryNotFoundError

from hub_tools.hub.errors import PushError, explained
from hub_tools.hub.push import push_parts
from hub_tools.hub.runs import Run
from hub_tools.teachers.journal import COLUMNS, Journal

from .card import RepliesCard
from .requests import Asked


logger = logging.getLogger(__name__)

SHARD_ROWS = 50_000
WINDOW = 5_000  # rows in memory at a time
_NOTE = "pushed"
_REPLIES = arrow.schema([(name, arrow.int64() if name.endswith("tokens") else arrow.string()) for name in COLUMNS])
_FAILURES = arrow.schema([(name, arrow.string()) for name in ("request_id", "review_id", "prompt", "reason")])


class RepliesRepo:
    """One repo that a labelling run pushes to, with the journal as the truth.

    Args:
        repo_id: the dataset repo.
        journal: where the replies are.
        reviews: Parquet file of the review rows that are asked about.
        labelling: digest of what the run asks.
        card: writes the repo's card.
        every: replies between two pushes; 0 pushes at the end only.
        private: of a repo that is made.
    """

    def __init__(
        self,
        repo_id: str,
        journal: Journal,
        reviews: Path,
        labelling: str,
        card: RepliesCard,
        *,
        every: int = 0,
        private: bool = True,
    ) -> None:
        self.repo_id, self.journal, self.reviews, self.labelling = repo_id, journal, reviews, labelling
        self.card, self.every, self.private = card, every, private
        self._folder = tempfile.TemporaryDirectory(prefix="fsa-replies-")
        self._uploader = ThreadPoolExecutor(1, "push-replies")
        self._push: tuple[Future, dict] | None = None
        self._since = 0  # replies recorded since the last push was begun

    def fetch(self, asked: Asked) -> int:
        """Record the replies that another machine has pushed to the repo and this run wants; returns how many.

        Nothing is read where the repo's newest commit is this journal's own push.

        Raises:
            PushError: the Hub does not answer or knows no valid token, or a table there is none of replies.
        """
        with explained(f"look for earlier replies in {self.repo_id}"):
            HfApi().whoami()  # without a token a private repo looks as if it were not there, and all is paid again
            try:
                head = HfApi().dataset_info(self.repo_id).sha
            except RepositoryNotFoundError:
                return 0
            if self._state()["commit"] == head:
                return 0
            names = HfApi().list_repo_files(self.repo_id, repo_type="dataset", revision=head)
            fetched = 0
            for name in sorted(name for name in names if name.startswith("replies/") and name.endswith(".parquet")):
                path = Path(hf_hub_download(self.repo_id, name, repo_type="dataset", revision=head))
                fetched += self._record(path, name, asked)
        # Others pushed: the repo is written anew from the journal, which now holds what it held.
        self._remember({"position": 0, "shards": 0, "rows": 0}, "")
        return fetched

    def _record(self, path: Path, name: str, asked: Asked) -> int:
        table = parquet.ParquetFile(path)
        if missing := sorted(set(COLUMNS) - set(table.schema_arrow.names)):
            raise PushError(
                f"{name} of {self.repo_id} lacks {', '.join(missing)}: it holds no replies. Name another repo"
            )
        recorded = 0
        for batch in table.iter_batches(WINDOW, columns=list(COLUMNS)):
            recorded += self.journal.record(list(_own(batch.to_pylist(), asked)), in_session=False)
        return recorded

    def after(self, new: int, asked: Asked) -> None:
        """Told that `new` replies were recorded: pushes the finished ones in the background when it is time.

        A Hub that does not answer delays this and stops nothing.
        """
        self._since += new
        if self._push and self._push[0].done():
            self._settle()
        if self.every and self._since >= self.every and not self._push:
            self._since = 0
            files, state = self._shards(asked)
            card, data_files = self.card(state["rows"], False), _data_files(files)
            keep = partial(_is_kept, self.labelling, state["shards"], False)
            push = partial(push_parts, files, self.repo_id, card, data_files, private=self.private, keep=keep)
            self._push = self._uploader.submit(push), state

    def _settle(self) -> None:
        """Remember the push in the background, or say why it failed; its rows go with the next one."""
        future, state = self._push
        self._push = None
        try:
            commit = future.result()
        except Exception as error:  # of whatever kind: what a Hub does must not cost replies that are under way
            logger.warning("%s. The next push brings these replies too", error)
        else:
            self._remember(state, commit)

    def finish(self, asked: Asked, run: Run | None) -> str:
        """Push what has not been pushed, the failures and the card; returns the commit.

        Args:
            run: of a run that ended; None marks the repo as unfinished.

        Raises:
            PushError: the Hub does not answer, or there is no reply at all.
        """
        if self._push:
            self._settle()
        files, state = self._shards(asked)
        if not state["rows"]:
            raise PushError(f"nothing to push to {self.repo_id}: no request has a reply")
        if lost := self._failures(asked):
            files["failures/train.parquet"] = lost
        commit = push_parts(
            files,
            self.repo_id,
            self.card(state["rows"], True),
            _data_files(files),
            private=self.private,
            run=run,
            keep=partial(_is_kept, self.labelling, state["shards"], True),
        )
        self._remember(state, commit)
        return commit

    def _shards(self, asked: Asked) -> tuple[dict[str, Path | bytes], dict]:
        """Shard files of the replies that have not been pushed, and the state once they are."""
        state = self._state()
        files: dict[str, Path | bytes] = {"reviews/train.parquet": self.reviews}
        rows = self._wanted_rows(asked, state)
        while first := list(islice(rows, WINDOW)):
            name = _shard_name(self.labelling, state["shards"])
            files[name] = path = Path(self._folder.name) / Path(name).name
            with parquet.ParquetWriter(path, _REPLIES) as writer:
                written = 0
                while first:
                    writer.write_table(arrow.Table.from_pylist(first, schema=_REPLIES))
                    written += len(first)
                    first = list(islice(rows, WINDOW)) if written < SHARD_ROWS else []
            state["shards"] += 1
            state["rows"] += written
        return files, state

    def _wanted_rows(self, asked: Asked, state: dict) -> Iterator[dict]:
        rows = self.journal.rows(after=state["position"])
        while window := list(islice(rows, WINDOW)):
            state["position"] = window[-1][0]
            yield from _own([row for _, row in window], asked)

    def _failures(self, asked: Asked) -> Path | None:
        rows = [{name: row[name] for name in _FAILURES.names} for row in self.journal.failures()]
        rows = list(_own(rows, asked))
        if not rows:
            return None
        path = Path(self._folder.name) / "failures.parquet"
        parquet.write_table(arrow.Table.from_pylist(rows, schema=_FAILURES), path)
        return path

    def _state(self) -> dict:
        """Up to where this labelling has been pushed; from the start where the repo holds another one."""
        state = json.loads(self.journal.noted(_NOTE) or "{}")
        if (state.get("repo_id"), state.get("labelling")) != (self.repo_id, self.labelling):
            return {"position": 0, "shards": 0, "rows": 0, "commit": ""}
        return {key: state.get(key, "") for key in ("position", "shards", "rows", "commit")}

    def _remember(self, state: dict, commit: str) -> None:
        told = {**state, "commit": commit, "repo_id": self.repo_id, "labelling": self.labelling}
        self.journal.note(_NOTE, json.dumps(told))

    def __enter__(self) -> "RepliesRepo":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Wait for a push in the background and clean up."""
        self._uploader.shutdown()
        if self._push:
            self._settle()
        self._folder.cleanup()


def _data_files(files: Iterable[str]) -> dict[str, str]:
    """The configs of the repo: `replies`, `reviews`, and `failures` where there are any."""
    folders = dict.fromkeys(["replies", *(name.partition("/")[0] for name in files)])
    return {folder: f"{folder}/*.parquet" for folder in folders}


def _own(rows: list[dict], asked: Asked) -> Iterator[dict]:
    """The rows that the run asks for, about the reviews as it names them."""
    for row, review_id in zip(rows, asked.review_ids([row["request_id"] for row in rows]), strict=True):
        if review_id is not None:
            yield {**row, "review_id": review_id}


def _is_kept(labelling: str, shards: int, last: bool, name: str) -> bool:
    """Whether a table that is not pushed now stays: the labelling's shards so far; others, until the last push."""
    if name.startswith(f"replies/{labelling}-"):
        return name in {_shard_name(labelling, number) for number in range(shards)}
    return not last


def _shard_name(labelling: str, number: int) -> str:
    return f"replies/{labelling}-{number:05d}.parquet"
