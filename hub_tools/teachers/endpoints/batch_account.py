"""A provider's batches, as one run of labelling uses them: send a file of requests, find what was sent, look, read.

The provider's list of batches is the only memory: each of ours is marked with a digest of who replies, so a run that
was killed, or that never heard the answer to what it sent, finds it there again.
"""

import hashlib
import io
import json
import logging
import random
import re
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import openai
from openai.types import Batch

from ..settings import TeacherSettings
from .endpoint_pool import EndpointError
from .openai_endpoint import HOSTED
from .openai_replies import error_of, scrubbed
from .rate_limits import asked_to_wait


logger = logging.getLogger(__name__)

MARK = "fsa-distill"  # the key of our metadata
KEPT = 30 * 24 * 3600  # seconds that the provider keeps the files of a batch
BROKEN_OFF = {"expired", "cancelled"}  # statuses of batches that may hold replies to some of their requests
PAGE = 100  # batches; the most that the provider lists at a time
LONGEST_PAUSE = 16  # times the usual one: a quarter of an hour, where one looks every minute
_MAY_HAVE_ARRIVED = (openai.APIConnectionError, openai.InternalServerError, json.JSONDecodeError)
_PASSING = (*_MAY_HAVE_ARRIVED, openai.RateLimitError, openai.ConflictError)


class NoRoomError(Exception):
    """The provider takes no further batch now: too many tokens wait in its queue, or too many batches were sent."""


class AbsentError(EndpointError):
    """The provider has no such thing, or has it no longer."""


