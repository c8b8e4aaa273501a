"""Chunks of requests → answers, by Ray actors that may die: who works on what, and what a death costs.

Ray repeats nothing by itself here. A chunk whose worker died is given to another, so nothing but that chunk is asked
twice; deaths are counted, so no chunk and no broken node is tried for ever.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .request import Answers, Failure, Request, Teacher
from .settings import TeacherSettings


logger = logging.getLogger(__name__)

Make = Callable[[TeacherSettings], Teacher]

CHUNK_LIVES = 3  # workers that one chunk may kill; then its requests have failed
PLACE_LIVES = 2 * CHUNK_LIVES  # workers in a row that answer nothing; then the place stays empty
PATIENCE = 60  # seconds until the log says that no worker finds room
OUR_FAULTS = (ValueError, TypeError, ImportError)  # of settings or installation: the next worker would say the same


class Actor:
    """Runs on a node, with one teacher. Ray makes an actor of it."""

    def __init__(self, make: Make, settings: TeacherSettings, identity: dict) -> None:
        self.make, self.settings, self.identity = make, settings, identity

    def start(self) -> str:
        """Makes the teacher. Returns the node's address.

        Raises:
            ValueError: its rows would bear another name, revision or sampling than the run's requests do.
        """
        import ray

        self.teacher = self.make(self.settings)
        found = {key: getattr(self.teacher, key) for key in self.identity}
        if found != self.identity:
            raise ValueError(f"its teacher is {found}, the run's is {self.identity}: give every node the same model")
        return ray.util.get_node_ip_address()

    def reply(self, requests: list[Request]) -> Answers:
        """One chunk, answered."""
        answers = list(self.teacher.replies(requests))
        rows = [row for some in answers for row in some.rows]
        return Answers(rows, [failure for some in answers for failure in some.failures])


@dataclass(eq=False)
class _Chunk:
    requests: list[Request]
    deaths: int = 0  # of workers that had it


@dataclass(eq=False)
class _Place:
    """Where one worker works; when it dies, another."""

    actor: Any
    node: str = "a node not yet known"
    chunk: _Chunk | None = None
    deaths: int = 0  # since the last answer


@dataclass
class Crew:
    """The workers, one chunk each.

    Args:
        ray: the connected library.
        spawn: a new actor, which Ray starts when there is room for it.
    """

    ray: Any
    spawn: Callable[[], Any]
    places: list[_Place] = field(default_factory=list)
    idle: list[_Place] = field(default_factory=list)
    doing: dict[Any, _Place] = field(default_factory=dict)  # reference to a start or to answers → who is at it
    returned: deque[_Chunk] = field(default_factory=deque)  # by workers that died
    last_death: str = ""

    def hire(self, workers: int) -> None:
        """Starts so many; returns before they have started."""
        for _ in range(workers):
            place = _Place(self.spawn())
            self.places.append(place)
            self.doing[place.actor.start.remote()] = place

    def dismiss(self) -> None:
        """Ends all workers, whatever they are doing."""
        for place in self.places:
            self.ray.kill(place.actor)

    def answers(self, first: list[Request], chunks: Iterator[list[Request]]) -> Iterator[Answers]:
        """The answers to `first` and `chunks`. A chunk is taken for a worker that is idle: its answers are recorded.

        Raises:
            ValueError, TypeError, ImportError: what a teacher raised, and on which node.
            RuntimeError: workers only die.
        """
        self.returned.append(_Chunk(first))
        while True:
            while self.idle and (chunk := self._next(chunks)):
                place = self.idle.pop()
                place.chunk = chunk
                self.doing[place.actor.reply.remote(chunk.requests)] = place
            at_work = any(place.chunk for place in self.doing.values())
            if not at_work and not self.returned:
                if (chunk := self._next(chunks)) is None:
                    return
                self.returned.append(chunk)
            self._check_hope()
            done, _ = self.ray.wait(list(self.doing), timeout=PATIENCE)
            if not done and not at_work:
                logger.warning("no worker has found room yet; the cluster has %s", self.ray.cluster_resources())
            for reference in done:
                if answers := self._outcome(reference):
                    yield answers

    def _check_hope(self) -> None:
        """Raise when every place has lost its workers since its last answer, twice on the average and often enough."""
        deaths = [place.deaths for place in self.places]
        if all(deaths) and sum(deaths) >= max(PLACE_LIVES, 2 * len(deaths)):
            raise RuntimeError(
                f"{sum(deaths)} workers died at {len(deaths)} places, and none has answered since; the last: "
                f"{self.last_death}"
            )

    def _next(self, chunks: Iterator[list[Request]]) -> _Chunk | None:
        if self.returned:
            return self.returned.popleft()
        requests = next(chunks, None)
        return _Chunk(requests) if requests else None

    def _outcome(self, reference: Any) -> Answers | None:
        """What a worker answered; nothing when it has just started, or died with a chunk that another one gets."""
        place = self.doing.pop(reference)
        chunk, place.chunk = place.chunk, None
        try:
            result = self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None) or error
            reason = f"{type(cause).__name__}: {_brief(str(cause))}"
            for fault in OUR_FAULTS:
                if isinstance(cause, fault):
                    raise fault(f"on {place.node}: {reason}") from error
            if "No module named" in reason:  # Ray could not make the actor
                raise ImportError(f"{reason}; every node needs this package and what it imports") from error
            return self._replace(place, chunk, reason)
        self.idle.append(place)
        if chunk is None:
            place.node = result
            return None
        place.deaths = 0
        return result

    def _replace(self, place: _Place, chunk: _Chunk | None, reason: str) -> Answers | None:
        """Another worker at this place. The chunk goes to whoever is idle next, or has failed."""
        place.deaths, self.last_death = place.deaths + 1, reason
        logger.warning("the worker on %s is lost with %d requests: %s", place.node, _size(chunk), reason)
        self.ray.kill(place.actor)  # its process may still live, and hold a GPU
        if place.deaths < PLACE_LIVES:
            place.actor, place.node = self.spawn(), _Place.node
            self.doing[place.actor.start.remote()] = place
        if chunk:
            chunk.deaths += 1
            if chunk.deaths == CHUNK_LIVES:
                reason = f"{CHUNK_LIVES} workers died of its chunk; the last: {reason}"
                return Answers((), [Failure(request, reason) for request in chunk.requests])
            self.returned.appendleft(chunk)
        return None


def _brief(text: str) -> str:
    """What happened and why: the first and the last line of what Ray tells in twenty."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    return " ... ".join(line[:300] for line in dict.fromkeys((lines[0], lines[-1])))


def _size(chunk: _Chunk | None) -> int:
    return len(chunk.requests) if chunk else 0
