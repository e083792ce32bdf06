"""Many clients of one address, each of whom says how it ended."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp

ASKED = {"prompt": "x", "max_tokens": 20, "stream": True}


async def _ask(session: aiohttp.ClientSession, url: str, body: dict[str, Any], number: int = 0) -> str:
    """Return "whole", "error" (a clear one, by status or as the last event) or "lost"; and check it came once."""
    asked = body | {"prompt": f"{body['prompt']} {number}"}
    try:
        async with session.post(f"{url}/v1/completions", json=asked) as answer:
            text = await answer.text()
    except aiohttp.ClientError:
        return "lost"
    events = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    if answer.status != 200:
        return "refused" if "error" in json.loads(text) else "lost"
    if events[-1] != "[DONE]":
        return "error" if "error" in json.loads(events[-1]) else "lost"
    words = [choice["text"] for event in events[:-1] for choice in json.loads(event)["choices"] if choice["text"]]
    return "whole" if len(words) == asked["max_tokens"] and events.count("[DONE]") == 1 else "twice"


async def ask_all(url: str, count: int, body: dict[str, Any], *, users: int | None = None) -> list[str]:
    turn = asyncio.Semaphore(users or count)

    async def one(number: int) -> str:
        async with turn:
            return await _ask(session, url, body, number)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        return await asyncio.gather(*(one(number) for number in range(count)))
