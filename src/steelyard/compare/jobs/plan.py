"""The layouts worth choosing for a training job: fastest, cheapest for a deadline, and the front between them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from steelyard import training
from steelyard.compare.draws import Draws
from steelyard.compare.jobs.drawn import drawn_run
from steelyard.compare.jobs.job import TrainingJob
from steelyard.compare.jobs.layouts import layout_dict
from steelyard.compare.jobs.predict import TrainingPrediction, predict_training
from steelyard.compare.jobs.why_not import WhyNot, why_not
from steelyard.errors import DoesNotFitError, InputError, UnknownError
from steelyard.units import format_quantity

Progress = Callable[[int, int, int], None]
"""Called with the device count at work, its place in the list, and the layouts evaluated so far."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """One layout of the front, in the median case."""

    layout: training.Layout
    num_devices: int
    wall_s: float
    device_s: float
    rented_usd: float | None  # None: unpriced
    step_s: float
    mfu_ratio: float
    total_bytes: float  # of memory, on the fullest device
    left_bytes: float  # of the usable memory

    def to_dict(self) -> dict[str, Any]:
        numbers = ("wall_s", "device_s", "rented_usd", "step_s", "mfu_ratio", "total_bytes", "left_bytes")
        return {"layout": layout_dict(self.layout)} | {name: getattr(self, name) for name in numbers}


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """What a search over all layouts of one or several device counts found."""

    job: TrainingJob
    found: tuple[training.Found, ...]  # one for each count
    why_none: tuple[str, ...]  # for each count, why no layout of it is an answer; empty where one is
    front: tuple[Option, ...]  # nothing beats any in days, money, devices and memory left at once; the fastest first
    deadline_s: float | None
    winner: TrainingPrediction  # the fastest, or the cheapest within the deadline
    fastest: Option
    cheapest: Option  # within the deadline where there is one
    simplest: Option  # on the winner's devices: as fast as its fastest but for noise, split in the fewest ways
    compared: WhyNot | None
    unpriced: str
    elapsed_s: float

    @property
    def num_layouts(self) -> int:
        return sum(one.num_layouts for one in self.found)

    @property
    def num_fitting(self) -> int:
        return sum(one.num_fitting for one in self.found)

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self.winner.warnings, *([self.unpriced] if self.unpriced else [])]))

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain values in SI."""
        return {
            "num_layouts": self.num_layouts,
            "num_fitting": self.num_fitting,
            "elapsed_s": self.elapsed_s,
            "by_devices": [
                {"num_devices": one.num_devices, "num_layouts": one.num_layouts, "num_fitting": one.num_fitting}
                | {"why_none": why}
                for one, why in zip(self.found, self.why_none, strict=True)
            ],
            "fastest": self.fastest.to_dict(),
            "cheapest": self.cheapest.to_dict(),
            "simplest": self.simplest.to_dict(),
            "front": [option.to_dict() for option in self.front],
            "winner": self.winner.to_dict(),
            "compared": None if self.compared is None else self.compared.to_dict(),
        }


