"""Sending one accepted request to a replica, and its answer back; to another replica while nothing was sent back."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import aiohttp

from steelyard.runtime.serve.counters import Counters
from steelyard.runtime.serve.limits import Limits
from steelyard.runtime.serve.openai import error_body, event
from steelyard.runtime.serve.pool import Pool
from steelyard.runtime.serve.routing import Replica

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_PASSED_ON = {"content-type", "cache-control"}


class Forward:
    """One request on its way; `begun` says whether the client has received anything of the answer."""

    def __init__(self, pool: Pool, session: aiohttp.ClientSession, counters: Counters, limits: Limits) -> None:
        self.pool, self.session, self.counters, self.limits = pool, session, counters, limits
        self.begun = False
        self.streams = False
        self.came = time.perf_counter()

    async def run(self, path: str, body: bytes, prefix: str, tokens: int, send: Send) -> int:
        """Answer the request; return the status. QueueFullError when it was not accepted."""
        again = False
        for attempt in range(self.limits.attempts):
            replica = await self.pool.acquire(prefix, again=again)
            replica.tokens += tokens
            try:
                return await self._once(replica, path, body, send)
            except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
                replica.ready = False  # until its health says otherwise: others would fail there too
                if self.begun:
                    self.counters.broken.inc()
                    await self.fail(send, 502, f"the replica failed while it answered ({type(error).__name__})")
                    return 502
                again = True
                if attempt + 1 < self.limits.attempts:
                    self.counters.retries.inc()
            finally:
                replica.tokens -= tokens
                self.pool.release(replica)
        await self.fail(send, 502, f"{self.limits.attempts} replicas in a row failed at this request")
        return 502

    async def _once(self, replica: Replica, path: str, body: bytes, send: Send) -> int:
        async with self.session.post(f"{replica.url}{path}", data=body) as answer:
            headers = [
                (name.lower().encode(), value.encode())
                for name, value in answer.headers.items()
                if name.lower() in _PASSED_ON
            ]
            self.streams = answer.content_type == "text/event-stream"
            if not self.streams:
                whole = await answer.read()  # all of it, so that a replica that fails now can be replaced
                await self._begin(send, answer.status, [*headers, (b"content-length", str(len(whole)).encode())])
                await send({"type": "http.response.body", "body": whole})
                self.counters.by_replica.labels(str(replica.index)).inc()
                return answer.status
            async for data in answer.content.iter_any():
                if not self.begun:
                    await self._begin(send, answer.status, headers)
                await send({"type": "http.response.body", "body": data, "more_body": True})
            if not self.begun:
                await self._begin(send, answer.status, headers)
            await send({"type": "http.response.body", "body": b""})
            self.counters.by_replica.labels(str(replica.index)).inc()
            return answer.status

    async def _begin(self, send: Send, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.begun = True
        self.counters.ttft.observe(time.perf_counter() - self.came)
        await send({"type": "http.response.start", "status": status, "headers": headers})

    async def fail(self, send: Send, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        """Tell the client of a failure: by status while nothing was sent, else as the last event of the stream."""
        content = error_body(message, "server_error", status)
        if self.begun:
            if self.streams:
                await send({"type": "http.response.body", "body": event(content)})
            return
        await respond(send, status, content, headers)


async def respond(send: Send, status: int, content: dict[str, Any], headers: dict[str, str] | None = None) -> None:
    """Send a whole JSON answer."""
    whole = json.dumps(content).encode()
    named = {"content-type": "application/json", "content-length": str(len(whole))} | (headers or {})
    listed = [(name.encode(), value.encode()) for name, value in named.items()]
    await send({"type": "http.response.start", "status": status, "headers": listed})
    await send({"type": "http.response.body", "body": whole})


async def while_connected(receive: Callable[[], Awaitable[MutableMapping[str, Any]]], work: Awaitable[int]) -> int:
    """Return what the work returns; a client that goes away ends it (status 499, as proxies log it)."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnect(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        return await task if task.done() else 499
    finally:
        for left in (task, gone):
            left.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnect(receive: Callable[[], Awaitable[MutableMapping[str, Any]]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
