"""The teacher behind an OpenAI-compatible endpoint: `vllm serve`, a hosted API, several of them at once.

The official async client sends; what to try again, when and where is decided here, because a whole run of a million
requests needs other rules than one request: a rate limit is nobody's failure, and a dead server is not every row's.
"""

import json
import logging
import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import httpx2  # what `openai` itself is built on
import openai

from ..request import Answers, Request, reply_row
from ..settings import TeacherSettings
from .endpoint_run import EndpointRun
from .openai_replies import Reply
from .rate_limits import Clock


_CLIENT_LOGGER = logging.getLogger("httpx2")

logger = logging.getLogger(__name__)

HOSTED = "https://api.openai.com/v1"
_BYTES_PER_TOKEN = 3  # of English text it is rather 4: estimates are meant to be high
_KEEPALIVE = 4.0  # seconds; uvicorn, under vLLM's server, closes an idle connection after 5


class OpenAITeacher:
    """One model, served by one or more endpoints. Constructing it reads no key and opens no connection.

    `model_revision` is recorded as it is given: an endpoint does not tell what it serves.

    Args:
        settings: `model`, `model_revision`, `tokenizer`, `endpoints` (none: OpenAI's), `api_key_env`, `concurrency`,
            the limits, `timeout`, `attempts` and what decides sampling are read.
        clock: of the limits and pauses.

    Raises:
        ValueError: an endpoint that is no http(s) URL or holds a password, or a number out of range.
    """

    def __init__(self, settings: TeacherSettings, clock: Clock | None = None) -> None:
        least = {"concurrency": 1, "attempts": 1, "max_new_tokens": 1, "temperature": 0, "timeout": 0.001}
        for name, bound in least.items():
            if getattr(settings, name) < bound:
                raise ValueError(f"{name} is {getattr(settings, name)}; it must be at least {bound}")
        self.settings, self.clock = settings, clock or Clock()
        self.urls = [_checked(url) for url in settings.endpoints or [HOSTED]]
        self.name = settings.model.rstrip("/").split("/")[-1].lower()
        self.revision = settings.model_revision if settings.model_revision != "main" else "as served"
        self.sampling: dict[str, Any] = {
            "max_new_tokens": settings.max_new_tokens,
            "temperature": settings.temperature,
        }
        if settings.top_p != 1:
            self.sampling["top_p"] = settings.top_p
        if settings.temperature:
            self.sampling["seed"] = settings.seed

    def replies(self, requests: Iterable[Request]) -> Iterator[Answers]:
        """Answers as they come; at most `concurrency` requests are taken and not yet recorded.

        Raises:
            EndpointError: the key, the model or the settings are wrong, the account is empty, or no server answers.
                What had been sent before and was answered is yielded first.
            ValueError: there is no key for an endpoint that is not on this machine.
        """
        key = self._key()
        if not _CLIENT_LOGGER.level:  # it writes a line per request, of a million
            _CLIENT_LOGGER.setLevel(logging.WARNING)
        run = EndpointRun(self, {url: self._sender(url, key) for url in self.urls}, key)
        try:
            yield from run.answers(iter(requests))
        finally:
            run.close()

    def _key(self) -> str:
        if key := os.environ.get(self.settings.api_key_env, "").strip():
            return key
        for url in self.urls:
            if not _is_loopback(url):
                raise ValueError(
                    f"endpoint {url} wants a key, and the environment variable {self.settings.api_key_env} is not "
                    "set; set it, or to any word if the server wants none"
                )
        return "none"

    def tokens_of(self, request: Request) -> int:
        """The prompt's tokens: counted where a tokenizer is given, else estimated, rather too high."""
        if self._tokenizer:
            return self._tokenizer.count(request.messages)
        return _estimate("".join(message["content"] for message in request.messages))

    @cached_property
    def _tokenizer(self) -> Any:
        if not self.settings.tokenizer:
            return None
        from ..chat import ChatTokenizer  # transformers is not needed otherwise

        chat = ChatTokenizer(self.settings.tokenizer)
        try:
            chat.count([{"role": "user", "content": "x"}])
        except Exception as error:  # not there, gated, offline: each raises its own kind
            said = (str(error) or type(error).__name__).splitlines()[0]
            logger.warning("tokens are estimated: the tokenizer of %s cannot be used (%s)", chat.model_id, said)
            return None
        return chat

    def row(self, request: Request, reply: Reply) -> dict[str, str | int]:
        """The reply's row. Where the server does not tell its tokens they are counted, or else estimated: a budget
        must never take them for nothing."""
        asked, said = reply.prompt_tokens, reply.completion_tokens
        if asked is None or said is None:
            asked = self.tokens_of(request)
            said = len(self._tokenizer.encode([reply.text])[0]) if self._tokenizer else _estimate(reply.text)
        return reply_row(
            request, reply.text, self.name, self.revision, self.sampling, reply.finish_reason, asked, said
        )

    def _sender(self, url: str, key: str) -> "Sender":
        most, timeout = self.settings.concurrency, self.settings.timeout
        http = openai.DefaultAioHttpClient(
            follow_redirects=False,  # another host would get the key
            trust_env=not _is_loopback(url),  # no proxy knows the way back to this machine
            limits=httpx2.Limits(max_connections=most, max_keepalive_connections=most, keepalive_expiry=_KEEPALIVE),
        )
        client = openai.AsyncOpenAI(api_key=key, base_url=url, max_retries=0, timeout=timeout, http_client=http)
        if url != HOSTED:  # the client takes them from the environment, and they are nobody else's business
            client.organization = client.project = None
        return Sender(client, http)


