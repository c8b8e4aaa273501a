"""The embedded Hub against strangers, traversal and bad requests; and the tests' own guard."""

import http.client
import json
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from huggingface_hub import HfApi
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub_tools.hub.embedded import EmbeddedHub
from hub_tools.hub.embedded.errors import HubError
from hub_tools.hub.embedded.names import file_path, ref_name, repo_key


def ask(
    hub: EmbeddedHub, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Send a request exactly as written: real clients would tidy up a hostile path."""
    connection = http.client.HTTPConnection(hub.host, hub.port, timeout=300)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def owner(hub: EmbeddedHub) -> dict[str, str]:
    return {"Authorization": f"Bearer {hub.token}"}


@pytest.fixture
def repo(hub: EmbeddedHub, repo_id: str) -> str:
    HfApi().create_repo(repo_id)
    return repo_id


BAD_PATHS = [
    "../a",
    "a/../b",
    "/etc/passwd",
    "a//b",
    ".",
    "a/.",
    ".git/config",
    "a/.GIT/hooks",
    "a\0b",
    "a\\b",
    "",
    "a\n",
]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_paths_that_lead_out_of_a_repo_are_refused(hub: EmbeddedHub, repo: str, path: str) -> None:
    lines = [
        {"key": "header", "value": {"summary": "escape"}},
        {"key": "file", "value": {"path": path, "content": "eA==", "encoding": "base64"}},
    ]
    body = "\n".join(map(json.dumps, lines)).encode()
    status, _, answer = ask(hub, "POST", f"/api/models/{repo}/commit/main", body, owner(hub))
    assert (status, b"Invalid path" in answer) == (400, True)
    assert HfApi().list_repo_files(repo) == [".gitattributes"]


@pytest.mark.parametrize("path", ["../repo.json", "../../../../../token", "%2e%2e/repo.json", "..%2f..%2frepo.json"])
def test_files_beside_a_repo_cannot_be_read(hub: EmbeddedHub, repo: str, path: str) -> None:
    for address in (
        f"/{repo}/resolve/main/{path}",
        f"/{repo}/resolve/{path}/a",
        f"/api/models/{repo}/tree/main/{path}",
    ):
        status, _, body = ask(hub, "GET", address, headers=owner(hub))
        assert status in (400, 404)
        assert b"created" not in body


@pytest.mark.parametrize(
    "name", ["..", "a/b/c", ".hidden", "a..b", "a--b", "é", "a" * 97, "-a", "x.git", "a\0", "a b"]
)
def test_repo_names_that_could_be_paths_are_refused(hub: EmbeddedHub, name: str) -> None:
    payload = json.dumps({"name": name, "organization": "me"}).encode()
    status, _, _ = ask(hub, "POST", "/api/repos/create", payload, owner(hub))
    assert status == 400


@given(st.text(max_size=40))
def test_every_path_and_name_is_taken_whole_or_refused(text: str) -> None:
    for check in (file_path, ref_name, lambda name: repo_key("models", "me", name).name):
        try:
            taken = check(text)
        except HubError:
            continue
        assert taken == text
        assert ".." not in text.split("/")
        assert not text.startswith("/")


FIELDS = "name files path key value objects oid size title tag message content type".split()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH"]),
    path=st.sampled_from(
        [
            "/api/repos/create", "/api/repos/move", "/api/repos/delete", "/api/validate-yaml", "/api/models?limit=x",
            "/api/models/{}/commit/main", "/api/models/{}/preupload/main", "/api/models/{}/paths-info/main",
            "/api/models/{}/tag/main", "/api/models/{}/branch/b", "/api/models/{}/discussions",
            "/api/models/{}/discussions/1/merge", "/api/models/{}/settings", "/{}.git/info/lfs/objects/batch",
            "/lfs/00?size=1&part=1", "/api/models/{}/super-squash/main", "/{}/resolve/%ff/a", "/%00/%00",
        ]
    ),
    body=st.one_of(
        st.binary(max_size=50),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(FIELDS), inner),
        ).map(lambda value: json.dumps(value).encode()),
    ),
)  # fmt: skip
def test_no_request_gets_a_5xx(hub: EmbeddedHub, method: str, path: str, body: bytes) -> None:
    HfApi().create_repo("tests/fuzzed", exist_ok=True)
    status, _, _ = ask(hub, method, path.format("tests/fuzzed"), body, owner(hub))
    assert 200 <= status < 500


def test_a_bug_in_a_handler_becomes_a_400(hub: EmbeddedHub, monkeypatch: pytest.MonkeyPatch, repo: str) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("hub_tools.hub.embedded.info.repo_info", broken)
    status, headers, _ = ask(hub, "GET", f"/api/models/{repo}", headers=owner(hub))
    assert status == 400
    assert "ZeroDivisionError" in headers["x-error-message"]


@pytest.mark.parametrize("host", ["example.com", "127.0.0.1.example.com", "localhost.evil:80", "", "0.0.0.0", "[::2]"])
def test_a_request_under_another_name_is_refused(hub: EmbeddedHub, host: str) -> None:
    assert ask(hub, "GET", "/api/models", headers={"Host": host})[0] == 403


def test_every_host_but_loopback_is_refused(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "192.168.1.1", "example.com", "::", ""):
        with pytest.raises(ValueError, match="loopback only"):
            EmbeddedHub(tmp_path, host=host)


def test_the_token_is_the_users_alone_and_never_told(hub: EmbeddedHub, repo: str) -> None:
    token = hub.root / "hf_home" / "token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert stat.S_IMODE(token.parent.stat().st_mode) == 0o700
    assert hub.token not in repr(hub.environment)
    for path in ("/", "/api/whoami-v2", f"/api/models/{repo}", "/none"):
        assert hub.token.encode() not in ask(hub, "GET", path, headers=owner(hub))[2]
    stored = [path for path in hub.root.rglob("*.json") if hub.token in path.read_text(errors="replace")]
    assert stored == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/repos/create"),
        ("DELETE", "/api/repos/delete"),
        ("POST", "/api/repos/move"),
        ("PUT", "/api/models/{}/settings"),
        ("POST", "/api/models/{}/commit/main"),
        ("POST", "/api/models/{}/branch/b"),
        ("POST", "/api/models/{}/tag/main"),
        ("POST", "/api/models/{}/super-squash/main"),
        ("POST", "/api/models/{}/discussions"),
        ("POST", "/{}.git/info/lfs/objects/batch"),
        ("PUT", "/lfs/" + "0" * 64 + "?size=1&part=0&expires=99999999999&signature=00"),
    ],
)
def test_nothing_is_written_without_the_token_or_a_signature(
    hub: EmbeddedHub, repo: str, method: str, path: str
) -> None:
    status, _, _ = ask(hub, method, path.format(repo), b"x")
    assert status in (401, 403)


def upload_address(hub: EmbeddedHub, repo: str, oid: str, size: int) -> str:
    body = json.dumps({"operation": "upload", "objects": [{"oid": oid, "size": size}]}).encode()
    _, _, answer = ask(hub, "POST", f"/{repo}.git/info/lfs/objects/batch", body, owner(hub))
    parts = urlsplit(json.loads(answer)["objects"][0]["actions"]["upload"]["href"])
    return f"{parts.path}?{parts.query}"


def test_an_upload_must_be_what_its_address_was_signed_for(hub: EmbeddedHub, repo: str) -> None:
    oid = "f" * 64
    address = upload_address(hub, repo, oid, 5)
    assert ask(hub, "PUT", address.replace("size=5", "size=6"), b"123456")[0] == 403
    assert ask(hub, "PUT", address.replace(oid, "e" * 64), b"12345")[0] == 403
    assert ask(hub, "PUT", address, b"1234567")[0] == 413
    assert ask(hub, "PUT", address, b"123")[0] == 400
    assert b"has the sha256" in ask(hub, "PUT", address, b"12345")[2]
    line = {"key": "lfsFile", "value": {"path": "a.bin", "oid": oid, "size": 5}}
    body = "\n".join(map(json.dumps, [{"key": "header", "value": {"summary": "s"}}, line])).encode()
    status, _, answer = ask(hub, "POST", f"/api/models/{repo}/commit/main", body, owner(hub))
    assert (status, b"never uploaded" in answer) == (400, True)


def test_files_are_served_as_data_never_as_pages(hub: EmbeddedHub, repo: str) -> None:
    HfApi().upload_file(path_or_fileobj=b"<script>", path_in_repo="a.html", repo_id=repo)
    status, headers, body = ask(hub, "GET", f"/{repo}/resolve/main/a.html")
    assert (status, body, headers["content-type"]) == (200, b"<script>", "application/octet-stream")
    assert headers["x-content-type-options"] == "nosniff"


def test_a_part_of_a_file_is_sent_when_a_range_is_asked(hub: EmbeddedHub, repo: str) -> None:
    HfApi().upload_file(path_or_fileobj=b"0123456789", path_in_repo="a.txt", repo_id=repo)
    path = f"/{quote(repo)}/resolve/main/a.txt"
    status, headers, body = ask(hub, "GET", path, headers={"Range": "bytes=2-4"})
    assert (status, body, headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    assert ask(hub, "GET", path, headers={"Range": "bytes=20-"})[0] == 416
    status, headers, body = ask(hub, "HEAD", path)
    assert (status, headers["content-length"], body) == (200, "10", b"")
    old = {"Range": "bytes=2-4", "If-Range": '"another"'}
    assert ask(hub, "GET", path, headers=old)[2] == b"0123456789"


def test_the_guard_refuses_every_other_machine(nothing_beyond_loopback: list[str]) -> None:
    with pytest.raises(OSError, match="loopback only"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    with pytest.raises(OSError, match="loopback only"):
        socket.getaddrinfo("example.com", 80)
    with socket.socket() as free, pytest.raises(OSError, match="loopback only"):
        free.connect_ex(("192.0.2.1", 80))
    assert nothing_beyond_loopback == ["192.0.2.1", "example.com", "192.0.2.1"]
    nothing_beyond_loopback.clear()


def test_importing_hub_tools_opens_no_socket() -> None:
    program = """
import importlib, pkgutil, socket, sys
def refuse(*arguments, **options): raise SystemExit(f"a socket at import: {arguments}")
socket.socket.connect = socket.socket.bind = socket.getaddrinfo = refuse
import hub_tools
for module in pkgutil.walk_packages(hub_tools.__path__, "hub_tools."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
