"""The front door: one OpenAI-compatible address before several replicas."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import aiohttp
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from steelyard.errors import InputError
from steelyard.runtime.serve.counters import Counters
from steelyard.runtime.serve.forward import Forward, Send, respond, while_connected
from steelyard.runtime.serve.limits import Limits
from steelyard.runtime.serve.openai import UNAUTHORISED, error_body, is_allowed
from steelyard.runtime.serve.pool import Pool, QueueFullError
from steelyard.runtime.serve.routing import PREFIX_CHARACTERS

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_MOST_TOKENS = ("max_completion_tokens", "max_tokens", "n_predict")  # of an answer; the last is llama.cpp's own
_CHARACTERS_PER_TOKEN = 4  # to rank replicas by what they hold; nothing is billed by it


class Door:
    """What all requests share."""

    def __init__(
        self, *, name: str, pool: Pool, session: aiohttp.ClientSession, limits: Limits, api_key: str = ""
    ) -> None:
        self.name, self.pool, self.session, self.limits, self.api_key = name, pool, session, limits, api_key
        self.counters = Counters(pool)
        self.mean_e2e_s = 1.0

    def app(self) -> Starlette:
        """Return the application."""
        return Starlette(
            routes=[
                Route("/v1/completions", _Completions(self), methods=["POST"]),
                Route("/v1/chat/completions", _Completions(self), methods=["POST"]),
                Route("/v1/models", self._models),
                Route("/health", self._health),
                Route("/metrics", self._metrics),
            ]
        )

    def allows(self, authorization: str) -> bool:
        return is_allowed(authorization, self.api_key)

    async def _models(self, request: Request) -> Response:
        if not self.allows(request.headers.get("authorization", "")):
            return JSONResponse(*UNAUTHORISED)
        return JSONResponse({"object": "list", "data": [{"id": self.name, "object": "model", "owned_by": "steelyard"}]})

    async def _health(self, _: Request) -> Response:
        ready = sum(replica.ready for replica in self.pool.replicas)
        told = {"status": "ok" if ready else "no replica is ready", "ready": ready, "replicas": len(self.pool.replicas)}
        return JSONResponse(told, status_code=200 if ready else 503)

    async def _metrics(self, request: Request) -> Response:
        if not self.allows(request.headers.get("authorization", "")):
            return JSONResponse(*UNAUTHORISED)
        return Response(self.counters.text(), media_type="text/plain; version=0.0.4")

    def retry_after_s(self) -> int:
        """Return when the queue will have moved, going by the answers so far."""
        places = max(self.pool.limit * sum(replica.ready for replica in self.pool.replicas), 1)
        return min(max(math.ceil(self.mean_e2e_s * len(self.pool.waiting) / places), 1), 60)

    def note(self, status: int, came: float) -> None:
        spent = time.perf_counter() - came
        self.counters.requests.labels(str(status)).inc()
        if status == 200:
            self.counters.e2e.observe(spent)
            self.mean_e2e_s += 0.05 * (spent - self.mean_e2e_s)


class _Completions:
    """A plain ASGI application: answers pass through as the bytes that the replica sends."""

    def __init__(self, door: Door) -> None:
        self.door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        door = self.door
        headers = dict(scope["headers"])
        forward = Forward(door.pool, door.session, door.counters, door.limits)
        if not door.allows(headers.get(b"authorization", b"").decode("latin-1")):
            await respond(send, 401, UNAUTHORISED[0])
            door.note(401, forward.came)
            return
        try:
            async with asyncio.timeout(door.limits.deadline_s):
                body = await _body(receive, headers, door.limits.max_body_bytes)
            body, prefix, tokens = _look(body, door)
        except TimeoutError:
            message = f"the body did not arrive within {door.limits.deadline_s:g} s"
            await respond(send, 408, error_body(message, "invalid_request_error", 408), {"connection": "close"})
            status = 408
        except InputError as error:
            await respond(send, 400, error_body(str(error), "invalid_request_error", 400))
            status = 400
        except OverflowError:
            message = f"the body is larger than {door.limits.max_body_bytes:,} bytes"
            await respond(send, 413, error_body(message, "invalid_request_error", 413), {"connection": "close"})
            status = 413
        else:
            work = self._within_deadline(forward, scope["path"], body, prefix, tokens, send)
            status = await while_connected(receive, work)
        door.note(status, forward.came)

    async def _within_deadline(
        self, forward: Forward, path: str, body: bytes, prefix: str, tokens: int, send: Send
    ) -> int:
        limits = self.door.limits
        try:
            async with asyncio.timeout(limits.deadline_s) as deadline:
                return await forward.run(path, body, prefix, tokens, send)
        except QueueFullError:
            message = f"{limits.max_queue_requests} requests are waiting; try again later"
            await forward.fail(send, 429, message, {"retry-after": str(self.door.retry_after_s())})
            return 429
        except TimeoutError:
            if not deadline.expired():
                raise
            await forward.fail(send, 504, f"not answered within {limits.deadline_s:g} s")
            return 504


async def _body(receive: Receive, headers: dict[bytes, bytes], limit: int) -> bytes:
    """Return the body; OverflowError as soon as it is known to be too large."""
    if headers.get(b"content-length", b"0").isdigit() and int(headers.get(b"content-length", b"0")) > limit:
        raise OverflowError
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise OverflowError
        more = message.get("more_body", False)
    return b"".join(parts)


def _look(body: bytes, door: Door) -> tuple[bytes, str, int]:
    """Return the body to send on, the beginning of the prompt and the tokens that the request may hold.

    What engines check is theirs; how long an answer may be is decided here, for each engine has a default of its own.
    """
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError):
        raise InputError("the body is not JSON") from None
    if not isinstance(raw, dict):
        raise InputError("the body is not a JSON object")
    if raw.get("model") not in (None, "", door.name):
        raise InputError(f"model: {str(raw['model'])[:80]!r} is not served here; {door.name!r} is")
    stated = {name: raw[name] for name in _MOST_TOKENS if raw.get(name) is not None}
    most = door.limits.max_output_tokens
    for name, asked in stated.items():
        if not isinstance(asked, int) or asked < 0:
            raise InputError(f"{name}: must be a whole number from 1 on")
        if most and asked > most:
            raise InputError(f"{name}: {asked} is above {most}, the most that is served here")
    if most and not stated:
        body = json.dumps(raw | {"max_tokens": most}).encode()
    text = json.dumps(raw["messages"]) if "messages" in raw else str(raw.get("prompt", ""))
    return body, text[:PREFIX_CHARACTERS], len(text) // _CHARACTERS_PER_TOKEN + max(stated.values(), default=most)