class Sender:
    """Asks one server as the official client does, at a fraction of its CPU time.

    The client knows who we are and where to send, and its HTTP client sends. But its methods build options, URL and
    headers anew for every request, which costs 2 ms of the 3 ms that a request takes; they are always the same, so
    here they are asked for once.

    Args:
        client: knows the base URL, the key and the headers.
        http: what that client sends with.
    """

    def __init__(self, client: openai.AsyncOpenAI, http: httpx2.AsyncClient) -> None:
        self.client, self._http = client, http
        headers = {**client.auth_headers, **client.default_headers}
        named = {name: value for name, value in headers.items() if isinstance(value, str)}  # others: to be left out
        model = http.build_request("POST", client.base_url.join("chat/completions"), headers=named)
        self._url, self._headers = model.url, model.headers
        self._headers.pop("content-length", None)

    async def complete(self, body: dict[str, Any]) -> bytes:
        """The body of a successful response to a chat completion request.

        Raises:
            APIStatusError: another response.
            APIConnectionError: none.
            UnicodeEncodeError: the request holds half of a surrogate pair.
        """
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        request = httpx2.Request("POST", self._url, headers=self._headers, content=content)
        try:
            response = await self._http.send(request)
        except Exception as error:  # of HTTPX or of aiohttp, as the client does it
            raise openai.APIConnectionError(request=request) from error
        if not response.is_success:
            try:
                said = json.loads(response.content)
            except ValueError:
                said = response.text.strip()
            said = said.get("error", said) if isinstance(said, dict) else said
            raise openai.APIStatusError(f"HTTP {response.status_code}", response=response, body=said)
        return response.content

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()


def _estimate(text: str) -> int:
    return -(-len(text.encode("utf-8", "replace")) // _BYTES_PER_TOKEN)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _checked(url: str) -> str:
    """The URL without a slash at its end. What is wrong with one is said without it: it may hold a password."""
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise ValueError(f"the endpoint at {parts.hostname} has a user or password in its URL; use `api_key_env`")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"endpoint '{url}' is no URL such as http://127.0.0.1:8000/v1")
    return url.rstrip("/")
