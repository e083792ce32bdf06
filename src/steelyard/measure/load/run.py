"""Sending a plan: every request at the time it is due, whatever became of those before it."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import aiohttp
import numpy as np

from steelyard.measure.load.answer import Answer
from steelyard.measure.load.client import Endpoint, ask, session
from steelyard.measure.load.plan import LoadPlan
from steelyard.records.requests import RequestEvents

T = TypeVar("T")
Progress = Callable[[int, int], None]  # finished, in flight


class _Log:
    """What happened to each request of a plan, filled in as it happens."""

    def __init__(self, plan: LoadPlan, progress: Progress | None) -> None:
        self.plan = plan
        self.progress = progress
        self.times = np.full((4, len(plan)), np.nan)  # arrival, sent, first token, end
        self.tokens = np.zeros((2, len(plan)), dtype=np.int64)
        self.errors = ["not sent"] * len(plan)
        self.gaps: list[np.ndarray[Any, Any]] = []
        self.in_flight = 0
        self.finished = 0

    async def request(self, asking: aiohttp.ClientSession, target: str, payload: bytes, index: int, due: float) -> None:
        """Send one request and note what became of it."""
        self.in_flight += 1
        sent, end, failure, answer = await ask(asking, target, payload)
        self.in_flight -= 1
        self.finished += 1
        self._note(index, due, sent, end, failure, answer)
        if self.progress is not None:
            self.progress(self.finished, self.in_flight)

    def _note(self, index: int, due: float, sent: float, end: float, failure: str, answer: Answer) -> None:
        first = answer.token_times_s[0] if answer.token_times_s else np.nan
        last = answer.token_times_s[-1] if not failure else end
        self.times[:, index] = due, sent, first, last
        self.tokens[0, index] = answer.prompt_tokens or self.plan.isl_tokens[index]
        self.tokens[1, index] = answer.output_tokens or len(answer.token_times_s)
        self.errors[index] = failure
        if not failure:
            self.gaps.append(np.diff(answer.token_times_s))

    def events(self, start: float) -> RequestEvents:
        """Return the requests that were due."""
        due = np.isfinite(self.times[0])
        arrival, sent, first, end = self.times[:, due] - start
        return RequestEvents(
            arrival_s=arrival,
            sent_s=sent,
            first_token_s=first,
            end_s=end,
            isl_tokens=self.tokens[0, due],
            osl_tokens=self.tokens[1, due],
            error=tuple(kind for kind, kept in zip(self.errors, due, strict=True) if kept),
            gaps_s=np.concatenate(self.gaps) if self.gaps else np.empty(0),
        )


async def send(endpoint: Endpoint, plan: LoadPlan, *, progress: Progress | None = None) -> RequestEvents:
    """Send a plan and return what happened; ends at the latest one timeout after the last request was due."""
    log = _Log(plan, progress)
    async with session(endpoint.timeout_s, endpoint.headers) as asking:
        new = time.time_ns()  # prompts that no load before had: a server may keep those it has read
        start = time.perf_counter()
        await (_closed if plan.concurrency else _open)(asking, endpoint, log, start, new)
    return log.events(start)


async def _open(asking: aiohttp.ClientSession, endpoint: Endpoint, log: _Log, start: float, new: int) -> None:
    plan, target = log.plan, endpoint.target
    async with asyncio.TaskGroup() as running:  # a fault of ours ends the load: it is no request that was not answered
        for index in range(len(plan)):
            payload = endpoint.body(int(plan.isl_tokens[index]), int(plan.osl_tokens[index]), new + index)
            due = start + float(plan.arrival_s[index])
            if index % 16 == 0:
                await asyncio.sleep(0)  # even when late: answers must be read, or they would seem late too
            # A loop's clock can be behind the real one, and wake early.
            while (wait := due - time.perf_counter()) > 0:  # noqa: ASYNC110 - a time is waited for, no event
                await asyncio.sleep(wait)
            running.create_task(log.request(asking, target, payload, index, due))


async def _closed(asking: aiohttp.ClientSession, endpoint: Endpoint, log: _Log, start: float, new: int) -> None:
    plan, target = log.plan, endpoint.target
    indices = iter(range(len(plan)))

    async def user() -> None:
        for index in indices:
            payload = endpoint.body(int(plan.isl_tokens[index]), int(plan.osl_tokens[index]), new + index)
            due = time.perf_counter()
            if due - start >= plan.duration_s:
                return
            await log.request(asking, target, payload, index, due)

    await asyncio.gather(*(user() for _ in range(plan.concurrency)))


def run_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run asynchronous work to its end, on uvloop where it is installed (a third less CPU time a request)."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)


def measure_load(endpoint: Endpoint, plan: LoadPlan, *, progress: Progress | None = None) -> RequestEvents:
    """Send a plan to an endpoint and return the events of its requests.

    Latency counts from when a request was due (`arrival_s`), so that a slow server or client cannot hide waiting by
    delaying what comes next. In a closed loop a request is due when its user is free. The words of the prompts are new
    in every load, so that no prefix cache knows them; their lengths are those of the plan.

    Args:
        endpoint: As `find_endpoint` returns it.
        plan: Requests; bounded in count and time.
        progress: Called after each answer with the requests finished and in flight.
    """
    gc.freeze()  # what is loaded stays: looking through it again and again would be seen as latency
    try:
        return run_loop(send(endpoint, plan, progress=progress))
    finally:
        gc.unfreeze()
