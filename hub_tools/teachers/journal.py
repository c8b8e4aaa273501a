"""Replies on disk, kept as they come: what has been acknowledged survives a kill, and is never asked for again.

One SQLite file per run of labelling, append-only, keyed by request_id. Beside the replies it keeps what failed and
why, how long and with how many tokens each session worked, and small notes of the run.
"""

import os
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any

from hub_tools.teachers.journal_file import damaged, explained, lock_file, open_file, read_ids, transaction
from hub_tools.teachers.request import Failure
from hub_tools.teachers.request_ids import RequestIds, keys_of


COLUMNS: dict[str, type] = {
    "request_id": str,
    "review_id": str,
    "prompt": str,
    "teacher": str,
    "teacher_revision": str,
    "sampling": str,
    "reply": str,
    "finish_reason": str,
    "prompt_tokens": int,
    "completion_tokens": int,
}
_GROUP = ("teacher", "teacher_revision", "sampling", "prompt")
_REPLY = tuple(name for name in COLUMNS if name not in _GROUP)
_fields, _group, _rest = itemgetter(*COLUMNS), itemgetter(*_GROUP), itemgetter(*_REPLY)
_TYPES = tuple(COLUMNS.values())
_SUMS = ("rows", "prompt_tokens", "completion_tokens")
_FAILURE = ("request_id", "review_id", "prompt", "reason", "final")
_SOME = 1000  # rows read at a time: between them no reader holds the file open

_ADD = ", ".join(f"{name} = {name} + excluded.{name}" for name in _SUMS)
_ADD_TO_GROUP = f"""INSERT INTO groups ({", ".join(_GROUP + _SUMS)}) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT ({", ".join(_GROUP)}) DO UPDATE SET {_ADD}"""
_ADD_TO_SESSION = f"""INSERT INTO sessions (position, started, seconds, {", ".join(_SUMS)}) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (position) DO UPDATE SET seconds = excluded.seconds, {_ADD}"""
_READ = f"""SELECT position, {", ".join(name if name in _GROUP else f"replies.{name}" for name in COLUMNS)}
    FROM replies JOIN groups ON groups.number = replies.group_number
    WHERE position > ? AND position <= ? ORDER BY position"""


