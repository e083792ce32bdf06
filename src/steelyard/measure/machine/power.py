"""Power counters: RAPL of processors, NVML of NVIDIA GPUs. Where there is none, nothing is guessed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

_RAPL = Path("/sys/class/powercap")
_MICRO, _MILLI = 1e-6, 1e-3


def energy_counter() -> Callable[[], float] | None:
    """Return a function that reads the energy drawn so far [J], or None where no counter can be read."""
    return _nvml() or _rapl()


def _rapl() -> Callable[[], float] | None:
    """Read the packages of the processors; the counter is root's on most machines, and absent in most virtual ones."""
    files = [folder / "energy_uj" for folder in sorted(_RAPL.glob("intel-rapl:?"))]
    try:
        for file in files:
            file.read_text()
    except OSError:
        return None
    if not files:
        return None
    return lambda: sum(float(file.read_text()) for file in files) * _MICRO


def _nvml() -> Callable[[], float] | None:
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except Exception:  # noqa: BLE001 - no package, no driver, no GPU, no counter: all mean the same here
        return None
    return lambda: float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) * _MILLI


def mean_power_w(read_j: Callable[[], float], work: Callable[[], object]) -> float:
    """Return the mean power while some work runs [W]."""
    joules, start = read_j(), time.perf_counter()
    work()
    return (read_j() - joules) / (time.perf_counter() - start)
