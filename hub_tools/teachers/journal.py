"""Replies on disk, kept as they come: what has been acknowledged survives a kill, and is never asked for again.

One SQLite file per run of labelling, append-only, keyed by request_id.
"""

import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType


logger = logging.getLogger(__name__)

COLUMNS = {
    "request_id": "TEXT NOT NULL UNIQUE",
    "review_id": "TEXT NOT NULL",
    "prompt": "TEXT NOT NULL",
    "teacher": "TEXT NOT NULL",
    "teacher_revision": "TEXT NOT NULL",
    "sampling": "TEXT NOT NULL",
    "reply": "TEXT NOT NULL",
    "finish_reason": "TEXT NOT NULL",
    "prompt_tokens": "INTEGER NOT NULL",
    "completion_tokens": "INTEGER NOT NULL",
}
_APPLICATION_ID = 0x46534131  # "FSA1": tells our files from anyone else's
_VERSION = 1


class Journal:
    """An append-only file of reply rows with one writer at a time.

    Args:
        path: the file; it is made, with its folder, when there is none.

    Raises:
        ValueError: the file is no journal, or is damaged; it is left as it is.
        BlockingIOError: another process writes to it.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(self.path)
        try:
            self._database = self._open()
        except BaseException:
            os.close(self._lock)
            raise

    def _open(self) -> sqlite3.Connection:
        exists = self.path.exists() and self.path.stat().st_size > 0
        if exists:
            with self.path.open("rb") as file:
                if file.read(16) != b"SQLite format 3\x00":
                    raise ValueError(f"{self.path} is not a journal of replies (no SQLite file); name another file")
        database = sqlite3.connect(self.path, isolation_level=None)
        try:
            if exists:
                self._check(database)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")  # a commit returns when the bytes are on the disk
            database.execute("BEGIN IMMEDIATE")
            columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
            database.execute(f"CREATE TABLE IF NOT EXISTS replies (position INTEGER PRIMARY KEY, {columns})")
            database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            database.execute(f"PRAGMA user_version = {_VERSION}")
            database.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            database.close()
            raise ValueError(
                f"{self.path}: damaged journal of replies ({error}); restore it or name another"
            ) from None
        except ValueError:
            database.close()
            raise
        return database

    def _check(self, database: sqlite3.Connection) -> None:
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (version,) = database.execute("PRAGMA user_version").fetchone()
        tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if application == 0 and tables == 0:  # killed between making the file and the first commit
            return
        if application != _APPLICATION_ID:
            raise ValueError(f"{self.path} is another program's SQLite file, not a journal of replies; name another")
        if version != _VERSION:
            raise ValueError(f"{self.path}: journal version {version}, this program reads {_VERSION}")
        (state,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if state != "ok":
            raise ValueError(f"{self.path}: damaged journal of replies ({state}); restore it or name another")

    def done(self) -> set[str]:
        """The request_ids that have a reply."""
        return {row[0] for row in self._database.execute("SELECT request_id FROM replies")}

    def record(self, rows: Sequence[dict]) -> int:
        """Append reply rows; when this returns they are on the disk. A request answered before keeps its reply.

        Returns:
            How many rows were new.

        Raises:
            ValueError: a row lacks a field of the replies contract; nothing of the call is written.
        """
        values = []
        for row in rows:
            if missing := [name for name in COLUMNS if row.get(name) is None]:
                raise ValueError(f"reply to request {row.get('request_id')!r} lacks {', '.join(missing)}")
            # Half of a surrogate pair, which a byte-level tokenizer can emit at its limit, cannot be stored.
            values.append([_storable(row[name]) for name in COLUMNS])
        before = self._database.total_changes
        marks = ", ".join("?" * len(COLUMNS))
        self._database.execute("BEGIN IMMEDIATE")
        try:
            self._database.executemany(
                f"INSERT OR IGNORE INTO replies ({', '.join(COLUMNS)}) VALUES ({marks})", values
            )
            self._database.execute("COMMIT")
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        return self._database.total_changes - before

    def rows(self) -> Iterator[dict[str, str | int]]:
        """All reply rows in the order in which they were recorded, one at a time."""
        cursor = self._database.execute(f"SELECT {', '.join(COLUMNS)} FROM replies ORDER BY position")
        return (dict(zip(COLUMNS, row, strict=True)) for row in cursor)

    def __len__(self) -> int:
        return self._database.execute("SELECT count(*) FROM replies").fetchone()[0]

    def close(self) -> None:
        """Close the file and let the next writer in."""
        self._database.close()
        os.close(self._lock)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _storable(value: str | int) -> str | int:
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value


def _lock(path: Path) -> int:
    """Hold `<path>.lock` while the process lives; the kernel lets go of it even after a kill."""
    handle = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise BlockingIOError(f"{path}: another process writes to this journal; wait for it or name another") from None
    return handle
