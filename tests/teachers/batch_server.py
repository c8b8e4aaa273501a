"""A provider's batch API on loopback: files, batches, and whatever can go wrong with them.

Batches go on by being looked at, not by the clock, so that tests need not wait.
"""

import json
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


KEY = "sk-a-secret-that-nobody-may-see"
NOW = 4_000_000_000  # of the first batch: in the future, hence never too old


def answered(line: dict, **body: Any) -> dict:
    """The output line of a request that got a reply."""
    said = f"reply to {line['body']['messages'][-1]['content']}"
    completion = {
        "object": "chat.completion",
        "model": line["body"]["model"],
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
        **body,
    }
    response = {"status_code": 200, "request_id": "r", "body": completion}
    return {"id": "batch_req", "custom_id": line["custom_id"], "response": response, "error": None}


def refused(line: dict, status: int, code: str, message: str = "no") -> dict:
    """The error line of a request that was refused."""
    response = {"status_code": status, "request_id": "r", "body": {"error": {"code": code, "message": message}}}
    return {"id": "batch_req", "custom_id": line["custom_id"], "response": response, "error": None}


@dataclass
class Plan:
    """What becomes of one batch.

    Attributes:
        looks: at it, until it ends.
        ends: its last status.
        done: requests that are worked on before it ends; None: all.
        answer: request line → output line, or bytes to be written as they are, or None for no line at all.
        errors: of a batch that failed validation.
        backwards: the output is in another order than the input.
    """

    looks: int = 2
    ends: str = "completed"
    done: int | None = None
    answer: Callable[[dict], dict | bytes | None] = answered
    errors: list[dict] = field(default_factory=list)
    backwards: bool = False


class BatchServer:
    """The state of the provider. `plans` are used up, one for each batch created; without one all goes well.

    Attributes:
        processed: how often each custom_id was worked on, hence paid for.
        faults: event → what befalls the next calls of it: "drop" (done, but the connection closes without an answer),
            "lost" (the connection closes and nothing is done), "gateway" (done, but a gateway answers that it is not),
            "page" (nothing is done, a proxy answers with a web page), a status, or (status, error object); None: none.
        hooks: event → called when it is done, before its answer is sent.
    """

    def __init__(self, page: int = 100) -> None:
        self.page = page
        self.plans: list[Plan] = []
        self.files: dict[str, bytes] = {}
        self.batches: list[dict] = []
        self.processed: Counter[str] = Counter()
        self.faults: dict[str, list] = defaultdict(list)
        self.hooks: dict[str, Callable[[], None]] = {}
        self.calls: Counter[str] = Counter()
        self.url = ""
        self._plan_of: dict[str, Plan] = {}
        self._lock = threading.RLock()

    def upload(self, data: bytes) -> dict:
        name = f"file-{len(self.files)}"
        self.files[name] = data
        return {"id": name, "object": "file", "bytes": len(data), "created_at": NOW, "purpose": "batch"}

    def create(self, body: dict) -> dict:
        number = len(self.batches)
        batch = {
            "id": f"batch_{number}",
            "object": "batch",
            "status": "validating",
            "created_at": NOW + number,
            "endpoint": body["endpoint"],
            "completion_window": body["completion_window"],
            "input_file_id": body["input_file_id"],
            "output_file_id": None,
            "error_file_id": None,
            "metadata": body.get("metadata"),
            "errors": None,
        }
        self.batches.append(batch)
        self._plan_of[batch["id"]] = self.plans.pop(0) if self.plans else Plan()
        return batch

    def look(self, name: str) -> dict | None:
        batch = next((batch for batch in self.batches if batch["id"] == name), None)
        if batch is not None and batch["status"] in ("validating", "in_progress"):
            plan = self._plan_of[name]
            plan.looks -= 1
            batch["status"] = "in_progress"
            if plan.looks <= 0:
                self._finish(batch, plan)
        return batch

    def listing(self, after: str = "", limit: int = 20) -> dict:
        newest = self.batches[::-1]
        start = next((place + 1 for place, batch in enumerate(newest) if batch["id"] == after), 0)
        size = min(limit, self.page)
        data = newest[start : start + size]
        return {"object": "list", "data": data, "has_more": start + size < len(newest)}

    def lines(self, batch: dict) -> list[dict]:
        return [json.loads(line) for line in self.files[batch["input_file_id"]].split(b"\n") if line]

    def _finish(self, batch: dict, plan: Plan) -> None:
        lines = self.lines(batch)
        errors = list(plan.errors)
        if len({line["custom_id"] for line in lines}) < len(lines):
            errors.append({"code": "duplicate_custom_id", "message": "found twice", "line": 2, "param": None})
        if errors:
            batch |= {"status": "failed", "errors": {"object": "list", "data": errors}}
            return
        outputs, refusals = [], []
        for line in lines[: plan.done]:
            self.processed[line["custom_id"]] += 1
            answer = plan.answer(line)
            if isinstance(answer, bytes):
                outputs.append(answer)
            elif answer is not None:
                served = (answer["response"] or {}).get("status_code") == 200
                (outputs if served else refusals).append(json.dumps(answer, ensure_ascii=False).encode() + b"\n")
        for line in lines[len(lines) if plan.done is None else plan.done :]:
            error = {"code": f"batch_{plan.ends}", "message": "not executed"}
            late = {"id": "batch_req", "custom_id": line["custom_id"], "response": None, "error": error}
            refusals.append(json.dumps(late).encode() + b"\n")
        for kind, written in (("output", outputs), ("error", refusals)):
            if written:
                name = batch[f"{kind}_file_id"] = f"file-{kind}-{batch['id']}"
                self.files[name] = b"".join(written[::-1] if plan.backwards else written)
        batch["status"] = plan.ends

    def handle(self, event: str, act: Callable[[], Any]) -> tuple[int, Any] | None:
        """The answer to one call, or None where the connection closes without one."""
        with self._lock:
            self.calls[event] += 1
            fault = self.faults[event].pop(0) if self.faults[event] else None
            if fault == "lost":
                return None
            if fault == "page":
                return 200, "<html>please log in</html>"
            if isinstance(fault, int):
                return fault, {"error": {"message": f"fault {fault}", "code": None}}
            if isinstance(fault, tuple):
                return fault[0], {"error": fault[1]}
            result = act()
        if event in self.hooks:
            self.hooks[event]()
        if fault == "drop":
            return None
        if fault == "gateway":
            return 502, "<html>bad gateway</html>"
        return (200, result) if result is not None else (404, {"error": {"message": "no such thing", "code": None}})


