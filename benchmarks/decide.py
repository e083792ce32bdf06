#!/usr/bin/env python3
"""Time of a decision: 6 routes x 36 months over draws, with the capacity surfaces cached and without.

    OMP_NUM_THREADS=1 python benchmarks/decide.py [--cold]

Prints CPU seconds, so that other work on the machine does not count: for 250, 500 and 1,000 draws with the surfaces
cached; with `--cold` also for 1,000 draws with an empty cache (the event loop compiled beforehand).
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from steelyard.compare.scenario_file import load_scenario
from steelyard.decide import decide
from steelyard.inference import simulator, surface


def cpu_s(draws: int) -> float:
    """Return the CPU time of one decision on the built-in example over 36 months [s]."""
    scenario = load_scenario().model_copy(update={"horizon_months": 36})
    begun = time.process_time()
    decide(scenario, draws=draws)
    return time.process_time() - begun


def main() -> None:
    cpu_s(50)  # imports, catalogue, surfaces
    for draws in (250, 500, 1000):
        print(f"{draws:>5} draws, surfaces cached: {min(cpu_s(draws) for _ in range(3)):.2f} s")
    if "--cold" in sys.argv:
        simulator.prepare()
        with tempfile.TemporaryDirectory() as folder:
            surface.user_cache = lambda: Path(folder)
            print(f" 1000 draws, no surfaces:     {cpu_s(1000):.2f} s")


if __name__ == "__main__":
    main()
