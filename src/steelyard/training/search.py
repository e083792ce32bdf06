"""A search over all layouts of a device count: every valid one is evaluated, block by block, as arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from steelyard.device import usable_memory_bytes
from steelyard.training.calibration import shipped
from steelyard.training.combine import combine
from steelyard.training.front import Front
from steelyard.training.grid import Block, Places, Space, grid, layout_at, pick
from steelyard.training.job import Job
from steelyard.training.layout import Layout
from steelyard.training.passes import Pass, forward_backward
from steelyard.training.step import step_costs
from steelyard.units import Array

ALL_LAYOUTS = Space()
NOISE_RATIO = 0.05  # a smaller difference of speed is none: the errors of single predictions are larger
_WAYS = ("tp", "pp", "vpp", "cp", "ep", "replicas")  # dp is how all training is split
Passes = tuple[Pass, Pass, Pass]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search found for one device count."""

    num_devices: int
    leave_bytes: float  # of a device's usable memory, that must be left over
    num_layouts: int  # valid and distinct
    num_fitting: int  # of these, in the memory of the device
    num_faster: int  # of these, faster than what the search compared with
    smallest: Layout | None  # the valid layout that needs the least memory
    simplest: Layout | None  # as fast as the fastest within `NOISE_RATIO`, split in the fewest ways
    front: Layout | None  # no other one is faster and smaller; the fastest first; None when nothing fits


def search(
    job: Job,
    count: int,
    *,
    space: Space = ALL_LAYOUTS,
    leave_bytes: float = 0.0,
    faster_than_token_per_s: float = float("inf"),
    progress: Callable[[int], None] | None = None,
) -> Found:
    """Return what is best among all layouts of a device count.

    Args:
        job: What is trained.
        count: Devices; all of them are used.
        space: Which layouts are looked at.
        leave_bytes: Usable memory of each device that must be left over.
        faster_than_token_per_s: Layouts that fit and are faster than this are counted.
        progress: Called after each block with the number of layouts evaluated in it.

    Raises:
        InputError: A count, a sequence length or a batch out of range.

    Assumes:
        The global batch is rounded to whole sequences of each data-parallel rank, by up to a tenth.
    """
    job.check(count)
    front, totals = Front(float(usable_memory_bytes(job.device)) - leave_bytes), _Totals()
    layouts = grid(job.model, count, seq_tokens=job.seq_tokens, batch=job.batch, space=space)
    passes = forward_backward(job.model, job.device, layouts.kernels, job.recipe, seq_tokens=job.seq_tokens)
    for block in layouts.blocks():
        totals.num_layouts += (number := int(np.count_nonzero(block.valid)))
        if number:
            _evaluate(job, block, passes, front, totals, faster_than_token_per_s)
        if progress is not None:
            progress(number)
    return Found(
        num_devices=count,
        leave_bytes=leave_bytes,
        num_layouts=totals.num_layouts,
        num_fitting=totals.num_fitting,
        num_faster=totals.num_faster,
        smallest=totals.smallest,
        simplest=totals.simplest(),
        front=front.fastest_first() if totals.num_fitting else None,
    )


@dataclass(slots=True)
class _Totals:
    num_layouts: int = 0
    num_fitting: int = 0
    num_faster: int = 0
    least_bytes: float = math.inf
    smallest: Layout | None = None
    by_ways: dict[int, tuple[float, Layout]] = field(default_factory=dict)  # the fastest by ways of splitting

    def simplest(self) -> Layout | None:
        """Return the layout with the fewest ways of splitting that is as fast as the fastest, but for noise."""
        enough = (1.0 - NOISE_RATIO) * max((rate for rate, _ in self.by_ways.values()), default=0.0)
        near = [ways for ways, (rate, _) in self.by_ways.items() if rate >= enough]
        return self.by_ways[min(near)][1] if near else None


def _evaluate(job: Job, block: Block, passes: Passes, front: Front, totals: _Totals, than_token_per_s: float) -> None:
    """Evaluate one block of layouts and keep what is worth keeping: time only the rows in which something fits."""
    need = np.broadcast_to(job.memory(block.layout).total_bytes, block.valid.shape)
    fits = block.valid & (need <= front.usable_bytes)
    rows = np.flatnonzero(fits.any(axis=(1, 2, 3)))
    if not rows.size:
        if not totals.num_fitting:  # only asked for where nothing fits at all
            _note_smallest(block, need, totals)
        return
    if rows.size < need.shape[0]:
        block, need, fits = block.rows(rows), need[rows], fits[rows]
    places = np.flatnonzero(fits)
    rate = np.broadcast_to(_token_per_s(job, block, passes), fits.shape).ravel()[places]
    totals.num_fitting += places.size
    totals.num_faster += int(np.count_nonzero(rate > than_token_per_s))
    _note_simplest(block, rate, places, totals)
    front.add(rate, need.ravel()[places], block.layout, places, fits.shape)


def _note_smallest(block: Block, need: npt.NDArray[np.float64], totals: _Totals) -> None:
    least = int(np.argmin(np.where(block.valid, need, np.inf)))
    if need.flat[least] < totals.least_bytes:
        totals.least_bytes = float(need.flat[least])
        totals.smallest = layout_at(pick(block.layout, np.array([least]), need.shape), 0)


def _note_simplest(block: Block, rate: npt.NDArray[np.float64], places: Places, totals: _Totals) -> None:
    """Keep the fastest layout of each number of ways of splitting, of those near the fastest of all."""
    best = max([float(rate.max()), *(known for known, _ in totals.by_ways.values())])
    near = np.flatnonzero(rate >= (1.0 - NOISE_RATIO) * best)
    if not near.size:
        return
    layouts, rates = pick(block.layout, places[near], block.valid.shape), rate[near]
    ways = sum(np.asarray(getattr(layouts, name) > 1, np.int64) for name in _WAYS)
    for number in np.unique(ways):
        among = np.flatnonzero(ways == number)
        top = int(among[np.argmax(rates[among])])
        if rates[top] > totals.by_ways.get(int(number), (0.0, None))[0]:
            totals.by_ways[int(number)] = float(rates[top]), layout_at(layouts, top)


def _token_per_s(job: Job, block: Block, passes: Passes) -> Array:
    """Return the speed of the layouts of a block, as `step` does, from the kernels timed before."""
    forward, backward, again = (one.at(block.kernels) for one in passes)
    costs = step_costs(
        job.model, job.device, block.layout, job.recipe, seq_tokens=job.seq_tokens, passes=(forward, backward, again)
    )
    step_s = sum(combine(costs, shipped(job.device.accelerator)).values())
    return np.asarray(block.layout.global_batch, np.float64) * job.seq_tokens / step_s
