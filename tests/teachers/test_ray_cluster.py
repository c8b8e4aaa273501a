"""The ray teacher, on a cluster of two nodes on this machine."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from slow_teacher import SlowTeacher

from hub_tools.teachers import ray_crew
from hub_tools.teachers.lexicon import LexiconTeacher
from hub_tools.teachers.ray_cluster import RayTeacher, _gpus_of_a_worker
from hub_tools.teachers.request import Request
from hub_tools.teachers.settings import TeacherSettings, make_teacher
from hub_tools.teachers.vllm_lm import VllmTeacher


NODE = {"object_store_memory": 100 * 2**20, "include_dashboard": False, "node_ip_address": "127.0.0.1"}
ENVIRONMENT = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # nodes on the loopback address
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB; the workers' environment is that of their node
    "VLLM_CPU_CI_ENV": "1",
    "PYTHONPATH": os.pathsep.join(  # for SlowTeacher and for this package
        [str(Path(__file__).parent), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    ),
}
CHUNK = 4


def _need_ray() -> None:
    if find_spec("ray"):
        return
    if "ray" in os.environ.get("FSA_REQUIRE", ""):
        pytest.fail("FSA_REQUIRE names ray, and it is not installed")
    pytest.skip("ray is not installed: pip install -e '.[ray]'")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """One node with two places for workers, and this process connected to it."""
    _need_ray()
    with pytest.MonkeyPatch.context() as patch:
        folder = tempfile.mkdtemp(prefix="ray")  # short: sockets lie in it
        for name, value in {**ENVIRONMENT, "RAY_TMPDIR": folder}.items():
            patch.setenv(name, value)
        import ray
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 2})
        ray.init(cluster.address, log_to_driver=False, logging_level="warning")
        yield cluster
        ray.shutdown()
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "log").touch()
    return tmp_path / "log"


def _request(number: int, review: str = "") -> Request:
    text = review or f"The pizza number {number} was great."
    return Request(f"{number:032x}", f"r{number}", text, "analysis", [])


def _teacher(log: Path, workers: int = 2, seconds: float = 0.0, address: str = "") -> RayTeacher:
    settings = TeacherSettings(teacher="ray", workers=workers, chunk=CHUNK, ray_address=address)
    return RayTeacher(settings, partial(SlowTeacher, log=log, seconds=seconds))


def _work(log: Path) -> list[list[str]]:
    """node, process and request of each piece of work, in the order in which they began."""
    return [line.split() for line in log.read_text().splitlines()]


def test_rows_are_the_plain_teachers_and_no_more_is_taken_than_is_worked_on(cluster: Any, log: Path):
    requests, taken, came = [_request(number) for number in range(30)], [], []

    def source() -> Iterator[Request]:
        for request in requests:
            taken.append(request)
            yield request

    for answers in _teacher(log).replies(source()):
        assert len(taken) - len(came) <= 2 * CHUNK
        came += answers.rows
    assert sorted(came, key=lambda row: row["request_id"]) == LexiconTeacher().reply(requests)


def test_a_node_that_joins_is_used_and_one_that_dies_costs_no_more_than_its_chunks(cluster: Any, log: Path):
    taken, came, victim, end = [], [], None, 3000

    def source() -> Iterator[Request]:
        while len(taken) < end:
            taken.append(_request(len(taken)))
            yield taken[-1]

    for answers in _teacher(log, workers=4, seconds=0.1).replies(source()):
        came += [row["request_id"] for row in answers.rows]
        assert not answers.failures
        victim = victim or cluster.add_node(**NODE, num_cpus=2)
        begun = Counter(int(process) for node, process, _ in _work(log) if node == victim.node_id)
        if end == 3000 and len(begun) == 2 and any(count % CHUNK == 1 for count in begun.values()):
            for process in (victim.all_processes["raylet"][0].process.pid, *begun):
                os.kill(process, signal.SIGKILL)  # as when the machine loses power
            end = len(taken) + 5 * CHUNK
    assert end < 3000, "the node that joined was not used"
    assert sorted(came) == [request.request_id for request in taken]
    times = Counter(request for _, _, request in _work(log))
    assert 0 < sum(times.values()) - len(times) <= 2 * CHUNK


def test_a_chunk_that_kills_its_workers_fails_and_the_others_do_not(
    cluster: Any, log: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ray_crew, "CHUNK_LIVES", 2)
    requests = [_request(number, "POISON" if number == 5 else "") for number in range(3 * CHUNK)]
    came = list(_teacher(log, workers=1).replies(requests))
    failures = [failure for answers in came for failure in answers.failures]
    assert [failure.request for failure in failures] == requests[CHUNK : 2 * CHUNK]
    assert not any(failure.final for failure in failures)
    assert "2 workers died of its chunk" in failures[0].reason
    answered = {row["request_id"] for answers in came for row in answers.rows}
    assert answered == {request.request_id for request in requests} - {
        failure.request.request_id for failure in failures
    }
    assert sum(request == requests[5].request_id for _, _, request in _work(log)) == 2


def test_what_a_teacher_refuses_is_raised_at_once(cluster: Any, log: Path):
    with pytest.raises(ValueError, match=r"on 127\.0\.0\.1: ValueError: no chip"):
        list(_teacher(log, workers=1).replies([_request(1), _request(2, "RAISE ValueError")]))
    assert len(_work(log)) == 2


def test_workers_that_only_die_end_the_run_with_the_last_reason(
    cluster: Any, log: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ray_crew, "CHUNK_LIVES", 1)
    monkeypatch.setattr(ray_crew, "PLACE_LIVES", 2)
    requests = [_request(number, "RAISE RuntimeError") for number in range(3 * CHUNK)]
    replies = _teacher(log, workers=1).replies(requests)
    assert [len(next(replies).failures) for _ in range(2)] == [CHUNK, CHUNK]
    with pytest.raises(RuntimeError, match=r"2 workers died at 1 places, .* RuntimeError: no chip"):
        next(replies)
    assert len(_work(log)) == 2


def test_a_run_that_is_left_ends_its_workers(cluster: Any, log: Path):
    replies = _teacher(log, workers=1, seconds=0.1).replies(_request(number) for number in range(1000))
    next(replies)
    replies.close()
    processes = {int(process) for _, process, _ in _work(log)}
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{process}").exists() for process in processes) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{process}").exists() for process in processes)


ALONE = """
import signal, sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
from slow_teacher import SlowTeacher
from test_ray_cluster import _request
from hub_tools.teachers.ray_cluster import RayTeacher
from hub_tools.teachers.settings import TeacherSettings

