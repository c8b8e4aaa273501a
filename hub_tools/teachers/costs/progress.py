"""How a labelling run gets on: a bar in a terminal, a line now and then elsewhere, and planned against actual."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from tqdm.auto import tqdm

from ..request import Answers
from .amounts import Range, dollars, hours, whole
from .budget import NOTHING, Spent
from .plan import Plan
from .prices import Price


EVERY = 30.0  # seconds between two lines where there is no terminal


class Progress:
    """Counts what a session gets and shows it. Close it, or use it in a `with`.

    Args:
        total: replies wanted, those that were there before included.
        done: those that were there before.
        name: of the teacher.
        price: of the teacher; None where it is unknown, and then no money is shown.
        planned: the session's plan, for `summary`.
        before: what earlier sessions used; the money shown holds it.
        file: where to write; standard error by default.
        clock: seconds that only grow.
        every: seconds between two lines where `file` is no terminal.

    Attributes:
        replies, failures: of this session.
    """

    def __init__(
        self,
        total: int,
        done: int = 0,
        name: str = "",
        price: Price | None = None,
        planned: Plan | None = None,
        before: Spent = NOTHING,
        file: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        every: float = EVERY,
    ) -> None:
        self._total, self._done, self._name, self._price = total, done, name, price
        self._planned, self._before, self._clock, self._every = planned, before, clock, every
        self._file = file or sys.stderr
        self.replies = self.failures = 0
        self._prompt_tokens = self._completion_tokens = 0
        self._started = self._told = clock()
        self._ended: float | None = None
        self._bar = None
        if self._file.isatty():
            self._bar = tqdm(total=total, initial=done, desc=name, unit="reply", file=self._file, dynamic_ncols=True)

    def update(self, answers: Answers) -> None:
        """Count answers, and show it when it is time to."""
        self.replies += len(answers.rows)
        self.failures += len(answers.failures)
        self._prompt_tokens += sum(int(row["prompt_tokens"]) for row in answers.rows)
        self._completion_tokens += sum(int(row["completion_tokens"]) for row in answers.rows)
        if self._bar is not None:
            self._bar.set_postfix_str(", ".join(self._facts()), refresh=False)
            self._bar.update(len(answers.rows))
        elif self._clock() - self._told >= self._every:
            self._tell()

    @property
    def used(self) -> Spent:
        """What this session has used."""
        end = self._clock() if self._ended is None else self._ended
        return Spent(self._prompt_tokens, self._completion_tokens, end - self._started)

    def close(self) -> None:
        """End the session: the clock stops, and the last line is written. A second call does nothing."""
        if self._ended is not None:
            return
        self._ended = self._clock()
        if self._bar is not None:
            self._bar.close()
        else:
            self._tell()

    def summary(self) -> list[list[str]]:
        """Lines of a table: what, planned (from low to high), actual."""
        plan, used = self._planned, self.used
        cost = (
            None if self._price is None else self._price.cost(used.prompt_tokens, used.completion_tokens, used.hours)
        )
        answered = f"{self.replies:,}" + (f", {self.failures:,} failed" if self.failures else "")
        return [
            ["replies", whole(plan.requests) if plan else "–", answered],
            ["input tokens", _span(plan and plan.input_tokens, whole), whole(used.prompt_tokens)],
            ["output tokens", _span(plan and plan.output_tokens, whole), whole(used.completion_tokens)],
            ["price", _span(plan and plan.cost, dollars), "unknown" if cost is None else dollars(cost)],
            ["time", _span(plan and plan.hours, hours), hours(used.hours)],
        ]

    def _tell(self) -> None:
        self._told = self._clock()
        start = f"{self._name}: " if self._name else ""
        seconds = max(self.used.seconds, 1e-9)
        parts = [
            f"{self._done + self.replies:,} of {self._total:,} replies",
            f"{self.replies / seconds:,.1f} replies/s",
        ]
        left = self._total - self._done - self.replies
        if self.replies and left > 0 and self._ended is None:
            parts.append(f"{hours(left * seconds / self.replies / 3600)} left")
        self._file.write(f"{start}{', '.join([*parts, *self._facts()])}\n")
        self._file.flush()

    def _facts(self) -> list[str]:
        used, before = self.used, self._before
        facts = [f"{used.completion_tokens / max(used.seconds, 1e-9):,.0f} tokens/s"]
        if self._price is not None:
            prompt, completion = used.prompt_tokens + before.prompt_tokens, before.completion_tokens
            cost = self._price.cost(prompt, used.completion_tokens + completion, used.hours + before.hours)
            facts.append(dollars(cost))
        return [*facts, f"{self.failures:,} failed"] if self.failures else facts

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _span(amount: Range | None, form: Callable[[float], str]) -> str:
    """`low – high`, or a dash where nothing was planned."""
    if amount is None:
        return "–"
    low, high = form(amount.low), form(amount.high)
    return low if low == high else f"{low} – {high}"
