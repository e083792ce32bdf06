"""The best layout for a number of devices: every valid one is evaluated, as one grid of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from steelyard.arch import Model
from steelyard.device import Device
from steelyard.errors import DoesNotFitError, InputError
from steelyard.training.grid import Mask, candidates, pick
from steelyard.training.layout import MAX_DEVICES, Layout
from steelyard.training.memory import Memory, memory
from steelyard.training.recipe import check_method
from steelyard.training.step import Step, step, step_unchecked
from steelyard.units import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The fastest layout that fits, with its step and its memory, and how many were looked at."""

    layout: Layout
    step: Step
    memory: Memory
    num_layouts: int
    num_fitting: int


def best_layout(
    model: Model,
    device: Device,
    num_devices: int,
    *,
    seq_tokens: float,
    global_batch_tokens: float,
    compute_dtype: str = "bf16",
    method: str = "full",
) -> Plan:
    """Return the layout with the most tokens per second on so many devices.

    Args:
        model: From `arch`.
        device: Of which there are `num_devices`.
        num_devices: All of them are used.
        seq_tokens: Tokens of one sequence.
        global_batch_tokens: Tokens of one optimizer step; rounded by up to a tenth to whole micro-batches.
        compute_dtype: Of the matrix products.
        method: "full" or "lora".

    Returns:
        A `Plan`; its layout, step and memory are of that one layout.

    Raises:
        DoesNotFitError: No layout fits the memory; says what the smallest lacks and the least count that fits.
        InputError: No layout divides the batch and the model over that many devices.

    Assumes:
        Powers of two for tp, vpp, cp, ep and the micro-batch; up to 64 pipeline stages.

    Example:
        >>> from steelyard import arch, device
        >>> plan = best_layout(arch.load("llama-3.1-8b"), device.load("h100"), 64, seq_tokens=8192,
        ...                    global_batch_tokens=4e6)
        >>> int(plan.layout.num_devices), bool(plan.memory.fits)
        (64, True)
    """
    plans = best_layouts(
        model,
        device,
        [num_devices],
        seq_tokens=seq_tokens,
        global_batch_tokens=global_batch_tokens,
        compute_dtype=compute_dtype,
        method=method,
    )
    return plans[0]


def best_layouts(
    model: Model,
    device: Device,
    counts: Sequence[int],
    *,
    seq_tokens: float,
    global_batch_tokens: Array,
    compute_dtype: str = "bf16",
    method: str = "full",
) -> tuple[Plan, ...]:
    """Return the fastest layout of each device count, all searched in one grid.

    `global_batch_tokens` is one figure, or one for each count. Raises as `best_layout`, for the first count that has
    none.
    """
    check_method(method)
    _check(counts, seq_tokens, global_batch_tokens)
    batch = np.broadcast_to(np.maximum(np.rint(np.asarray(global_batch_tokens) / seq_tokens), 1), (len(counts),))
    grid, valid = candidates(model, device, counts, seq_tokens=seq_tokens, global_batch=batch)
    sizes = memory(model, device, grid, seq_tokens=seq_tokens, method=method)
    times = step_unchecked(model, device, grid, seq_tokens=seq_tokens, compute_dtype=compute_dtype, method=method)
    speed = np.where(valid & sizes.fits, times.tokens_per_s, 0.0)
    valid = np.broadcast_to(valid, speed.shape)
    plans = []
    for row, count in enumerate(counts):
        if not valid[row].any():
            raise InputError(_no_layout(model, device, count, float(batch[row]), seq_tokens))
        if not speed[row].any():
            raise DoesNotFitError(_no_memory(model, device, count, seq_tokens, method, sizes, valid, row))
        fastest = np.unravel_index(int(np.argmax(speed[row])), speed.shape[1:])
        chosen = pick(grid, (row, *(int(place) for place in fastest)))
        plans.append(
            Plan(
                layout=chosen,
                step=step(model, device, chosen, seq_tokens=seq_tokens, compute_dtype=compute_dtype, method=method),
                memory=memory(model, device, chosen, seq_tokens=seq_tokens, method=method),
                num_layouts=int(np.count_nonzero(valid[row])),
                num_fitting=int(np.count_nonzero(speed[row])),
            )
        )
    return tuple(plans)


