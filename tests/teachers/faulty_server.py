"""
A loopback server that speaks the OpenAI chat API, replies by rule, and misbehaves as it is told.

    with serve(latency=0.01) as server:            # in a thread
        server.faults = ["500", "429:0.1", ""]     # of the next requests, in order of arrival
        ...  # server.url, server.asked, server.most_at_once

    python tests/teachers/faulty_server.py --port 0 --latency 0.2 --faults 500=0.05,drop=0.02    # prints its URL

Standard library only, so that any environment can start it. Faults:

429[:SECONDS]   rate limit, with Retry-After              quota       429 that no waiting cures
400 401 403 404 413 422 500 503 (any other status)        leak        401 whose message repeats the key
drop            closes the connection unanswered          hang        answers only when the server ends
cut             JSON that ends in the middle              short       fewer bytes than announced, then closes
malformed       not JSON                                  empty       no choices
model           another model's name                      filter      finish_reason content_filter
abort           finish_reason abort                       none        content null
silent          no usage                                  length      refuses max_tokens, wants max_completion_tokens
temperature     refuses the temperature                   redirect    307 to another host
slow            half a second later than the latency
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


Faults = list[str] | Callable[[str, int], str]
_MESSAGES = {
    "400": ("This model's maximum context length is 16385 tokens.", "context_length_exceeded", None),
    "401": ("Incorrect API key provided.", "invalid_api_key", None),
    "404": ("The model `x` does not exist.", "model_not_found", None),
    "quota": ("You exceeded your current quota, please check your plan.", "insufficient_quota", None),
    "length": (
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "unsupported_parameter",
        "max_tokens",
    ),
    "temperature": (
        "Unsupported value: 'temperature' does not support 0.0 with this model. Only the default (1) value is "
        "supported.",
        "unsupported_value",
        "temperature",
    ),
}
_STATUSES = {"quota": 429, "leak": 401, "length": 400, "temperature": 400, "redirect": 307}


def digest(messages: list[dict]) -> str:
    """What the counters know a prompt by."""
    return hashlib.sha256(json.dumps(messages, sort_keys=True).encode()).hexdigest()[:16]


def reply_to(messages: list[dict]) -> str:
    """Always the same words for the same messages, in the form that the two prompts ask for."""
    chance = int(hashlib.sha256(json.dumps(messages, sort_keys=True).encode()).hexdigest()[:8], 16)
    review = str(messages[-1]["content"]).removeprefix("Review: ")
    words = [word.strip(".,!?\"'") for word in review.split()]
    words = [word for word in words if len(word) > 2] or ["place"]
    target = words[chance % len(words)]
    if "Opinion Target" not in str(messages[0]["content"]):
        return f"I felt strongly about the {target}. {review}"
    sentiment = ("Very Negative", "Negative", "Neutral", "Positive", "Very Positive")[chance % 5]
    return (
        f'Opinion Target 1: "{target}"\nAspect: quality\nSentiment: {sentiment}\n'
        f"Reasoning: The review says {' '.join(words[:6])}, which shows it."
    )


@dataclass
class FaultyServer:
    """The server's state; all of it may be read and changed while it runs.

    Attributes:
        model: the name it serves and writes into replies.
        latency: seconds from request to reply.
        faults: of the next chat requests in order of arrival ("" is none), or a function of the last message's text
            and of how often this prompt has been asked, this time included.
        models: whether GET /models is there.
        url: its base URL.
        asked, answered: how often each prompt (`digest` of its messages) came and was replied to with status 200.
        most_at_once: chat requests under way at one time.
        keys: the Authorization headers that came.
        bodies: the chat requests' bodies; kept only when `keep_bodies`.
    """

    model: str = "tiny-chat"
    latency: float = 0.0
    faults: Faults = field(default_factory=list)
    models: bool = True
    keep_bodies: bool = False
    url: str = ""
    asked: Counter = field(default_factory=Counter)
    answered: Counter = field(default_factory=Counter)
    now: int = 0
    most_at_once: int = 0
    keys: set = field(default_factory=set)
    bodies: list = field(default_factory=list)

    def stats(self) -> dict:
        return {"asked": self.asked, "answered": self.answered, "most_at_once": self.most_at_once}

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection, request after request."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, path, _ = head[0].split(" ")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                if "authorization" in headers:
                    self.keys.add(headers["authorization"])
                if not await self.respond(writer, method, path, headers, body):
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client has gone, or the server ends
        finally:
            writer.close()

    async def respond(self, writer: asyncio.StreamWriter, method: str, path: str, headers: dict, body: bytes) -> bool:
        """Whether the connection stays open."""
        if method == "GET" and path.endswith("/models") and self.models:
            return await _send(writer, 200, {"object": "list", "data": [{"id": self.model, "object": "model"}]})
        if method == "GET" and path == "/stats":
            return await _send(writer, 200, self.stats())
        if method != "POST" or not path.endswith("/chat/completions"):
            return await _send(writer, 404, {"error": {"message": f"no {path} here", "code": None}})
        self.now += 1
        self.most_at_once = max(self.most_at_once, self.now)
        try:
            return await self.chat(writer, headers, json.loads(body))
        finally:
            self.now -= 1

    async def chat(self, writer: asyncio.StreamWriter, headers: dict, body: dict) -> bool:
        """Replies to one chat request, or does what its fault says."""
        key = digest(body["messages"])
        self.asked[key] += 1
        if self.keep_bodies:
            self.bodies.append(body)
        if callable(self.faults):
            fault = self.faults(str(body["messages"][-1]["content"]), self.asked[key])
        else:
            fault = self.faults.pop(0) if self.faults else ""
        fault, _, argument = fault.partition(":")
        if fault == "length" and "max_completion_tokens" in body:
            fault = ""
        await asyncio.sleep(self.latency + {"hang": 1e6, "slow": 0.5}.get(fault, 0.0))
        if fault == "drop":
            return False
        if fault.isdigit() or fault in _STATUSES:
            return await _refuse(writer, fault, argument, headers)
        payload = json.dumps(self.completion(body, fault)).encode()
        if fault == "cut":
            payload = payload[: len(payload) // 2]
        if fault == "malformed":
            payload = b"<html>upstream busy</html>"
        if fault == "short":
            writer.write(_head(200, len(payload)) + payload[:20])
            await writer.drain()
            return False
        writer.write(_head(200, len(payload)) + payload)
        await writer.drain()
        self.answered[key] += 1
        return True

    def completion(self, body: dict, fault: str) -> dict:
        text = reply_to(body["messages"])
        finish = {"filter": "content_filter", "abort": "abort"}.get(fault, "stop")
        message = {"role": "assistant", "content": None if fault == "none" else text}
        reply = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 0,
            "model": "another-model" if fault == "model" else self.model,
            "choices": [] if fault == "empty" else [{"index": 0, "message": message, "finish_reason": finish}],
        }
        if fault != "silent":
            asked, said = sum(len(str(m["content"]).split()) for m in body["messages"]), len(text.split())
            reply["usage"] = {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}
        return reply


async def _refuse(writer: asyncio.StreamWriter, fault: str, argument: str, headers: dict) -> bool:
    message, code, parameter = _MESSAGES.get(fault, (f"The server says {fault}.", None, None))
    if fault == "leak":
        message = f"Incorrect API key provided: {headers.get('authorization')}"
    extra = {"429": f"Retry-After: {argument}\r\n" if argument else "", "redirect": f"Location: {argument}\r\n"}
    error = {"error": {"message": message, "type": "error", "code": code, "param": parameter}}
    return await _send(writer, _STATUSES.get(fault) or int(fault), error, extra.get(fault, ""))


async def _send(writer: asyncio.StreamWriter, status: int, value: dict, extra: str = "") -> bool:
    payload = json.dumps(value).encode()
    writer.write(_head(status, len(payload), extra) + payload)
    await writer.drain()
    return True


def _head(status: int, length: int, extra: str = "") -> bytes:
    return (
        f"HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\n{extra}Content-Length: {length}\r\n\r\n"
    ).encode("latin-1")


@contextlib.contextmanager
def serve(port: int = 0, **options) -> Iterator[FaultyServer]:
    """A server in a thread, on a free port unless one is named, until the block ends. `options`: FaultyServer's."""
    server, ready, loop = FaultyServer(**options), threading.Event(), asyncio.new_event_loop()

    async def run() -> None:
        listener = await asyncio.start_server(server.connection, "127.0.0.1", port, limit=2**22, backlog=1024)
        server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
        ready.set()

    def work() -> None:
        asyncio.set_event_loop(loop)
        loop.create_task(run())
        loop.run_forever()
        for task in (tasks := asyncio.all_tasks(loop)):
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert ready.wait(10), "the server did not start"
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def by_chance(shares: dict[str, float]) -> Callable[[str, int], str]:
    """Faults by chance that are the same every time: a digest of the prompt and of how often it was asked decides."""

    def fault(text: str, times: int) -> str:
        chance = int(hashlib.sha256(f"{times} {text}".encode()).hexdigest()[:8], 16) / 2**32
        for name, share in shares.items():
            chance -= share
            if chance < 0:
                return name
        return ""

    return fault


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--model", default="tiny-chat")
    parser.add_argument("--faults", default="", help="e.g. 500=0.05,429:0.1=0.05,drop=0.02")
    arguments = parser.parse_args()
    items = [item.partition("=") for item in arguments.faults.split(",") if item]
    shares = {name: float(share) for name, _, share in items}
    with serve(arguments.port, model=arguments.model, latency=arguments.latency, faults=by_chance(shares)) as server:
        print(server.url, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
