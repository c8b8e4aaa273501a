"""What is no journal, or a damaged one, or lies where nothing can be written, is refused clearly and left as it is."""

import errno
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hub_tools.teachers import journal_file
from hub_tools.teachers.journal import COLUMNS, Journal


def _row(number: int, reply: str = "Good soup.") -> dict:
    row: dict = {name: f"{name} {number}" for name in COLUMNS} | {"prompt_tokens": number, "completion_tokens": 1}
    return {**row, "request_id": f"q{number}", "teacher": "lexicon", "sampling": "{}", "reply": reply}


def _fill(path: Path, n: int = 400) -> None:
    with Journal(path) as journal:
        for first in range(0, n, 20):
            journal.record([_row(number, "x" * 500) for number in range(first, first + 20)])


def _mount(options: str, folder: Path, kind: str = "tmpfs") -> None:
    done = subprocess.run(["mount", "-t", kind, "-o", options, kind, folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"may not mount a small disk here: {done.stderr.strip()}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    _mount("size=1m", folder)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)  # a test that failed may still hold a file there


OTHER = """
import sys
from pathlib import Path
from hub_tools.teachers.journal import Journal
Journal(Path(sys.argv[1]))
"""


def test_a_second_writer_is_refused_until_the_first_is_gone(tmp_path: Path):
    path = tmp_path / "j.db"
    with Journal(path):
        other = subprocess.run([sys.executable, "-c", OTHER, path], capture_output=True, text=True)
        assert f"BlockingIOError: {path}: another process writes to this journal; wait for it" in other.stderr
        with pytest.raises(BlockingIOError, match="another process"):
            Journal(path)
    Journal(path).close()


def test_a_journal_that_another_program_holds_is_waited_for_and_then_refused(tmp_path: Path):
    with Journal(tmp_path / "j.db") as journal, closing(sqlite3.connect(journal.path)) as other:
        journal.record([_row(1)])
        journal._database.execute("PRAGMA busy_timeout = 50")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BlockingIOError, match=r"j\.db: database is locked by another program; close it there"):
            journal.record([_row(2)])
        other.rollback()
        assert journal.record([_row(2)]) == 1


@pytest.mark.parametrize("content", [b"my notes", b"SQLite format 3\x00" + b"\x07" * 4000, b"\0" * 8192])
def test_a_foreign_or_damaged_file_is_refused_and_left_alone(tmp_path: Path, content: bytes):
    path = tmp_path / "j.db"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"j\.db.* name another"):
        Journal(path)
    assert path.read_bytes() == content


def test_another_programs_database_is_refused(tmp_path: Path):
    path = tmp_path / "j.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE mine (x)")
        database.commit()
    content = path.read_bytes()
    with pytest.raises(ValueError, match=r"j\.db is another program's SQLite file"):
        Journal(path)
    assert path.read_bytes() == content


def test_a_newer_programs_journal_is_refused(tmp_path: Path):
    path = tmp_path / "j.db"
    Journal(path).close()
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 3")
    with pytest.raises(ValueError, match="journal version 3, this program reads 1 to 2; use a newer one"):
        Journal(path)


def test_a_file_made_but_never_filled_becomes_a_journal(tmp_path: Path):
    (tmp_path / "j.db").touch()
    with Journal(tmp_path / "j.db") as journal:
        assert journal.record([_row(1)]) == 1


@pytest.mark.parametrize("small", [0, 2**30])
def test_a_truncated_journal_is_refused_with_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: int):
    monkeypatch.setattr(journal_file, "_SMALL", small)  # above it, a file is not read through when it is opened
    path = tmp_path / "j.db"
    _fill(path)
    content = path.read_bytes()[:-20_000]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"j\.db: damaged journal of replies .* restore a copy"):
        Journal(path)
    assert path.read_bytes() == content


