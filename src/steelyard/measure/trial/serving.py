"""The serving side of a trial: one replica and several behind one address, under load."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import numpy as np

from steelyard.errors import OutsideProgramError
from steelyard.measure.load import closed_plan, find_endpoint, measure_load, run_loop
from steelyard.measure.load.client import Endpoint
from steelyard.measure.trial.plan import TrialPlan
from steelyard.records.serving_metrics import serving_metrics
from steelyard.records.trial import ServingTrial
from steelyard.records.workload import Lengths
from steelyard.runtime.own_process import Running, running

_ANSWER_TOKENS = 48
_OSL_RATIOS = np.array([0.5, 1.0, 1.5])  # answers alike would end together and send their users back together


@dataclass(frozen=True, slots=True)
class Address:
    """Where a model is served."""

    endpoint: Endpoint
    process: Running
    started_s: float  # until it answered


@contextmanager
def served(plan: TrialPlan, model: Path, replicas: int) -> Iterator[Address]:
    """Serve a model on this machine while the block runs, on replicas of one thread each."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["serve", str(model), "--engine", "llamacpp", "--replicas", str(replicas), "--threads", "1"]
    arguments += ["--slots", str(plan.slots), "--port", str(port), "--drain", "1s"]
    began = time.perf_counter()
    with running(arguments) as process:
        url = f"http://127.0.0.1:{port}"
        _wait(url, process.check, plan.timeout_s)
        started_s = time.perf_counter() - began
        endpoint = run_loop(find_endpoint(url, model=None, api="completions", timeout_s=plan.timeout_s))
        yield Address(endpoint, process, started_s)


def measure_users(plan: TrialPlan, endpoint: Endpoint, replicas: int, users: int) -> ServingTrial:
    """Return what so many users see who each send the next request when the last is answered."""
    lengths = Lengths(
        isl_tokens=np.full(len(_OSL_RATIOS), float(plan.isl_tokens)), osl_tokens=plan.osl_tokens * _OSL_RATIOS
    )
    load = closed_plan(lengths, users, num_requests=100_000, duration_s=plan.load_s)
    events = measure_load(endpoint, load)
    answered = np.array([not error for error in events.error])
    if not answered.any():
        raise OutsideProgramError(f"{endpoint.url}: answered none of {len(answered)} requests of {users} users")
    return ServingTrial(
        replicas=replicas,
        threads=1,
        slots=plan.slots,
        users=users,
        isl_tokens=float(np.mean(events.isl_tokens[answered])),
        osl_tokens=float(np.mean(events.osl_tokens[answered])),
        length_spread_ratio=float(np.std(_OSL_RATIOS)),
        metrics=serving_metrics(events),
    )


def ask(endpoint: Endpoint, prompt: str, *, temperature: float = 0.0) -> str:
    """Return the likeliest answer to a prompt; warmer, one drawn by a fixed seed."""
    drawn = {"temperature": temperature, "seed": 0}

    async def asked() -> str:
        body = {"model": endpoint.model, "prompt": prompt, "max_tokens": _ANSWER_TOKENS} | drawn
        async with (
            aiohttp.ClientSession() as session,
            session.post(endpoint.target, data=json.dumps(body), headers={"content-type": "application/json"}) as got,
        ):
            found = json.loads(await got.read())
            return str(found["choices"][0]["text"])

    return asyncio.run(asked())


def _wait(url: str, check: Callable[[], None], timeout_s: float) -> None:
    async def healthy() -> bool:
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2.0)) as session,
                session.get(f"{url}/health") as got,
            ):
                return got.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    deadline = time.monotonic() + timeout_s
    while not asyncio.run(healthy()):
        check()
        if time.monotonic() > deadline:
            raise OutsideProgramError(f"{url}: nothing is served there after {timeout_s:.0f} s")
        time.sleep(0.1)
