"""What every test gets: an embedded Hub, an environment that leads nowhere else, and a guard that holds it there.

The Hugging Face libraries read HF_ENDPOINT and HF_HOME once, when they are imported, so the Hub starts and the
environment is set here, before any test module is. Each pytest-xdist worker has a Hub of its own.
"""

import ipaddress
import multiprocessing.forkserver
import os
import re
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from hub_tools.hub.embedded import EmbeddedHub
from hub_tools.hub.embedded.environment import UNSET


for name in UNSET:
    os.environ.pop(name, None)

HUB_FOLDER = Path(tempfile.mkdtemp(prefix="fsa-test-hub-"))
HUB = EmbeddedHub(HUB_FOLDER).start()

os.environ |= HUB.environment | {"TOKENIZERS_PARALLELISM": "false", "MPLBACKEND": "Agg"}

# The machines that run the tests are shared: an example that takes long says nothing about the code.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

outside_calls: list[str] = []
_connect, _connect_ex, _getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo


def _is_loopback(host: object) -> bool:
    """Return whether a host given to `connect` or `getaddrinfo` is this machine."""
    if isinstance(host, bytes):
        host = host.decode(errors="replace")
    if host in (None, "", "localhost"):
        return True
    try:
        address = ipaddress.ip_address(str(host).partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _refuse(host: object) -> socket.gaierror:
    # `load_dataset` asks this made-up name, which resolves nowhere (hub_tools/hub/embedded/environment.py).
    if not str(host).startswith("datasets-server.127."):
        outside_calls.append(str(host))
    return socket.gaierror(socket.EAI_NONAME, f"tests may reach loopback only, not {host!r} (tests/conftest.py)")


def _guarded_connect(self: socket.socket, address: Any) -> None:
    if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
        raise _refuse(address[0])
    return _connect(self, address)


def _guarded_connect_ex(self: socket.socket, address: Any) -> int:
    if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
        raise _refuse(address[0])
    return _connect_ex(self, address)


def _guarded_getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
    if not _is_loopback(host):
        raise _refuse(host)
    return _getaddrinfo(host, *args, **kwargs)


socket.socket.connect = _guarded_connect  # type: ignore[method-assign]
socket.socket.connect_ex = _guarded_connect_ex  # type: ignore[method-assign]
socket.getaddrinfo = _guarded_getaddrinfo


def pytest_unconfigure() -> None:
    """Stop the Hub and remove its folder."""
    HUB.stop()
    shutil.rmtree(HUB_FOLDER, ignore_errors=True)


@pytest.fixture(autouse=True)
def nothing_beyond_loopback() -> Iterator[list[str]]:
    """Fail a test that tried to reach another machine, even where the library under test shrugged the refusal off."""
    outside_calls.clear()
    yield outside_calls
    assert not outside_calls, f"this test tried to reach {outside_calls}: tests are offline"


@pytest.fixture(scope="session")
def hub() -> EmbeddedHub:
    """The Hub of this test session: `hub.endpoint`, `hub.token`, `hub.environment` (which is already set)."""
    return HUB


@pytest.fixture
def repo_id(request: pytest.FixtureRequest) -> str:
    """A repo id that no other test uses. The repo is yet to be created."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:40].strip("-")
    return f"tests/{name}-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="session")
def forkserver() -> None:
    """
    The server of forks that multiprocessing has, one a process. It imports what it is told before its first fork and
    nothing later, so it is told here of all tests: else children of those that come second import everything anew.
    """
    modules = [
        "hub_tools.students.crew",
        "hub_tools.teachers.endpoints.openai_batch",
        "openai.resources.batches",
        "openai.resources.files",
    ]
    multiprocessing.set_forkserver_preload(modules)
    multiprocessing.forkserver.ensure_running()


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of official data: $FSA_DATA, or ../shared/data beside the checkout; skips where there is none."""
    folder = Path(os.environ.get("FSA_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"the official data is not at {folder}: set FSA_DATA to its folder")
    return folder


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Functions and bytes would be named by an address or a time, and two workers would collect two tests."""
    return argname if callable(val) or isinstance(val, bytes) else None
