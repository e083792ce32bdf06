"""Replicas that follow the load: in virtual time beside the simulator, and behind a real address."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from runtime.virtual_time import VirtualTime
from steelyard.inference.simulator import Fleet as SimulatedFleet
from steelyard.inference.simulator import Load, simulate, tabulate
from steelyard.inference.simulator import Replica as SimulatedReplica
from steelyard.records.serving import Autoscaling, Batching
from steelyard.records.workload import Lengths
from steelyard.runtime.serve.fleet import Fleet
from steelyard.runtime.serve.keeper import Keeper
from steelyard.runtime.serve.pool import Pool
from steelyard.runtime.serve.routing import Replica, policy

TOKEN_S, TOKENS = 0.05, 40  # an answer takes 2 s
SCALING = Autoscaling(
    min_replicas=1, max_replicas=6, target_requests=4, interval_s=5.0, downscale_delay_s=30.0, cold_start_s=10.0
)


def waves(seconds: int) -> np.ndarray:
    """Return the times of requests whose rate goes up and down between 0.5 and 8.5 a second."""
    rng = np.random.default_rng(3)
    rate = 4.5 - 4.0 * np.cos(2 * np.pi * np.arange(seconds) / 300)
    return np.sort(np.concatenate([second + rng.random(rng.poisson(r)) for second, r in enumerate(rate)]))


def simulated_count(times_s: np.ndarray) -> float:
    """Return the mean number of replicas that the simulator pays for."""
    ones = np.ones(len(times_s))
    load = Load(
        num_requests=len(times_s),
        lengths=Lengths(isl_tokens=8 * ones, osl_tokens=TOKENS * ones),
        label="",
        in_order=True,
        trace_times=times_s,
    )
    table = tabulate(
        lambda n, *_: (TOKEN_S + 0.0 * n, 0.0 * n), max_sequences=64, token_budget=4096, max_context_tokens=64.0
    )
    replica = SimulatedReplica(
        table=table, batching=Batching(token_budget=4096, max_sequences=64), kv_blocks=10_000, max_context_tokens=64
    )
    fleet = SimulatedFleet(replica=replica, num_replicas=SCALING.max_replicas, autoscaling=SCALING)
    return simulate(fleet, load).mean_replica_count


class KeptWithoutEngine(Keeper):
    """A replica that takes its time to start, and then runs for ever."""

    def __init__(self, replica: Replica, pool: Pool) -> None:
        self.replica, self.pool, self.engine = replica, pool, None

    async def start(self) -> None:
        self.engine = self
        await asyncio.sleep(SCALING.cold_start_s if self.replica.index else 0.0)
        self._take_requests()

    async def _until_failed(self) -> str:
        return await asyncio.get_running_loop().create_future()

    async def stop(self) -> None:
        self.engine = None


def live_count(times_s: np.ndarray) -> float:
    """Return the mean number of replicas that the real fleet has, engines apart."""
    counts: list[int] = []

    async def one(pool: Pool, when_s: float) -> None:
        await asyncio.sleep(when_s)
        replica = await pool.acquire("")
        await asyncio.sleep(TOKENS * TOKEN_S)
        pool.release(replica)

    async def count(keepers: list[Keeper]) -> None:
        while True:
            counts.append(sum(keeper.engine is not None for keeper in keepers))
            await asyncio.sleep(0.5)

    async def all_of_them() -> None:
        pool = Pool(policy("least-requests"), limit=64, max_queue=10_000)
        pool.replicas = [Replica(url="", index=index, ready=False) for index in range(SCALING.max_replicas)]
        keepers = [KeptWithoutEngine(replica, pool) for replica in pool.replicas]
        fleet = Fleet(keepers, pool, told=lambda _: None)
        await fleet.start(SCALING.min_replicas, SCALING)
        counting = asyncio.create_task(count(keepers))
        await asyncio.gather(*(one(pool, when_s) for when_s in times_s))
        counting.cancel()
        await fleet.stop()
        assert not any(keeper.engine for keeper in keepers)

    with asyncio.Runner(loop_factory=VirtualTime) as runner:
        runner.run(all_of_them())
    return float(np.mean(counts))


def test_the_real_fleet_follows_a_load_as_the_simulated_one_does() -> None:
    times_s = waves(1800)
    assert live_count(times_s) == pytest.approx(simulated_count(times_s), rel=0.05)


def test_replicas_are_added_under_load_and_drained_after_it(served: Any) -> None:
    pytest.importorskip("uvicorn", reason="serving needs the extra [run]")

    def ready() -> int:
        return json.loads(found.get("/health")[1])["ready"]

    def until(count: Callable[[], int], wanted: int) -> None:
        for _ in range(300):
            if count() == wanted:
                return
            time.sleep(0.1)
        pytest.fail(f"{count()} replicas, not {wanted}")

    arguments = ["--autoscale", "1:3", "--slots", "2", "--scale-every", "200ms", "--scale-down-after", "400ms"]
    with served(*arguments, "--option", "ttft=200ms", "--option", "tpot=200ms") as found:
        assert ready() == 1
        statuses: list[int] = []
        body = {"prompt": "x", "max_tokens": 20}  # 4 s on a replica that takes two at once
        asking = [
            threading.Thread(target=lambda: statuses.append(found.post("/v1/completions", body)[0])) for _ in range(6)
        ]
        for thread in asking:
            thread.start()
        until(ready, 3)
        for thread in asking:
            thread.join()
        assert statuses == [200] * 6
        until(ready, 1)
        until(lambda: len(found.replicas()), 1)  # and no process of the others is left
