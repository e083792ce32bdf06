"""Wall time, CPU time and peak memory of the commands a newcomer runs first, each in a fresh process.

Run it with `.venv/bin/python benchmarks/compare.py [repeats]`; it prints the median over the repeats.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

STEELYARD = Path(sys.executable).with_name("steelyard")
COMMANDS = (["--help"], ["compare"], ["compare", "--json"], ["compare", "--html"], ["claims"], ["catalog", "check"])


def measure(arguments: list[str]) -> tuple[float, float, float]:
    """Return wall seconds, CPU seconds and peak resident megabytes of one run."""
    start = time.perf_counter()
    process = subprocess.Popen([STEELYARD, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if os.waitstatus_to_exitcode(status) not in (0, 1):
        raise SystemExit(f"steelyard {' '.join(arguments)} failed")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(f"{'command':24} {'wall s':>8} {'CPU s':>8} {'peak MB':>8}   (median of {repeats})")
    for arguments in COMMANDS:
        runs = [measure(arguments) for _ in range(repeats)]
        wall, cpu, memory = (statistics.median(column) for column in zip(*runs, strict=True))
        print(f"{' '.join(arguments):24} {wall:8.2f} {cpu:8.2f} {memory:8.0f}")


if __name__ == "__main__":
    main()