interrupted = []
signal.signal(signal.SIGINT, lambda *_: interrupted.append(True))
before = signal.getsignal(signal.SIGTERM)
taken = []

def source():
    while not interrupted:
        taken.append(_request(len(taken)))
        yield taken[-1]

log, address = sys.argv[1:]
make = partial(SlowTeacher, log=Path(log), seconds=0.3)
came = []
for answers in RayTeacher(TeacherSettings(workers=2, chunk=4, ray_address=address), make).replies(source()):
    if not came:
        ours = psutil.Process().children(recursive=True)
        sockets = [socket for process in ours for socket in process.net_connections("tcp")]
        listening = {socket.laddr.ip.removeprefix("::ffff:") for socket in sockets if socket.status == "LISTEN"}
        assert listening == (set() if address else {"127.0.0.1"}), listening
        assert signal.getsignal(signal.SIGTERM) == before
        print("working", flush=True)
    came += [row["request_id"] for row in answers.rows]
assert sorted(came) == [request.request_id for request in taken]
assert not psutil.Process().children(recursive=True)
print("finished")
"""


@pytest.mark.parametrize("where", ["here", "on a cluster"])
def test_an_interrupt_finishes_what_is_in_flight_and_leaves_nothing_behind(
    where: str, log: Path, tmp_path: Path, request: pytest.FixtureRequest
):
    pytest.importorskip("psutil")
    _need_ray()
    address = "" if where == "here" else request.getfixturevalue("cluster").address
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        run = subprocess.Popen(
            [sys.executable, "-c", ALONE, str(log), address],
            env={**os.environ, "PYTHONPATH": ENVIRONMENT["PYTHONPATH"], "RAY_TMPDIR": folder, "HOME": str(tmp_path)},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert run.stdout.readline() == "working\n"
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to Ray's processes too
        assert run.communicate(timeout=60)[0] == "finished\n"
    assert run.returncode == 0
    assert not (tmp_path / ".ray").exists(), "Ray left a token in the home folder"
    assert len({process for _, process, _ in _work(log)}) == 2


def test_an_address_without_a_cluster_is_refused_at_once(log: Path):
    _need_ray()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(ConnectionError, match=f"ray_address '{address}': .* `ray start --head`"):
            next(_teacher(log, address=address).replies([_request(1)]))


def test_workers_reply_as_the_vllm_teacher_does(cluster: Any, request: pytest.FixtureRequest, tiny_chat_llama: Path):
    engine = request.getfixturevalue("vllm_teacher").llm
    settings = TeacherSettings(
        model=str(tiny_chat_llama), max_new_tokens=8, max_model_len=4096, dtype="float32", chunk=4, teacher="ray"
    )
    alone = VllmTeacher(settings)
    alone.llm = engine
    requests = [replace(_request(n), messages=[{"role": "user", "content": f"Soup {n}"}]) for n in range(6)]
    rows = [
        [row for answers in each.replies(requests) for row in answers.rows] for each in (make_teacher(settings), alone)
    ]
    assert rows[0] == rows[1]
    assert len(rows[0]) == 6


def test_nothing_to_do_starts_nothing(log: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert list(_teacher(log).replies([])) == []
    with pytest.raises(ImportError, match="pip install"):
        list(_teacher(log).replies([_request(1)]))


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"chunk": 0}])
def test_no_workers_or_empty_chunks_are_refused(wrong: dict[str, int]):
    with pytest.raises(ValueError, match="at least 1"):
        RayTeacher(TeacherSettings(**wrong), lambda settings: LexiconTeacher())


def test_an_engine_needs_its_gpus_on_one_node():
    class Nodes:
        def __init__(self, *gpus: float) -> None:
            self.gpus = gpus

        def nodes(self) -> list[dict]:
            return [{"Alive": True, "Resources": {"CPU": 8.0, "GPU": gpus}} for gpus in self.gpus]

    settings = TeacherSettings(tensor_parallel_size=4, pipeline_parallel_size=2)
    assert _gpus_of_a_worker(Nodes(0), settings) == 0
    assert _gpus_of_a_worker(Nodes(4, 8), settings) == 8
    with pytest.raises(ValueError, match=r"4 x pipeline_parallel_size 2 is 8 GPUs .* more than 4"):
        _gpus_of_a_worker(Nodes(4, 4), settings)
