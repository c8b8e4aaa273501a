"""The ASGI application: checks a request, takes its body, calls the handler, and answers errors as the Hub does."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from hmac import compare_digest
from urllib.parse import parse_qs, unquote

from anyio.to_thread import run_sync
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hub_tools.hub.embedded import lfs
from hub_tools.hub.embedded.calls import Call, as_response, error_response
from hub_tools.hub.embedded.errors import HubError, bad_request
from hub_tools.hub.embedded.repos import Repos
from hub_tools.hub.embedded.routes import ROUTES, Route


logger = logging.getLogger(__name__)

MEMORY_LIMIT = 32 << 20
COMMIT_LIMIT = 4 << 30
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})


@dataclass
class App:
    """The application over one store; `token` returns the only token that opens anything, or None if there is none.

    `secret` signs upload addresses. What is signed does not outlive the process, and neither do half-sent uploads.
    """

    repos: Repos
    token: Callable[[], str | None]
    secret: bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        """Return the response; whatever goes wrong in here is the client's to know, once, and never a 5xx.

        Clients repeat a call five times over 23 seconds after a 5xx, which would hide a bug behind a stall.
        """
        try:
            return await self._handle(request)
        except HubError as error:
            response = error_response(error)
        except ClientDisconnect:
            raise
        except Exception as error:
            logger.exception("the embedded Hub failed on %s %s", request.method, request.url.path)
            message = f"The embedded Hub failed on this call (a bug, or a broken folder): {error!r}"
            response = error_response(HubError(400, message))
        await _drain(request)
        return response

    async def _handle(self, request: Request) -> Response:
        check_host(request.headers.get("host", ""))
        call = self._call(request)
        found = find_route(call.method, call.path, call.parts)
        if found.access == "token":
            call.require_token()
        if found.body == "disk":
            place = lfs.receive(call) if found.access == "signed" else self.repos.blobs.receive(COMMIT_LIMIT)
            with place as call.incoming:
                async for piece in request.stream():
                    call.incoming.write(piece)
                call.incoming.flush()
                return as_response(await run_sync(found.handler, call))
        call.body = await _body(request)
        return as_response(await run_sync(found.handler, call))

    def _call(self, request: Request) -> Call:
        path = request.scope.get("raw_path") or request.scope["path"].encode()
        return Call(
            repos=self.repos,
            secret=self.secret,
            base_url=f"http://{request.headers['host']}",
            method=request.method,
            path=path.decode("ascii", "replace"),
            query=parse_qs(request.url.query, keep_blank_values=True),
            headers=dict(request.headers),
            authenticated=self._authenticated(request.headers.get("authorization")),
        )

    def _authenticated(self, authorization: str | None) -> bool:
        """Return whether the call carries this Hub's token; none at all is a stranger, another one an error."""
        if authorization is None:
            return False
        kind, _, token = authorization.partition(" ")
        valid = self.token()
        if kind.lower() != "bearer" or not valid or not compare_digest(token.strip().encode(), valid.encode()):
            raise HubError(401, "Invalid credentials in Authorization header")
        return True


def check_host(host: str) -> None:
    """Refuse requests for other names than loopback's: a web page could have its own name point here.

    Raises:
        HubError: 403.
    """
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    if name.lower() not in LOOPBACK_NAMES:
        raise HubError(403, "This Hub answers on 127.0.0.1 and localhost only.")


def find_route(method: str, path: str, parts: dict[str, str]) -> Route:
    """Return the route of a raw path and fill in its unquoted parts. HEAD is served as GET.

    Raises:
        HubError: 404 for an unknown address, 405 for a known one with another method, 400 for broken quoting.
    """
    known = False
    for candidate in ROUTES:
        match = candidate.pattern.fullmatch(path)
        if match is None:
            continue
        known = True
        if candidate.method == ("GET" if method == "HEAD" else method):
            try:
                parts |= {key: unquote(value, errors="strict") for key, value in match.groupdict().items() if value}
            except UnicodeDecodeError:
                raise bad_request(f"The address {path} is not UTF-8.") from None
            if "type" not in parts:
                parts["type"] = parts.pop("web", "models")
            return candidate
    if known:
        raise HubError(405, f"{method} is not possible on {path}.")
    raise HubError(404, f"The embedded Hub has nothing at {method} {path}.")


async def _body(request: Request) -> bytes:
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > MEMORY_LIMIT:
            raise HubError(413, f"The body is larger than {MEMORY_LIMIT} bytes.")
        pieces.append(piece)
    return b"".join(pieces)


async def _drain(request: Request) -> None:
    """Read the rest of a refused body, within reason: a client that is still sending would not see the answer."""
    size = 0
    try:
        async for piece in request.stream():
            size += len(piece)
            if size > MEMORY_LIMIT:
                return
    except (ClientDisconnect, RuntimeError):  # RuntimeError: the stream was consumed already
        return
