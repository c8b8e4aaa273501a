"""How much may be asked of a server in a minute, and how long it asks us to wait. Time comes from a clock that can be
replaced, so that tests need not wait."""

import asyncio
import re
import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


_MINUTE = 60.0  # seconds
_PARTS = 10  # of a minute: a large limit is held in each of them, so that its requests come evenly
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")


class Clock:
    """Seconds that only go forward, and a way to let them pass."""

    def now(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Grant:
    """An amount that a window gave at a time."""

    __slots__ = ("amount", "gone", "time")

    def __init__(self, time: float, amount: float) -> None:
        self.time, self.amount, self.gone = time, amount, False


class Window:
    """A limit that holds in every minute, wherever one starts it: a log of what was given, not a bucket that refills.

    A bucket would let up to twice the limit pass in the minute after a rest. An amount above the limit is given alone,
    and then counts for as many minutes as it takes.

    Args:
        per_minute: the limit; 0: none.
        clock: tells the time.
        usual: a usual amount. Where a tenth of the limit holds many of them, it is held in every tenth of a minute.
    """

    def __init__(self, per_minute: float, clock: Clock, usual: float = 1.0) -> None:
        parts = _PARTS if per_minute >= usual * _PARTS * 10 else 1
        self.most, self.seconds = per_minute / parts, _MINUTE / parts
        self.clock = clock
        self._grants: deque[Grant] = deque()
        self._total = 0.0

    def wait(self, amount: float) -> float:
        """Seconds until so much may be taken, if nobody takes before; 0: now."""
        if not self.most:
            return 0.0
        now = self.clock.now()
        while self._grants and self._end(self._grants[0]) <= now:
            oldest = self._grants.popleft()
            oldest.gone = True
            self._total -= oldest.amount
        excess = self._total + min(amount, self.most) - self.most
        for grant in self._grants:
            if excess <= 1e-6:  # what adding and subtracting fractions leaves
                return 0.0
            excess -= grant.amount
            if excess <= 1e-6:
                return self._end(grant) - now
        return 0.0

    def take(self, amount: float) -> Grant:
        """Take it now; the caller has asked `wait`."""
        grant = Grant(self.clock.now(), amount)
        if self.most:
            self._grants.append(grant)
            self._total += amount
        return grant

    def settle(self, grant: Grant, amount: float) -> None:
        """Only so much was used in the end, or more: the window counts this."""
        if self.most and not grant.gone:
            self._total += amount - grant.amount
            grant.amount = amount

    def _end(self, grant: Grant) -> float:
        return grant.time + self.seconds * max(1.0, grant.amount / self.most)


def seconds_of(duration: str) -> float | None:
    """What `1s`, `6m0s`, `20ms` or a plain number of seconds says; None: something else.

    >>> seconds_of("6m0s"), seconds_of("20ms"), seconds_of("1.5"), seconds_of("soon")
    (360.0, 0.02, 1.5, None)
    """
    duration = duration.strip().lower()
    if _DURATION.fullmatch(duration):
        parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", duration)
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    return float(duration) if re.fullmatch(r"\d+(?:\.\d+)?", duration) else None


def asked_to_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that a reply of status 429 asks for; None: it does not say.

    Args:
        headers: by names in lower case. `retry-after-ms`, `retry-after` (seconds or a date), or else, of
            `x-ratelimit-reset-requests` and `-tokens`, that of the limit which is used up; of both, the shorter.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        if (seconds := seconds_of(headers.get(name, ""))) is not None:
            return seconds * unit
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
        return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    except ValueError:  # no date either
        pass
    resets = {}
    for limit in ("requests", "tokens"):
        if (seconds := seconds_of(headers.get(f"x-ratelimit-reset-{limit}", ""))) is not None:
            resets[limit] = seconds
    used_up = [resets[limit] for limit in resets if headers.get(f"x-ratelimit-remaining-{limit}") == "0"]
    return max(used_up) if used_up else min(resets.values(), default=None)
