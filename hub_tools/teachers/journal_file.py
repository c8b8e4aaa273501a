"""The journal's SQLite file: made, opened, checked and brought up to date; never another program's, never two writers.

A journal may hold millions of replies, so opening one reads its keys and not its replies. A unique index of random ids
would cost more than half of the writing speed at a million replies: the keys of each commit stand in one row instead,
and the only writer keeps them in memory.
"""

import errno
import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import disk_usage

from hub_tools.teachers.request_ids import KEY_BYTES, RequestIds, keys_of


logger = logging.getLogger(__name__)

_APPLICATION_ID = 0x46534131  # "FSA1": tells our files from anyone else's
_VERSION = 2
_SMALL = 64 * 2**20  # bytes; SQLite checks every page of so large a file in a fraction of a second
_TABLES = (
    """groups (number INTEGER PRIMARY KEY, teacher TEXT NOT NULL, teacher_revision TEXT NOT NULL,
        sampling TEXT NOT NULL, prompt TEXT NOT NULL, rows INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL,
        completion_tokens INTEGER NOT NULL, UNIQUE (teacher, teacher_revision, sampling, prompt))""",
    """replies (position INTEGER PRIMARY KEY, request_id TEXT NOT NULL, review_id TEXT NOT NULL,
        group_number INTEGER NOT NULL REFERENCES groups, reply TEXT NOT NULL, finish_reason TEXT NOT NULL,
        prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL)""",
    "commits (last_position INTEGER PRIMARY KEY, keys BLOB NOT NULL)",
    """failures (position INTEGER PRIMARY KEY, request_id TEXT NOT NULL UNIQUE, review_id TEXT NOT NULL,
        prompt TEXT NOT NULL, reason TEXT NOT NULL, final INTEGER NOT NULL, at TEXT NOT NULL)""",
    """sessions (position INTEGER PRIMARY KEY, started TEXT NOT NULL, seconds REAL NOT NULL, rows INTEGER NOT NULL,
        prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL)""",
    "notes (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
)
_FROM_VERSION_1 = (
    """INSERT INTO groups (teacher, teacher_revision, sampling, prompt, rows, prompt_tokens, completion_tokens)
        SELECT teacher, teacher_revision, sampling, prompt, count(*), sum(prompt_tokens), sum(completion_tokens)
        FROM replies_1 GROUP BY teacher, teacher_revision, sampling, prompt ORDER BY min(position)""",
    """INSERT INTO replies SELECT NULL, old.request_id, old.review_id, groups.number, old.reply, old.finish_reason,
        old.prompt_tokens, old.completion_tokens
        FROM replies_1 AS old JOIN groups USING (teacher, teacher_revision, sampling, prompt) ORDER BY old.position""",
    "DROP TABLE replies_1",
)


