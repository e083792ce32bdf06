"""Policies and the queue, without processes."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.records.serving import ROUTINGS
from steelyard.runtime.serve.pool import Pool, QueueFullError
from steelyard.runtime.serve.routing import Replica, policy


def _replicas(*loads: int) -> list[Replica]:
    return [Replica(url=str(index), index=index, in_flight=load) for index, load in enumerate(loads)]


@given(loads=st.lists(st.integers(0, 50), min_size=1, max_size=8), routing=st.sampled_from(ROUTINGS))
def test_every_policy_chooses_one_of_the_replicas(loads: list[int], routing: str) -> None:
    replicas = _replicas(*loads)
    assert policy(routing, seed=1)(replicas, "a prompt") in replicas


def test_policies_do_what_their_names_say() -> None:
    replicas = _replicas(3, 0, 5)
    in_turn = policy("round-robin")
    assert [in_turn(replicas, "").index for _ in range(5)] == [0, 1, 2, 0, 1]
    assert policy("least-requests")(replicas, "").index == 1
    replicas[0].tokens, replicas[1].tokens, replicas[2].tokens = 10, 500, 90
    assert policy("least-kv")(replicas, "").index == 0
    two = policy("power-of-two", seed=2)
    chosen = Counter(two(replicas, "").index for _ in range(3000))
    # The most loaded of three is chosen only when drawn twice: 1 in 9; the least loaded in 5 of 9.
    assert chosen[2] / 3000 == pytest.approx(1 / 9, abs=0.03)
    assert chosen[1] / 3000 == pytest.approx(5 / 9, abs=0.03)


def test_a_prompt_goes_where_its_beginning_is_known_unless_that_is_much_busier() -> None:
    replicas = _replicas(0, 0)
    choose = policy("prefix-affinity")
    home = choose(replicas, "system prompt A")
    home.in_flight = 2  # at most 1.25 * (2 + 1) / 2 + 1 = 2.9
    assert choose(replicas, "system prompt A") is home
    assert choose(replicas, "system prompt B") is not home
    home.in_flight = 5  # above 1.25 * (5 + 1) / 2 + 1 = 4.75
    assert choose(replicas, "system prompt A") is not home


def _pool(limit: int = 1, max_queue: int = 2, replicas: int = 1) -> Pool:
    pool = Pool(policy("least-requests"), limit=limit, max_queue=max_queue)
    pool.replicas = _replicas(*[0] * replicas)
    return pool


def test_those_who_wait_go_in_order_and_a_full_queue_refuses() -> None:
    async def scene() -> list[str]:
        pool, order = _pool(), []
        first = await pool.acquire("")

        async def wait(name: str, *, again: bool = False) -> None:
            replica = await pool.acquire("", again=again)
            order.append(name)
            pool.release(replica)

        tasks = [asyncio.create_task(wait(name)) for name in ("a", "b")]
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError):
            await pool.acquire("")
        tasks.append(asyncio.create_task(wait("again", again=True)))  # accepted before: never refused, first in line
        await asyncio.sleep(0)
        pool.release(first)
        await asyncio.gather(*tasks)
        assert pool.in_flight == 0
        return order

    assert asyncio.run(scene()) == ["again", "a", "b"]


@given(steps=st.lists(st.sampled_from(["ask", "cancel", "release", "fail", "recover"]), max_size=40))
def test_places_are_conserved_whatever_happens(steps: list[str]) -> None:
    async def scene() -> None:
        pool = _pool(limit=2, max_queue=3, replicas=2)
        held: list[Replica] = []
        asking: list[asyncio.Task[Replica]] = []
        does = {
            "ask": lambda: asking.append(asyncio.create_task(pool.acquire(""))),
            "cancel": lambda: asking and asking.pop().cancel(),
            "release": lambda: held and pool.release(held.pop()),
            "fail": lambda: setattr(pool.replicas[0], "ready", False),
            "recover": lambda: (setattr(pool.replicas[0], "ready", True), pool.wake()),
        }
        for step in steps:
            does[step]()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            for task in [task for task in asking if task.done()]:
                asking.remove(task)
                if not task.cancelled() and task.exception() is None:
                    held.append(task.result())
            assert all(0 <= replica.in_flight <= 2 for replica in pool.replicas)
            assert pool.in_flight >= len(held)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        for replica in held:
            pool.release(replica)
        assert pool.in_flight == 0

    asyncio.run(scene())
