"""`fsa hub serve | run | env`: the embedded Hub from the command line.

fsa hub serve                 # serve until Ctrl-C; prints the address
fsa hub run -- COMMAND …      # run a command against it (starts one for that time if none runs)
eval "$(fsa hub env)"         # point this shell's clients at it
"""

import argparse
import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TextIO

from hub_tools.hub.embedded import durable
from hub_tools.hub.embedded.environment import child_environment, environment_of, shell_lines
from hub_tools.hub.embedded.server import HOST, EmbeddedHub, HubInUse, bind, prepare, remembered, running


FORWARDED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")


def default_root() -> Path:
    """Return the root folder used when none is named: $FSA_HUB_ROOT, or .fsa-hub here."""
    return Path(os.environ.get("FSA_HUB_ROOT") or ".fsa-hub")


def serve(root: Path, port: int | None = None) -> None:
    """Serve `root` in the foreground until Ctrl-C or SIGTERM.

    Raises:
        HubInUse: if another process serves it (its pid is named) or the port is taken.
    """
    root = root.absolute()
    stopping = threading.Event()
    with EmbeddedHub(root, port or 0) as hub, _handling(("SIGINT", "SIGTERM"), lambda *_: stopping.set()):
        print(f"Embedded Hub at {hub.endpoint}, kept in {root}")
        print(f'  in another shell:  eval "$(fsa hub env --root {root})"    then hf, load_dataset, from_pretrained …')
        print(f"  or one command:    fsa hub run --root {root} -- COMMAND")
        print("  Ctrl-C stops it; everything stays in the folder.", flush=True)
        stopping.wait()
    print("Embedded Hub stopped.", flush=True)


def environment(root: Path) -> dict[str, str]:
    """Return the variables that point clients at the Hub of `root`, running or still to be started.

    A root that was never served gets a port now, which `serve` and `run` will use.
    """
    root = root.absolute()
    prepare(root)
    facts = running(root) or remembered(root)
    if not facts:
        with bind(HOST, 0, fallback=False) as listener:
            free = listener.getsockname()[1]
        facts = {"port": free, "endpoint": f"http://{HOST}:{free}"}
        durable.write_json(root / "server.json", facts)
    return environment_of(root, facts["endpoint"])


def env(root: Path) -> None:
    """Print the environment as lines for `eval` in a POSIX shell. The token is not among them: it lies in HF_HOME."""
    print("\n".join(shell_lines(environment(root))))
    if running(root.absolute()) is None:
        print(f"# no embedded Hub runs on {root.absolute()}: start it with `fsa hub serve`", file=sys.stderr)


def run(root: Path, command: list[str]) -> int:
    """Run `command` against the Hub of `root`, started for that time if none runs, and return its exit status.

    Signals are passed on to the command; a command ended by signal N gives 128 + N, as in a shell.
    """
    root = root.absolute()
    root.mkdir(parents=True, exist_ok=True)
    with (root / "users.lock").open("a") as users:  # held by every `run` of this root for as long as it needs the Hub
        fcntl.flock(users, fcntl.LOCK_SH)
        hub = None
        if running(root) is None:
            try:
                hub = EmbeddedHub(root).start()
            except HubInUse:  # another one was quicker
                hub = None
        try:
            status = _supervise(command, child_environment(environment(root)))
        except OSError as error:
            print(f"fsa hub run: cannot run {command[0]!r}: {error.strerror}", file=sys.stderr)
            return 126 if isinstance(error, PermissionError) else 127
        finally:
            if hub is not None:
                _stop_when_unused(hub, users)
    return 128 - status if status < 0 else status


def _stop_when_unused(hub: EmbeddedHub, users: TextIO) -> None:
    """Stop the Hub once no other `run` uses it: a command that found it running must not lose it half-way."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("fsa hub run: other commands still use this Hub; it stops after them (Ctrl-C: now).", file=sys.stderr)
        with suppress(KeyboardInterrupt):
            fcntl.flock(users, fcntl.LOCK_EX)
    hub.stop()


def _supervise(command: list[str], variables: dict[str, str]) -> int:
    """Run `command` to its end, passing on signals, those included that come before it has started."""
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def pass_on(number: int, _: FrameType | None) -> None:
        if child is None:
            early.append(number)
        else:
            _forward(child, number)

    with _handling(FORWARDED, pass_on):
        child = subprocess.Popen(command, env=variables)
        for number in early:
            _forward(child, number)
        return child.wait()


def _forward(child: subprocess.Popen[bytes], number: int) -> None:
    # The terminal sends Ctrl-C and Ctrl-\ to the command itself, which shares our process group.
    if number in (signal.SIGINT, signal.SIGQUIT) and _in_foreground():
        return
    child.send_signal(number)


def _in_foreground() -> bool:
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False


@contextmanager
def _handling(names: tuple[str, ...], handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle signals in this block; a no-op outside the main thread, which alone may."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    before = {name: signal.signal(getattr(signal, name), handler) for name in names}
    try:
        yield
    finally:
        for name, old in before.items():
            signal.signal(getattr(signal, name), old)


def parser() -> argparse.ArgumentParser:
    """Return the parser of `fsa hub`."""
    root = argparse.ArgumentParser(add_help=False)
    root.add_argument("--root", type=Path, default=None, help="folder of the Hub (default: $FSA_HUB_ROOT or .fsa-hub)")
    result = argparse.ArgumentParser(prog="fsa hub", description="A Hub on this machine, for the real clients.")
    actions = result.add_subparsers(dest="action", required=True)
    serving = actions.add_parser("serve", parents=[root], help="serve until Ctrl-C")
    serving.add_argument("--port", type=int, default=None, help="port on 127.0.0.1 (default: the one used before)")
    running_ = actions.add_parser("run", parents=[root], help="run a command against the Hub")
    running_.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="the command")
    actions.add_parser("env", parents=[root], help='print the environment, for eval "$(fsa hub env)"')
    return result


def main(arguments: list[str]) -> int:
    """Run `fsa hub ARGUMENTS…` and return the exit status."""
    options = parser().parse_args(arguments)
    root = options.root or default_root()
    try:
        if options.action == "serve":
            serve(root, options.port)
        elif options.action == "env":
            env(root)
        else:
            command = options.command[1:] if options.command[:1] == ["--"] else options.command
            if not command:
                parser().error("run needs a command: fsa hub run -- COMMAND …")
            return run(root, command)
    except (HubInUse, OSError) as error:
        print(f"fsa hub: {error}", file=sys.stderr)
        return 1
    return 0
