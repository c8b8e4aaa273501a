"""A teacher on many machines: each worker is a Ray actor with one teacher and its GPUs, and works on one chunk.

Plain actors, not Ray Data. Ray 2.60 was tried on two nodes: 800 requests, chunks of 20, 4 workers, so 80 in flight.
- `ray.data.llm` was not: its extra `ray[llm]` pins vLLM 0.29.0, and we run 0.32.
- `map_batches` over a lazy source took all 800 before its first reply, for one worker alone. With a block per chunk
  (the count must be known beforehand) up to 300 were taken and not answered; a kill would cost those.
- `map_batches` round by round starts its actors, which is loading the engines, anew in every round.
- It retries without end: a chunk that kills its worker killed 4 in 25 s, and on. It survives a killed node as well as
  this does (30 of 800 asked twice), but what was lost waited about 10 s, until the node counted as dead.
"""

import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

from .ray_crew import Actor, Crew, Make
from .request import Answers, Request, Teacher
from .settings import TeacherSettings


OBJECT_STORE = 256 * 2**20  # bytes of shared memory on a cluster of our own; a chunk's replies are a few MB


def _vllm(settings: TeacherSettings) -> Teacher:
    from .vllm_lm import VllmTeacher

    return VllmTeacher(settings)


class RayTeacher:
    """The vllm teacher on `settings.workers` actors of a Ray cluster; a reply is the row that vllm gives alone.

    A worker has as many GPUs as one engine needs, all on one node; none when the cluster has none. Each node needs
    this package, the model and what the teacher imports. Workers start when and where there is room, also on nodes
    that join later. One that died with its process or node is replaced, and its chunk goes to the next that is free.

    Args:
        settings: `workers`, `chunk`, `ray_address`, the parallel sizes, and all that the inner teacher reads.
        make: the inner teacher; called here for its name, revision and sampling, and once in every worker.

    Raises:
        ValueError: less than one worker or one request in a chunk; what `make` refuses.
    """

    def __init__(self, settings: TeacherSettings, make: Make = _vllm) -> None:
        if settings.workers < 1 or settings.chunk < 1:
            raise ValueError(f"workers {settings.workers} and chunk {settings.chunk} must be at least 1")
        self.settings, self.make = settings, make
        twin = make(settings)
        self.name, self.revision, self.sampling = twin.name, twin.revision, twin.sampling

    def replies(self, requests: Iterable[Request]) -> Iterator[Answers]:
        """Chunk after chunk, as workers finish them; at most `workers` chunks are in flight.

        Raises:
            ImportError: Ray is not installed, or a node lacks what its teacher imports.
            ConnectionError: no cluster at `ray_address`.
            ValueError: an engine needs more GPUs than any node has; a teacher refuses its settings or a request.
            RuntimeError: workers die at every place, and none answers.
        """
        requests = iter(requests)
        chunks = iter(lambda: list(islice(requests, self.settings.chunk)), [])
        first = next(chunks, None)
        if first is None:
            return
        with _cluster(self.settings) as ray:
            identity = {"name": self.name, "revision": self.revision, "sampling": self.sampling}
            actor = ray.remote(Actor).options(
                num_cpus=1,
                num_gpus=_gpus_of_a_worker(ray, self.settings),
                scheduling_strategy="SPREAD",
                max_restarts=0,  # the crew replaces a dead worker, and counts
                max_task_retries=0,
            )
            crew = Crew(ray, lambda: actor.remote(self.make, self.settings, identity))
            try:
                crew.hire(self.settings.workers)
                yield from crew.answers(first, chunks)
            finally:
                crew.dismiss()


@contextmanager
def _cluster(settings: TeacherSettings) -> Iterator[Any]:
    """Ray, connected: as this process already is, or to the cluster of the settings, or to one of its own.

    One of its own listens on the loopback address, to whoever has the token of this run, where Ray still hears of it.
    """
    address = settings.ray_address
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address.startswith(("127.", "localhost:")):
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # else Ray puts the outer address in its place
    heard = "ray._raylet" in sys.modules  # Ray reads its environment once; vLLM may have imported it
    if not address and not heard and "RAY_AUTH_MODE" not in os.environ:  # else Ray keeps a token in the home folder
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    try:
        import ray
    except ImportError as error:
        raise ImportError("the ray teacher needs Ray: pip install 'fsa-distill[ray]'") from error
    _knock(address)
    if ray.is_initialized():
        yield ray
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "warning"}
    if not address:
        options |= {"num_cpus": settings.workers, "object_store_memory": OBJECT_STORE, "include_dashboard": False}
        options |= {"_node_ip_address": "127.0.0.1"}
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address or "local", **options)
    except ConnectionError as error:
        raise ConnectionError(f"ray_address '{address}': {error}") from error
    try:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)  # Ray has set its own
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Ask whether anybody listens at host:port, where Ray itself would try for minutes.

    Raises:
        ConnectionError: nobody listens there.
    """
    host, _, port = address.rpartition(":")
    if "/" in address or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except OSError as error:
        raise ConnectionError(
            f"ray_address '{address}': {error}; start a cluster with `ray start --head`, or leave it empty to use "
            "this machine"
        ) from error


def _gpus_of_a_worker(ray: Any, settings: TeacherSettings) -> int:
    """The GPUs of one engine; 0 in a cluster that has none.

    Raises:
        ValueError: no node has so many.
    """
    wanted = settings.tensor_parallel_size * settings.pipeline_parallel_size
    most = max((node["Resources"].get("GPU", 0) for node in ray.nodes() if node["Alive"]), default=0)
    if 0 < most < wanted:
        raise ValueError(
            f"tensor_parallel_size {settings.tensor_parallel_size} x pipeline_parallel_size "
            f"{settings.pipeline_parallel_size} is {wanted} GPUs for one engine, and no node of the cluster has more "
            f"than {most:g}; lower them"
        )
    return wanted if most else 0
