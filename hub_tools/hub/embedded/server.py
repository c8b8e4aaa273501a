"""The running server: one per root folder, on loopback, in a thread of whoever needs it."""

import fcntl
import ipaddress
import json
import logging
import os
import secrets
import shutil
import signal
import socket
import threading
import time
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn

from hub_tools.hub.embedded import durable
from hub_tools.hub.embedded.app import App
from hub_tools.hub.embedded.environment import environment_of, token_path
from hub_tools.hub.embedded.repos import Repos


logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
STOP_SECONDS = 5
MAIN_THREAD_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}
START_SECONDS = 15
LOCK_TRIES, LOCK_WAIT = 10, 0.02


class HubInUse(RuntimeError):
    """Another process serves this root folder, or the port asked for is taken."""


def read_token(root: Path) -> str | None:
    """Return the token of a root folder, or None.

    The file is read for each call, so that `hf auth login` and `logout` in this HF_HOME cannot lock its user out.
    """
    try:
        return token_path(root).read_text().strip() or None
    except (FileNotFoundError, NotADirectoryError):
        return None


def prepare(root: Path) -> None:
    """Make the root folder and its token where they are missing; both are the user's alone (0700, 0600)."""
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = token_path(root)
    path.parent.mkdir(exist_ok=True, mode=0o700)
    os.chmod(path.parent, 0o700)
    if read_token(root) is None:
        durable.write_bytes(path, f"hf_local{secrets.token_hex(20)}".encode())
    os.chmod(path, 0o600)


def remembered(root: Path) -> dict[str, Any]:
    """Return what the last server on `root` wrote of itself (port, endpoint, pid), or {}."""
    return _facts(root / "server.json")


def _facts(path: Path) -> dict[str, Any]:
    try:
        found = durable.read_json(path)
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("port"), int) else {}


def lock(root: Path) -> int | None:
    """Take the lock of `root` and return its descriptor, or None if a living process has it.

    The kernel gives the lock up with the process, however that ends, so a killed server leaves nothing stale.
    """
    descriptor = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def running(root: Path) -> dict[str, Any] | None:
    """Return what the server on `root` wrote of itself, or None if none runs."""
    if not (root / "lock").exists():
        return None
    for _ in range(round(START_SECONDS / LOCK_WAIT)):
        descriptor = lock(root)
        if descriptor is not None:
            os.close(descriptor)
            return None
        if facts := _facts(root / "lock"):  # empty while the server is starting
            return facts
        time.sleep(LOCK_WAIT)
    return remembered(root) or None


def check_loopback(host: str) -> str:
    """Return `host` if it is loopback's address.

    Raises:
        ValueError: for every other host; the embedded Hub has one user and no encryption.
    """
    try:
        if ipaddress.ip_address(host).is_loopback and "." in host:
            return host
    except ValueError:
        pass
    raise ValueError(f"The embedded Hub binds to loopback only (127.0.0.1), not to {host!r}.")


def bind(host: str, port: int, fallback: bool) -> socket.socket:
    """Return a listening socket on `port`; with `fallback`, on a free one if it is taken.

    Raises:
        HubInUse: if the port is taken and there is no fallback.
    """
    # With the protocol named, asyncio sets TCP_NODELAY on each connection; without it every answer takes 40 ms more.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        if fallback and port:
            return bind(host, 0, fallback=False)
        raise HubInUse(f"Port {port} on {host} cannot be used ({error}): name another one with --port.") from None
    return listener


class EmbeddedHub:
    """A Hub on loopback over one root folder, served by a thread while the context is open.

    Args:
        root: the folder that holds everything (repos, blobs, the token and the clients' HF_HOME).
        port: the port; 0 takes the one used before on this root if it is free, else any free one.
        host: loopback's address; every other one is refused.

    Raises:
        HubInUse: on entering, if another process serves `root` or the port is taken.
        ValueError: for a host beyond loopback.
    """

    def __init__(self, root: Path, port: int = 0, host: str = HOST) -> None:
        self.root = Path(root).absolute()
        self.host = check_loopback(host)
        self._wanted_port = port
        self._lock: int | None = None
        self.port = 0

    @property
    def endpoint(self) -> str:
        """The address for HF_ENDPOINT, without a trailing slash (datasets and evaluate would double it)."""
        return f"http://{self.host}:{self.port}"

    @property
    def token(self) -> str:
        """The token that opens this Hub, as it lies in its HF_HOME."""
        return read_token(self.root) or ""

    @property
    def environment(self) -> dict[str, str]:
        """The environment that points every client at this server."""
        return environment_of(self.root, self.endpoint)

    def start(self) -> Self:
        """Start serving; returns when calls are answered."""
        prepare(self.root)
        self._lock = self._take_lock()
        if self._lock is None:
            found = _facts(self.root / "lock")
            who = f"process {found['pid']} at {found['endpoint']}" if found else "another process"
            raise HubInUse(f"An embedded Hub already serves {self.root}: {who}. Use it, or stop it first.")
        try:
            self._serve()
        except BaseException:
            self._unlock()
            raise
        return self

    def _take_lock(self) -> int | None:
        for _ in range(LOCK_TRIES):
            descriptor = lock(self.root)
            if descriptor is not None:
                os.ftruncate(descriptor, 0)
                return descriptor
            time.sleep(LOCK_WAIT)  # someone may only be looking whether a server runs
        return None

    def _serve(self) -> None:
        # What a killed server had not finished receiving; with the lock held, nobody else is writing there.
        shutil.rmtree(self.root / "incoming", ignore_errors=True)
        port = self._wanted_port or remembered(self.root).get("port", 0)
        listener = bind(self.host, port, fallback=not self._wanted_port)
        self.port = listener.getsockname()[1]
        facts = {"port": self.port, "endpoint": self.endpoint, "pid": os.getpid()}
        durable.write_json(self.root / "server.json", facts)
        os.pwrite(self._lock, json.dumps(facts).encode(), 0)
        config = uvicorn.Config(
            App(Repos(self.root), partial(read_token, self.root), secrets.token_bytes(32)),
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_keep_alive=60,
            timeout_graceful_shutdown=STOP_SECONDS - 2,
        )
        self._server = uvicorn.Server(config)
        self._listener = listener
        self._thread = threading.Thread(target=self._run, name="embedded-hub", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        # Only the main thread runs Python's signal handlers. A signal that the system hands to this thread, or to one
        # of its workers (which inherit the mask), would not wake the main thread from a wait.
        signal.pthread_sigmask(signal.SIG_BLOCK, MAIN_THREAD_SIGNALS)
        self._server.run(sockets=[self._listener])

    def stop(self) -> None:
        """Finish the calls under way, for a few seconds at most, and give the folder free."""
        self._server.should_exit = True
        self._thread.join(STOP_SECONDS)
        self._listener.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        """Start serving."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving."""
        self.stop()
