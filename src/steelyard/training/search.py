"""The best layouts of a number of devices: every valid one is evaluated, block by block, as arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from steelyard.arch import Model
from steelyard.device import Device, usable_memory_bytes
from steelyard.errors import DoesNotFitError, InputError
from steelyard.training.front import Front
from steelyard.training.grid import Mask, Space, blocks, layout_at, pick
from steelyard.training.layout import MAX_DEVICES, Layout, broken_rules
from steelyard.training.memory import Memory, memory
from steelyard.training.sharding import check_method
from steelyard.training.step import Step, step, step_unchecked
from steelyard.units import Array

ALL_LAYOUTS = Space()


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is trained in a step, whatever the layout."""

    model: Model
    device: Device
    seq_tokens: float
    global_batch_tokens: float
    compute_dtype: str = "bf16"
    method: str = "full"

    def step(self, layout: Layout) -> Step:
        """Return the step of layouts, checked against their rules."""
        return step(
            self.model,
            self.device,
            layout,
            seq_tokens=self.seq_tokens,
            compute_dtype=self.compute_dtype,
            method=self.method,
        )

    def step_unchecked(self, layout: Layout) -> Step:
        """Return the step of layouts, also of those that break a rule, which a search masks."""
        return step_unchecked(
            self.model,
            self.device,
            layout,
            seq_tokens=self.seq_tokens,
            compute_dtype=self.compute_dtype,
            method=self.method,
        )

    def memory(self, layout: Layout) -> Memory:
        """Return the memory that layouts need on their fullest device."""
        return memory(self.model, self.device, layout, seq_tokens=self.seq_tokens, method=self.method)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search found for one device count."""

    num_devices: int
    num_layouts: int  # valid and distinct
    num_fitting: int  # of these, in the memory of the device
    num_faster: int  # of these, faster than what the search compared with
    smallest: Layout | None  # the valid layout that needs the least memory
    front: Layout | None  # no other one is faster and smaller; the fastest first; None when nothing fits


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The fastest layout that fits, with its step and its memory, and how many were looked at."""

    layout: Layout
    step: Step
    memory: Memory
    num_layouts: int
    num_fitting: int


def search(
    job: Job,
    count: int,
    *,
    space: Space = ALL_LAYOUTS,
    faster_than_token_per_s: float = float("inf"),
    progress: Callable[[int], None] | None = None,
) -> Found:
    """Return what is best among all layouts of a device count.

    Args:
        job: What is trained.
        count: Devices; all of them are used.
        space: Which layouts are looked at.
        faster_than_token_per_s: Layouts that fit and are faster than this are counted.
        progress: Called after each block with the number of layouts evaluated in it.

    Raises:
        InputError: A count, a sequence length or a batch out of range.

    Assumes:
        The global batch is rounded to whole sequences of each data-parallel rank, by up to a tenth.
    """
    _check(job, count)
    front, totals = Front(float(usable_memory_bytes(job.device))), _Totals()
    batch = max(round(job.global_batch_tokens / job.seq_tokens), 1)
    for block, valid in blocks(job.model, count, seq_tokens=job.seq_tokens, batch=batch, space=space):
        totals.num_layouts += (number := int(np.count_nonzero(valid)))
        if number:
            _evaluate(job, block, valid, front, totals, faster_than_token_per_s)
        if progress is not None:
            progress(number)
    return Found(
        num_devices=count,
        num_layouts=totals.num_layouts,
        num_fitting=totals.num_fitting,
        num_faster=totals.num_faster,
        smallest=totals.smallest,
        front=front.fastest_first() if totals.num_fitting else None,
    )


@dataclass(slots=True)
class _Totals:
    num_layouts: int = 0
    num_fitting: int = 0
    num_faster: int = 0
    least_bytes: float = math.inf
    smallest: Layout | None = None


