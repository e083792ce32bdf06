"""All runs in one call: what they consist of is computed once, parameters are applied to arrays of all runs."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from steelyard import catalog
from steelyard.training.calibration import FIELDS, Parameters, device_family, resolve
from steelyard.training.combine import Costs, combine
from steelyard.training.layout import RECOMPUTE, Layout
from steelyard.training.memory import calibrated, memory_items
from steelyard.training.recipe import Recipe
from steelyard.training.step import step_costs
from steelyard.units import Array
from steelyard.validation.points import Vector
from steelyard.validation.training.points import Run

_SCALARS = (
    "compute_dtype", "method", "lora_rank", "base_dtype", "attention", "recomputed", "prediction_layers",
    "sequence_parallel", "trained_ends",
)  # fmt: skip
MOST_FILLED_RATIO = 0.85
"""What is counted may fill of a device: the rest goes to its context, buffers and the allocator's holes."""

_ARRAYS = tuple(name for name in Recipe.__slots__ if name not in _SCALARS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """Every alternative of every run, end to end [A]."""

    run: npt.NDArray[np.int64]  # which run an alternative is of [A]
    costs: Costs
    items: Mapping[str, Vector]
    num_groups: Vector  # kinds of groups that its devices communicate in
    readings: tuple[str, ...]  # what a peak of memory includes [A]
    steps: Vector  # of the whole job
    tokens: Vector  # of one step and device
    families: tuple[str, ...]  # of devices [A]
    filled_ratio: Vector  # what is counted in memory over the device's own
    repeated: npt.NDArray[np.int64]  # how much of the forward pass is computed again: a place in `RECOMPUTE`


def ensemble(runs: Sequence[Run]) -> Ensemble:
    """Compute what all alternatives of all runs consist of; those that share a model and a device in one call."""
    groups: dict[Any, list[tuple[int, Layout, Recipe]]] = defaultdict(list)
    for number, run in enumerate(runs):
        for layout, recipe in run.alternatives:
            kind = tuple(getattr(recipe, name) for name in _SCALARS)
            card = run.device.accelerator
            links = (card.id, card.devices_per_node, card.scale_up_devices, card.scale_out_bytes_per_s)
            groups[(run.model, links, run.seq_tokens, *kind)].append((number, layout, recipe))
    parts = [_group(members, runs) for members in groups.values()]
    numbers, sizes = (np.concatenate([getattr(part, name) for part in parts]) for name in ("run", "filled_ratio"))
    order = np.argsort(numbers, kind="stable")
    repeated = np.concatenate([part.repeated for part in parts])
    order = order[_possible(numbers[order], sizes[order], repeated[order])]
    return Ensemble(
        run=numbers[order],
        costs=_joined([part.costs for part in parts], order),
        items={name: np.concatenate([part.items[name] for part in parts])[order] for name in parts[0].items},
        tokens=np.concatenate([part.tokens for part in parts])[order],
        filled_ratio=sizes[order],
        repeated=repeated[order],
        num_groups=np.concatenate([part.num_groups for part in parts])[order],
        families=tuple(np.concatenate([np.array(part.families) for part in parts])[order].tolist()),
        readings=tuple(runs[number].reading for number in numbers[order]),
        steps=np.array([runs[number].steps for number in numbers[order]], np.float64),
    )


def _group(members: Sequence[tuple[int, Layout, Recipe]], runs: Sequence[Run]) -> Ensemble:
    run, first = runs[members[0][0]], members[0][2]
    layout = Layout(**{
        name: np.array([getattr(one, name) for _, one, _ in members]) for name in Layout.__slots__
    })  # fmt: skip
    flags: dict[str, Any] = {name: np.array([getattr(how, name) for _, _, how in members], float) for name in _ARRAYS}
    recipe = dataclasses.replace(first, **flags)
    count = len(members)
    costs = step_costs(run.model, run.device, layout, recipe, seq_tokens=run.seq_tokens)
    items = memory_items(run.model, layout, recipe, seq_tokens=run.seq_tokens)
    filled = sum(items.values()) / run.device.accelerator.hbm_bytes
    return Ensemble(
        filled_ratio=np.broadcast_to(filled, count),
        repeated=np.array([RECOMPUTE.index(one.recompute) for _, one, _ in members]),
        run=np.array([number for number, _, _ in members]),
        costs=_spread(costs, count),
        items={name: np.broadcast_to(np.asarray(size, np.float64), count) for name, size in items.items()},
        tokens=np.asarray(layout.global_batch) * run.seq_tokens / np.asarray(layout.num_devices),
        num_groups=np.broadcast_to(np.asarray(layout.num_groups, np.float64), count),
        families=(device_family(run.device.accelerator),) * count,
        readings=(),  # of the runs, not of their alternatives
        steps=np.zeros(count),
    )


def _possible(
    numbers: npt.NDArray[np.int64], filled_ratio: Vector, repeated: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Return which alternatives can have run: those that fit, or the smallest of a run of which none does.

    Recomputation only saves memory, and is off unless someone turns it on: of what fits, that which repeats least.
    """
    least = np.full(numbers.max() + 1, np.inf)
    np.minimum.at(least, numbers, filled_ratio)
    fits: npt.NDArray[np.bool_] = (filled_ratio <= MOST_FILLED_RATIO) | (filled_ratio <= least[numbers])
    fewest = np.full(len(least), len(RECOMPUTE))
    np.minimum.at(fewest, numbers[fits], repeated[fits])
    chosen: npt.NDArray[np.bool_] = fits & (repeated == fewest[numbers])
    return chosen


def _spread(record: Any, count: int) -> Any:
    """Return a record with every array broadcast to [count], records inside it too."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        parts = {field.name: _spread(getattr(record, field.name), count) for field in dataclasses.fields(record)}
        return dataclasses.replace(record, **parts)
    return np.broadcast_to(np.asarray(record), count)


def _joined(records: Sequence[Any], order: Any) -> Any:
    """Return records of arrays joined end to end and put in order."""
    first = records[0]
    if dataclasses.is_dataclass(first) and not isinstance(first, type):
        names = [field.name for field in dataclasses.fields(first)]
        parts = {name: _joined([getattr(one, name) for one in records], order) for name in names}
        return dataclasses.replace(first, **parts)
    return np.concatenate(records)[order]


def fitted(values: Mapping[str, float], families: Sequence[str]) -> Parameters:
    """Return the parameters of each alternative: `name`, times `name.family` where there is such a factor."""
    found: dict[str, Array] = {}
    names = np.asarray(families)
    for name in FIELDS:
        value: Array = np.full(len(names), values[name])
        for key, factor in values.items():
            if key.startswith(f"{name}."):
                value = np.where(names == key.partition(".")[2], value * factor, value)
        found[name] = value
    return Parameters(**found)


def shipped_parameters(families: Sequence[str]) -> Parameters:
    """Return the parameters of each alternative as the calibration at hand has them."""
    figures = catalog.calibration("training")
    names, member = np.unique(np.asarray(families), return_inverse=True)
    of_each = [resolve(figures, str(name)) for name in names]
    return Parameters(**{field: np.array([getattr(one, field) for one in of_each])[member] for field in FIELDS})


def log_speed(all_of: Ensemble, p: Parameters) -> Vector:
    """Return ln(tokens/s of one device) of every alternative [A]."""
    result: Vector = np.log(all_of.tokens / sum(combine(all_of.costs, p).values()))
    return result


def log_time(all_of: Ensemble, p: Parameters) -> Vector:
    """Return ln(seconds of the whole job, without failures and pauses) of every alternative; 0 without steps."""
    seconds = all_of.steps * sum(combine(all_of.costs, p).values())
    result: Vector = np.log(np.where(all_of.steps > 0, seconds, 1.0))
    return result


def log_memory(all_of: Ensemble, p: Parameters) -> Vector:
    """Return ln(bytes at the peak) of every alternative [A]."""
    items = calibrated(all_of.items, all_of.num_groups, p)
    held, beside = items.pop("fragmentation_bytes"), items.pop("overhead_bytes")
    readings = np.asarray(all_of.readings)
    total = sum(items.values()) + np.where(readings == "allocated", 0.0, held)
    result: Vector = np.log(total + np.where(readings == "device", beside, 0.0))
    return result
