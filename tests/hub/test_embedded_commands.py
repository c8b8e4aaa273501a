"""`fsa hub serve | run | env`, in processes of their own."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hub_tools.hub.embedded import EmbeddedHub, HubInUse
from hub_tools.hub.embedded.commands import main, run
from hub_tools.hub.embedded.environment import UNSET
from hub_tools.hub.embedded.server import running


MODULE = [sys.executable, "-m", "hub_tools.hub.embedded"]
WHOAMI = [sys.executable, "-c", "import huggingface_hub as h; print(h.whoami()['name'], h.constants.ENDPOINT)"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "my hub"


def test_run_starts_a_hub_for_the_time_of_a_command(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(root, WHOAMI) == 0
    assert capfd.readouterr().out.startswith("local http://127.0.0.1:")
    assert running(root) is None


def test_run_uses_the_hub_that_is_running(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with EmbeddedHub(root) as hub:
        assert run(root, WHOAMI) == 0
        assert capfd.readouterr().out == f"local {hub.endpoint}\n"
        assert running(root) is not None


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -TERM $$"], 143),
        (["no-such-command"], 127),
        (["/etc/passwd"], 126),
    ],
)
def test_run_returns_the_exit_status_of_the_command(root: Path, command: list[str], status: int) -> None:
    assert main(["run", "--root", str(root), "--", *command]) == status


def test_run_passes_signals_on(root: Path) -> None:
    script = "trap 'echo got it; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    process = subprocess.Popen([*MODULE, "run", "--root", str(root), "--", "sh", "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.read() == b"got it\n"
    assert process.wait() == 3
    process.stdout.close()


def test_run_hides_the_users_own_hub_settings(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in UNSET:
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("NO_PROXY", "corp.example")
    program = (
        "import os, sys; e = os.environ; "
        f"sys.exit(any(n in e for n in {UNSET!r}) or e['NO_PROXY'] != 'corp.example,127.0.0.1,localhost,.127.0.0.1')"
    )
    assert run(root, [sys.executable, "-c", program]) == 0


def test_logging_out_in_its_hf_home_does_not_lock_the_user_out(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with EmbeddedHub(root) as hub:
        (root / "hf_home" / "token").unlink()
        assert run(root, WHOAMI) == 0  # a new token is made where the clients look for it
        assert capfd.readouterr().out == f"local {hub.endpoint}\n"


def test_serve_prints_its_address_and_stops_on_ctrl_c(root: Path) -> None:
    process = subprocess.Popen([*MODULE, "serve", "--root", str(root)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    first = process.stdout.readline().decode()
    assert re.match(r"Embedded Hub at http://127\.0\.0\.1:\d+, kept in ", first)
    second = subprocess.run([*MODULE, "serve", "--root", str(root)], capture_output=True, text=True)
    assert second.returncode == 1
    assert f"process {process.pid}" in second.stderr
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, b"")
    assert out.endswith(b"Embedded Hub stopped.\n")
    assert (root / "hf_home" / "token").read_bytes() not in out + first.encode()


def test_a_killed_server_leaves_no_lock_behind(root: Path) -> None:
    process = subprocess.Popen([*MODULE, "serve", "--root", str(root)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.wait()
    process.stdout.close()
    assert running(root) is None
    with EmbeddedHub(root) as hub:
        assert running(root) is not None
        assert hub.port


def test_a_taken_port_is_told_when_asked_for_and_avoided_when_remembered(root: Path, hub: EmbeddedHub) -> None:
    with pytest.raises(HubInUse, match=f"Port {hub.port} .* --port"), EmbeddedHub(root, hub.port):
        pass
    assert main(["serve", "--root", str(root), "--port", str(hub.port)]) == 1
    (root / "server.json").write_text(f'{{"port": {hub.port}, "endpoint": "", "pid": 1}}')
    with EmbeddedHub(root) as other:
        assert other.port != hub.port


def test_env_can_be_evaluated_by_a_shell(root: Path) -> None:
    line = f'export HF_TOKEN=real; eval "$({" ".join(MODULE)} env --root "$ROOT")"; echo "${{HF_TOKEN-none}} $HF_HOME"'
    environment = os.environ | {"ROOT": str(root)}
    with EmbeddedHub(root):
        result = subprocess.run(["sh", "-c", line], env=environment, capture_output=True, text=True)
    assert result.stdout == f"none {root}/hf_home\n"
    assert result.stderr == ""


def test_env_without_a_server_says_so_and_names_the_port_that_serve_will_use(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["env", "--root", str(root)]) == 0
    printed = capsys.readouterr()
    assert "no embedded Hub runs" in printed.err
    assert (root / "hf_home" / "token").read_text() not in printed.out + printed.err
    with EmbeddedHub(root) as hub:
        assert f"export HF_ENDPOINT={hub.endpoint}\n" in printed.out


def test_a_root_that_cannot_be_made_is_an_error_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["serve", "--root", str(tmp_path / "file" / "hub")]) == 1
    assert "fsa hub:" in capsys.readouterr().err


def test_the_server_is_imported_by_nothing_but_its_users(hub: EmbeddedHub) -> None:
    started = time.perf_counter()
    program = (
        "import hub_tools.hub.embedded, sys; sys.exit('huggingface_hub' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
    print(f"import of the server: {time.perf_counter() - started:.2f} s")


def test_a_hub_that_two_runs_share_stays_until_the_second_is_done(root: Path) -> None:
    waits = "import sys, time, pathlib; pathlib.Path(sys.argv[1]).touch(); time.sleep(float(sys.argv[2]))"
    up = root.parent / "first-is-up"
    first = subprocess.Popen([*MODULE, "run", "--root", str(root), "--", sys.executable, "-c", waits, str(up), "1"])
    while not up.exists():
        assert first.poll() is None
        time.sleep(0.05)
    late = f"import time; time.sleep(2.5)\n{WHOAMI[2]}"
    second = [*MODULE, "run", "--root", str(root), "--", sys.executable, "-c", late]
    result = subprocess.run(second, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("local ")
    assert first.wait(30) == 0