def lock_file(path: Path) -> int:
    """Hold `<path>.lock` while the process lives; the kernel lets go of it even after a kill.

    Returns:
        The descriptor to close when done.

    Raises:
        BlockingIOError: another process holds it.
        OSError: the folder cannot be made or written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        raise _os_error(
            error.errno or errno.EIO, path, f"{error.strerror}; name a journal in a folder you can write to"
        ) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise BlockingIOError(f"{path}: another process writes to this journal; wait for it or name another") from None
    return handle


def open_file(path: Path) -> sqlite3.Connection:
    """The open journal, made or brought up to date where needed. Hold its lock.

    Raises:
        ValueError: the file is no journal, or is damaged, or a newer program's; it is left as it is.
        OSError: it cannot be read or written to.
    """
    exists = path.exists() and path.stat().st_size > 0
    if exists:
        try:
            with path.open("r+b") as file:  # SQLite itself would open what it cannot write to, and fail later
                head = file.read(16)
        except OSError as error:
            number = error.errno or errno.EIO
            raise _os_error(number, path, f"{error.strerror}; name a journal that you can write to") from None
        if head != b"SQLite format 3\x00":
            raise ValueError(f"{path} is not a journal of replies (no SQLite file); name another file")
    with explained(path):
        database = sqlite3.connect(path, isolation_level=None)
        try:
            version = _check(database, path) if exists else 0
            if version < _VERSION:
                with transaction(database):
                    _bring_up_to_date(database, version)
                if version:
                    logger.info("%s: brought from version %d of the journal to %d", path, version, _VERSION)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")  # a commit returns when the bytes are on the disk
        except BaseException:
            database.close()
            raise
    return database


def _check(database: sqlite3.Connection, path: Path) -> int:
    """The version of the file's tables, 0 when it has none yet: its maker was killed before the first commit."""
    application, version, tables = (
        database.execute(query).fetchone()[0]
        for query in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
    )
    if application == 0 and tables == 0:
        return 0
    if application != _APPLICATION_ID:
        raise ValueError(f"{path} is another program's SQLite file, not a journal of replies; name another")
    if not 1 <= version <= _VERSION:
        raise ValueError(f"{path}: journal version {version}, this program reads 1 to {_VERSION}; use a newer one")
    if path.stat().st_size <= _SMALL:
        (state,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if state != "ok":
            raise damaged(path, state)
    return version


def _bring_up_to_date(database: sqlite3.Connection, version: int) -> None:
    if version == 1:
        database.execute("ALTER TABLE replies RENAME TO replies_1")
    for table in _TABLES:
        database.execute(f"CREATE TABLE {table}")
    if version == 1:
        for statement in _FROM_VERSION_1:
            database.execute(statement)
        ids = database.execute("SELECT position, request_id FROM replies ORDER BY position")
        while chunk := ids.fetchmany(10_000):
            keys = keys_of([request_id for _, request_id in chunk])
            database.execute("INSERT INTO commits VALUES (?, ?)", (chunk[-1][0], keys))
    database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    database.execute(f"PRAGMA user_version = {_VERSION}")


def read_ids(database: sqlite3.Connection, path: Path) -> RequestIds:
    """The ids of all replies.

    Raises:
        ValueError: the journal's tables do not agree on how many there are.
    """
    with explained(path):
        keys = bytearray()
        for (some,) in database.execute("SELECT keys FROM commits ORDER BY last_position"):
            keys += some
        (counted,) = database.execute("SELECT coalesce(sum(rows), 0) FROM groups").fetchone()
        (last,) = database.execute("SELECT coalesce(max(position), 0) FROM replies").fetchone()
    ids = RequestIds.from_keys(keys) if len(keys) % KEY_BYTES == 0 else RequestIds()
    if not len(ids) == counted == last:
        raise damaged(path, f"{last} replies, {counted} counted, {len(ids)} known by id")
    return ids


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All that is executed inside, or nothing of it."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:  # SQLite itself rolls back when the disk is full
            database.execute("ROLLBACK")
        raise


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """SQLite's errors as ValueError or OSError that name the file and say what to do."""
    try:
        yield
    except sqlite3.ProgrammingError:
        raise  # a bug of ours, such as a closed journal
    except sqlite3.DatabaseError as error:
        raise _explanation(path, error) from None


def _explanation(path: Path, error: sqlite3.DatabaseError) -> Exception:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # the high bits say where it happened
    kept = "what was acknowledged before is kept"
    # Where no room is left for the index of the log, SQLite does not say why it cannot write.
    no_room = code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and disk_usage(path.parent).free < 2**16
    if code == sqlite3.SQLITE_FULL or no_room:
        return _os_error(errno.ENOSPC, path, f"the disk is full; {kept}. Free some space and run again")
    if code == sqlite3.SQLITE_IOERR:
        return _os_error(
            errno.EIO, path, f"{error}; {kept}. Look at the disk, its quota and file size limit, and run again"
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return _os_error(errno.EACCES, path, f"{error}; name a journal in a folder you can write to")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return _os_error(errno.EAGAIN, path, f"{error} by another program; close it there and run again")
    return damaged(path, str(error))


def damaged(path: Path, found: str) -> ValueError:
    """The error for a journal that cannot be read as one."""
    return ValueError(
        f"{path}: damaged journal of replies ({found}); restore a copy of it or name another. It was left as it is"
    )


def _os_error(number: int, path: Path, text: str) -> OSError:
    return OSError(number, f"{path}: {text}")  # of the subclass that belongs to the number
