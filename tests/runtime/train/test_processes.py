"""Runs in processes of their own: killed at random moments, and shared by several."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from steelyard.records.training import Ended, Saved, Started, Stepped, kept
from steelyard.runtime.train import read_log, train

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

FORKS = Path(__file__).with_name("forks.py")


@pytest.fixture(scope="module")
def run():
    """Run a job in processes forked off one that has loaded PyTorch: what, which job, and what else to say."""
    with subprocess.Popen([sys.executable, FORKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as forks:

        def order(what, job, *arguments):
            path = job.out.with_suffix(".json")
            path.write_text(json.dumps(job.model_dump(mode="json", by_alias=True, exclude_none=True)))
            forks.stdin.write(json.dumps([what, str(path), *arguments]) + "\n")
            forks.stdin.flush()
            assert forks.stdout.readline() == "done\n"

        yield order
        forks.stdin.close()


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def losses(out):
    return {event.step: event.loss_nats for event in kept(read_log(out / "events.jsonl")) if isinstance(event, Stepped)}


def check_kills(run, tiny, tmp_path, steps, kills):
    limits = {"limits": {"tokens": steps * 128}, "evaluate": {"every": 10, "sequences": 8}}
    killed, calm = tiny(tmp_path / "killed", **limits), tiny(tmp_path / "calm", **limits)
    run("kill", killed, kills, 1)
    train(calm)
    assert losses(killed.out) == losses(calm.out)  # to the last bit
    saved, starts = 0, []
    for event in read_log(killed.out / "events.jsonl"):
        if isinstance(event, Started):
            starts.append(event.step)
            # a kill between the checkpoint and its line in the events loses the line only
            assert event.step >= saved
        elif isinstance(event, Saved):
            saved = event.step
    assert len(starts) > kills / 2  # some kills come before the run tells of its start
    assert isinstance(read_log(killed.out / "events.jsonl")[-1], Ended)
    left = sorted(path.name for path in (killed.out / "checkpoints").iterdir())
    assert left == sorted(path.name for path in (calm.out / "checkpoints").iterdir())


def test_two_kills_lose_nothing_that_was_saved(run, tiny, tmp_path):
    check_kills(run, tiny, tmp_path, steps=45, kills=2)


@pytest.mark.slow
def test_twenty_kills_lose_nothing_that_was_saved(run, tiny, tmp_path):
    check_kills(run, tiny, tmp_path, steps=450, kills=20)


@pytest.mark.parametrize("sharding", ["ddp", pytest.param("fsdp", marks=pytest.mark.slow)])
def test_two_processes_learn_as_one_and_the_run_goes_on_in_one_and_in_two_again(run, tiny, tmp_path, sharding):
    alone, shared = tiny(tmp_path / "alone"), tiny(tmp_path / "shared", sharding=sharding, limits={"tokens": 4 * 128})
    train(alone)
    run("share", shared, 2, free_port())
    assert train(tiny(tmp_path / "shared", limits={"tokens": 6 * 128})).step == 6  # in one process
    run("share", tiny(tmp_path / "shared", sharding=sharding), 2, free_port())
    found, expected = losses(shared.out), losses(alone.out)
    # the schedule of four steps ends at a lower rate than that of eight: the first step is the same
    assert found[1] == pytest.approx(expected[1], rel=1e-6)
    starts = [event for event in read_log(shared.out / "events.jsonl") if isinstance(event, Started)]
    assert [(event.step, event.devices) for event in starts] == [(0, 2), (4, 1), (6, 2)]
    assert len({event.params for event in starts}) == 1
    assert max(found) == 8
    transformers.AutoModelForCausalLM.from_pretrained(shared.out / "model")


def test_a_long_preparation_outlasts_the_limit_of_collectives_and_its_fault_is_that_of_all(run, tiny, tmp_path):
    run("late", tiny(tmp_path / "late"), 2, free_port())