class BatchAccount:
    """The batches of one API key that carry one mark. It opens no connection before the first call.

    Args:
        url: of the provider's API, e.g. https://api.openai.com/v1.
        key: of the API. It is sent to `url` and shown nowhere.
        mark: the metadata by which our batches are known.
        settings: `timeout` of a call; `attempts` at it, with `poll_seconds` between, which double at each failure.
    """

    def __init__(self, url: str, key: str, mark: str, settings: TeacherSettings) -> None:
        self.url, self.mark, self.settings = url, mark, settings
        self._key = key
        http = openai.DefaultHttpxClient(
            follow_redirects=False,  # another host would get the prompts
            trust_env=not re.match(r"https?://(127\.|localhost\b|\[::1\])", url),  # no proxy knows the way back here
        )
        # The client's own retries would send a batch again whose answer was lost, and pay for it twice.
        self._client = openai.OpenAI(
            api_key=key, base_url=url, timeout=settings.timeout, max_retries=0, http_client=http
        )
        if url != HOSTED:  # the client takes them from the environment, and they are nobody else's business
            self._client.organization = self._client.project = None

    def mine(self) -> Iterator[Batch]:
        """Our batches of the last 30 days, newest first.

        Raises:
            EndpointError: the provider cannot be reached, or refuses: a wrong key, or no batch API at this address.
        """
        oldest, after = time.time() - KEPT, ""
        while True:
            page = self._call("listing the batches", lambda after=after: self._page(after))
            for batch in page.data:
                if batch.created_at > oldest and (batch.metadata or {}).get(MARK) == self.mark:
                    yield batch
            last = page.data[-1] if page.data else None
            if last is None or page.has_more is False or last.created_at <= oldest or last.id == after:
                return
            after = last.id

    def _page(self, after: str) -> Any:
        try:
            return self._client.batches.list(limit=PAGE, **({"after": after} if after else {}))
        except AttributeError:  # how the client meets a page that is no JSON
            raise json.JSONDecodeError("the answer is no JSON", "", 0) from None

    def send(self, lines: bytes) -> Batch:
        """A new batch of these requests, paid for once even where the answer to its creation is lost.

        Args:
            lines: the requests as JSONL.

        Raises:
            NoRoomError: not now; when a batch has finished, perhaps.
            EndpointError: the provider refuses the file or the batch, or cannot be reached.
        """
        name = f"{MARK}-{hashlib.sha256(lines).hexdigest()[:16]}.jsonl"
        file = self._call("uploading requests", lambda: self._client.files.create(file=(name, lines), purpose="batch"))
        for failed in count(1):
            try:
                return self._create(file.id)
            except _MAY_HAVE_ARRIVED as error:
                self._pause("creating a batch", failed, error)
                # No other batch has this file: if one has, it is ours, and its answer was lost.
                if found := next((batch for batch in self.mine() if batch.input_file_id == file.id), None):
                    logger.info("batch %s had been created though no answer came", found.id)
                    return found
            except openai.RateLimitError as error:
                if error.code == "insufficient_quota":
                    raise self._refused("creating a batch", error) from None
                raise NoRoomError(self._said(error)) from None
            except openai.APIStatusError as error:
                # A file that was just uploaded may not be known everywhere yet.
                unknown = error.status_code in (400, 404) and file.id in str(error)
                if not unknown or failed >= self.settings.attempts:
                    raise self._refused("creating a batch", error) from None
                self._pause("creating a batch", failed, error)
        raise AssertionError("unreachable")

    def _create(self, file_id: str) -> Batch:
        return _parsed(
            self._client.batches.create(
                input_file_id=file_id,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata={MARK: self.mark},
            )
        )

    def look(self, batch_id: str, attempts: int = 0) -> Batch:
        """The batch as it stands.

        Args:
            attempts: where they are to be other than usual.

        Raises:
            EndpointError: there is no such batch (any more), or the provider cannot be reached.
        """
        return self._call(f"batch {batch_id}", lambda: self._client.batches.retrieve(batch_id), attempts)

    def read(self, file_id: str, attempts: int = 0) -> Iterator[dict[str, Any]]:
        """The objects of a JSONL file; lines that hold none are passed over, with a warning.

        Raises:
            AbsentError: the provider has no such file (any more).
            EndpointError: it cannot be reached.
        """
        data = self._call(f"file {file_id}", lambda: self._content(file_id), attempts)
        for number, line in enumerate(io.BytesIO(data), 1):  # ends lines at \n only: replies may hold U+2028
            try:
                value = json.loads(line)
            except ValueError:
                value = None
            if isinstance(value, dict) and isinstance(value.get("custom_id"), str):
                yield value
            elif line.strip():
                logger.warning("%s: file %s:%d is no line of a batch; passed over", self.url, file_id, number)

    def _content(self, file_id: str) -> bytes:
        answer = self._client.files.content(file_id)
        if "html" in answer.response.headers.get("content-type", ""):
            raise json.JSONDecodeError("the answer is a web page", "", 0)
        return answer.content

    def scrubbed(self, text: str) -> str:
        """The text without the key, also where a server repeats a part of it."""
        return scrubbed(text, self._key)

    def _call(self, what: str, call: Callable[[], Any], attempts: int = 0) -> Any:
        """The answer to a call that may be made again without harm."""
        for failed in count(1):
            try:
                return _parsed(call())
            except _PASSING as error:
                if getattr(error, "code", None) == "insufficient_quota":
                    raise self._refused(what, error) from None
                self._pause(what, failed, error, attempts)
            except openai.APIStatusError as error:
                raise self._refused(what, error) from None
        raise AssertionError("unreachable")

    def _pause(self, what: str, failed: int, error: Exception, attempts: int = 0) -> None:
        """Waits longer from one failure to the next; after the last attempt it raises."""
        if failed >= (attempts or self.settings.attempts):
            raise EndpointError(
                f"{self.url}: {what}: {self._said(error)} ({failed} attempts). What was sent goes on there, and is "
                "not paid again: run the same command later"
            ) from None
        response = getattr(error, "response", None)
        asked = asked_to_wait(response.headers) if response is not None else None
        usual = min(2 ** (failed - 1), LONGEST_PAUSE) * self.settings.poll_seconds * random.uniform(1, 1.25)
        seconds = max(usual, min(asked or 0, 3600))
        logger.warning("%s: %s: %s; again in %.3g s", self.url, what, self._said(error), seconds)
        time.sleep(seconds)

    def _refused(self, what: str, error: openai.APIStatusError) -> EndpointError:
        """What the error means, said without the client's own, which holds the request with its key."""
        if error.status_code == 404 and what.startswith("file"):
            return AbsentError(f"{self.url}: {what} is there no longer")
        found = error_of(error, self.url, self.settings.model, self.settings.api_key_env)
        return EndpointError(self.scrubbed(f"{what}: {found}"))

    def _said(self, error: Exception) -> str:
        text = " ".join(str(getattr(error, "message", error)).split())
        return self.scrubbed(f"{type(error).__name__}: {text}")[:300]


def _parsed(answer: Any) -> Any:
    """The answer, unless it is text: so the client hands on what a proxy says in place of the API."""
    if isinstance(answer, str):
        raise json.JSONDecodeError("the answer is no JSON", answer[:80], 0)
    return answer
