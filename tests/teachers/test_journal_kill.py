"""Nothing acknowledged is lost to a kill, nothing is there twice, and what was summed is what is there."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from hub_tools.teachers.journal import Journal


WRITER = """
import sys
from pathlib import Path
from hub_tools.teachers.journal import COLUMNS, Journal
from hub_tools.teachers.request import Failure, Request
with Journal(Path(sys.argv[1])) as journal:
    journal.begin_session()
    start = len(journal)
    for first in range(start - start % 7, 10_000_000, 7):  # batches of before are sent again: some are answered
        rows = [
            {name: f"{name} {n}" for name in COLUMNS} | {"prompt_tokens": n, "completion_tokens": 1}
            for n in range(first, first + 7)
        ]
        later = [Request(f"request_id {n}", "r", "", "p", []) for n in range(first + 7, first + 14)]
        journal.record(rows, [Failure(request, "late") for request in later])
        print(first, flush=True)
"""


def test_nothing_acknowledged_is_lost_to_a_kill(tmp_path: Path):
    path, moments = tmp_path / "j.db", random.Random(3)
    for attempt in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], text=True
        )
        assert writer.stdout
        # Every other one dies somewhere between its start and its first commits.
        acknowledged = [int(writer.stdout.readline())] if attempt % 2 else []
        time.sleep(moments.uniform(0, 0.3))
        os.kill(writer.pid, signal.SIGKILL)
        acknowledged += [int(line) for line in writer.stdout if line.endswith("\n")]
        writer.wait()
        writer.stdout.close()
        with Journal(path) as journal:
            assert all(journal.known().contains([f"request_id {n}" for n in acknowledged]))
            numbers = [row["prompt_tokens"] for _, row in journal.rows()]
            assert numbers == list(range(len(numbers)))
            assert journal.totals()["rows"] == len(numbers) == sum(session["rows"] for session in journal.sessions())
            assert journal.totals()["prompt_tokens"] == sum(numbers)
            last = len(numbers)
            assert [failure["request_id"] for failure in journal.failures()] == [
                f"request_id {n}" for n in range(last, last + 7 if last else 0)
            ]
    assert numbers
