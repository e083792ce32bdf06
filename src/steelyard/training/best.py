"""The fastest layout of a device count, the fewest devices that hold a training, and why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from steelyard.arch import Model
from steelyard.device import Device
from steelyard.errors import DoesNotFitError, InputError
from steelyard.training.grid import Space, grid, layout_at
from steelyard.training.job import Job
from steelyard.training.layout import Layout, broken_rules
from steelyard.training.memory import Memory
from steelyard.training.recipe import Recipe
from steelyard.training.search import ALL_LAYOUTS, Found, search
from steelyard.training.step import Step
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
    space: Space = ALL_LAYOUTS,
) -> Plan:
    """Return the layout with the most tokens per second on so many devices.

    Args:
        model: From `arch`.
        device: Of which there are `num_devices`.
        num_devices: All of them are used.
        seq_tokens: Tokens of one sequence.
        global_batch_tokens: Tokens of one optimizer step; rounded by up to a tenth to whole sequences of each rank.
        compute_dtype: Of the matrix products.
        method: "full" or "lora".
        space: Which layouts are looked at; all that keep the rules unless stated.

    Returns:
        A `Plan`; its layout, step and memory are of that one layout.

    Raises:
        DoesNotFitError: No layout fits the memory; says what the smallest lacks and the least count that fits.
        InputError: No layout divides the batch and the model over that many devices.

    Example:
        >>> from steelyard import arch, device
        >>> plan = best_layout(arch.load("llama-3.1-8b"), device.load("h100"), 64, seq_tokens=8192,
        ...                    global_batch_tokens=4e6)
        >>> int(plan.layout.num_devices), bool(plan.memory.fits)
        (64, True)
    """
    job = Job(
        model=model,
        device=device,
        seq_tokens=seq_tokens,
        global_batch_tokens=global_batch_tokens,
        recipe=Recipe(compute_dtype=compute_dtype, method=method),
    )
    found = search(job, num_devices, space=space)
    layout = fastest(job, found, space)
    return Plan(
        layout=layout,
        step=job.step(layout),
        memory=job.memory(layout),
        num_layouts=found.num_layouts,
        num_fitting=found.num_fitting,
    )


def fastest(job: Job, found: Found, space: Space = ALL_LAYOUTS) -> Layout:
    """Return the fastest layout that a search of `space` found.

    Raises:
        InputError: No layout divides the job over the devices.
        DoesNotFitError: None of them fits; says what the smallest lacks and the least count that fits.
    """
    _require_any(job, found, space)
    assert found.front is not None  # something fits
    return layout_at(found.front, 0)


def simplest(job: Job, found: Found, space: Space = ALL_LAYOUTS) -> Layout:
    """Return the layout split in the fewest ways of those as fast as the fastest but for noise. Raises as `fastest`."""
    _require_any(job, found, space)
    assert found.simplest is not None  # something fits
    return found.simplest


def _require_any(job: Job, found: Found, space: Space) -> None:
    if found.front is None:
        refused = DoesNotFitError if found.num_layouts else InputError
        raise refused(why_none(job, found, space) + _next_step(job, found))


def why_none(job: Job, found: Found, space: Space = ALL_LAYOUTS) -> str:
    """Return why a search found nothing: what stands against every layout, or what the smallest lacks; else ""."""
    if not found.num_layouts:
        return _no_layout(job, found, space)
    return _no_memory(job, found) if found.front is None else ""


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
    """Return the fastest layout of each device count.

    `global_batch_tokens` is one figure, or one for each count. Raises as `best_layout`, for the first count that has
    none.
    """
    if not counts:
        raise InputError("no device count given")
    batches = np.broadcast_to(np.asarray(global_batch_tokens, np.float64), (len(counts),))
    return tuple(
        best_layout(
            model,
            device,
            count,
            seq_tokens=seq_tokens,
            global_batch_tokens=float(batch),
            compute_dtype=compute_dtype,
            method=method,
        )
        for count, batch in zip(counts, batches, strict=True)
    )


def least_devices(
    model: Model, device: Device, *, seq_tokens: float, method: str = "full", recipe: Recipe | None = None
) -> int:
    """Return the least number of devices on which some layout fits the memory, by any speed.

    Counts tried: powers of two, then whole nodes between the last that fails and the first that fits.

    Args:
        model: From `arch`.
        device: With its usable memory.
        seq_tokens: Tokens of one sequence.
        method: "full" or "lora".
        recipe: All that software decides (then the method is its field); software of today when None.

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
    chosen = recipe or Recipe(method=method)
    job = Job(model=model, device=device, seq_tokens=seq_tokens, global_batch_tokens=seq_tokens, recipe=chosen)
    coarse = [2**power for power in range(17)]
    high = _first_that_fits(job, coarse)
    if high is None:
        raise DoesNotFitError(
            f"training {model.id} ({chosen.method}) at {seq_tokens:.0f} tokens fits no layout on up to {coarse[-1]} x "
            f"{device.id}; try a device with more memory or a shorter sequence"
        )
    node = max(device.accelerator.devices_per_node, 1)
    between = [count for count in range(high // 2 + 1, high) if count < node or count % node == 0]
    return _first_that_fits(job, between[:: max(len(between) // 64, 1)]) or high


def _first_that_fits(job: Job, counts: Sequence[int]) -> int | None:
    """Return the first of the counts on which any layout fits, one sequence for each device in flight."""
    space = Space(only={"zero_stage": (0, 3), "replicas": (1,), "micro_batch": (1,), "vpp": (1,)})
    for count in counts:
        job.check(count)
        layouts = grid(job.model, count, seq_tokens=job.seq_tokens, batch=count, space=space)
        if any(np.any(block.valid & job.memory(block.layout).fits) for block in layouts.blocks()):
            return count
    return None


def _no_layout(job: Job, found: Found, space: Space) -> str:
    """Say why a device count has no layout at all: a limit that nothing can keep, else the batch and the count."""
    count, batch = found.num_devices, job.batch
    start = f"no layout of {job.model.id} on {count} devices: "
    for name, values in space.only.items():
        reasons = [_impossible(job.model, count, name, value) for value in values]
        if all(reasons):
            return f"{start}{name} {', '.join(map(str, values))}: {reasons[0]}"
    node = job.device.accelerator.devices_per_node
    return (
        f"{start}nothing divides the model and a batch of {batch} sequences of {job.seq_tokens:.0f} tokens over them; "
        f"try a multiple of {node} devices, a larger batch or fewer limits"
    )


def _impossible(model: Model, count: int, name: str, value: int | str) -> str:
    """Return the rule that a value of one axis breaks whatever the others are, "" when it breaks none."""
    alone = Layout(**{"dp": count, "global_batch": count, name: value})  # type: ignore[arg-type]
    rules = (rule for rule, broken in broken_rules(model, alone).items() if np.any(broken) and rule.startswith(name))
    if name in {"tp", "pp", "dp", "cp"} and isinstance(value, int) and (value < 1 or count % value):
        return next(rules, f"{name} must divide the {count} devices")
    return next(rules, "")


def _no_memory(job: Job, found: Found) -> str:
    """Say what the smallest layout of a device count lacks."""
    assert found.smallest is not None
    sizes = job.memory(found.smallest)
    need, have = float(np.max(sizes.total_bytes)), float(np.max(sizes.usable_bytes))
    what = f"training {job.model.id} ({job.recipe.method}) at {job.seq_tokens:.0f} tokens"
    left = f", of which {found.leave_bytes / 1e9:.0f} GB are to be left over" if found.leave_bytes else ""
    return (
        f"{what} needs {need / 1e9:.0f} GB per device on {found.num_devices} x {job.device.id}, which has "
        f"{have / 1e9:.0f} GB usable{left}"
    )


def _next_step(job: Job, found: Found) -> str:
    """Say on how many devices at least a layout fits, where memory is what stands against all."""
    if not found.num_layouts:
        return ""
    if found.leave_bytes:
        return "; leave less or add devices"
    return (
        f"; the least is {least_devices(job.model, job.device, seq_tokens=job.seq_tokens, recipe=job.recipe)} devices"
    )
