"""What an OpenAI-like server answered: a reply, or one of the ways in which there is none."""

import json
import re
from typing import Any, NamedTuple

import openai

from .endpoint_pool import EndpointError
from .rate_limits import asked_to_wait


_LONGEST_REASON = 300  # characters
_PARAMETERS = ("temperature", "top_p", "seed", "max_tokens", "max_completion_tokens", "model", "messages")
_STOPPED = ("stop", "eos", "eos_token", "stop_sequence", "", None)  # as servers other than OpenAI's say it
_VERSION = re.compile(r"(?:-\d{3,8}|-\d{4}-\d{2}-\d{2}|:latest)")


class Reply(NamedTuple):
    """The reply's text and why it ended ("stop" or "length"); tokens are None where the server does not tell."""

    text: str
    finish_reason: str
    prompt_tokens: int | None
    completion_tokens: int | None


class RefusedError(Exception):
    """This request, and only this, will never be answered."""


class LimitedError(Exception):
    """Too many requests; `seconds` says how long to wait, where the server does."""

    def __init__(self, seconds: float | None) -> None:
        super().__init__("HTTP 429")
        self.seconds = seconds


class FailedError(Exception):
    """No reply this time. `kind` names what happened in few words, the message says more."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(detail)
        self.kind = kind


class LengthParameterError(Exception):
    """The server wants `max_completion_tokens` where it was sent `max_tokens`."""


def same_model(asked: str, served: str) -> bool:
    """Whether a server that says `served` serves `asked`: the folder, the letters' case and a version may differ.

    >>> same_model("gpt-3.5-turbo", "gpt-3.5-turbo-0125"), same_model("org/Tiny-Chat", "/models/tiny-chat/")
    (True, True)
    >>> same_model("gpt-4o", "gpt-4o-mini"), same_model("gpt-3.5-turbo-0613", "gpt-3.5-turbo-0125")
    (False, False)
    """
    asked, served = (name.rstrip("/").split("/")[-1].lower() for name in (asked, served))
    return served.startswith(asked) and bool(served == asked or _VERSION.fullmatch(served[len(asked) :]))


def read_reply(content: bytes, model: str, url: str) -> Reply:
    """The reply in the body of a response of status 200.

    Args:
        content: the body.
        model: what was asked for.
        url: of the server, for messages.

    Raises:
        FailedError: the body is cut or is no chat completion, or the reply ended in an unknown way.
        RefusedError: the content filter ended it; the message keeps the beginning of what came.
        EndpointError: another model replied.
    """
    try:
        body = json.loads(content)
        served = body.get("model") or model
        choice = body["choices"][0]
        message, finish = choice["message"], choice.get("finish_reason")
        text = message.get("content") or message.get("refusal") or ""
        if not (isinstance(text, str) and isinstance(served, str)):
            raise TypeError("the content is no text")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise FailedError("no chat completion", f"{type(error).__name__}: {error}; {content[:80]!r}") from None
    if not same_model(model, served):
        raise EndpointError(wrong_model(url, [served], model))
    if finish == "content_filter":
        raise RefusedError(f"content_filter: {text}")
    if finish not in ("length", *_STOPPED):
        raise FailedError(f"finish_reason {finish}")
    usage = body.get("usage")
    counts = [usage.get(name) if isinstance(usage, dict) else None for name in ("prompt_tokens", "completion_tokens")]
    known = all(isinstance(count, int) for count in counts)
    return Reply(text, "length" if finish == "length" else "stop", *(counts if known else (None, None)))


def wrong_model(url: str, served: list[str], asked: str) -> str:
    """What to say when a server has other models than the one asked for."""
    named = ", ".join(f"'{name}'" for name in served[:10]) or "no model"
    return f"endpoint {url} serves {named}, asked for '{asked}'; name the model as it is served, or another endpoint"


def error_of(error: openai.APIStatusError, url: str, model: str, key_variable: str) -> Exception:
    """What a response of another status than 200 means: one of this module's errors, or an EndpointError."""
    status, message = error.status_code, _message(error)
    said = f"HTTP {status} from {url}: {message}"
    code, parameter = str(error.code), str(error.param)
    if code == "insufficient_quota" or status == 402:
        return EndpointError(f"the account has no money left ({said}); top it up and start the run again")
    if status == 429:
        return LimitedError(asked_to_wait(error.response.headers))
    if status in (408, 409, 425) or status >= 500:
        return FailedError(f"HTTP {status}", message)
    if status in (401, 403) and not re.search(r"flagged|moderation", message, re.IGNORECASE):
        return EndpointError(f"{said}; check the key in ${key_variable} and what it may use")
    if status == 404 or code == "model_not_found":
        return EndpointError(f"{said}; check the model's name '{model}' and the base URL, which mostly ends in /v1")
    if status < 400:
        return EndpointError(f"{said}; it redirects, and the key goes to no other host: name the final URL")
    if "max_completion_tokens" in message and "max_tokens" in message:
        return LengthParameterError()
    if code in ("unsupported_parameter", "unsupported_value") or parameter in _PARAMETERS[:3]:
        return EndpointError(f"{said}; the model does not take this setting: change it, or take another model")
    return RefusedError(f"HTTP {status}: {message}")


def _message(error: openai.APIStatusError) -> str:
    """What the server says went wrong, from whichever place it put it."""
    body: Any = error.body
    for name in ("error", "message", "detail"):
        body = body.get(name, body) if isinstance(body, dict) else body
    text = " ".join(str(body or "no message").split())
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}…"


_LOOKS_LIKE_A_KEY = re.compile(r"\b(?:sk|hf|gsk)[-_][\w*-]{6,}|(?<=Bearer )\S+")


def scrubbed(text: str, key: str) -> str:
    """The text without the key, also where a server repeats a part of it."""
    return _LOOKS_LIKE_A_KEY.sub("***", text.replace(key, "***") if len(key) > 4 else text)
