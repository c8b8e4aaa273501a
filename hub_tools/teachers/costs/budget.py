"""Limits on what a labelling run may spend: it ends before a limit is passed, not after.

Every request reserves its worst case (all the tokens its prompt can have, and the longest reply) before the teacher
gets it. What comes back replaces the reservation by what was used, and makes room again; so one asks in rounds:

    while True:
        taken = 0
        for answers in teacher.replies(budget.within(requests)):  # count in `taken` what the teacher takes
            journal.record(answers.rows, answers.failures)
            budget.settle(answers)
        if not taken or budget.stopped is None:
            break

What no one can reserve: attempts that a provider bills though they never answered, and time, since what is in flight
is never cut off. Hours end the run as early as the slowest answer so far suggests.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from ..request import Answers, Request
from .counting import Counted, TokenCounter, counter_for
from .prices import Price, Priced, PriceSettings, how_to_price


@dataclass
class BudgetSettings(PriceSettings):
    """What a run may spend, over all its sessions; 0: no limit."""

    max_cost: float = field(default=0, metadata={"help": "USD; the run stops before it is passed; 0: no limit"})
    max_tokens: int = field(default=0, metadata={"help": "tokens read and written; 0: no limit"})
    max_hours: float = field(default=0, metadata={"help": "of labelling; 0: no limit"})
    throughput: float = field(
        default=0, metadata={"help": "tokens/s that the teacher writes; 0: as measured in earlier sessions, if any"}
    )


class Limits(Counted, Priced, Protocol):
    """The settings that a budget reads: those of TeacherSettings and BudgetSettings, in one object."""

    max_new_tokens: int
    max_cost: float
    max_tokens: int
    max_hours: float
    throughput: float


@dataclass(frozen=True)
class Spent:
    """What a run has used so far."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0

    @property
    def tokens(self) -> int:
        """Read and written."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def hours(self) -> float:
        """The time, in hours."""
        return self.seconds / 3600


NOTHING = Spent()


@dataclass(frozen=True)
class _Reserved:
    prompt: int
    completion: int
    since: float


class Budget:
    """Lets requests through while their worst case fits within the limits.

    Args:
        settings: the limits, and the longest reply.
        price: of the teacher; None where it is unknown.
        spent: by earlier sessions of the run.
        counter: of the prompts' tokens; by default the best one for the teacher.
        clock: seconds that only grow.

    Attributes:
        stopped: which limit ended the last round and why, or None.

    Raises:
        ValueError: a negative limit, or a limit on cost where the price is unknown.
    """

    def __init__(
        self,
        settings: Limits,
        price: Price | None,
        spent: Spent = NOTHING,
        counter: TokenCounter | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_limits(settings, price)
        self._settings, self._price, self._clock = settings, price, clock
        self._counts = bool(settings.max_tokens or (settings.max_cost and price and (price.input or price.output)))
        self._counter = counter or (counter_for(settings) if self._counts else None)
        self._prompt, self._completion, self._before = spent.prompt_tokens, spent.completion_tokens, spent.seconds
        self._reserved: dict[str, _Reserved] = {}
        self._reserved_prompt = self._reserved_completion = 0
        self._held: Request | None = None
        self._started: float | None = None
        self._slowest = 0.0
        self._lock = threading.Lock()  # a teacher may take requests in a thread of its own
        self.stopped: str | None = None

    @property
    def spent(self) -> Spent:
        """What has been used, earlier sessions included; what is in flight is not."""
        return Spent(self._prompt, self._completion, self._seconds())

    @property
    def cost(self) -> float | None:
        """USD of what has been used, at the most that it may have cost; None where the price is unknown."""
        return None if self._price is None else self._price.at_most(self._prompt, self._completion, self.spent.hours)

    def within(self, requests: Iterable[Request]) -> Iterator[Request]:
        """The requests one by one; ends when the next one's worst case does not fit, and `stopped` says why.

        That next request is kept for the next call, so give every call the same iterator.
        """
        requests = iter(requests)
        self.stopped = None
        if self._started is None:
            self._started = self._clock()
        while True:
            if self._held is None and (request := next(requests, None)) is not None:
                self._held = request
            if self._held is None or not self._reserve(self._held):
                return
            request, self._held = self._held, None
            yield request

    def settle(self, answers: Answers) -> None:
        """Replace what answered requests reserved by what they used; failed ones used nothing that is known.

        A reply that does not say its tokens counts as its worst case.
        """
        with self._lock:
            now = self._clock()
            for row in answers.rows:
                reserved = self._release(str(row["request_id"]), now)
                used = int(row["prompt_tokens"]), int(row["completion_tokens"])
                if not any(used):
                    used = reserved.prompt, reserved.completion
                self._prompt += used[0]
                self._completion += used[1]
            for failure in answers.failures:
                self._release(failure.request.request_id, now)

    def _reserve(self, request: Request) -> bool:
        """Reserve by the quick bound on the prompt's tokens; where that does not fit, by the tight one."""
        if not self._counts or self._counter is None:
            return self._fits(request, 0, 0)
        longest, counter = self._settings.max_new_tokens, self._counter
        if counter.quick and self._fits(request, counter.quick(request.messages), longest):
            return True
        return self._fits(request, counter.bound(request.messages), longest)

    def _fits(self, request: Request, prompt: int, completion: int) -> bool:
        with self._lock:
            self.stopped = self._too_much(prompt, completion)
            if self.stopped is None:
                self._release(request.request_id, self._clock())  # the same request again reserves once
                self._reserved[request.request_id] = _Reserved(prompt, completion, self._clock())
                self._reserved_prompt += prompt
                self._reserved_completion += completion
            return self.stopped is None

    def _release(self, request_id: str, now: float) -> _Reserved:
        reserved = self._reserved.pop(request_id, None)
        if reserved is None:  # another session's, collected by this one
            return _Reserved(0, 0, now)
        self._reserved_prompt -= reserved.prompt
        self._reserved_completion -= reserved.completion
        self._slowest = max(self._slowest, now - reserved.since)
        return reserved

    def _too_much(self, prompt: int, completion: int) -> str | None:
        """Which limit the worst case of one more request would pass."""
        limits, used = self._settings, self.spent
        all_prompt = used.prompt_tokens + self._reserved_prompt + prompt
        all_completion = used.completion_tokens + self._reserved_completion + completion
        hours = (used.seconds + self._slowest) / 3600
        if limits.max_tokens and all_prompt + all_completion > limits.max_tokens:
            return (
                f"max_tokens is {limits.max_tokens:,}: {used.tokens:,} are used, and what is in flight with one more "
                f"request may take {all_prompt + all_completion - used.tokens:,}"
            )
        if (
            limits.max_cost
            and self._price
            and self._price.at_most(all_prompt, all_completion, hours) > limits.max_cost
        ):
            more = self._price.at_most(all_prompt, all_completion, hours) - (self.cost or 0.0)
            return (
                f"max_cost is {limits.max_cost:,.2f} USD: {self.cost:,.4f} are spent, and what is in flight with one "
                f"more request may cost {more:,.4f}"
            )
        if limits.max_hours and hours > limits.max_hours:
            return (
                f"max_hours is {limits.max_hours:g}: {used.hours:.3f} are used, and an answer may take "
                f"{self._slowest:.1f} seconds"
            )
        return None

    def _seconds(self) -> float:
        return self._before + (0.0 if self._started is None else self._clock() - self._started)


def check_limits(settings: Limits, price: Price | None) -> None:
    """Refuse limits that cannot be kept.

    Raises:
        ValueError: a negative one, or one on cost where the price is unknown.
    """
    for name in ("max_cost", "max_tokens", "max_hours", "throughput"):
        if not getattr(settings, name) >= 0:
            raise ValueError(f"`{name}` is {getattr(settings, name)}; allowed: a number from 0, where 0 sets no limit")
    if settings.max_cost and price is None:
        raise ValueError(f"`max_cost` is {settings.max_cost:g} USD, but {how_to_price(settings)}.")
