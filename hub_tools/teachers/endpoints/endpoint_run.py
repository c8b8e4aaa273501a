"""One run over endpoints: requests taken, sent, tried again, and yielded as they are answered."""

import asyncio
import json
import queue
import random
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import httpx2
import openai

from ..request import Answers, Failure, Request
from .endpoint_pool import PATIENCE, Endpoint, EndpointError, Pool
from .openai_replies import (
    FailedError,
    LengthParameterError,
    LimitedError,
    RefusedError,
    Reply,
    error_of,
    read_reply,
    same_model,
    scrubbed,
    wrong_model,
)


if TYPE_CHECKING:
    from .openai_endpoint import OpenAITeacher, Sender

_LONGEST_DELAY = 60.0  # seconds between two attempts
_LOOK = 10.0  # seconds between two looks whether the loop's thread lives
_REFUSALS = 10  # of the first requests, all of them: then the settings are to blame, not the requests


class _Flight:
    """A request under way.

    Attributes:
        endpoint: where it was sent last.
        sent: the server is at work on it, which may cost money.
        failures: how often what went wrong.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.endpoint: Endpoint | None = None
        self.sent = False
        self.failures: Counter[str] = Counter()
        self.task: asyncio.Task


class EndpointRun:
    """One pass over the requests. The caller's thread takes them and hands the answers out; a thread of its own sends
    and waits, and goes on while the caller is busy recording: else each commit would halt all that is under way.

    Args:
        teacher: its settings, its clock, and how it makes rows and counts tokens.
        senders: to each base URL.
        key: what no message may hold.
    """

    def __init__(self, teacher: "OpenAITeacher", senders: Mapping[str, "Sender"], key: str) -> None:
        self.teacher, self.settings, self.clock = teacher, teacher.settings, teacher.clock
        self.key = key
        limits = self.settings.requests_per_minute, self.settings.tokens_per_minute
        self.pool = Pool([Endpoint(url, senders[url], *limits, self.clock) for url in senders], self.clock)
        sampling = {name: value for name, value in teacher.sampling.items() if name != "max_new_tokens"}
        self.fixed = {"model": self.settings.model, **sampling}
        self.landed: queue.SimpleQueue[Any] = queue.SimpleQueue()  # a row, a Failure, or None
        self.fatal: BaseException | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        # Only the loop's thread reads or writes what follows.
        self.flights: set[_Flight] = set()
        self.closing = asyncio.Event()
        self.answered, self.refused = False, 0

    def answers(self, requests: Iterator[Request]) -> Iterator[Answers]:
        """Take, wait, yield what has landed; the caller has recorded it when it comes back for more."""
        more, in_flight = True, 0
        while True:
            while more and not self.fatal and in_flight < self.settings.concurrency:
                request = next(requests, None)
                if more := request is not None:
                    in_flight += 1
                    self._start().call_soon_threadsafe(self._launch, request)
            if not in_flight:
                break
            landed = [self._next()]
            while not self.landed.empty():
                landed.append(self.landed.get())
            rows = [outcome for outcome in landed if isinstance(outcome, dict)]
            failures = [outcome for outcome in landed if isinstance(outcome, Failure)]
            if rows or failures:
                yield Answers(rows, failures)
            in_flight -= len(landed)
        if self.fatal:
            raise self.fatal

    def _next(self) -> Any:
        """What lands next. A signal's handler runs, and may raise, while this waits."""
        while True:
            try:
                return self.landed.get(timeout=_LOOK)
            except queue.Empty:
                if not self.thread.is_alive():
                    raise RuntimeError("the thread that asks has died; the same command goes on") from None

    def close(self) -> None:
        """Give up what is still under way, and wait until the thread has ended."""
        if self.loop:
            self.loop.call_soon_threadsafe(self.closing.set)
            self.thread.join()

    def _start(self) -> asyncio.AbstractEventLoop:
        """The loop in its thread, which begins with the first request; a process may fork before that."""
        if not self.loop:
            self.loop = asyncio.new_event_loop()
            # A daemon: whoever interrupts `close` wants to leave.
            self.thread = threading.Thread(target=self._turn, name="endpoint teacher", daemon=True)
            self.thread.start()
        return self.loop

    def _turn(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.run(self._until_closed())

    async def _until_closed(self) -> None:
        await self.closing.wait()
        tasks = [flight.task for flight in self.flights]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(endpoint.sender.close() for endpoint in self.pool.endpoints), return_exceptions=True)

    def _launch(self, request: Request) -> None:
        flight = _Flight(request)
        self.flights.add(flight)
        flight.task = asyncio.get_running_loop().create_task(self._answer(flight))
        flight.task.add_done_callback(lambda task: self._land(flight, task))

    def _land(self, flight: _Flight, task: asyncio.Task) -> None:
        self.flights.discard(flight)
        outcome = None
        if not task.cancelled():
            if error := task.exception():
                self._stop(EndpointError(self._scrubbed(str(error))) if isinstance(error, EndpointError) else error)
            else:
                outcome = task.result()
        self.landed.put(outcome)

    def _stop(self, error: BaseException) -> None:
        """Send nothing more; what a server is at work on may still be answered."""
        self.fatal = self.fatal or error
        for flight in self.flights:
            if not flight.sent:
                flight.task.cancel()

    async def _answer(self, flight: _Flight) -> dict[str, str | int] | Failure | None:
        """The reply's row, the failure after all attempts, or None when the run stops."""
        request, limited_since = flight.request, None
        reserve = self.settings.max_new_tokens
        if self.settings.tokens_per_minute:
            reserve += self.teacher.tokens_of(request)
        while not self.fatal:
            try:
                return self.teacher.row(request, await self._try(flight, reserve))
            except LengthParameterError:
                continue
            except LimitedError:  # that others ask too much is no fault of this request, so it costs it no attempt
                limited_since = limited_since or self.clock.now()
                if self.clock.now() - limited_since > PATIENCE:
                    return Failure(request, f"HTTP 429 for {PATIENCE / 60:.0f} minutes")
            except RefusedError as error:
                return Failure(request, self._scrubbed(str(error)), final=True)
            except FailedError as error:
                flight.failures[self._scrubbed(error.kind)] += 1
                attempts = flight.failures.total()
                if self.fatal or attempts >= self.settings.attempts:
                    kinds = ", ".join(f"{kind} ×{times}" for kind, times in flight.failures.items())
                    return Failure(request, f"{kinds}: {self._scrubbed(str(error))}".removesuffix(": "))
                await self.clock.sleep(random.uniform(0, min(_LONGEST_DELAY, 2.0**attempts)))
        return None

    async def _try(self, flight: _Flight, reserve: int) -> Reply:
        """One attempt at whichever endpoint is free, which learns from how it ends."""
        endpoint, grant = await self.pool.enter(reserve, flight.endpoint)
        flight.endpoint, flight.sent = endpoint, True
        used: int | None = 0
        try:
            reply = await self._send(endpoint, flight.request)
            endpoint.answered()
            self.answered = True
            used = None if reply.prompt_tokens is None else reply.prompt_tokens + (reply.completion_tokens or 0)
            return reply
        except LimitedError as error:
            endpoint.limited(error.seconds)
            raise
        except RefusedError as error:
            endpoint.answered()
            self._refused(error)
            raise
        except FailedError as error:
            endpoint.failed(error.kind)
            used = None
            raise
        finally:
            flight.sent = False
            endpoint.stop(grant, used)

    def _refused(self, error: RefusedError) -> None:
        """A run of which every request is refused would mark each review as hopeless."""
        self.refused += 1
        if not self.answered and self.refused >= _REFUSALS:
            raise EndpointError(
                f"the first {self.refused} requests were all refused, the last one with: {error}; check the settings"
            )

    async def _send(self, endpoint: Endpoint, request: Request) -> Reply:
        length = endpoint.length_parameter
        body = {**self.fixed, "messages": request.messages, length: self.settings.max_new_tokens}
        try:
            async with asyncio.timeout(self.settings.timeout):
                await self._check(endpoint)
                content = await endpoint.sender.complete(body)
            return read_reply(content, self.settings.model, endpoint.url)
        except openai.APIStatusError as error:
            found = error_of(error, endpoint.url, self.settings.model, self.settings.api_key_env)
        except UnicodeEncodeError:
            found = RefusedError("the prompt holds half of a surrogate pair, which no request can carry")
        except (openai.APIConnectionError, OSError) as error:  # TimeoutError is an OSError
            found = _lost(error, self.settings.timeout)
        if isinstance(found, LengthParameterError):
            if length == "max_completion_tokens":
                found = EndpointError(f"{endpoint.url} takes neither max_tokens nor max_completion_tokens")
            endpoint.length_parameter = "max_completion_tokens"
        raise found  # the client's error, which holds the request with its key, is not chained to it

    async def _check(self, endpoint: Endpoint) -> None:
        """Of several endpoints, one with another model is found out before it is paid for a reply."""
        async with endpoint.checking:
            if endpoint.checked:
                return
            names: list[str] = []
            if len(self.pool.endpoints) > 1:
                try:
                    response = await endpoint.sender.client.get("/models", cast_to=httpx2.Response)
                    names = [str(model["id"]) for model in json.loads(response.content)["data"]]
                except (openai.APIStatusError, ValueError, LookupError, TypeError):
                    pass  # no such route, or another form of it; every reply names its model, too
            if names and not any(same_model(self.settings.model, name) for name in names):
                raise EndpointError(wrong_model(endpoint.url, names, self.settings.model))
            endpoint.checked = True

    def _scrubbed(self, text: str) -> str:
        """The text without the key, also where a server repeats a part of it."""
        return scrubbed(text, self.key)


def _lost(error: BaseException, timeout: float) -> FailedError:
    """The connection failed; what happened stands in the causes of the client's error."""
    causes = [error]
    while causes[-1].__cause__:
        causes.append(causes[-1].__cause__)
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return FailedError("timeout", f"no reply within {timeout:g} s")
    said = " ".join(str(causes[-1]).split())
    return FailedError("connection failed", f"{type(causes[-1]).__name__}: {said}")
