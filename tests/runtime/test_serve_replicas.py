"""Several replicas behind one address: speed, routing, failures."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from runtime.clients import ASKED, ask_all

pytest.importorskip("uvicorn", reason="serving needs the extra [run]")


def test_two_replicas_share_the_work_of_one(served: Any, tmp_path: Path) -> None:
    for replicas in (1, 2):  # 8 answers of 0.5 s, one at a time on a replica
        log = tmp_path / f"{replicas}.jsonl"
        with served(
            "--replicas", str(replicas), "--slots", "1", "--option", "ttft=500ms", "--option", f"log={log}"
        ) as found:
            assert set(asyncio.run(ask_all(found.url, 8, ASKED | {"max_tokens": 1}))) == {"whole"}
            counted = re.findall(r"steelyard_replica_requests_total\S+ (\d+)", found.get("/metrics")[1])
            assert sum(map(int, counted)) == 8
            assert min(map(int, counted)) >= 8 // replicas - 1  # places are equal, so are the shares
        # What that gains is measured in benchmarks/serving.py: here other work may slow either.
        assert _most_at_once([json.loads(line) for line in log.read_text().splitlines()]) == replicas


def _most_at_once(answers: list[dict[str, float]]) -> int:
    """Return how many answers were in work at the same time, by the one clock of the machine."""
    changes = [(row["arrival_s"], 1) for row in answers] + [(row["end_s"], -1) for row in answers]
    return max(itertools.accumulate(step for _, step in sorted(changes)))


def test_a_killed_replica_loses_nothing_that_had_not_begun(served: Any) -> None:
    async def scene(found: Any) -> Counter[str]:
        asking = asyncio.ensure_future(ask_all(found.url, 200, ASKED))
        await asyncio.sleep(1.0)
        os.kill(found.replicas()[0], signal.SIGKILL)
        return Counter(await asyncio.wait_for(asking, 60))

    slow = ["--option", "ttft=300ms", "--option", "tpot=20ms"]  # an answer takes 0.7 s; 32 run, 168 wait
    with served("--replicas", "2", "--slots", "16", *slow) as found:
        ends = asyncio.run(scene(found))
        # At most the 16 of the killed replica that had begun to stream can fail, each with an error it was told.
        assert ends["lost"] == ends["twice"] == ends["refused"] == 0
        assert ends["error"] <= 16
        assert ends["whole"] == 200 - ends["error"]
        for _ in range(150):  # and the replica comes back
            if json.loads(found.get("/health")[1])["ready"] == 2:
                break
            time.sleep(0.1)
        else:
            pytest.fail("the killed replica was not started again")


def test_a_client_that_leaves_frees_its_place(served: Any) -> None:
    async def leave(url: str) -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{url}/v1/completions", json=ASKED | {"max_tokens": 5000}) as answer,
        ):
            await answer.content.readany()

    with served("--slots", "1", "--option", "tpot=20ms") as found:
        asyncio.run(leave(found.url))
        began = time.monotonic()
        assert asyncio.run(ask_all(found.url, 1, ASKED)) == ["whole"]
        assert time.monotonic() - began < 50  # not the 100 s of the answer that nobody reads
