"""The simulated router and the real one send the same arrivals to the same replicas, within 5 points of each share."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import aiohttp
import numpy as np
import pytest

from runtime.virtual_time import VirtualTime
from steelyard.inference.simulator import Fleet, Load, Replica, simulate, tabulate
from steelyard.records.serving import ROUTINGS, Batching
from steelyard.records.workload import Lengths
from steelyard.runtime.serve.pool import Pool
from steelyard.runtime.serve.routing import PREFIX_CHARACTERS, policy
from steelyard.runtime.serve.routing import Replica as Live

REPLICAS, TOKEN_S, BLOCK_TOKENS = 4, 0.01, 512  # each token of an answer takes 10 ms, whatever else runs


@dataclass
class Arrivals:
    """Requests as both routers get them."""

    times_s: np.ndarray
    isl: np.ndarray
    osl: np.ndarray
    prefix: np.ndarray  # the number of the text that a prompt begins with


def arrivals(count: int, rate_per_s: float) -> Arrivals:
    rng = np.random.default_rng(11)
    return Arrivals(
        times_s=np.cumsum(rng.exponential(1 / rate_per_s, count)),
        isl=rng.integers(BLOCK_TOKENS, 1500, count),
        osl=rng.integers(5, 40, count),
        prefix=np.minimum(rng.zipf(1.5, count), 12),  # a few texts begin most prompts
    )


def simulated(asked: Arrivals, routing: str) -> np.ndarray:
    """Return the share of each replica in the simulator."""
    count = len(asked.times_s)
    load = Load(
        num_requests=count,
        lengths=Lengths(isl_tokens=asked.isl.astype(float), osl_tokens=asked.osl.astype(float)),
        label="",
        in_order=True,
        trace_times=asked.times_s,
        trace_hash_start=np.arange(count),
        trace_hash_count=np.ones(count, dtype=np.int64),
        hashes=asked.prefix.astype(np.int64),
        hash_block_tokens=BLOCK_TOKENS,
    )
    table = tabulate(
        lambda n, *_: (TOKEN_S + 0.0 * n, 0.0 * n), max_sequences=64, token_budget=65536, max_context_tokens=2048.0
    )
    batching = Batching(token_budget=65536, max_sequences=64)
    replica = Replica(table=table, batching=batching, kv_blocks=100_000, max_context_tokens=2048)
    found = simulate(Fleet(replica=replica, num_replicas=REPLICAS, routing=routing), load, keep_events=True)
    return np.bincount(found.events.replica, minlength=REPLICAS) / count


def routed(asked: Arrivals, routing: str) -> np.ndarray:
    """Return the share of each replica by the pool and policy of the front door."""
    counts: Counter[int] = Counter()

    async def one(pool: Pool, number: int) -> None:
        await asyncio.sleep(asked.times_s[number])
        replica = await pool.acquire(f"{asked.prefix[number]}")
        tokens = int(asked.isl[number] + asked.osl[number])
        replica.tokens += tokens
        counts[replica.index] += 1
        await asyncio.sleep(asked.osl[number] * TOKEN_S)
        replica.tokens -= tokens
        pool.release(replica)

    async def all_of_them() -> None:
        pool = Pool(policy(routing, seed=1), limit=64, max_queue=10_000)
        pool.replicas = [Live(url="", index=index) for index in range(REPLICAS)]
        await asyncio.gather(*(one(pool, number) for number in range(len(asked.times_s))))

    with asyncio.Runner(loop_factory=VirtualTime) as runner:
        runner.run(all_of_them())
    return np.array([counts[index] for index in range(REPLICAS)]) / len(asked.times_s)


@pytest.mark.parametrize("rate_per_s", [8.0, 40.0])  # 1.8 and 9 requests at once
@pytest.mark.parametrize("routing", ROUTINGS)
def test_the_simulated_and_the_real_router_share_alike(routing: str, rate_per_s: float) -> None:
    asked = arrivals(3000, rate_per_s)
    assert routed(asked, routing) == pytest.approx(simulated(asked, routing), abs=0.05)


def test_the_shares_tell_policies_apart() -> None:
    asked = arrivals(3000, 8.0)
    first = {routing: routed(asked, routing)[0] for routing in ROUTINGS}
    assert first["round-robin"] == pytest.approx(1 / REPLICAS, abs=0.01)
    assert first["least-requests"] > first["power-of-two"] + 0.05  # of idle replicas it takes the first


@pytest.mark.slow
@pytest.mark.parametrize("routing", ROUTINGS)
def test_the_address_shares_as_the_simulator_does(served: Any, routing: str) -> None:
    asked = arrivals(600, 40.0)
    asked.isl[:] = (PREFIX_CHARACTERS + 100) // 4  # as the front door estimates it

    async def one(session: aiohttp.ClientSession, url: str, number: int, began: float) -> None:
        await asyncio.sleep(began + asked.times_s[number] - time.monotonic())
        prompt = f"{asked.prefix[number]} ".ljust(PREFIX_CHARACTERS, "-") + f" {number:>99}"
        body = {"prompt": prompt, "max_tokens": int(asked.osl[number])}
        async with session.post(f"{url}/v1/completions", json=body) as answer:
            assert answer.status == 200

    async def all_of_them(url: str) -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            began = time.monotonic()
            await asyncio.gather(*(one(session, url, number, began) for number in range(len(asked.times_s))))

    pace = ["--slots", "64", "--option", f"ttft={TOKEN_S}s", "--option", f"tpot={TOKEN_S}s"]
    with served("--replicas", str(REPLICAS), "--routing", routing, *pace) as found:
        asyncio.run(all_of_them(found.url))
        counted = {
            line.split('"')[1]: float(line.split()[-1])
            for line in found.get("/metrics")[1].splitlines()
            if line.startswith("steelyard_replica_requests_total")
        }
    shares = np.array([counted.get(str(index), 0.0) for index in range(REPLICAS)]) / len(asked.times_s)
    assert shares == pytest.approx(simulated(asked, routing), abs=0.05), json.dumps(counted)
