"""Processes for tests that are killed, or that share a run: forked off one that has loaded PyTorch already.

python forks.py kill JOB.json KILLS SEED     runs the job, kills it at random moments, then lets it end
python forks.py share JOB.json RANKS PORT    runs the job in processes that join as by torchrun
"""

import json
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path


def child(path, environment):
    """Train in a new process; return its id."""
    from steelyard.runtime.train import load_job, train

    pid = os.fork()
    if pid:
        return pid
    try:
        os.environ.update(environment)
        train(load_job(None, json.loads(Path(path).read_text())))
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
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(ranks)}
    return [child(path, place | {"RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(ranks)]


if __name__ == "__main__":
    import torch.distributed.checkpoint
    import torch.distributed.fsdp

    torch.set_num_threads(1)
    for line in sys.stdin:  # one order a line, answered by whether all went well
        what, *arguments = json.loads(line)
        pids = {"kill": kill, "share": share}[what](*arguments)
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        print("failed" if any(codes) else "done", flush=True)
