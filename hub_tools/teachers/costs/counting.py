"""How many tokens a prompt is to its teacher: by the teacher's own tokenizer where there is one, else estimated."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..chat import ChatTokenizer
from ..request import Messages


# Bytes of UTF-8 in a token, measured 2026-11-21 on 1,500 English reviews and on our prompts: Mixtral's tokenizer 3.95
# and 3.8 to 4.4, cl100k 4.30 and 4.3 to 4.7, o200k 4.40 and 4.4 to 4.7.
BYTES_PER_TOKEN = 4.15
BYTES_PER_WORD = 6.5  # with its space; of the published sample's replies
ESTIMATE_ERROR = 0.14  # which covers all of these
# What a chat template writes around a message: role, separators; and at its worst.
_AROUND, _AROUND_AT_MOST = 4, 24


class Counted(Protocol):
    """The settings that decide how tokens are counted: those of TeacherSettings."""

    teacher: str
    model: str
    model_revision: str
    tokenizer: str


@dataclass(frozen=True)
class TokenCounter:
    """Counts the tokens of chat messages.

    Attributes:
        count: messages → tokens, as well as they can be known.
        bound: messages → tokens that the teacher will not read more than.
        how: what counts, for people.
        error: by what share `count` may be wrong on the whole; 0 for the teacher's own tokenizer.
        bytes_per_token: of text, about.
        quick: a bound that is not as tight as `bound`, but takes a microsecond where a tokenizer takes a thousand.
    """

    count: Callable[[Messages], float]
    bound: Callable[[Messages], int]
    how: str
    error: float = 0.0
    bytes_per_token: float = BYTES_PER_TOKEN
    quick: Callable[[Messages], int] | None = None


def counter_for(settings: Counted) -> TokenCounter:
    """The best counter at hand; where a tokenizer cannot be read, bytes are counted, and `how` says so.

    A tokenizer may come from the Hub (or its cache); no weights are read and no endpoint is asked.
    """
    if settings.teacher in ("lexicon", "recorded"):
        return TokenCounter(_words, _words, "words: this teacher knows no tokens", bytes_per_token=BYTES_PER_WORD)
    if settings.teacher not in ("openai", "openai-batch"):
        return _tokenizer(settings.model, settings.model_revision)
    if settings.tokenizer:
        return _tokenizer(settings.tokenizer, "main")
    if encoding := _offline_encoding(settings.model):
        return _tiktoken(encoding)
    return _bytes("no `tokenizer` is named")


def byte_bound(messages: Messages) -> int:
    """No tokenizer makes more tokens of a text than it has bytes in UTF-8."""
    return sum(len(message["content"].encode()) + _AROUND_AT_MOST for message in messages) + _AROUND_AT_MOST


def _words(messages: Messages) -> int:
    return len(messages[-1]["content"].split())


def _bytes(reason: str) -> TokenCounter:
    def count(messages: Messages) -> float:
        return sum(len(message["content"].encode()) / BYTES_PER_TOKEN + _AROUND for message in messages)

    return TokenCounter(count, byte_bound, f"estimated, {BYTES_PER_TOKEN} bytes a token ({reason})", ESTIMATE_ERROR)


def _tokenizer(model: str, revision: str) -> TokenCounter:
    chat = ChatTokenizer(model, revision)
    try:
        frame = chat.count([{"role": "user", "content": "x"}])  # templates may bring a system prompt of their own
    except Exception as error:  # not there, gated, offline, damaged, refused by its template: each raises its own kind
        reason = (str(error) or type(error).__name__).splitlines()[0]
        return _bytes(f"the tokenizer of {model} cannot be used: {reason}")

    def quick(messages: Messages) -> int:
        return byte_bound(messages) + frame

    return TokenCounter(chat.count, chat.count, f"by the tokenizer of {model}", quick=quick)


def _tiktoken(encoding: Any) -> TokenCounter:
    def count(messages: Messages) -> int:
        return sum(len(encoding.encode_ordinary(message["content"])) + _AROUND for message in messages) + 3

    def bound(messages: Messages) -> int:
        return count(messages) + _AROUND_AT_MOST * (len(messages) + 1)  # the provider's own frame is not published

    return TokenCounter(count, bound, f"by tiktoken's {encoding.name}")


def _offline_encoding(model: str) -> Any | None:
    """The model's tiktoken encoding, where the package is installed and the file in its cache: no download."""
    try:
        import tiktoken
        from tiktoken.model import encoding_name_for_model

        name = encoding_name_for_model(model)
    except (ImportError, KeyError):
        return None
    folder = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR")
    address = f"https://openaipublic.blob.core.windows.net/encodings/{name}.tiktoken"  # its cache is named by this
    file = Path(folder or Path(tempfile.gettempdir()) / "data-gym-cache") / hashlib.sha1(address.encode()).hexdigest()
    return tiktoken.get_encoding(name) if file.is_file() else None
