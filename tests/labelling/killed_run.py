"""
A labelling run that is killed again and again; started by test_kills.py, in a process of its own that may fork.

    python tests/labelling/killed_run.py FOLDER KILLS SEED    # prints what was seen, as JSON; makes FOLDER/*.sqlite

The server is a process (tests/teachers/faulty_server.py). Each life of the run is a fork that asks it through the
real client, records the replies, and writes down which ones were acknowledged; it is killed at a random moment.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
import traceback
import urllib.request
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pandas  # noqa: F401  pyarrow loads it when it first reads a list: here once, not in each of the forks

from hub_tools.labelling.requests import Wanted
from hub_tools.prompts import BUILDERS
from hub_tools.teachers.asking import Stop, ask
from hub_tools.teachers.costs.budget import Budget, BudgetSettings
from hub_tools.teachers.endpoints.openai_endpoint import OpenAITeacher
from hub_tools.teachers.journal import Journal
from hub_tools.teachers.settings import TeacherSettings


CONCURRENCY = 8
LATENCY = 0.02
REVIEWS = [
    {
        "review_id": f"r{number}",
        "domain": "restaurant",
        "text": f"Dinner number {number} was superb, but waiter {number} ignored us.",
        "rating": 3.0,
        "source": "made here",
        "licence": "apache-2.0",
    }
    for number in range(600)
]


@dataclass
class Settings(TeacherSettings, BudgetSettings):
    """A teacher without limits."""


def life(journal: Path, url: str, acknowledged: int) -> int:
    """Label what is left; each acknowledged request goes to the file descriptor `acknowledged`. Returns how many."""
    settings = Settings(teacher="openai", model="tiny-chat", endpoints=[url], concurrency=CONCURRENCY)
    teacher = OpenAITeacher(settings)
    with Journal(journal) as journal, Stop() as stop:
        wanted = Wanted(lambda: iter(REVIEWS), BUILDERS, teacher, journal)
        left = wanted.left

        def after(answers) -> None:
            os.write(acknowledged, b"".join(f"{row['request_id']}\n".encode() for row in answers.rows))

        ask(teacher, wanted.unanswered(), journal, Budget(settings, None), stop, after)
    return left


def main() -> None:
    folder, kills, rng = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
    script = Path(__file__).parents[1] / "teachers" / "faulty_server.py"
    server = subprocess.Popen([sys.executable, script, "--latency", str(LATENCY)], stdout=subprocess.PIPE, text=True)
    seen: dict = {"lives": [], "kills": 0}
    try:
        url = server.stdout.readline().strip()
        killed_run(folder, url, kills, rng, seen)
        life(folder / "undisturbed.sqlite", url, os.open(os.devnull, os.O_WRONLY))
    finally:
        server.kill()
        server.wait()
    print(json.dumps(seen))


def stats(url: str) -> Counter:
    with urllib.request.urlopen(f"{url.removesuffix('/v1')}/stats", timeout=30) as answer:
        return Counter(json.load(answer)["asked"])


def killed_run(folder: Path, url: str, kills: int, rng: random.Random, seen: dict) -> None:
    """Lives until one ends by itself; what each lost, and what it asked again, goes to `seen`."""
    said: set[str] = set()  # acknowledged in any life
    before = stats(url)
    while True:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            try:
                life(folder / "killed.sqlite", url, writing)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        os.close(writing)
        if seen["kills"] < kills:
            if rng.random() < 0.7:  # at work, sooner or later
                goal = before.total() + rng.randrange(25)
                end = time.monotonic() + 10
                while stats(url).total() < goal and time.monotonic() < end:
                    time.sleep(0.004)
                time.sleep(rng.uniform(0, LATENCY))
            else:  # any time, opening the journal included
                time.sleep(rng.uniform(0, 0.4))
            os.kill(child, signal.SIGKILL)
        ended = os.waitpid(child, 0)[1]
        with os.fdopen(reading) as pipe:
            lines = pipe.read().split("\n")
        time.sleep(2 * LATENCY)  # requests of the dead reach their end
        now = stats(url)
        said |= {line for line in lines if len(line) == 32}  # a kill may cut the last line
        with Journal(folder / "killed.sqlite") as journal:
            rows = [row["request_id"] for _, row in journal.rows()]
        again = sum(1 for prompt, count in now.items() if 0 < before[prompt] < count)
        seen["lives"].append(
            {
                "lost": len(said - set(rows)),
                "repeated": len(rows) - len(set(rows)),
                "again": again,
                "recorded": len(rows),
                "status": ended,
            }
        )
        before = now
        if not os.WIFSIGNALED(ended):
            break
        seen["kills"] += 1
    seen |= {"asked": now.total(), "prompts": len(now), "wanted": len(REVIEWS) * len(BUILDERS)}


if __name__ == "__main__":
    main()
