"""Ends vLLM's engine when the process that started it was killed: `python vllm_leash.py PID`, as its child.

An engine of vLLM 0.32 outlives a parent that gets SIGKILL (the out-of-memory killer, a scheduler's time limit), and
keeps the GPU's memory, so that the run could not be taken up again. Linux only; standard library only.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
from pathlib import Path


_SECONDS = 1.0  # between two looks for engines


def leash() -> None:
    """Watch over the engines that this process starts from now on, in a process that Ctrl-C does not reach."""
    if sys.platform == "linux":
        subprocess.Popen(
            [sys.executable, "-S", __file__, str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def watch(parent: int) -> None:
    """Until the parent is gone; then kill its engines. Their own workers end with them."""
    gone = os.pidfd_open(parent)
    engines: dict[int, int] = {}  # process → its file descriptor, which no later process of the same number gets
    while not select.select([gone], [], [], _SECONDS)[0]:
        for child in _children(parent):
            if child not in engines and _is_engine(child):
                with contextlib.suppress(ProcessLookupError):
                    engines[child] = os.pidfd_open(child)
    for engine in engines.values():
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(engine, signal.SIGKILL)


def _children(parent: int) -> list[int]:
    found = []
    for thread in Path(f"/proc/{parent}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread has ended
            found += [int(child) for child in thread.read_text().split()]
    return found


def _is_engine(process: int) -> bool:
    """Whether it goes by the title that vLLM gives its processes."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().startswith(b"VLLM::")
    except OSError:
        return False


if __name__ == "__main__":
    with contextlib.suppress(ProcessLookupError):  # the parent was faster
        watch(int(sys.argv[1]))
