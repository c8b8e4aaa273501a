"""
How fast replies become durable beside the obvious ways, and how long a journal of two million takes to open.

python tests/benchmarks/journal_speed.py [--folder FOLDER] [--rows 2000000]

FOLDER is on the disk to measure (a temporary one where TMPDIR points, else). Two million rows take some 1.5 GB there:
their replies are short, for opening does not read them; the batches that are timed have replies of 1 kB.
"""

import argparse
import hashlib
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

from hub_tools.teachers.journal import COLUMNS, Journal


WORDS = "the soup was warm but service slow and our waiter forgot wine twice so we left early again".split()
SAMPLING = json.dumps({"dtype": "bfloat16", "max_new_tokens": 512, "seed": 42, "temperature": 0.0, "top_p": 1.0})
TIMED = 20_480  # rows of one measurement
ROUNDS = 3

OPEN = """
import resource, sys, time
from pathlib import Path
start = time.perf_counter()
from hub_tools.teachers.journal import Journal
imported = time.perf_counter()
journal = Journal(Path(sys.argv[1]))
known, totals, groups = journal.known(), journal.totals(), journal.groups()
opened = time.perf_counter()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"{len(known):,} ids known in {opened - imported:.2f} s + imports {imported - start:.2f} s, peak {peak:.0f} MB")
"""


def make_rows(first: int, n: int, characters: int) -> list[dict]:
    """Reply rows of requests first to first + n, with replies of so many characters."""
    rng = random.Random(first)
    reply = " ".join(rng.choices(WORDS, k=characters // 3 + 50))
    return [
        {
            "request_id": hashlib.sha256(str(number).encode()).hexdigest()[:32],
            "review_id": f"yelp-{number:09}",
            "prompt": ("analysis", "rewriting")[number % 2],
            "teacher": "meta-llama/Llama-2-7b-chat-hf",
            "teacher_revision": "f5db02db724555f92da89c216ac04704f23d4590",
            "sampling": SAMPLING,
            "reply": reply[number % 50 :][:characters],
            "finish_reason": "stop",
            "prompt_tokens": 900,
            "completion_tokens": 250,
        }
        for number in range(first, first + n)
    ]


def append_lines(path: Path, batches: list[list[dict]]) -> None:
    """The obvious way: one JSON line a row, flushed and synced batch by batch. It finds no duplicates."""
    with path.open("a") as file:
        for batch in batches:
            file.writelines(json.dumps(row) + "\n" for row in batch)
            file.flush()
            os.fsync(file.fileno())


def insert_rows(path: Path, batches: Iterable[list[dict]]) -> None:
    """The other obvious way: one SQLite table with a unique id, as durable, a commit for each batch."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute(f"CREATE TABLE IF NOT EXISTS replies ({', '.join(COLUMNS)}, UNIQUE (request_id))")
        marks = ", ".join("?" * len(COLUMNS))
        for batch in batches:
            database.execute("BEGIN IMMEDIATE")
            values = [tuple(row.values()) for row in batch]
            database.executemany(f"INSERT OR IGNORE INTO replies VALUES ({marks})", values)
            database.execute("COMMIT")


def record(path: Path, batches: list[list[dict]]) -> None:
    """Ours."""
    with Journal(path) as journal:
        for batch in batches:
            journal.record(batch)


def rate(write: Callable, path: Path, size: int, first: int, n: int = TIMED) -> float:
    """Rows per second that `write` makes durable in batches of `size`, opening and closing a small file included."""
    batches = [make_rows(start, size, 1000) for start in range(first, first + n, size)]
    begin = time.perf_counter()
    write(path, batches)
    return n / (time.perf_counter() - begin)


def main() -> None:
    """Print the two tables."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where to write (and clean up)")
    parser.add_argument("--rows", type=int, default=2_000_000, help="of the large journal (2000000)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        compare(Path(folder))
        large(Path(folder), arguments.rows)


def compare(folder: Path) -> None:
    """The three ways in turn, several rounds, the best of each: on a shared machine the rest is others' work."""
    ways = {"journal": record, "JSON lines + fsync": append_lines, "SQLite, unique id": insert_rows}
    print("replies of 1 kB, acknowledged rows/s, best of", ROUNDS)
    for size in (256, 1024):
        best = dict.fromkeys(ways, 0.0)
        for turn in range(ROUNDS):
            for name, write in ways.items():
                best[name] = max(best[name], rate(write, folder / f"{name} {size}", size, turn * TIMED))
        print(f"batches of {size:5}: " + ", ".join(f"{name} {value:,.0f}" for name, value in best.items()))
    ones = {name: rate(write, folder / f"{name} 1", 1, 0, 1024) for name, write in ways.items()}
    print(f"batches of {1:5}: " + ", ".join(f"{name} {value:,.0f}" for name, value in ones.items()))


def large(folder: Path, n: int) -> None:
    """Fill a journal, open it in a new process, and write on, beside a table that is as large."""
    path, table = folder / "large.db", folder / "table.db"
    begin = time.perf_counter()
    with Journal(path) as journal:
        for first in range(0, n, 1024):
            journal.record(make_rows(first, min(1024, n - first), 100))
    size = path.stat().st_size / 2**20
    print(
        f"a journal of {n:,} replies of 100 characters, {size:,.0f} MB, filled in {time.perf_counter() - begin:.0f} s"
    )
    for state in ("not in the page cache", "in the page cache"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            if state.startswith("not"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        done = subprocess.run([sys.executable, "-c", OPEN, str(path)], check=True, capture_output=True, text=True)
        print(f"opened, file {state}: {done.stdout.strip()}")
    insert_rows(table, (make_rows(first, min(50_000, n - first), 100) for first in range(0, n, 50_000)))
    best = {"journal": 0.0, "SQLite, unique id": 0.0}
    with Journal(path) as journal:
        for turn in range(ROUNDS):
            first = n + turn * TIMED
            ours = rate(lambda _, batches: [journal.record(batch) for batch in batches], path, 256, first)
            best["journal"] = max(best["journal"], ours)
            best["SQLite, unique id"] = max(best["SQLite, unique id"], rate(insert_rows, table, 256, first))
    print("batches of   256 behind them: " + ", ".join(f"{name} {value:,.0f}" for name, value in best.items()))


if __name__ == "__main__":
    main()
