"""Fifty SIGKILLs at random moments, each followed by a resume: nothing acknowledged is lost, nothing is paid twice."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.labelling.killed_run import CONCURRENCY


KILLS = 50


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """The journal's folder and what was seen."""
    folder = tmp_path_factory.mktemp("killed")
    script = Path(__file__).with_name("killed_run.py")
    environment = os.environ | {"PYTHONPATH": str(script.parents[2]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), str(folder), str(KILLS), "20261121"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def test_no_acknowledged_reply_is_lost_and_none_is_there_twice(killed):
    _, seen = killed
    assert seen["kills"] == KILLS
    assert [life["lost"] for life in seen["lives"]] == [0] * (KILLS + 1)
    assert [life["repeated"] for life in seen["lives"]] == [0] * (KILLS + 1)
    recorded = [life["recorded"] for life in seen["lives"]]
    assert recorded == sorted(recorded)
    assert (recorded[-1], seen["prompts"]) == (seen["wanted"], seen["wanted"])


def test_no_more_is_asked_again_than_was_in_flight(killed):
    _, seen = killed
    assert max(life["again"] for life in seen["lives"]) <= CONCURRENCY
    assert seen["asked"] <= seen["wanted"] + KILLS * CONCURRENCY
    assert seen["asked"] > seen["wanted"]  # else no kill has hit a request in flight


def test_the_last_life_ends_by_itself(killed):
    _, seen = killed
    assert seen["lives"][-1]["status"] == 0
