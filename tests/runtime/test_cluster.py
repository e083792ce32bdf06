"""Training and serving on a Ray cluster of several nodes, one of which is killed meanwhile."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
from joblib import parallel_config

from runtime.clients import ASKED, ask_all
from steelyard.cli.main import run
from steelyard.compare.serving.plan import plan_serving
from steelyard.compare.serving.plan_result import ServingPlanQuestion
from steelyard.errors import InputError, OutsideProgramError
from steelyard.records.sweep import swept
from steelyard.records.training import Ended, Saved, Started, Stepped, kept
from steelyard.runtime import cluster
from steelyard.runtime.train import read_log


@pytest.fixture
def nodes() -> Iterator[Any]:
    """A cluster of two nodes with a CPU each, which notices soon that one is lost."""
    utilities = pytest.importorskip("ray.cluster_utils", reason="needs the extra [cluster]")
    soon = {"health_check_period_ms": 1000, "health_check_failure_threshold": 3}
    head = {"num_cpus": 1, "include_dashboard": False, "_system_config": soon}
    found = utilities.Cluster(initialize_head=True, head_node_args=head)
    try:
        found.add_node(num_cpus=1)
        yield found
    finally:
        found.shutdown()


def kill_one(nodes: Any) -> None:
    (other,) = [node for node in nodes.list_all_nodes() if node is not nodes.head_node]
    nodes.remove_node(other, allow_graceful=False)


def training(corpus: Path, out: Path, *, steps: int) -> list[str]:
    small = ["--model", "60k", "--tokenizer", "400", "--sequence", "32", "--batch", "4", "--threads", "1"]
    often = ["--checkpoint-every", "20", "--tokens", str(steps * 4 * 32), "--device", "cpu"]
    return [sys.executable, "-m", "steelyard", "train", "--out", str(out), "--data", str(corpus), *small, *often]


def until(true: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_run_goes_on_without_the_node_that_was_killed(nodes: Any, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [*training(corpus, out, steps=400), "--processes", "2", "--ray", nodes.address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:

        def saved_twice() -> bool:
            assert process.poll() is None, process.stderr.read()
            return sum(isinstance(event, Saved) for event in read_log(out)) >= 2

        until(saved_twice, 300)
        kill_one(nodes)
        answer, told = process.communicate(timeout=500)
    assert process.returncode == 0, told
    assert "1 of 2 go on from" in told
    assert told.count("\n") == 1
    assert "400 steps" in answer
    events = read_log(out)
    starts = [event for event in events if isinstance(event, Started)]
    assert [event.devices for event in starts] == [2, 1]
    assert starts[1].step >= 40  # what was saved is not done again
    steps = [event.step for event in kept(events) if isinstance(event, Stepped)]
    assert steps == list(range(1, 401))
    assert isinstance(events[-1], Ended)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_signal_ends_a_run_on_a_cluster_after_its_step(nodes: Any, corpus: Path, tmp_path: Path) -> None:
    command = training(corpus, tmp_path / "run", steps=100_000)
    with subprocess.Popen(
        [*command, "--ray", nodes.address], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:

        def has_begun() -> bool:
            assert process.poll() is None, process.stderr.read()
            return any(isinstance(event, Stepped) for event in read_log(tmp_path / "run"))

        until(has_begun, 300)
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=120)
    assert (process.returncode, told) == (130, b"")
    ended = read_log(tmp_path / "run")[-1]
    assert isinstance(ended, Ended)
    assert ended.reason == "interrupted"
    assert (tmp_path / "run" / "checkpoints" / f"step-{ended.step:09d}").is_dir()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_killed_node_loses_no_answer_that_had_not_begun(nodes: Any, served: Any) -> None:
    def ready() -> int:
        return json.loads(found.get("/health")[1])["ready"]

    async def scene() -> Counter[str]:
        asking = asyncio.ensure_future(ask_all(found.url, 200, ASKED))
        await asyncio.sleep(1.5)
        await asyncio.to_thread(kill_one, nodes)
        return Counter(await asyncio.wait_for(asking, 120))

    slow = ["--option", "ttft=300ms", "--option", "tpot=20ms"]
    with served("--ray", nodes.address, "--replicas", "2", "--threads", "1", "--slots", "16", *slow) as found:
        assert ready() == 2
        ends = asyncio.run(scene())
        assert ends["lost"] == ends["twice"] == ends["refused"] == 0
        assert ends["error"] <= 16
        assert ends["whole"] == 200 - ends["error"]
        assert ready() == 1
        nodes.add_node(num_cpus=1)
        until(lambda: ready() == 2, 200)  # the lost replica starts where there is room again


def test_without_ray_or_a_cluster_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("uvicorn", reason="serving needs the extra [run]")
    monkeypatch.setattr(cluster, "find_spec", lambda _: None)
    for command in (["serve", "--engine", "sleep"], ["train", "--out", str(tmp_path / "run")]):
        assert run([*command, "--ray", "127.0.0.1:6379"]) == 4
        assert capsys.readouterr().err == ("steelyard: error: Ray is not installed; pip install 'steelyard[cluster]'\n")
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(cluster, "find_spec", lambda name: ModuleSpec(name, None))
    with pytest.raises(InputError, match="'nonsense' is no address of a Ray cluster; give HOST:PORT"):
        cluster.joined("nonsense").__enter__()
    with pytest.raises(OutsideProgramError, match=r"no Ray cluster answers at 127\.0\.0\.1:1: Connection refused"):
        cluster.joined("127.0.0.1:1").__enter__()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_search_spread_over_the_nodes_gives_the_same_plan(nodes: Any) -> None:
    question = ServingPlanQuestion(
        model="llama-3.1-8b", devices=("h100",), max_devices=2, isl_tokens=500.0, osl_tokens=50.0, draws=3
    )
    here = plan_serving(question)
    with cluster.joined(nodes.address) as ray:
        pytest.importorskip("ray.util.joblib").register_ray()
        with parallel_config(backend="ray"):
            there = plan_serving(question)
            processes = swept(lambda _: os.getpid(), range(4))
        assert len(ray.nodes()) == 2
    assert os.getpid() not in processes
    assert dataclasses.replace(there, elapsed_s=0.0) == dataclasses.replace(here, elapsed_s=0.0)