def _evaluate(job: Job, block: Layout, valid: Mask, front: Front, totals: _Totals, than_token_per_s: float) -> None:
    """Evaluate one block of layouts and keep what is worth keeping."""
    need = np.broadcast_to(job.memory(block).total_bytes, valid.shape).ravel()
    places = np.flatnonzero(valid & (need <= front.usable_bytes).reshape(valid.shape))
    if not totals.num_fitting and not places.size:  # only asked for where nothing fits
        least = int(np.argmin(np.where(valid.ravel(), need, np.inf)))
        if need[least] < totals.least_bytes:
            totals.least_bytes = float(need[least])
            totals.smallest = layout_at(pick(block, np.array([least]), valid.shape), 0)
    if not places.size:
        return
    rate = np.broadcast_to(job.step_unchecked(block).tokens_per_s, valid.shape).ravel()[places]
    totals.num_fitting += places.size
    totals.num_faster += int(np.count_nonzero(rate > than_token_per_s))
    front.add(rate, need[places], block, places, valid.shape)


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
        compute_dtype=compute_dtype,
        method=method,
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
    if not found.num_layouts:
        raise InputError(_no_layout(job, found, space))
    if found.front is None:
        raise DoesNotFitError(_no_memory(job, found))
    return layout_at(found.front, 0)


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
    job = Job(model=model, device=device, seq_tokens=seq_tokens, global_batch_tokens=seq_tokens, method=method)
    coarse = [2**power for power in range(17)]
    high = _first_that_fits(job, coarse)
    if high is None:
        raise DoesNotFitError(
            f"training {model.id} ({method}) at {seq_tokens:.0f} tokens fits no layout on up to {coarse[-1]} x "
            f"{device.id}; try a device with more memory or a shorter sequence"
        )
    node = max(device.accelerator.devices_per_node, 1)
    between = [count for count in range(high // 2 + 1, high) if count < node or count % node == 0]
    return _first_that_fits(job, between[:: max(len(between) // 64, 1)]) or high


def _first_that_fits(job: Job, counts: Sequence[int]) -> int | None:
    """Return the first of the counts on which any layout fits, one sequence for each device in flight."""
    space = Space(only={"zero_stage": (0, 3), "micro_batch": (1,), "vpp": (1,)})
    for count in counts:
        _check(job, count)
        for block, valid in blocks(job.model, count, seq_tokens=job.seq_tokens, batch=count, space=space):
            if np.any(valid & job.memory(block).fits):
                return count
    return None


def _check(job: Job, count: int) -> None:
    check_method(job.method)
    if not 1 <= count <= MAX_DEVICES or count != int(count):
        raise InputError(f"number of devices is {count}; allowed: whole numbers from 1 to {MAX_DEVICES}")
    if not 1 <= job.seq_tokens <= 1e9 or job.seq_tokens != int(job.seq_tokens):
        raise InputError(f"sequence length is {job.seq_tokens:g} tokens; allowed: whole numbers from 1 to 1e9")
    if not 0 < job.global_batch_tokens <= 1e12:
        raise InputError(f"global batch is {job.global_batch_tokens:g} tokens; allowed: above 0, up to 1e12")


def _no_layout(job: Job, found: Found, space: Space) -> str:
    """Say why a device count has no layout at all: a limit that nothing can keep, else the batch and the count."""
    count, batch = found.num_devices, max(round(job.global_batch_tokens / job.seq_tokens), 1)
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
    """Say what the smallest layout of a device count lacks, and the least count on which one fits."""
    assert found.smallest is not None
    sizes = job.memory(found.smallest)
    need, have = float(np.max(sizes.total_bytes)), float(np.max(sizes.usable_bytes))
    least = least_devices(job.model, job.device, seq_tokens=job.seq_tokens, method=job.method)
    return (
        f"training {job.model.id} ({job.method}) at {job.seq_tokens:.0f} tokens needs {need / 1e9:.0f} GB per device "
        f"on {found.num_devices} x {job.device.id}, which has {have / 1e9:.0f} GB usable; the least is {least} devices"
    )
