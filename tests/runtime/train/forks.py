"""Processes for tests that are killed, or that share a run: forked off one that has loaded PyTorch already.

python forks.py kill JOB.json KILLS SEED     runs the job, kills it at random moments, then lets it end
python forks.py share JOB.json RANKS PORT    runs the job in processes that join as by torchrun
python forks.py late JOB.json RANKS PORT     the same, where the first prepares for longer than others may wait, in vain
"""

import json
import os
import random
import signal
import sys
import time
import traceback
from datetime import timedelta
from pathlib import Path

LIMIT_S = 3.0  # of a collective, in `late`


def child(path, environment, trained=None):
    """Train in a new process, in the way given; return its id."""
    from steelyard.runtime.train import load_job, train

    pid = os.fork()
    if pid:
        return pid
    try:
        os.environ.update(environment)
        (trained or train)(load_job(None, json.loads(Path(path).read_text())))
        os._exit(0)
    except BaseException:  # noqa: BLE001 - nothing may come back into the parent's code
        traceback.print_exc()
        os._exit(1)


def kill(path, kills, seed):
    """Kill the run after random numbers of events and a random moment more, then let it end."""
    moments = random.Random(seed)
    events = Path(json.loads(Path(path).read_text())["out"]) / "events.jsonl"
    for _ in range(kills):
        wanted = lines(events) + moments.randint(0, 20)
        pid = child(path, {})
        while lines(events) < wanted and os.waitpid(pid, os.WNOHANG) == (0, 0):
            time.sleep(0.004)
        time.sleep(moments.uniform(0, 0.03))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return [child(path, {})]


def lines(path):
    """Count the events so far."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def share(path, ranks, port):
    """Start the processes of one run."""
    return [child(path, place) for place in places(ranks, port)]


def places(ranks, port):
    """Return what torchrun would tell each process."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(ranks)}
    return [place | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(ranks)]


def late(path, ranks, port):
    """Start processes who all must end with what the first met after a wait longer than the limit of a collective."""
    import torch.distributed as dist

    from steelyard.errors import InputError
    from steelyard.runtime.train import train

    run = sys.modules["steelyard.runtime.train.run"]

    def prepare(_job):
        time.sleep(1.5 * LIMIT_S)
        raise InputError("the text is gone")

    def trained(job):
        dist.init_process_group("gloo", timeout=timedelta(seconds=LIMIT_S))
        run.prepare = prepare
        try:
            train(job)
        except InputError as error:
            assert str(error) == "the text is gone"  # noqa: PT017 - in a process of its own
        else:
            raise AssertionError("nothing was met")

    return [child(path, place, trained) for place in places(ranks, port)]


if __name__ == "__main__":
    import torch.distributed.checkpoint
    import torch.distributed.fsdp

    torch.set_num_threads(1)
    for line in sys.stdin:  # one order a line, answered by whether all went well
        what, *arguments = json.loads(line)
        pids = {"kill": kill, "share": share, "late": late}[what](*arguments)
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        print("failed" if any(codes) else "done", flush=True)
