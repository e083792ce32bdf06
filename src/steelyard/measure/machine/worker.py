"""One process that measures: alone with all threads, or one of several at the same time with a share of them."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from typing import Any

from steelyard.measure.machine.kernels import NumpyKernels, TorchKernels, kernels
from steelyard.measure.machine.timing import Reading, timed

_MIB = 2**20
_SLOW_FLOP_PER_S = 2e9  # a format below this on a CPU has no kernel worth the name: its large shapes are left out
_HEADS, _HEAD = 16, 64


def measure(threads: int) -> dict[str, Any]:
    """Return what this process reaches, with so many threads on a CPU.

    Keys: `library`, `device`, and readings in SI: `read_bytes_per_s` and `copy_bytes_per_s` by working set,
    `matmul_flop_per_s` by format and shape (m x n x k), `attention_*`, `launch_s`.
    """
    work = kernels(threads)
    large = work.device == "cuda"
    sizes = (16, 256, 2048) if large else (1, 4, 16, 64, 256)
    return {
        "library": work.library,
        "device": work.device,
        "read_bytes_per_s": {f"{size} MiB": _rate(work, work.read(size * _MIB), size * _MIB) for size in sizes},
        "copy_bytes_per_s": {f"{size} MiB": _rate(work, work.copy(size * _MIB), 2 * size * _MIB) for size in sizes},
        "matmul_flop_per_s": {dtype: _matmuls(work, dtype, large) for dtype in work.dtypes},
        "attention": _attention(work, large),
        "launch_s": timed(work.tiny(), work.synchronise, threads=min(work.threads, 1)),
    }


def _rate(work: NumpyKernels | TorchKernels, call: Callable[[], object], amount: float) -> Reading:
    return timed(call, work.synchronise, threads=work.threads).over(amount)


def _matmuls(work: NumpyKernels | TorchKernels, dtype: str, large: bool) -> dict[str, Reading]:
    side = 8192 if large else 1024
    shapes = [(side, side, side), (4 * side, side, side), (side, 4 * side, side)]  # square, tall, wide
    small = [(m, side, side) for m in (1, 4, 16, 64)]  # the rows of a small batch
    found: dict[str, Reading] = {}
    for m, n, k in [(64, 256, 256), *small, *shapes]:
        reading = _rate(work, work.matmul(dtype, m, n, k), 2.0 * m * n * k)
        if (m, n) == (64, 256):  # only a first look
            if not large and dtype != "fp32" and reading.value < _SLOW_FLOP_PER_S:
                return {}
            continue
        found[f"{m} x {n} x {k}"] = reading
    return found


def _attention(work: NumpyKernels | TorchKernels, large: bool) -> dict[str, Reading]:
    tokens = 8192 if large else 1024
    prompt = work.attention(_HEADS, tokens, tokens, _HEAD)
    decode = work.attention(_HEADS, 1, 16 * tokens, _HEAD)
    if prompt is None or decode is None:
        return {}
    flop = 4.0 * _HEADS * tokens * tokens * _HEAD
    cache_bytes = 2.0 * 4 * _HEADS * 16 * tokens * _HEAD
    return {
        "prompt_flop_per_s": _rate(work, prompt, flop),
        "cache_bytes_per_s": _rate(work, decode, cache_bytes),
    }


def main() -> None:
    """Measure, and print it as JSON once every process of the group is there."""
    threads = int(sys.argv[1])
    print("ready", flush=True)
    sys.stdin.readline()  # all start together
    print(json.dumps(measure(threads), default=dataclasses.asdict), flush=True)


if __name__ == "__main__":
    main()
