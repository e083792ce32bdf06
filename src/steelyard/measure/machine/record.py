"""A measured machine as records of the catalogue: devices, the shares of their rates that work reaches, the source."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import numpy as np

from steelyard import __version__, catalog
from steelyard.measure.machine.machine import Machine, Share
from steelyard.measure.machine.timing import Reading

WHOLE, CORE, SHARED = "this-machine", "this-machine-core", "this-machine-share"
SOURCE = "steelyard-measure-machine"
_MIB = 2.0**20
_CACHED_RATIO = 1.5  # a cache is faster than memory by at least so much
_LEAST_PAD = 0.01  # ranges are drawn on a logarithmic scale, which has no 0
_ROWS = 64  # of a matrix product, from which on a machine is near its rate


def record_files(machine: Machine, day: date) -> dict[str, str]:
    """Return the files of the catalogue that hold this machine, by path within its folder.

    `this-machine` is the machine with one process; `this-machine-core` is one process with one thread while the other
    cores are idle; `this-machine-share` is one of as many processes as there are cores, all at work, which share its
    memory. The peak of a rate is the best that was measured, over shapes and repeats; `calibration/device.toml`
    holds the shares of it that each kind of work reaches in the median, under the device's id as vendor.
    """
    calibrated: dict[str, str] = {}
    files = {f"accelerators/{WHOLE}.toml": _device(machine, machine.whole, WHOLE, day)}
    calibrated |= _corrections(machine.whole, WHOLE)
    if machine.core is not None:
        files[f"accelerators/{CORE}.toml"] = _device(machine, machine.core, CORE, day)
        calibrated |= _corrections(machine.core, CORE)
    if machine.shared is not None:
        files[f"accelerators/{SHARED}.toml"] = _device(machine, machine.shared, SHARED, day)
        calibrated |= _corrections(machine.shared, SHARED) | _link_corrections(machine)
    lines = [f'[defaults]\nsource = "{SOURCE}"\nas_of = {day}\nbasis = "measured"\n\n[figures]']
    lines += [f"{json.dumps(name)} = {figure}" for name, figure in calibrated.items()]
    files["calibration/device.toml"] = "\n".join(lines) + "\n"
    files[f"sources.d/{SOURCE}.toml"] = _source(machine, day)
    return files


def _source(machine: Machine, day: date) -> str:
    facts = {
        "id": SOURCE,
        "title": f"steelyard measure machine: {machine.name}, {machine.cores} cores, {machine.whole.library}",
        "publisher": "this machine",
        "kind": "measurement",
        "retrieved": day.isoformat(),
        "note": f"steelyard {__version__}; " + "; ".join(machine.warnings),
    }
    return "[[source]]\n" + "".join(f"{name} = {json.dumps(text)}\n" for name, text in facts.items())


def _device(machine: Machine, share: Share, name: str, day: date) -> str:
    title = (
        machine.name if share.processes == 1 else f"{machine.name}, one of {share.processes} processes that share it"
    )
    head = {"id": name, "name": title, "vendor": name}
    lines = [f"{key} = {json.dumps(text)}" for key, text in head.items()]
    lines += [f"year = {day.year}", f'notes = "Measured on {day} with {share.library}, {share.threads} threads."']
    lines += [f'\n[defaults]\nsource = "{SOURCE}"\nas_of = {day}\nbasis = "measured"\n\n[figures]']
    lines += [f"{key} = {figure}" for key, figure in _figures(machine, share)]
    lines.append("\n[figures.peak_flop_per_s]")
    lines += [f"{dtype} = {_figure(rate, 'FLOP/s')}" for dtype, rate in _peaks(share).items()]
    return "\n".join(lines) + "\n"


def _figures(machine: Machine, share: Share) -> Iterator[tuple[str, str]]:
    devices = share.processes
    if cache := _cache(share):
        yield "l2_bytes", _figure(_alone(cache[0]), "B")
        yield "l2_bytes_per_s", _figure(cache[1], "B/s")
    yield "hbm_bytes", _figure(_alone(machine.memory_bytes / devices), "B")
    yield "hbm_bytes_per_s", _figure(_bandwidth(share), "B/s")
    if devices > 1 and machine.all_reduce_s:
        yield "scale_up_bytes_per_s", _figure(_bus_bandwidth(machine), "B/s")
    yield "scale_up_devices", _figure(_alone(devices), "device")
    yield "devices_per_node", _figure(_alone(devices), "device")
    for name, measured_w in (("idle_w", machine.idle_w), ("tdp_w", machine.busy_w)):
        yield name, _power(name, measured_w, machine.cores, devices)


def _power(name: str, measured_w: float | None, cores: int, devices: int) -> str:
    """Return a measured power, or the catalogue's assumption for a processor core, marked as such."""
    if measured_w is not None:
        return _figure(_alone(measured_w / devices), "W")
    assumed = catalog.calibration("machine")[f"core_{name}"]
    per_device = cores / devices
    low, high = assumed.low or assumed.value, assumed.high or assumed.value
    reading = Reading(value=assumed.value * per_device, low=low * per_device, high=high * per_device)
    note = "not measurable here: no power counter can be read; assumed by the core"
    return _figure(reading, "W", basis="assumed", source=assumed.source, note=note)


def _bandwidth(share: Share) -> Reading:
    """Return the best bandwidth from memory: of the largest working set, which no cache holds."""
    rates = (list(rates.values())[-1] for rates in (share.read_bytes_per_s, share.copy_bytes_per_s))
    return _best(max(rates, key=_high))


