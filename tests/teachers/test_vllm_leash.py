"""What holds vLLM's engine to its parent, tried on processes that only bear the engine's title."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the leash is for Linux")

PARENT = """
import subprocess, time
from hub_tools.teachers.vllm_leash import leash
leash()
for title in ("VLLM::EngineCore", "another"):
    print(subprocess.Popen(["bash", "-c", f"exec -a {title} sleep 300"]).pid, flush=True)
time.sleep(300)
"""


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_engine_ends_with_a_killed_parent_and_its_other_children_live_on():
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    engine, other = (psutil.Process(int(parent.stdout.readline())) for _ in range(2))
    try:
        (leash,) = [child for child in psutil.Process(parent.pid).children() if "vllm_leash" in str(child.cmdline())]
        assert os.getsid(leash.pid) == leash.pid  # Ctrl-C does not reach it
        _until(lambda: leash.num_fds() > 4)  # it has found the engine
        parent.kill()
        parent.wait()
        _until(lambda: not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE)
        _until(lambda: not leash.is_running() or leash.status() == psutil.STATUS_ZOMBIE)
        assert other.is_running()
    finally:
        parent.kill()
        for process in (engine, other):
            if process.is_running():
                process.send_signal(signal.SIGKILL)
        parent.stdout.close()
