"""Rates of the search over training layouts on one core: layouts a second, peak memory, and cost by number of layouts.

Run it with `OMP_NUM_THREADS=1 .venv/bin/python benchmarks/search.py [repeats]`; each line is a median over the repeats.
A layout is a distinct combination that keeps all rules, with its memory; those that fit are also timed.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time

from steelyard import arch, device, training

MIB = 2.0**20
SPACES = (  # model, device, devices, tokens of a sequence, sequences of a batch, dtype
    ("llama-3.1-8b", "h100-sxm", 64, 8192, 512, "bf16"),
    ("llama-3.1-70b", "h100-sxm", 1024, 8192, 1024, "bf16"),
    ("llama-3.1-405b", "h100-sxm", 16_384, 8192, 2048, "bf16"),
    ("deepseek-v3", "h800", 2048, 4096, 15_360, "fp8"),
)


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(f"{'search':34} {'layouts':>12} {'fit':>12} {'s':>8} {'M/s':>7}   (median of {repeats})")
    for model, on, count, seq, batch, dtype in SPACES:
        job = training.Job(
            model=arch.load(model),
            device=device.load(on),
            seq_tokens=seq,
            global_batch_tokens=seq * batch,
            compute_dtype=dtype,
        )
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            found = training.search(job, count)
            times.append(time.perf_counter() - start)
        spent = statistics.median(times)
        label = f"{model} on {count:,} {on}"
        rate = found.num_layouts / spent / 1e6
        print(f"{label:34} {found.num_layouts:12,} {found.num_fitting:12,} {spent:8.3f} {rate:7.2f}")
    print(f"peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MIB:.0f} MiB")


if __name__ == "__main__":
    main()
