"""What stands before every request: whose it is, how large, and what the browser may do with the answer.

A page of another site can make a browser send requests here. It cannot read the page, so it lacks the token; its
requests carry its own origin; and a name of its own that it points at 127.0.0.1 shows in the Host header. An address
in place of a name is nobody's own: where the page listens on all of them, it answers to each.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 2_000_000
DRAINED_BYTES = 256_000_000  # of a body that is too large, so that the sender reads the answer
TOKEN_HEADER = "x-steelyard-token"  # noqa: S105 - the name of the header
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
SAFE = ("GET", "HEAD")


class RefusedError(Exception):
    """A request that is not answered: status and the one line that says why."""

    def __init__(self, status: int, reason: str) -> None:
        """Take the HTTP status and the line."""
        super().__init__(reason)
        self.status, self.reason = status, reason


class Guard:
    """Refuses requests of other sites, other names and too large ones; adds the headers of every answer."""

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str], token: str, any_address: bool = False) -> None:
        """Take the application, the names it answers to, and the secret that its own page holds.

        With `any_address` it answers to every IP address beside those names.
        """
        self.app, self.hosts, self.token, self.any_address = app, hosts, token, any_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in HEADERS.items())]
            await send(message)

        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            self._check(scope["method"], headers)
            body = b"" if scope["method"] in SAFE else await _body(receive)
        except RefusedError as refused:
            await _refuse(with_headers, refused)
            return
        await self.app(scope, _replay(body, receive), with_headers)

    def _check(self, method: str, headers: Mapping[str, str]) -> None:
        host = headers.get("host", "")
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if name not in self.hosts and not (self.any_address and _is_address(name)):
            raise RefusedError(421, f"this page answers to {', '.join(sorted(self.hosts))}, not to {host[:100]!r}")
        if method in SAFE:
            return
        origin, site = headers.get("origin", ""), headers.get("sec-fetch-site", "same-origin")
        if origin != f"http://{host}" or site != "same-origin":
            raise RefusedError(403, f"this request comes from {origin[:100]!r}, not from the page itself")
        if not hmac.compare_digest(headers.get(TOKEN_HEADER, "").encode(), self.token.encode()):
            raise RefusedError(403, "this request lacks the page's token; load the page again")
        if method == "POST" and headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise RefusedError(415, "a request to this page is JSON (content-type: application/json)")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


async def _body(receive: Receive) -> bytes:
    """Return the whole body; one that is too large is read to its end, or far, and not kept."""
    parts, size, more = [], 0, True
    while more and size <= DRAINED_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RefusedError(400, "the request ended early")
        part = message.get("body", b"")
        size += len(part)
        if size <= MAX_BODY_BYTES:
            parts.append(part)
        more = message.get("more_body", False)
    if size > MAX_BODY_BYTES:
        most = f"{MAX_BODY_BYTES:,}"
        raise RefusedError(413, f"the request is larger than {most} bytes; a scenario of a few thousand is usual")
    return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return what gives the application the body that was read already."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _refuse(send: Send, refused: RefusedError) -> None:
    content = json.dumps({"error": refused.reason}).encode()
    headers: list[Any] = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