class Journal:
    """An append-only file of reply rows with one writer at a time. Use it in the thread that opened it.

    Args:
        path: the file; it is made, with its folder, when there is none. One of the version before is brought up to
            date in place, in one transaction.

    Raises:
        ValueError: the file is no journal, or is damaged; it is left as it is. A large file is not read through when
            it is opened, so every method may find damage, and says so in the same way.
        BlockingIOError: another process writes to it.
        OSError: the disk is full, or cannot be read or written to. Every method may find this too; what was
            acknowledged before is kept.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._lock: int | None = lock_file(self.path)
        try:
            self._database = open_file(self.path)
            try:
                self._known: RequestIds | None = read_ids(self._database, self.path)
            except BaseException:
                self._database.close()
                raise
        except BaseException:
            os.close(self._lock)
            raise
        self._started: tuple[float, str] | None = None  # of this session: seconds of a clock that only grows, and UTC
        self._session: int | None = None

    def begin_session(self) -> None:
        """Start the clock of a new session: call it when asking begins. Without, the first `record` does it."""
        self._started, self._session = (time.monotonic(), _now()), None

    def record(self, rows: Sequence[dict], failures: Sequence[Failure] = (), in_session: bool = True) -> int:
        """Append reply rows and note failures: on the disk when this returns, all of them; at an error, none.

        A request answered before keeps its reply. A reply takes away the failure of an earlier attempt, a new failure
        takes its place, and a failure of an answered request changes nothing. Rows that were not asked for here, but
        brought from elsewhere, are not `in_session`: they say nothing about this machine's pace.

        Returns:
            How many rows were new.

        Raises:
            ValueError: a row lacks a field of the replies contract, or has one of another type.
        """
        for row in rows:
            _check(row)
        if not rows and not failures:
            return 0
        known = self.known()
        new = _unanswered(rows, known)
        # An interrupt can come between the commit and what remembers it: then the ids are read again from the file.
        self._known = None
        with explained(self.path), transaction(self._database):
            self._note_failures(failures, known)
            self._append(new, len(known))
            if in_session:
                self._count_session(new)
        known.add([row["request_id"] for row in new])
        self._known = known
        return len(new)

    def _append(self, rows: Sequence[dict], last: int) -> None:
        if not rows:
            return
        groups: dict[tuple, list[dict]] = {}
        for row in rows:
            groups.setdefault(_group(row), []).append(row)
        numbers = {group: self._add_to_group(group, some) for group, some in groups.items()}
        values = [
            (place, numbers[_group(row)], *map(_storable, _rest(row))) for place, row in enumerate(rows, last + 1)
        ]
        marks = ", ".join("?" * (len(_REPLY) + 2))
        self._database.executemany(
            f"INSERT INTO replies (position, group_number, {', '.join(_REPLY)}) VALUES ({marks})", values
        )
        ids = [row["request_id"] for row in rows]
        self._database.execute("INSERT INTO commits VALUES (?, ?)", (last + len(rows), keys_of(ids)))
        if self._database.execute("SELECT EXISTS (SELECT 1 FROM failures)").fetchone()[0]:
            answered = [(_storable(request_id),) for request_id in ids]
            self._database.executemany("DELETE FROM failures WHERE request_id = ?", answered)

    def _add_to_group(self, group: tuple, rows: Sequence[dict]) -> int:
        names = [_storable(name) for name in group]
        self._database.execute(_ADD_TO_GROUP, (*names, *_sums(rows)))
        where = " AND ".join(f"{name} = ?" for name in _GROUP)
        return self._database.execute(f"SELECT number FROM groups WHERE {where}", names).fetchone()[0]

    def _note_failures(self, failures: Sequence[Failure], known: RequestIds) -> None:
        answered = known.contains([failure.request.request_id for failure in failures])
        values = []
        for failure, has_reply in zip(failures, answered, strict=True):
            if not has_reply:
                request = failure.request
                texts = (request.request_id, request.review_id, request.prompt, failure.reason)
                values.append((*map(_storable, texts), int(failure.final), _now()))
        self._database.executemany(
            f"INSERT OR REPLACE INTO failures ({', '.join(_FAILURE)}, at) VALUES (?, ?, ?, ?, ?, ?)", values
        )

    def _count_session(self, new: Sequence[dict]) -> None:
        if self._started is None:
            self.begin_session()
        assert self._started
        clock, started = self._started
        if self._session is None:
            (self._session,) = self._database.execute("SELECT coalesce(max(position), 0) + 1 FROM sessions").fetchone()
        seconds = time.monotonic() - clock
        self._database.execute(_ADD_TO_SESSION, (self._session, started, seconds, *_sums(new)))

    def known(self) -> RequestIds:
        """The requests that have a reply. What is recorded later is added to the same set; add nothing to it."""
        if self._known is None:
            self._known = read_ids(self._database, self.path)
        return self._known

    def last_position(self) -> int:
        """The position of the newest reply: 1 is the first, 0 is none. There are no gaps."""
        return len(self.known())

    def __len__(self) -> int:
        """How many replies there are."""
        return len(self.known())

    def rows(self, after: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
        """Positions and reply rows in the order in which they were recorded, a few at a time in memory.

        Args:
            after: the position behind which to begin.
        """
        last = self.last_position()
        for start in range(max(after, 0), last, _SOME):
            end = min(start + _SOME, last)
            found = self._all(_READ, start, end)
            if len(found) != end - start:
                raise damaged(self.path, f"{len(found)} of the replies {start + 1} to {end}")
            for position, *values in found:
                yield position, dict(zip(COLUMNS, values, strict=True))

    def failures(self) -> Iterator[dict[str, Any]]:
        """What has no reply yet and why: request_id, review_id, prompt, reason, final; the latest failure last."""
        query = f"SELECT position, {', '.join(_FAILURE)} FROM failures WHERE position > ? ORDER BY position LIMIT ?"
        last = 0
        while found := self._all(query, last, _SOME):
            for last, *texts, final in found:  # noqa: B007 (read by the next query)
                yield dict(zip(_FAILURE, (*texts, bool(final)), strict=True))

    def final_failures(self) -> RequestIds:
        """The requests that cannot be answered, however often they are asked."""
        return RequestIds(row[0] for row in self._all("SELECT request_id FROM failures WHERE final"))

    def groups(self) -> list[dict[str, Any]]:
        """What the replies were made with: teacher, teacher_revision, sampling, prompt, and of each the sums of rows,
        prompt_tokens and completion_tokens; in the order of their first reply."""
        names = _GROUP + _SUMS
        found = self._all(f"SELECT {', '.join(names)} FROM groups ORDER BY number")
        return [dict(zip(names, row, strict=True)) for row in found]

    def sessions(self) -> list[dict[str, Any]]:
        """When asking began (ISO 8601, UTC), and the seconds, rows and tokens until the last `record`, per session."""
        names = ("started", "seconds", *_SUMS)
        found = self._all(f"SELECT {', '.join(names)} FROM sessions ORDER BY position")
        return [dict(zip(names, row, strict=True)) for row in found]

    def totals(self) -> dict[str, int | float]:
        """The sums of rows, prompt_tokens, completion_tokens, and of the seconds that all sessions worked."""
        sums = ", ".join(f"coalesce(sum({name}), 0)" for name in _SUMS)
        (values,) = self._all(f"SELECT {sums}, (SELECT coalesce(sum(seconds), 0.0) FROM sessions) FROM groups")
        return dict(zip((*_SUMS, "seconds"), values, strict=True))

    def note(self, key: str, value: str) -> None:
        """Keep a text under a key, in place of the one before; on the disk when this returns."""
        with explained(self.path), transaction(self._database):
            self._database.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (key, _storable(value)))

    def noted(self, key: str) -> str | None:
        """The text kept under a key, if any."""
        found = self._all("SELECT value FROM notes WHERE key = ?", key)
        return found[0][0] if found else None

    def _all(self, query: str, *values: int | str) -> list[tuple]:
        with explained(self.path):
            return self._database.execute(query, values).fetchall()

    def close(self) -> None:
        """Close the file and let the next writer in. A second call does nothing."""
        if self._lock is not None:
            self._database.close()
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _check(row: dict) -> None:
    if row.keys() >= COLUMNS.keys() and tuple(map(type, _fields(row))) == _TYPES:
        return
    request_id = row.get("request_id")
    if missing := [name for name in COLUMNS if row.get(name) is None]:
        raise ValueError(f"reply to request {request_id!r} lacks {', '.join(missing)}")
    for name, kind in COLUMNS.items():
        if not isinstance(row[name], kind):
            found = type(row[name]).__name__
            raise ValueError(f"reply to request {request_id!r}: {name} is {found}, not {kind.__name__}")


def _unanswered(rows: Sequence[dict], known: RequestIds) -> list[dict]:
    """The first row of each request that has no reply yet."""
    first: dict[str, dict] = {}
    for row, has_reply in zip(rows, known.contains([row["request_id"] for row in rows]), strict=True):
        if not has_reply:
            first.setdefault(row["request_id"], row)
    return list(first.values())


def _sums(rows: Sequence[dict]) -> tuple[int, int, int]:
    return len(rows), sum(row["prompt_tokens"] for row in rows), sum(row["completion_tokens"] for row in rows)


def _storable(value: str | int) -> str | int:
    """Half of a surrogate pair, which a byte-level tokenizer can emit at its limit, cannot be stored."""
    if isinstance(value, int) or value.isascii():
        return value
    return value.encode("utf-8", "replace").decode("utf-8")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
