"""Who may speak to the service: hosts, origins and a token, looked at before anything is read."""

from __future__ import annotations

import hmac
from collections.abc import Collection
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEALTH = "/v1/health"  # open to all, as are the pages, which hold nobody's data
DRAINED = 16 * 2**20  # bytes of a refused upload that are still read
SAFE = ("GET", "HEAD", "OPTIONS")  # methods that change nothing


class Guards:
    """Refuses requests of strangers: 401 without the token, 403 for pages and hosts that are not the service's own.

    A page on the web can make a browser send a form to a loopback address, and a name on the web can be made to lead
    there; neither is what a user of this machine asked for.
    """

    def __init__(self, app: ASGIApp, *, token: str | None, hosts: Collection[str] | None) -> None:
        """hosts: names that the service is called by; None: any."""
        self.app, self.token, self.hosts = app, token, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        refusal, body = self._refusal(scope), _Body(scope, receive)
        answer = self.app
        if refusal is not None:
            status, why = refusal
            headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
            answer = JSONResponse({"detail": why}, status, headers)
        await answer(scope, body, _as_it_says(send, body))

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self.hosts is not None and _name(host) not in self.hosts:
            return 403, f"this service is not called {host[:80]!r}; it listens to {', '.join(sorted(self.hosts))}"
        origin = headers.get("origin")
        if origin is not None and scope["method"] not in SAFE and urlsplit(origin).netloc != host:
            return 403, f"requests from pages of {origin[:80]!r} are refused"
        path = scope["path"]
        is_guarded = path == "/metrics" or (path.startswith("/v1/") and path != HEALTH)
        if self.token is not None and is_guarded:
            given = headers.get("authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(given.encode(), self.token.encode()):
                return 401, "send the header Authorization: Bearer TOKEN"
        return None


class _Body:
    """The body of a request, as far as it is read."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        headers = Headers(scope=scope)
        self.receive = receive
        self.is_unread = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        self.is_held_back = "expect" in headers  # until somebody asks for it

    async def __call__(self) -> Message:
        """Read on."""
        message = await self.receive()
        self.is_unread = message["type"] == "http.request" and message.get("more_body", False)
        self.is_held_back = False
        return message

    async def drain(self) -> None:
        """Read what is left, and forget it: where it is left unread, the answer may be lost with the connection."""
        left = DRAINED
        with suppress(HTTPException):  # it is longer than any upload may be, which is what the answer says
            while self.is_unread and not self.is_held_back and left > 0:
                left -= len((await self()).get("body", b""))


def _as_it_says(send: Send, body: _Body) -> Send:
    """Send answers that arrive, and that browsers take for what they say they are."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            await body.drain()
            message["headers"] = [*message["headers"], (b"x-content-type-options", b"nosniff")]
        await send(message)

    return sent


def _name(host: str) -> str:
    """A host without its port: "[::1]:8000" -> "::1"."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
