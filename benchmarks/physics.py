"""Rates of the physics on one core: operators, layouts, serving capacities, claims.

Run it with `.venv/bin/python benchmarks/physics.py`; each line is the median of several runs in this process.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np

from steelyard import arch, catalog, device, inference, training
from steelyard.compare.claims import claims
from steelyard.records.workload import Objective


def seconds(work: Callable[[], object], repeats: int = 7) -> float:
    """Return the median wall time of one run, after one to warm the caches."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    h100 = device.load("h100")
    llama, deepseek = arch.load("llama-3.1-405b"), arch.load("deepseek-v3")
    ones = np.ones(1000)
    chat = inference.lengths_from_workload(catalog.workload("chat"))
    draws = np.linspace(0.5, 2.0, 400)
    served = arch.load("llama-3.1-70b")

    def operators() -> object:
        return arch.forward_operators(deepseek, batch=ones, new_tokens=ones, context_tokens=1000 * ones, tp=2 * ones)

    def search() -> training.Plan:
        return training.best_layout(llama, h100, 16_384, seq_tokens=8192.0, global_batch_tokens=16_777_216.0)

    def capacity() -> object:
        replica = inference.Deployment(tp=4)
        return inference.steady(served, h100, replica, chat, Objective(ttft_s=2.0, tpot_s=0.05), time_ratio=draws)

    layouts = search().num_layouts
    print(f"operators, DeepSeek-V3, 1,000 configurations   {seconds(operators) * 1e3:8.1f} ms")
    print(f"layouts, Llama 3.1 405B on 16,384 H100         {layouts / seconds(search) / 1e6:8.2f} M/s of {layouts}")
    print(f"serving capacity, 70B on 4 H100, 400 draws     {seconds(capacity) * 1e3:8.1f} ms")
    print(f"all claims                                     {seconds(claims, 3) * 1e3:8.0f} ms")


if __name__ == "__main__":
    main()
