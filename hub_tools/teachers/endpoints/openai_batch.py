"""A hosted chat model by its provider's batch API: files of requests, answered within a day, at half the price.

Keeps nothing on this machine. What has been sent is found again in the provider's own list of batches, so a kill at
any moment costs at most the upload of a file whose batch was not created yet.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice
from typing import Any

import httpx2  # what `openai` itself is built on
import openai

from ..request import Answers, Failure, Request
from ..settings import TeacherSettings
from .batch_account import BatchAccount
from .batch_flights import Flights, Outcome
from .earlier_batches import EarlierBatches
from .openai_endpoint import OpenAITeacher
from .openai_replies import FailedError, LengthParameterError, LimitedError, RefusedError, error_of, read_reply


MOST_REQUESTS = 50_000  # of one file, by the provider's rule
IN_FLIGHT = 4  # batches: one may be slow while others finish, and what waits is held in memory


class OpenAIBatchTeacher(OpenAITeacher):
    """A chat model behind `/batches` of one endpoint.

    Name, revision, sampling and rows are the endpoint teacher's, hence the request_ids: a run may change between the
    two, and nothing is asked twice.

    Args:
        settings: `chunk` is the requests of one file; it waits `poll_seconds` between two looks at a batch.

    Raises:
        ValueError: a setting out of its range, or more than one endpoint.
    """

    def __init__(self, settings: TeacherSettings) -> None:
        super().__init__(settings)
        if not 1 <= settings.chunk <= MOST_REQUESTS:
            raise ValueError(f"chunk is {settings.chunk}; a file holds 1 to {MOST_REQUESTS} requests")
        if settings.poll_seconds <= 0:
            raise ValueError(f"poll_seconds is {settings.poll_seconds}; it must be more than 0")
        if len(self.urls) > 1:
            raise ValueError(f"teacher 'openai-batch' takes one endpoint; found {', '.join(self.urls)}")
        self.url = self.urls[0]
        self.length_parameter = "max_tokens"

    @cached_property
    def account(self) -> BatchAccount:
        """The provider's batches that were made for this teacher.

        Raises:
            ValueError: the environment has no key.
        """
        logging.getLogger("httpx2").setLevel(logging.WARNING)  # it writes a line for every look
        who = json.dumps([self.name, self.revision, self.sampling], sort_keys=True)
        return BatchAccount(self.url, self._key(), hashlib.sha256(who.encode()).hexdigest()[:32], self.settings)

    @cached_property
    def earlier(self) -> EarlierBatches:
        """What earlier runs sent, as it stood at the first request."""
        return EarlierBatches(self.account)

    def replies(self, requests: Iterable[Request]) -> Iterator[Answers]:
        """Answers batch by batch, as they finish. At most `IN_FLIGHT` files' worth of requests wait at a time.

        A request that an earlier run sent is awaited there and not sent again. What a batch left undone when it
        expired or was cancelled, or what an earlier run's batch failed at, is sent once more.

        A batch may take a day. KeyboardInterrupt while it is awaited passes through: nothing is lost, since the next
        run finds the batch in the provider's list. Outputs are kept there for 30 days.

        Raises:
            EndpointError: the key, the model or the settings are wrong, the account is empty, a file does not pass the
                provider's checks, or it cannot be reached.
            ValueError: there is no key for an endpoint that is not on this machine.
        """
        requests = iter(requests)
        flights: Flights | None = None
        ended = False
        while True:
            room = IN_FLIGHT * self.settings.chunk - (flights.waiting() if flights else 0)
            if room > 0 and not ended:
                taken = list(islice(requests, room))
                ended = len(taken) < room
                if taken and flights is None:
                    flights = Flights(self.account, self.settings, self.line, self.outcome)
                for request in taken:
                    flights.add(request, self.earlier.holder(request.request_id))
            if flights is None or not flights.waiting():
                return
            flights.send()
            yield from flights.land()
            flights.rest()

    def line(self, request: Request) -> bytes:
        """The request as a line of a batch's file.

        Raises:
            UnicodeEncodeError: the prompt holds half of a surrogate pair.
        """
        body = {
            "model": self.settings.model,
            "messages": request.messages,
            self.length_parameter: self.settings.max_new_tokens,
            **{name: value for name, value in self.sampling.items() if name != "max_new_tokens"},
        }
        call = {"custom_id": request.request_id, "method": "POST", "url": "/v1/chat/completions", "body": body}
        return json.dumps(call, ensure_ascii=False).encode() + b"\n"

    def outcome(self, request: Request, line: dict[str, Any]) -> Outcome:
        """What a line of an output or error file says: the reply's row, why there is none, or None: send it again.

        Raises:
            EndpointError: the model or a setting is wrong, or the account is empty.
        """
        try:
            return self.row(request, read_reply(self._body(line), self.settings.model, self.url))
        except LengthParameterError:
            self.length_parameter = "max_completion_tokens"
            return None
        except RefusedError as error:
            return Failure(request, self.account.scrubbed(str(error)), final=True)
        except LimitedError as error:
            return Failure(request, str(error))
        except FailedError as error:
            return Failure(request, self.account.scrubbed(f"{error.kind}: {error}"))

    def _body(self, line: dict[str, Any]) -> bytes:
        """The chat completion in a line, as an endpoint would have sent it; else what an error there would raise."""
        if isinstance(error := line.get("error"), dict):  # the request was never made: the batch expired, or the like
            raise FailedError(str(error.get("code")), str(error.get("message")))
        response = line.get("response")
        if not isinstance(response, dict):
            raise FailedError("no response")
        status, body = response.get("status_code"), response.get("body")
        if status == 200:
            return json.dumps(body).encode()
        if not isinstance(status, int):
            raise FailedError("no status")
        answer = httpx2.Response(status, request=httpx2.Request("POST", self.url))
        inner = body.get("error", body) if isinstance(body, dict) else body
        raise error_of(
            openai.APIStatusError("", response=answer, body=inner),
            self.url,
            self.settings.model,
            self.settings.api_key_env,
        )
