"""A made-up machine with four cores, as measured and as records of the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from steelyard import catalog
from steelyard.measure.machine import Machine, record_files
from steelyard.measure.machine.machine import Share
from steelyard.measure.machine.timing import Reading

DAY = date(2026, 11, 26)


def reading(value: float) -> Reading:
    return Reading(value=value, low=0.9 * value, high=1.1 * value)


def share(processes: int, scale: float, threads: int) -> Share:
    """Return 100 GFLOP/s on large products, 20 GB/s from memory, 200 GB/s from a cache of 8 MiB, launches of 5 us."""
    rates = {"4 x 512 x 512": 40e9, "64 x 512 x 512": 90e9, "1024 x 1024 x 1024": 96e9, "4096 x 1024 x 1024": 100e9}
    mixed = 1 / (0.5 / 200e9 + 0.5 / 20e9)  # half of 16 MiB stays in the cache
    return Share(
        processes=processes,
        threads=threads,
        library="made-up 1.0",
        device="cpu",
        read_bytes_per_s={
            "1 MiB": reading(200e9 * scale), "16 MiB": reading(mixed * scale), "256 MiB": reading(20e9 * scale),
        },
        copy_bytes_per_s={"1 MiB": reading(100e9 * scale), "256 MiB": reading(16e9 * scale)},
        matmul_flop_per_s={"fp32": {shape: reading(rate * scale) for shape, rate in rates.items()}},
        attention={"prompt_flop_per_s": reading(50e9 * scale), "cache_bytes_per_s": reading(15e9 * scale)},
        launch_s=reading(5e-6),
    )  # fmt: skip


MACHINE = Machine(
    name="A made-up processor",
    memory_bytes=64e9,
    cores=4,
    whole=share(1, 1.0, 4),
    shared=share(4, 0.25, 1),
    core=share(1, 0.3, 1),
    all_reduce_s={4096: reading(80e-6), 32 * 2**20: reading(0.1)},
    idle_w=None,
    busy_w=None,
    load_average=0.0,
)


def write(files: Mapping[str, str]) -> None:
    """Put files of the catalogue where this user's measurements lie."""
    folder = catalog.measured_folder()
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    catalog.refresh()


def write_machine(machine: Machine = MACHINE) -> None:
    write(record_files(machine, DAY))