def _cache(share: Share) -> tuple[float, Reading] | None:
    """Return the size of the cache that reading shows and its bandwidth; None where memory is as fast.

    A working set of W bytes is read at 1 / (kept / cache + (1 - kept) / memory), kept = size / W: every working set
    that is read neither at the one rate nor at the other tells the size; else it lies between the last two.
    """
    sizes = [float(name.split(" ")[0]) * _MIB for name in share.read_bytes_per_s]
    rates = list(share.read_bytes_per_s.values())
    fast, slow = _best(rates[0]), _bandwidth(share).value
    if fast.value < _CACHED_RATIO * slow:
        return None
    kept = [(1.0 / rate.high - 1.0 / slow) / (1.0 / fast.value - 1.0 / slow) for rate in rates]
    told = [share * size for share, size in zip(kept, sizes, strict=True) if 0.1 < share < 0.9]
    inside = [size for share, size in zip(kept, sizes, strict=True) if share >= 0.9]
    return float(np.median(told)) if told else max(inside), fast


def _peaks(share: Share) -> dict[str, Reading]:
    return {dtype: _best(max(_large(rates), key=_high)) for dtype, rates in share.matmul_flop_per_s.items()}


def _best(reading: Reading) -> Reading:
    """Return what the best repeats reached: other programs take from the others, and nothing adds to these."""
    return Reading(value=reading.high, low=reading.value, high=reading.high)


def _large(rates: Mapping[str, Reading]) -> list[Reading]:
    return [rate for shape, rate in rates.items() if int(shape.split(" x ")[0]) > _ROWS]


def _corrections(share: Share, vendor: str) -> dict[str, str]:
    """Return the shares of the measured peaks that each kind of work reaches."""
    first = share.matmul_flop_per_s["fp32"]
    peak, bandwidth = _peaks(share)["fp32"].value, _bandwidth(share).value
    usual = [rate.value for rate in _large(first)]
    found = {
        "matmul_ratio": _of([rate / peak for rate in usual], 1.0),
        "matmul_pad_count": _figure(_alone(max(float(np.median(_padding(first, max(usual)))), _LEAST_PAD)), "1"),
        "dot_product_ratio": _figure(_alone(_LEAST_PAD), "1"),  # no part: few rows were timed, the padding is theirs
        "memory_ratio": _of([list(share.read_bytes_per_s.values())[-1].value / bandwidth], 1.0),
        "kernel_launch_s": _figure(share.launch_s, "s"),
        "expand_flop_count": _figure(_known("expand_flop_count.processor"), "1"),
    }
    if share.attention:
        found["attention_ratio"] = _of([share.attention["prompt_flop_per_s"].value / peak], 1.0)
        found["cache_memory_ratio"] = _of([share.attention["cache_bytes_per_s"].value / bandwidth], 1.0)
    return {f"{name}.{vendor}": figure for name, figure in found.items()}


def _padding(rates: Mapping[str, Reading], peak: float) -> list[float]:
    """Return the rows that small products do beside their own: t = flop (1 + pad / m) / rate of large ones."""
    small = {int(shape.split(" x ")[0]): rate.value for shape, rate in rates.items()}
    return [rows * (peak / rate - 1.0) for rows, rate in small.items() if rows <= _ROWS]


def _bus_bandwidth(machine: Machine) -> Reading:
    """Return the bandwidth of one process to the others, from the largest all-reduce: 2 (n - 1) / n of it is sent."""
    ranks = machine.cores
    size, spent = max(machine.all_reduce_s.items())
    return spent.over(2.0 * (ranks - 1) / ranks * size)


def _link_corrections(machine: Machine) -> dict[str, str]:
    if not machine.all_reduce_s:
        return {}
    _, shortest = min(machine.all_reduce_s.items())
    steps = 2.0 * math.log2(machine.cores)
    latency = Reading(value=shortest.value / steps, low=shortest.low / steps, high=shortest.high / steps)
    return {f"link_ratio.{SHARED}": _of([1.0], 1.0), f"link_latency_s.{SHARED}": _figure(latency, "s")}


def _of(ratios: list[float], most: float) -> str:
    low, middle, high = (min(float(value), most) for value in np.percentile(ratios, [10, 50, 90]))
    return _figure(Reading(value=middle, low=low, high=high), "1")


def _known(name: str) -> Reading:
    """Return what no probe tells of this machine: the catalogue's figure for machines of its kind."""
    figure = catalog.calibration("device")[name]
    return Reading(value=figure.value, low=figure.low or figure.value, high=figure.high or figure.value)


def _alone(value: float) -> Reading:
    """Return a value without a spread."""
    return Reading(value=value, low=math.nan, high=math.nan)


def _figure(reading: Reading, unit: str, **more: Any) -> str:
    """Return a figure as an inline table of TOML."""
    parts: dict[str, Any] = {"value": _digits(reading.value), "unit": unit}
    if math.isfinite(reading.low):
        parts |= {"low": _digits(min(reading.low, reading.value)), "high": _digits(max(reading.high, reading.value))}
    inside = ", ".join(f"{name} = {json.dumps(value)}" for name, value in (parts | more).items())
    return f"{{ {inside} }}"


def _digits(value: float) -> float:
    return float(f"{value:.4g}")


def _high(reading: Reading) -> float:
    return reading.high