def least_devices(model: Model, device: Device, *, seq_tokens: float, method: str = "full") -> int:
    """Return the least number of devices on which some layout fits the memory, by any speed.

    Counts tried: powers of two, then whole nodes between the last that fails and the first that fits.

    Args:
        model: From `arch`.
        device: With its usable memory.
        seq_tokens: Tokens of one sequence.
        method: "full" or "lora".

    Raises:
        DoesNotFitError: Not even 65,536 devices are enough.

    Assumes:
        One sequence per micro-batch, states split over all ranks (ZeRO-3), everything recomputed where that helps.

    Example:
        >>> from steelyard import arch, device
        >>> small, h100 = arch.load("llama-3.1-8b"), device.load("h100")
        >>> least_devices(small, h100, seq_tokens=4096) > least_devices(small, h100, seq_tokens=4096, method="lora")
        True
    """
    check_method(method)
    coarse = [2**power for power in range(17)]
    high = _first(model, device, coarse, seq_tokens, method)
    if high is None:
        raise DoesNotFitError(
            f"training {model.id} ({method}) at {seq_tokens:.0f} tokens fits no layout on up to {coarse[-1]} x "
            f"{device.id}; try a device with more memory or a shorter sequence"
        )
    node = max(device.accelerator.devices_per_node, 1)
    between = [count for count in range(high // 2 + 1, high) if count < node or count % node == 0]
    return _first(model, device, between[:: max(len(between) // 64, 1)], seq_tokens, method) or high


def _first(model: Model, device: Device, counts: Sequence[int], seq_tokens: float, method: str) -> int | None:
    """Return the first of the counts on which any layout fits, one sequence for each device in flight."""
    if not counts:
        return None
    batch = np.asarray(counts, np.float64)
    grid, valid = candidates(model, device, counts, seq_tokens=seq_tokens, global_batch=batch, zero_stages=(3,))
    fits = valid & memory(model, device, grid, seq_tokens=seq_tokens, method=method).fits
    return next((count for count, row in zip(counts, fits, strict=True) if row.any()), None)


def _check(counts: Sequence[int], seq_tokens: float, global_batch_tokens: Array) -> None:
    for count in counts:
        if not 1 <= count <= MAX_DEVICES or count != int(count):
            raise InputError(f"number of devices is {count}; allowed: whole numbers from 1 to {MAX_DEVICES}")
    if not counts:
        raise InputError("no device count given")
    if not 1 <= seq_tokens <= 1e9:
        raise InputError(f"sequence length is {seq_tokens:g} tokens; allowed: 1 to 1e9")
    batch = np.asarray(global_batch_tokens, np.float64)
    if not np.all(np.isfinite(batch) & (batch > 0) & (batch <= 1e12)):
        raise InputError(f"global batch is {batch} tokens; allowed: above 0, up to 1e12")


def _no_layout(model: Model, device: Device, count: int, batch: float, seq_tokens: float) -> str:
    return (
        f"no layout divides {model.id} and a batch of {batch:.0f} sequences of {seq_tokens:.0f} tokens over {count} "
        f"devices; try a multiple of {device.accelerator.devices_per_node} devices or a larger batch"
    )


def _no_memory(
    model: Model, device: Device, count: int, seq_tokens: float, method: str, sizes: Memory, valid: Mask, row: int
) -> str:
    total = np.where(valid, np.broadcast_to(sizes.total_bytes, valid.shape), np.inf)[row]
    need, have = total.min(), float(np.median(sizes.usable_bytes))
    least = least_devices(model, device, seq_tokens=seq_tokens, method=method)
    return (
        f"training {model.id} ({method}) at {seq_tokens:.0f} tokens needs {need / 1e9:.0f} GB per device on {count} x "
        f"{device.id}, which has {have / 1e9:.0f} GB usable; the least is {least} devices"
    )
