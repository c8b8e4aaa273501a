"""What every teacher takes and gives: requests in, answers out, each with a reply row or the reason why there is none.

A teacher asks for its next requests only when it can work on them: what it has taken and not yet answered is in
flight, and is all that a kill can cost.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Protocol


Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Request:
    """One reply that is wanted: the chat messages of one prompt about one review."""

    request_id: str
    review_id: str
    review: str
    prompt: str
    messages: Messages


@dataclass(frozen=True)
class Failure:
    """A request that got no reply. `final`: asking again cannot help (the prompt is too long, the content refused)."""

    request: Request
    reason: str
    final: bool = False


@dataclass(frozen=True)
class Answers:
    """What came back at one time: rows of the replies contract, and the requests that failed."""

    rows: Sequence[dict[str, str | int]]
    failures: Sequence[Failure] = ()


class Teacher(Protocol):
    """Who replies. Constructing one loads no weights and opens no connection; the first request does.

    Attributes:
        name, revision: which model and which version of it.
        sampling: whatever else decides a reply, as JSON values.
    """

    name: str
    revision: str
    sampling: dict

    def replies(self, requests: Iterable[Request]) -> Iterator[Answers]:
        """Answers every request once, in any order and grouping, as answers come.

        It takes from `requests` no more than it works on at one time. The caller has recorded what was yielded when it
        asks for more. When `requests` ends, what is in flight is still answered.
        """
        ...


def in_chunks(reply: Callable[[list[Request]], Answers], requests: Iterable[Request], size: int) -> Iterator[Answers]:
    """The answers of a teacher that works on so many requests at a time."""
    requests = iter(requests)
    while chunk := list(islice(requests, size)):
        yield reply(chunk)


def request_id(messages: Messages, review: str, teacher: str, revision: str, sampling: Mapping) -> str:
    """A digest of everything that decides a reply: change any of it and no stale reply is reused.

    Args:
        messages: the chat messages, system prompt and demonstrations included.
        review: the review's text.
        teacher, revision: which model and which version of it.
        sampling: parameters such as temperature and the most new tokens.

    Returns:
        32 hexadecimal digits. Reviews with the same text share it; read them without repeats.
    """
    decided = [_digest(*message.items()) for message in messages]
    text = _canonical([decided, review, teacher, revision, dict(sampling)])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


@lru_cache(maxsize=64)  # the system prompt and the demonstrations come with every request
def _digest(*message: tuple[str, str]) -> str:
    return hashlib.sha256(_canonical(sorted(message)).encode()).hexdigest()


def requests_for(
    reviews: Iterable[Mapping],
    builders: Mapping[str, Callable[[str], Messages]],
    teacher: str,
    revision: str,
    sampling: Mapping,
    skip: Iterable[bool] = (),
) -> Iterator[Request]:
    """Every prompt about every review, prompt after prompt for one review after another.

    Args:
        reviews: rows with `review_id` and `text`.
        builders: prompt name → function from the review's text to chat messages.
        skip: one truth value per request, in this order; those that are true are left out. Missing ones are false.
    """
    skip = iter(skip)
    for review in reviews:
        for prompt, build in builders.items():
            if next(skip, False):
                continue
            messages = build(review["text"])
            key = request_id(messages, review["text"], teacher, revision, sampling)
            yield Request(key, review["review_id"], review["text"], prompt, messages)


def reply_row(
    request: Request,
    reply: str,
    teacher: str,
    revision: str,
    sampling: Mapping,
    finish_reason: str = "stop",
    prompt_tokens: int = 0,
    completion_tokens: int = 0,
) -> dict[str, str | int]:
    """The row of the replies contract for one answered request."""
    return {
        "request_id": request.request_id,
        "review_id": request.review_id,
        "prompt": request.prompt,
        "teacher": teacher,
        "teacher_revision": revision,
        "sampling": json.dumps(dict(sampling), sort_keys=True),
        "reply": reply,
        "finish_reason": finish_reason,
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
    }