def test_a_small_journal_with_a_spoilt_page_is_refused(tmp_path: Path):
    path = tmp_path / "j.db"
    _fill(path)
    content = bytearray(path.read_bytes())
    content[40 * 4096 : 41 * 4096] = b"\x55" * 4096
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"j\.db: damaged journal"):
        Journal(path)
    assert path.read_bytes() == content


def test_any_spoilt_page_of_a_large_journal_is_found_when_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(journal_file, "_SMALL", 0)
    path = tmp_path / "j.db"
    _fill(path, 80)
    whole = path.read_bytes()
    with Journal(path) as journal:
        rows = list(journal.rows())
    errors = []
    for page in range(len(whole) // 4096):
        for junk in (b"\0", b"\x55", b"\xff"):
            path.write_bytes(whole[: page * 4096] + junk * 4096 + whole[(page + 1) * 4096 :])
            try:
                with Journal(path) as journal:
                    assert list(journal.rows()) == rows
                    list(journal.failures()), journal.sessions(), journal.groups(), journal.noted("x")
            except ValueError as error:
                errors.append(str(error))
    assert len(errors) >= 3 * 12  # the pages of 80 replies, 7 to a page, and the tables' roots
    assert all(str(path) in error for error in errors)


def test_tables_that_disagree_are_damage(tmp_path: Path):
    path = tmp_path / "j.db"
    _fill(path, 80)
    with closing(sqlite3.connect(path)) as database:
        database.execute("DELETE FROM replies WHERE position = 80")
        database.commit()
    with pytest.raises(ValueError, match="79 replies, 80 counted, 80 known by id"):
        Journal(path)


def test_a_reply_taken_out_of_the_middle_is_missed(tmp_path: Path):
    path = tmp_path / "j.db"
    _fill(path, 80)
    with closing(sqlite3.connect(path)) as database:
        database.execute("DELETE FROM replies WHERE position = 7")
        database.commit()
    with Journal(path) as journal, pytest.raises(ValueError, match="79 of the replies 1 to 80"):
        list(journal.rows())


def test_a_full_disk_costs_nothing_acknowledged(small_disk: Path):
    path = small_disk / "j.db"
    with Journal(path) as journal:

        def record_until_it_fails() -> None:
            while True:
                journal.record([_row(n, "x" * 500) for n in range(len(journal), len(journal) + 10)])

        with pytest.raises(OSError, match=r"j\.db: the disk is full; what was acknowledged before is kept") as caught:
            record_until_it_fails()
        number = len(journal)
        assert caught.value.errno == errno.ENOSPC
        assert number > 100
        assert [row["prompt_tokens"] for _, row in journal.rows()] == list(range(number))
        assert journal.totals()["rows"] == len(journal.known()) == number
    with pytest.raises(OSError, match=r"j\.db: the disk is full"), Journal(path) as journal:
        journal.record([_row(n, "x" * 500) for n in range(1000, 2000)])
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    with Journal(path) as journal:
        assert [row["prompt_tokens"] for _, row in journal.rows()] == list(range(number))
        assert journal.record([_row(number)]) == 1


def test_a_full_disk_says_so_when_a_journal_is_made_or_opened(small_disk: Path):
    path, ballast = small_disk / "j.db", small_disk / "ballast"
    with Journal(path) as journal:
        journal.record([_row(1)])
    with pytest.raises(OSError, match="No space"):
        ballast.write_bytes(bytes(2**21))
    with pytest.raises(OSError, match=r"new\.db: the disk is full"):
        Journal(small_disk / "new.db")
    with pytest.raises(OSError, match=r"j\.db: the disk is full"):
        Journal(path)
    ballast.unlink()
    Journal(small_disk / "new.db").close()
    with Journal(path) as journal:
        assert len(journal) == 1


LIMITED = """
import resource, sys
from pathlib import Path
sys.path.insert(0, str(Path(sys.argv[2])))
from test_journal_file import _row
from hub_tools.teachers.journal import Journal
journal = Journal(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
for n in range(10_000):
    journal.record([_row(n, "x" * 500)])
    print(n, flush=True)
"""


def test_a_file_that_may_not_grow_costs_nothing_acknowledged(tmp_path: Path):
    path = tmp_path / "j.db"
    command = [sys.executable, "-c", LIMITED, path, Path(__file__).parent]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert f"OSError: [Errno 5] {path}: disk I/O error; what was acknowledged before is kept. Look at" in done.stderr
    with Journal(path) as journal:
        assert [row["prompt_tokens"] for _, row in journal.rows()] == list(range(len(done.stdout.split())))
        assert len(journal) > 5


def test_a_read_only_disk_is_named(small_disk: Path):
    path = small_disk / "j.db"
    with Journal(path) as journal:
        journal.record([_row(1)])
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for name in (path, small_disk / "new" / "j.db", small_disk / "new.db"):
        with pytest.raises(OSError, match=f"{name}: Read-only file system; name a journal in a folder you can write"):
            Journal(name)
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    with Journal(path) as journal:
        assert len(journal) == 1


def test_a_read_only_file_is_named(tmp_path: Path):
    path = tmp_path / "j.db"
    _fill(path, 20)
    done = subprocess.run(["chattr", "+i", path], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"cannot make a file immutable here: {done.stderr.strip()}")
    try:
        with pytest.raises(PermissionError, match=r"j\.db: .*; name a journal that you can write to"):
            Journal(path)
    finally:
        subprocess.run(["chattr", "-i", path], check=True)
    with Journal(path) as journal:
        assert len(journal) == 20


def test_a_folder_in_the_files_place_is_named(tmp_path: Path):
    (tmp_path / "j.db").mkdir()
    (tmp_path / "file").touch()
    for path in (tmp_path / "j.db", tmp_path / "file" / "j.db"):
        with pytest.raises(OSError, match=r"j\.db: .*; name a journal"):
            Journal(path)


def _make_version_1(path: Path, rows: list[dict]) -> None:
    """A journal as the first version of this module made it."""
    kinds = {name: f"{'INTEGER' if name.endswith('tokens') else 'TEXT'} NOT NULL" for name in COLUMNS}
    kinds["request_id"] += " UNIQUE"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        columns = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
        database.execute(f"CREATE TABLE replies (position INTEGER PRIMARY KEY, {columns})")
        database.execute("PRAGMA application_id = 0x46534131")
        database.execute("PRAGMA user_version = 1")
        names = ", ".join(COLUMNS)
        database.execute("BEGIN")
        database.executemany(
            f"INSERT INTO replies ({names}) VALUES ({', '.join('?' * len(COLUMNS))})",
            [[row[name] for name in COLUMNS] for row in rows],
        )
        database.execute("COMMIT")


def test_a_journal_of_version_1_is_brought_up_to_date(tmp_path: Path):
    rows = [{**_row(number), "prompt": ("analysis", "rewriting")[number % 2]} for number in (3, 1, 2)]
    _make_version_1(tmp_path / "j.db", rows)
    for new in (1, 0):
        with Journal(tmp_path / "j.db") as journal:
            assert [row for _, row in journal.rows()][:3] == rows
            assert journal.known().contains(["q1", "q2", "q3"]) == [True] * 3
            assert [(group["prompt"], group["rows"]) for group in journal.groups()[:2]] != []
            assert journal.record([_row(1), _row(4)]) == new
    with closing(sqlite3.connect(tmp_path / "j.db")) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (2,)
        assert database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'replies_1'").fetchone() == (0,)


def test_an_upgrade_that_finds_no_space_leaves_the_journal_as_it_was(small_disk: Path):
    path = small_disk / "j.db"
    _make_version_1(path, [_row(number, "x" * 500) for number in range(500)])
    content = path.read_bytes()
    with pytest.raises(OSError, match=r"j\.db: the disk is full"):
        Journal(path)
    assert path.read_bytes() == content
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    with Journal(path) as journal:
        assert [row["prompt_tokens"] for _, row in journal.rows()] == list(range(500))