def plan_training(
    job: TrainingJob,
    counts: Sequence[int],
    *,
    space: training.Space = training.ALL_LAYOUTS,
    deadline_s: float | None = None,
    leave_bytes: float = 0.0,
    compare_with: training.Layout | None = None,
    progress: Progress | None = None,
) -> TrainingPlan:
    """Search every valid layout of the device counts and return the best, with the front between speed and memory.

    Args:
        job: What is trained, on what, how it is paid.
        counts: Device counts; all devices of a count are used.
        space: Which layouts are looked at.
        leave_bytes: Usable memory of each device that must be left over.
        deadline_s: The cheapest that ends within it wins; the fastest when None.
        compare_with: A layout to be ranked and explained beside the best of its device count.
        progress: Called as the search goes on.

    Raises:
        DoesNotFitError: No layout fits on any count, or none ends within the deadline.
        InputError: No layout divides the job over any count, or `compare_with` is for another count.

    Example:
        >>> from steelyard.compare.jobs import TrainingJob, plan_training
        >>> plan = plan_training(TrainingJob(model_ref="llama-3.1-8b", device_ref="h100", tokens=1e12), [64, 128])
        >>> plan.fastest.num_devices, plan.cheapest.num_devices, plan.num_layouts > 10_000
        (128, 64, True)
    """
    start = time.perf_counter()
    counts = sorted(set(counts))
    if not counts:
        raise InputError("no device count given")
    if compare_with is not None and compare_with.num_devices not in counts:
        raise InputError(
            f"the layout to compare with is for tp x pp x cp x dp = {compare_with.num_devices} devices; "
            f"searched: {', '.join(map(str, counts))}"
        )
    asked = None if compare_with is None else why_not(job, compare_with)
    found = tuple(
        training.search(
            job.step_job,
            count,
            space=space,
            leave_bytes=leave_bytes,
            faster_than_token_per_s=asked.tokens_per_s if asked and asked.num_devices == count else float("inf"),
            progress=_counted(progress, place, count),
        )
        for place, count in enumerate(counts)
    )
    usd_per_device_s, unpriced = _price(job)
    front = _undominated(
        [option for one in found for option in _options(job, one.front, one.num_devices, usd_per_device_s)]
    )
    if not front:
        training.fastest(job.step_job, next((one for one in reversed(found) if one.num_layouts), found[-1]), space)
    fastest = min(front, key=lambda option: option.wall_s)
    cheapest = _cheapest(front, deadline_s)
    best = fastest if deadline_s is None else cheapest
    of_count = {one.num_devices: one for one in found}
    simple = of_count[best.num_devices].simplest
    assert simple is not None  # something fits
    return TrainingPlan(
        job=job,
        found=found,
        why_none=tuple(training.why_none(job.step_job, one, space) for one in found),
        front=front,
        deadline_s=deadline_s,
        winner=predict_training(job, best.layout),
        fastest=fastest,
        cheapest=cheapest,
        simplest=_options(job, training.in_array(simple), best.num_devices, usd_per_device_s)[0],
        compared=None if asked is None else asked.against(job, of_count[asked.num_devices]),
        unpriced=unpriced,
        elapsed_s=time.perf_counter() - start,
    )


def _counted(progress: Progress | None, place: int, count: int) -> Callable[[int], None] | None:
    if progress is None:
        return None
    return lambda layouts: progress(count, place, layouts)


def _price(job: TrainingJob) -> tuple[float | None, str]:
    try:
        return job.rental.usd_per_device_s, ""
    except UnknownError as error:
        return None, str(error)


def _options(
    job: TrainingJob, layouts: training.Layout | None, num_devices: int, usd_per_device_s: float | None
) -> list[Option]:
    """Return layouts of one device count, in arrays, with the run of each in the median case."""
    if layouts is None:
        return []
    step, memory = job.step_job.step(layouts), job.step_job.memory(layouts)
    run = drawn_run(Draws(1, None), step, model=job.model, device=job.device, tokens=job.tokens, method=job.method)
    usable = float(np.max(memory.usable_bytes))
    columns = [np.ravel(values) for values in (run.wall_s, run.device_s, step.step_s, step.mfu_ratio)]
    total = np.ravel(memory.total_bytes)
    return [
        Option(
            layout=training.layout_at(layouts, place),
            num_devices=num_devices,
            wall_s=float(wall_s),
            device_s=float(device_s),
            rented_usd=None if usd_per_device_s is None else float(device_s * usd_per_device_s),
            step_s=float(step_s),
            mfu_ratio=float(mfu),
            total_bytes=float(total[place]),
            left_bytes=usable - float(total[place]),
        )
        for place, (wall_s, device_s, step_s, mfu) in enumerate(zip(*columns, strict=True))
    ]


def _undominated(options: Sequence[Option]) -> tuple[Option, ...]:
    """Return the options that no other equals or beats in time, device time (money), devices and memory, sorted."""
    ordered = sorted(options, key=lambda option: (option.wall_s, option.device_s, option.num_devices))
    points = np.array([[o.wall_s, o.device_s, o.num_devices, o.total_bytes] for o in ordered]).reshape(-1, 4)
    return tuple(option for place, option in enumerate(ordered) if not _beaten(points, place))


def _beaten(points: npt.NDArray[np.float64], place: int) -> bool:
    """Tell whether a point before this one (they are sorted by the first column) is nowhere larger."""
    return bool(np.any(np.all(points[:place] <= points[place], axis=1)))


def _cheapest(front: Sequence[Option], deadline_s: float | None) -> Option:
    in_time = [option for option in front if deadline_s is None or option.wall_s <= deadline_s]
    if not in_time:
        soonest = min(front, key=lambda option: option.wall_s)
        raise DoesNotFitError(
            f"no layout ends within {format_quantity(deadline_s or 0.0, 's')}; the fastest takes "
            f"{format_quantity(soonest.wall_s, 's')} on {soonest.num_devices} devices: add devices or time"
        )
    return min(in_time, key=lambda option: (option.device_s, option.wall_s))
