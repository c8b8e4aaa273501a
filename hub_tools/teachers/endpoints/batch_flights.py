"""Batches on their way: which request waits in which batch, what is to be sent, what has come back."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from openai.types import Batch

from ..request import Answers, Failure, Request
from ..settings import TeacherSettings
from .batch_account import BROKEN_OFF, AbsentError, BatchAccount, NoRoomError
from .endpoint_pool import EndpointError


logger = logging.getLogger(__name__)

MOST_BYTES = 100_000_000  # of one file: half of what the provider allows, since a file is held in memory
A_DAY = 100  # failed attempts, with the longest pause between them: batches get a day, so does a broken line
ENDED = BROKEN_OFF | {"completed", "failed"}
MANY = 10  # requests of one batch, all refused: then the settings are to blame, not the requests

Outcome = dict[str, str | int] | Failure | None


@dataclass
class _Flight:
    """One batch and those of its requests that are asked for now."""

    batch: Batch
    adopted: bool
    requests: dict[str, Request] = field(default_factory=dict)


class Flights:
    """What is on its way during one call of `replies`: each taken request is in a flight, or not sent yet.

    Args:
        account: of the provider.
        settings: of the teacher.
        line: request → line of a batch's file.
        outcome: request and line of an output or error file → reply row, or why there is none, or None: to be sent
            again; an EndpointError where it is no use to go on.
    """

    def __init__(
        self,
        account: BatchAccount,
        settings: TeacherSettings,
        line: Callable[[Request], bytes],
        outcome: Callable[[Request, dict[str, Any]], Outcome],
    ) -> None:
        self.account, self.settings, self.line, self.outcome = account, settings, line, outcome
        self.flights: dict[str, _Flight] = {}
        self.unsent: dict[str, Request] = {}
        self.again: set[str] = set()  # requests sent once more, so that nothing is sent for ever
        self.no_room = ""  # what the provider said when it took no further batch
        self.turned_away = 0  # times in a row
        self.unsendable: list[Failure] = []
        self.landed = False

    def waiting(self) -> int:
        """How many requests were taken and are not answered."""
        return len(self.unsent) + len(self.unsendable) + sum(len(flight.requests) for flight in self.flights.values())

    def add(self, request: Request, batch: Batch | None) -> None:
        """One more request: to be awaited in the batch that holds it, or to be sent."""
        if batch is None:
            self.unsent[request.request_id] = request
        else:
            flight = self.flights.setdefault(batch.id, _Flight(batch, adopted=True))
            flight.requests[request.request_id] = request

    def send(self) -> None:
        """Files of at most `chunk` requests and `MOST_BYTES`, as long as the provider takes them."""
        while self.unsent and not self.no_room:
            sent, lines = self._next_file()
            if not sent:
                continue
            try:
                batch = self.account.send(b"".join(lines))
            except NoRoomError as error:
                self.no_room = str(error)
                return
            for key in sent:
                del self.unsent[key]
            self.flights[batch.id] = _Flight(batch, adopted=False, requests=sent)
            logger.info("batch %s: %d requests sent", batch.id, len(sent))

    def _next_file(self) -> tuple[dict[str, Request], list[bytes]]:
        sent: dict[str, Request] = {}
        lines: list[bytes] = []
        size = 0
        for key, request in list(islice(self.unsent.items(), self.settings.chunk)):
            try:
                line = self.line(request)
            except UnicodeEncodeError:  # one such line, and the provider refuses the whole file
                reason = "the prompt holds half of a surrogate pair, which no request can carry"
                self.unsendable.append(Failure(self.unsent.pop(key), reason, final=True))
                continue
            size += len(line)
            if sent and size > MOST_BYTES:
                break
            sent[key] = request
            lines.append(line)
        return sent, lines

    def land(self) -> Iterator[Answers]:
        """The answers of each batch that has ended.

        Raises:
            EndpointError: it is no use to go on. What the batch did answer is yielded first.
        """
        if self.unsendable:
            failures, self.unsendable, self.landed = self.unsendable, [], True
            yield Answers([], failures)
        for flight in list(self.flights.values()):
            if flight.batch.status not in ENDED:
                flight.batch = self.account.look(flight.batch.id, A_DAY)
            if flight.batch.status not in ENDED:
                continue
            del self.flights[flight.batch.id]
            if flight.batch.status == "failed":
                self._take_back(flight)
                continue
            answers, fatal = self._collect(flight)
            self.landed = True
            yield answers
            if fatal:
                raise fatal

    def _take_back(self, flight: _Flight) -> None:
        """A batch that did not pass the provider's checks: to be sent later where only room was missing."""
        errors = (flight.batch.errors.data if flight.batch.errors else None) or []
        said = "; ".join(
            f"{error.code}: {error.message}" + (f" (line {error.line})" if error.line else "") for error in errors[:3]
        )
        if not any(error.code == "token_limit_exceeded" for error in errors):
            raise EndpointError(
                f"{self.account.url}: batch {flight.batch.id} of model '{self.settings.model}' failed the "
                f"provider's checks: {said or 'no reason given'}"
            )
        self.unsent = {**flight.requests, **self.unsent}
        self.no_room = said

    def _collect(self, flight: _Flight) -> tuple[Answers, EndpointError | None]:
        """Rows and failures of one batch; what may be sent once more joins the unsent."""
        rows, final, reasons, fatal = self._read(flight)
        again = flight.adopted or flight.batch.status in BROKEN_OFF
        if not rows and MANY <= len(final) == len(flight.requests):
            # Marked as final, each review would count as hopeless. An earlier run's settings may have been other ones.
            if not flight.adopted:
                fatal = EndpointError(
                    f"all {len(final)} requests of batch {flight.batch.id} were refused, the last one with: "
                    f"{final[-1].reason}; check the settings"
                )
            final = []
        done = {row["request_id"] for row in rows} | {failure.request.request_id for failure in final}
        failures = list(final)
        for key, request in flight.requests.items():
            if key in done:
                continue
            reason = reasons.get(key, "the provider's output does not hold it")
            if key not in self.again and (again or reason == ""):
                self.again.add(key)
                self.unsent[key] = request
            else:
                reason = f"batch {flight.batch.id} ({flight.batch.status}): {reason or 'refused twice'}"
                failures.append(Failure(request, reason))
        logger.info("batch %s: %d replies, %d failures", flight.batch.id, len(rows), len(failures))
        return Answers(rows, failures), fatal

    def _read(self, flight: _Flight) -> tuple[list[dict], list[Failure], dict[str, str], EndpointError | None]:
        """Reply rows, final failures, and by request_id why others failed ("": to be sent again as it should be)."""
        rows: list[dict] = []
        final: list[Failure] = []
        reasons: dict[str, str] = {}
        fatal = None
        read: set[str] = set()
        for line in self._lines(flight.batch):
            key = line["custom_id"]
            if key not in flight.requests or key in read:
                continue
            read.add(key)
            try:
                outcome = self.outcome(flight.requests[key], line)
            except EndpointError as error:  # of an earlier run: perhaps put right since
                reasons[key] = str(error)
                fatal = None if flight.adopted else error
                continue
            if isinstance(outcome, dict):
                rows.append(outcome)
            elif outcome and outcome.final:
                final.append(outcome)
            else:
                reasons[key] = outcome.reason if outcome else ""
        return rows, final, reasons, fatal

    def _lines(self, batch: Batch) -> Iterator[dict[str, Any]]:
        for file_id in filter(None, (batch.output_file_id, batch.error_file_id)):
            try:
                yield from self.account.read(file_id, A_DAY)
            except AbsentError as error:
                logger.warning("batch %s: %s", batch.id, error)

    def rest(self) -> None:
        """Waits until it is worth while to look again."""
        if self.landed or not self.waiting():
            self.landed, self.no_room, self.turned_away = False, "", 0
            return
        seconds = self.settings.poll_seconds
        if self.no_room and not self.flights:  # others' batches, or our own file, fill the provider's queue
            self.turned_away += 1
            if self.turned_away >= self.settings.attempts:
                raise EndpointError(
                    f"{self.account.url}: takes no batch of {min(len(self.unsent), self.settings.chunk)} "
                    f"requests: {self.no_room}. Lower `chunk` ({self.settings.chunk}), or wait for other batches."
                )
            seconds *= 2 ** (self.turned_away - 1)
            self.no_room = ""
        time.sleep(seconds)
