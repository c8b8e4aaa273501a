"""One HTTP call as the handlers see it, and the answers they give."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

from starlette.responses import FileResponse, JSONResponse, Response

from hub_tools.hub.embedded.blobs import Incoming
from hub_tools.hub.embedded.errors import HubError, bad_request, gated, repo_not_found
from hub_tools.hub.embedded.names import repo_key
from hub_tools.hub.embedded.repo import Repo
from hub_tools.hub.embedded.repos import Repos


USER = "local"
NOT_PRINTABLE = re.compile(r"[^ -~]")


@dataclass
class Call:
    """A request: the parts of its path are unquoted, its body is read (`body`) or on the disk (`incoming`)."""

    repos: Repos
    secret: bytes
    base_url: str
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    authenticated: bool
    parts: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    incoming: Incoming | None = None

    def first(self, name: str, default: str = "") -> str:
        """Return the first value of a query parameter."""
        return self.query.get(name, [default])[0]

    def flag(self, name: str) -> bool:
        """Return whether a query parameter is set to something true."""
        return self.first(name).lower() in ("1", "true", "yes")

    def number(self, name: str, default: int, most: int) -> int:
        """Return a query parameter as a whole number from 0 to `most`; raises HubError 400 if it is none."""
        text = self.first(name, str(default))
        if not text.isdecimal() or len(text) > 15:
            raise bad_request(f"{name}={text!r} is not a whole number.")
        return min(int(text), most)

    def json(self) -> dict[str, Any]:
        """Return the JSON object in the body ({} when there is none); raises HubError 400 for anything else."""
        try:
            value = json.loads(self.body or b"{}")
        except (ValueError, RecursionError) as error:
            raise bad_request(f"The body is not JSON: {error}") from None
        if not isinstance(value, dict):
            raise bad_request(f"The body is a JSON {type(value).__name__}, not an object.")
        return value

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text field of the JSON body; raises HubError 400 if it is missing or not text."""
        value = self.json().get(name, default)
        if not isinstance(value, str):
            raise bad_request(f"The field {name!r} must be text, not {value!r}.")
        return value

    def form(self) -> dict[str, list[str]]:
        """Return the fields of a form-encoded (or JSON) body."""
        if self.headers.get("content-type", "").startswith("application/json"):
            return {key: value if isinstance(value, list) else [str(value)] for key, value in self.json().items()}
        return parse_qs(self.body.decode(errors="replace"), keep_blank_values=True)

    def require_token(self) -> None:
        """Refuse strangers: only the local user writes."""
        if not self.authenticated:
            raise HubError(401, "You must be authenticated: this Hub's token is in its HF_HOME (see `fsa hub env`).")

    def repo(self, content: bool = False) -> Repo:
        """Return the repo that the path names; `content` says that its files are asked for.

        Raises:
            HubError: RepoNotFound if it is missing, or hidden from this caller; GatedRepo if its files are.
        """
        try:
            key = repo_key(self.parts["type"], self.parts["namespace"], self.parts["name"])
        except HubError:
            raise repo_not_found(f"{self.parts['namespace']}/{self.parts['name']}", self.authenticated) from None
        repo = self.repos.find(key)
        if repo is None or (repo.private and not self.authenticated):
            raise repo_not_found(key.id, self.authenticated)
        if content and repo.settings["gated"] and not self.authenticated:
            raise gated(key.id)
        return repo


Answer = Response | dict[str, Any] | list[Any] | None
Handler = Callable[[Call], Answer]


class BlobResponse(FileResponse):
    """A file sent with HEAD, Range and If-Range support, in pieces large enough to be quick."""

    chunk_size = 1 << 20

    def __init__(self, path: Path, etag: str, headers: dict[str, str]) -> None:
        # Files of others are data here, never pages: a browser must not run them in this server's name.
        guards = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}
        headers = {"ETag": f'"{etag}"', **guards, **headers}
        super().__init__(path, headers=headers, media_type="application/octet-stream", stat_result=path.stat())


def as_response(answer: Answer) -> Response:
    """Return what a handler gave as an HTTP response."""
    return answer if isinstance(answer, Response) else JSONResponse({} if answer is None else answer)


def header_text(text: str) -> str:
    """Return `text` as an HTTP header can carry it: one line of ASCII, of at most 1000 characters."""
    line = " ".join(text.encode("ascii", "backslashreplace").decode().split())
    return NOT_PRINTABLE.sub("?", line)[:1000].strip()


def error_response(error: HubError) -> Response:
    """Return the response that the clients turn into an exception of the right class."""
    headers = dict(error.headers)
    headers["X-Error-Message"] = header_text(error.message)
    if error.code:
        headers["X-Error-Code"] = error.code
    return JSONResponse({"error": error.message}, status_code=error.status, headers=headers)


def page(call: Call, items: list[Any], size: int) -> tuple[list[Any], dict[str, str]]:
    """Return one page of `items` and the `Link` header that leads to the next."""
    start = call.number("cursor", 0, len(items))
    end = start + size
    if end >= len(items):
        return items[start:end], {}
    query = urlencode({**call.query, "cursor": end}, doseq=True)
    return items[start:end], {"Link": f'<{call.base_url}{call.path}?{query}>; rel="next"'}
