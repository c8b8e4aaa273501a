"""The journal keeps what it has acknowledged, refuses what is not its own, and has one writer."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hub_tools.teachers.journal import COLUMNS, Journal


def _row(number: int, **fields: object) -> dict:
    row = {name: f"{name} {number}" for name in COLUMNS} | {"prompt_tokens": number, "completion_tokens": 1}
    return {**row, "request_id": f"q{number}", **fields}


def test_rows_come_back_whole_and_in_order(tmp_path: Path):
    path = tmp_path / "new" / "replies.db"
    with Journal(path) as journal:
        assert journal.record([_row(2), _row(1)]) == 2
        assert journal.record([_row(3), _row(1, reply="later")]) == 1
    with Journal(path) as journal:
        assert journal.done() == {"q1", "q2", "q3"}
        assert list(journal.rows()) == [_row(2), _row(1), _row(3)]
        assert len(journal) == 3


def test_a_row_that_lacks_a_field_writes_nothing_of_its_call(tmp_path: Path):
    with Journal(tmp_path / "j.db") as journal:
        with pytest.raises(ValueError, match="'q2' lacks finish_reason"):
            journal.record([_row(1), _row(2, finish_reason=None)])
        assert len(journal) == 0


def test_text_that_no_encoding_can_hold_is_stored_replaced(tmp_path: Path):
    with Journal(tmp_path / "j.db") as journal:
        journal.record([_row(1, reply="good \ud83d")])
        assert next(journal.rows())["reply"] == "good ?"


def test_a_second_writer_is_refused_until_the_first_is_gone(tmp_path: Path):
    path = tmp_path / "j.db"
    with Journal(path), pytest.raises(BlockingIOError, match="another process"):
        Journal(path)
    Journal(path).close()


@pytest.mark.parametrize("content", [b"my notes", b"SQLite format 3\x00" + b"\x07" * 4000])
def test_a_foreign_or_damaged_file_is_refused_and_left_alone(tmp_path: Path, content: bytes):
    path = tmp_path / "j.db"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"j\.db"):
        Journal(path)
    assert path.read_bytes() == content


def test_another_programs_database_is_refused(tmp_path: Path):
    path = tmp_path / "j.db"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE mine (x)")
    database.commit()
    database.close()
    content = path.read_bytes()
    with pytest.raises(ValueError, match="another program's"):
        Journal(path)
    assert path.read_bytes() == content


def test_a_truncated_journal_is_refused_with_a_reason(tmp_path: Path):
    path = tmp_path / "j.db"
    with Journal(path) as journal:
        journal.record([_row(n, reply="x" * 500) for n in range(200)])
    content = path.read_bytes()[:-20_000]
    path.write_bytes(content)
    with pytest.raises(ValueError, match="damaged journal"):
        Journal(path)


WRITER = """
import sys
from hub_tools.teachers.journal import COLUMNS, Journal
with Journal(sys.argv[1]) as journal:
    start = len(journal)
    for n in range(start, start + 100_000):
        row = {name: f"{name} {n}" for name in COLUMNS}
        journal.record([{**row, "request_id": f"q{n}", "prompt_tokens": n, "completion_tokens": n}])
        print(n, flush=True)
"""


def test_nothing_acknowledged_is_lost_to_a_kill(tmp_path: Path):
    path = tmp_path / "j.db"
    for attempt in range(4):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], text=True
        )
        assert writer.stdout
        acknowledged = [int(writer.stdout.readline())]
        time.sleep(0.02 * attempt)
        os.kill(writer.pid, signal.SIGKILL)
        acknowledged += [int(line) for line in writer.stdout if line.endswith("\n")]
        writer.wait()
        writer.stdout.close()
        with Journal(path) as journal:
            assert {f"q{n}" for n in acknowledged} <= journal.done()
            numbers = [row["prompt_tokens"] for row in journal.rows()]
            assert numbers == list(range(len(numbers)))
