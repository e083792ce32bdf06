"""Measuring a machine: one process with all of it, then as many as it is shared by, then what joins them."""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from steelyard.errors import OutsideProgramError
from steelyard.measure.machine.power import energy_counter, mean_power_w
from steelyard.measure.machine.probes import can_probe, measure_probes
from steelyard.measure.machine.timing import Reading
from steelyard.records.trial import Probe
from steelyard.runtime.threads import thread_variables

_WORKER, _COLLECTIVES = "steelyard.measure.machine.worker", "steelyard.measure.machine.collectives"
_TIMEOUT_S, _IDLE_S = 300.0, 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one process reaches while `processes` run at once, each with `threads`; readings are of one process."""

    processes: int
    threads: int
    library: str
    device: str  # "cpu" or "cuda"
    read_bytes_per_s: Mapping[str, Reading]  # by working set
    copy_bytes_per_s: Mapping[str, Reading]
    matmul_flop_per_s: Mapping[str, Mapping[str, Reading]]  # by format, then by shape
    attention: Mapping[str, Reading]
    launch_s: Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One machine as measured."""

    name: str
    memory_bytes: float
    cores: int
    whole: Share
    shared: Share | None  # None on a machine with one core
    core: Share | None = None  # one process with one thread while the others are idle; None where that is the whole
    all_reduce_s: Mapping[int, Reading]  # by bytes, over as many processes as `shared`; empty without PyTorch
    idle_w: float | None  # None: no counter can be read here
    busy_w: float | None
    load_average: float  # of the minute before, by other programs
    probes: tuple[Probe, ...] = ()  # small models trained and served; empty where the engines are not installed

    @property
    def warnings(self) -> tuple[str, ...]:
        told = []
        if self.load_average > 0.2 * self.cores:
            told.append(
                f"this machine was busy with other work (load average {self.load_average:.1f} on {self.cores} cores): "
                "the figures are lower than it can do; measure again when it is idle"
            )
        if self.idle_w is None:
            told.append("power is not measurable here: no counter (NVML, RAPL) can be read; the record says `assumed`")
        return tuple(told)


def measure_machine(told: Callable[[str], None], *, probes: bool = True) -> Machine:
    """Measure this machine; takes a minute, and three more with `probes`.

    Args:
        told: Called with what is measured next.
        probes: Also train and serve small models on a CPU, where the engines for it are installed.

    Raises:
        OutsideProgramError: A measuring process failed.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    load_average = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    counter = energy_counter()
    idle_w = mean_power_w(counter, lambda: time.sleep(_IDLE_S)) if counter else None
    told(f"one process with {cores} threads")
    began = (counter(), time.perf_counter()) if counter else None
    whole = _share(1, cores)
    busy_w = (counter() - began[0]) / (time.perf_counter() - began[1]) if counter and began else None
    core, shared, all_reduce = None, None, {}
    if cores > 1 and whole.device == "cpu":
        told("one process with one thread")
        core = _share(1, 1)
        told(f"{cores} processes at once, one thread each")
        shared = _share(cores, 1)
        if find_spec("torch"):
            told(f"all-reduce over {cores} processes")
            all_reduce = _all_reduce(cores)
    return Machine(
        name=_name(whole.device),
        memory_bytes=_memory_bytes(whole.device),
        cores=cores,
        whole=whole,
        shared=shared,
        core=core,
        all_reduce_s=all_reduce,
        idle_w=idle_w,
        busy_w=busy_w,
        load_average=load_average,
        probes=measure_probes(told) if probes and shared is not None and can_probe() else (),
    )


def _share(processes: int, threads: int) -> Share:
    """Return what the first of several processes measures while all do the same."""
    started = [_start([_WORKER, str(threads)], threads) for _ in range(processes)]
    for process in started:
        assert process.stdout is not None
        process.stdout.readline()  # "ready"
    raw = _last_lines(started, "\n")[0]
    return Share(
        processes=processes,
        threads=threads,
        library=raw["library"],
        device=raw["device"],
        read_bytes_per_s=_readings(raw["read_bytes_per_s"]),
        copy_bytes_per_s=_readings(raw["copy_bytes_per_s"]),
        matmul_flop_per_s={name: _readings(found) for name, found in raw["matmul_flop_per_s"].items() if found},
        attention=_readings(raw["attention"]),
        launch_s=Reading(**raw["launch_s"]),
    )


def _all_reduce(ranks: int) -> dict[int, Reading]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started = [_start([_COLLECTIVES, str(rank), str(ranks), str(port)], 1) for rank in range(ranks)]
    return {int(size): Reading(**found) for size, found in _last_lines(started, "")[0].items()}


def _start(module: Sequence[str], threads: int) -> subprocess.Popen[str]:
    environment = os.environ | thread_variables(threads)
    return subprocess.Popen(  # noqa: S603 - our own modules
        [sys.executable, "-m", *module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def _last_lines(started: Sequence[subprocess.Popen[str]], word: str) -> list[Any]:
    """Let the processes go on together and return what each printed last, as JSON (None where nothing)."""
    found = []
    try:
        for process in started:
            assert process.stdin is not None
            process.stdin.write(word)
            process.stdin.flush()
        for process in started:
            out, errors = process.communicate(timeout=_TIMEOUT_S)
            if process.returncode:
                last = (errors.strip().splitlines() or ["it said nothing"])[-1]
                raise OutsideProgramError(f"measuring failed: {last[:300]}")
            found.append(json.loads(out.splitlines()[-1]) if out.strip() else None)
    except subprocess.TimeoutExpired:
        raise OutsideProgramError(
            f"measuring took longer than {_TIMEOUT_S:.0f} s; is the machine overloaded?"
        ) from None
    finally:
        for process in started:
            if process.poll() is None:
                process.kill()
                process.communicate()
    return found


def _readings(raw: Mapping[str, Any]) -> dict[str, Reading]:
    return {name: Reading(**found) for name, found in raw.items()}


def _name(device: str) -> str:
    if device == "cuda":
        import torch

        return str(torch.cuda.get_device_name(0))
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _memory_bytes(device: str) -> float:
    if device == "cuda":
        import torch

        return float(torch.cuda.get_device_properties(0).total_memory)
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
