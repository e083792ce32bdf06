"""Rates of the serving simulator on one core.

Run it with `.venv/bin/python benchmarks/simulator.py [TRACE.jsonl] [--day]`. Each line is the median of several runs in
this process, in CPU time, so that a busy machine does not count. `--day` adds 1,000 replicas for one day (wall time).
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable

from steelyard import arch, catalog, device, inference
from steelyard.inference import simulator
from steelyard.inference.simulator import Fleet
from steelyard.records.workload import Objective

LEVEL_RATIO = 0.8
DAY_REQUESTS = 100_000_000
DAY_REPLICAS = 1_000


def cpu_seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """Return the median CPU time of one run."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


def main() -> None:
    traces = [name for name in sys.argv[1:] if not name.startswith("-")]
    start = time.process_time(), time.perf_counter()
    simulator.prepare()
    spent = time.process_time() - start[0], time.perf_counter() - start[1]
    print(f"compile, or load from the cache            {spent[0]:8.1f} s CPU, {spent[1]:.1f} s wall")

    llama, h100 = arch.load("llama-3.1-8b"), device.load("h100")
    chat = inference.lengths_from_workload(catalog.workload("azure-conversation"), num_samples=16_384)
    one = inference.Deployment()
    replica = simulator.replica_for(llama, h100, one, chat)
    rate = LEVEL_RATIO * float(inference.steady(llama, h100, one, chat, Objective()).request_rate_per_s)

    for count in (500_000, 2_000_000):
        load = simulator.open_load(chat, rate, count, arrival_cv_ratio=1.09)
        took = cpu_seconds(lambda load=load: simulator.simulate(replica, load))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"8B at 80% load, {count:9,} requests         {count / took / 1e6:8.2f} M requests/s, {peak:.0f} MiB")

    for routing in ("round-robin", "least-requests", "power-of-two", "least-kv"):
        fleet = Fleet(replica=replica, num_replicas=16, routing=routing)
        load = simulator.open_load(chat, 16 * rate, 1_000_000)
        took = cpu_seconds(lambda fleet=fleet, load=load: simulator.simulate(fleet, load), 3)
        print(f"16 replicas, {routing:15}               {1.0 / took:8.2f} M requests/s")

    for name in traces:
        load = simulator.trace_load(name)
        long = simulator.replica_for(llama, h100, one, load.lengths)
        for routing in ("round-robin", "prefix-affinity"):
            fleet = Fleet(replica=long, num_replicas=16, routing=routing)
            took = cpu_seconds(lambda fleet=fleet, load=load: simulator.simulate(fleet, load))
            print(f"16 replicas, prefix blocks, {routing:15}{load.num_requests / took / 1e6:8.3f} M requests/s")

    if "--day" in sys.argv:
        fleet = Fleet(replica=replica, num_replicas=DAY_REPLICAS, routing="round-robin")
        load = simulator.open_load(chat, DAY_REQUESTS / 86_400, DAY_REQUESTS)
        begun = time.perf_counter(), time.process_time()
        run = simulator.simulate(fleet, load)
        wall, cpu = time.perf_counter() - begun[0], time.process_time() - begun[1]
        print(f"1,000 replicas, one day, {run.num_requests:,} requests  {wall:.0f} s wall, {cpu:.0f} s CPU")


if __name__ == "__main__":
    main()