@contextmanager
def serving(page: int = 100) -> Iterator[BatchServer]:
    """A provider for as long as the block lasts; `url` is the base URL of its API."""
    provider = BatchServer(page)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body leave together: apart, the second waits 40 ms for the client's kernel

        def log_message(self, *arguments: Any) -> None:
            pass

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            if match := re.fullmatch(r"/v1/files/([^/]+)/content", url.path):
                self._answer("content", lambda: provider.files.get(match[1]))
            elif url.path == "/v1/batches":
                limit = int(query.get("limit", 20))
                self._answer("list", lambda: provider.listing(query.get("after", ""), limit))
            elif match := re.fullmatch(r"/v1/batches/([^/]+)", url.path):
                self._answer("look", lambda: provider.look(match[1]))
            else:
                self._answer("unknown", lambda: None)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path == "/v1/files":
                self._answer("upload", lambda: provider.upload(_file(self.headers["content-type"], body)))
            elif self.path == "/v1/batches":
                self._answer("create", lambda: provider.create(json.loads(body)))
            else:
                self._answer("unknown", lambda: None)

        def _answer(self, event: str, act: Callable[[], Any]) -> None:
            if self.headers.get("authorization") != f"Bearer {KEY}":
                given = self.headers.get("authorization")  # repeated in full, which a provider should not do
                answer = 401, {"error": {"message": f"wrong key: {given}", "code": "invalid_api_key"}}
            else:
                answer = provider.handle(event, act)
            if answer is None:
                self.close_connection = True
                return
            status, result = answer
            if isinstance(result, str):
                kind, data = "text/html", result.encode()
            elif isinstance(result, bytes):
                kind, data = "application/octet-stream", result
            else:
                kind, data = "application/json", json.dumps(result).encode()
            try:
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except ConnectionError:  # the client was killed
                self.close_connection = True

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # clients that are killed in mid-request

    server = Server(("127.0.0.1", 0), Handler)
    provider.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _file(kind: str, body: bytes) -> bytes:
    """The `file` part of a multipart form."""
    boundary = re.search(r'boundary="?([^";]+)', kind)[1].encode()
    for part in body.split(b"--" + boundary):
        head, _, content = part.partition(b"\r\n\r\n")
        if b'name="file"' in head:
            return content.removesuffix(b"\r\n")
    raise ValueError("the form has no file")
