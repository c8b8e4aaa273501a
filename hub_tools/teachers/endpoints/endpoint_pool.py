"""Servers that share the work: which one takes the next request, and when."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .rate_limits import Clock, Grant, Window


logger = logging.getLogger(__name__)

TOLERATED = 5  # failures in a row, until a server is set aside
LONGEST_PAUSE = 60.0  # seconds that a server is set aside at most, or rests after a 429 that does not say how long
PATIENCE = 3600.0  # seconds that a run waits for a rate limit to pass
DOWN = 600.0  # seconds that it waits for a server, when all are down
_LOOK = 0.25  # seconds between two looks at servers that may be free sooner than expected
_USUAL_TOKENS = 2000  # of a request and its reply


class EndpointError(RuntimeError):
    """No use to go on: the key, the model or the settings are wrong, or the account is empty. Says what to do."""


@dataclass
class _Pause:
    """Until when nobody asks; it doubles each time it is imposed anew, until something succeeds."""

    until: float = 0.0
    times: int = 0

    def impose(self, now: float, seconds: float | None = None) -> bool:
        """Whether it is a new pause; requests that were under way at the same time only prolong it."""
        if new := now >= self.until:
            self.times += 1
        doubled = min(LONGEST_PAUSE, 2.0 ** (self.times - 1))
        self.until = max(self.until, now + (seconds or doubled))  # who says 0 seconds must not be asked for ever
        return new


class Endpoint:
    """One server: its limits, its health, and what was learned of it.

    Attributes:
        url: for messages.
        sender: asks it.
        in_flight: requests that it is working on.
        checked: whether it is known to serve the model.
        length_parameter: by which name it takes the longest reply's length.
    """

    def __init__(self, url: str, sender: Any, requests_per_minute: int, tokens_per_minute: int, clock: Clock) -> None:
        self.url, self.sender, self.clock = url, sender, clock
        self.in_flight = 0
        self.checked = False
        self.checking = asyncio.Lock()
        self.length_parameter = "max_tokens"
        self._requests = Window(requests_per_minute, clock)
        self._tokens = Window(tokens_per_minute, clock, _USUAL_TOKENS)
        self._limited, self._aside = _Pause(), _Pause()
        self._failures, self._down_since = 0, 0.0

    def wait(self, tokens: int) -> float:
        """Seconds until it may take a request of so many tokens; 0: now."""
        now = self.clock.now()
        pause = max(self._limited.until, self._aside.until) - now
        if pause <= 0 and self._failures >= TOLERATED and self.in_flight:
            return _LOOK  # one request finds out whether it is back
        return max(pause, self._requests.wait(1), self._tokens.wait(tokens), 0.0)

    def start(self, tokens: int) -> Grant:
        """A request of so many tokens is sent; `stop` ends it."""
        self.in_flight += 1
        self._requests.take(1)
        return self._tokens.take(tokens)

    def stop(self, grant: Grant, tokens: int | None) -> None:
        """It has ended and has used so many tokens; None: nobody knows, so what was reserved counts."""
        self.in_flight -= 1
        if tokens is not None:
            self._tokens.settle(grant, tokens)

    def answered(self) -> None:
        """It replied: whatever was held against it is forgotten."""
        self._failures = self._limited.times = 0
        self._aside = _Pause()

    def limited(self, seconds: float | None) -> None:
        """It said 429: nobody asks it before so many seconds are over."""
        self._failures = 0
        if self._limited.impose(self.clock.now(), seconds):
            logger.info("%s: rate limit; nothing is sent there for %.1f s", self.url, self.rests())

    def failed(self, reason: str) -> None:
        """It could not be reached, broke down or took too long. After several in a row it is set aside for a while."""
        self._failures += 1
        now = self.clock.now()
        if self._failures == TOLERATED:
            self._down_since = now
        if self._failures >= TOLERATED and self._aside.impose(now):
            logger.warning("%s fails (%s); set aside for %.0f s", self.url, reason, self._aside.until - now)

    def down(self) -> float:
        """Seconds for which it has been set aside or tried in vain; 0: it works."""
        return self.clock.now() - self._down_since if self._failures >= TOLERATED else 0.0

    def rests(self) -> float:
        """Seconds until the rate limit that it spoke of has passed."""
        return max(0.0, self._limited.until - self.clock.now())


class Pool:
    """The servers of one run. Requests wait here in a line, so that none of them is passed over for ever."""

    def __init__(self, endpoints: Sequence[Endpoint], clock: Clock) -> None:
        self.endpoints, self.clock = endpoints, clock
        self._line = asyncio.Lock()

    async def enter(self, tokens: int, last: Endpoint | None = None) -> tuple[Endpoint, Grant]:
        """The least busy server that may take a request of so many tokens, as soon as there is one.

        Args:
            tokens: of the prompt and the longest reply.
            last: the server at which the request has just failed; another one is preferred.

        Raises:
            EndpointError: every server asks for a wait beyond all patience, or has been down for too long.
        """
        async with self._line:
            while True:
                waits = [endpoint.wait(tokens) for endpoint in self.endpoints]
                free = [endpoint for endpoint, wait in zip(self.endpoints, waits, strict=True) if not wait]
                if free:
                    best = min(free, key=lambda endpoint: (endpoint is last, endpoint.in_flight))
                    return best, best.start(tokens)
                self._lose_patience()
                await self.clock.sleep(min(*waits, _LOOK))

    def _lose_patience(self) -> None:
        rest = min(endpoint.rests() for endpoint in self.endpoints)
        if rest > PATIENCE:
            raise EndpointError(
                f"the rate limit passes only in {rest / 3600:.1f} hours; start the run again then: it goes on where "
                "it is now"
            )
        if min(endpoint.down() for endpoint in self.endpoints) > DOWN:
            urls = ", ".join(endpoint.url for endpoint in self.endpoints)
            raise EndpointError(
                f"no answer from {urls} for {DOWN / 60:.0f} minutes; check the server and the URL, then start the run "
                "again: it goes on where it is now"
            )
