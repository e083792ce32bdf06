"""Steps of many deployments timed in one call: what calibration and validation evaluate hundreds of times."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from steelyard.device import Device, Efficiency, Links, Rates, kernels_of, links_of, rates_for, time_at
from steelyard.inference.engine import Engine
from steelyard.inference.step import Step, assemble, exchange_s, in_engine_ratio, moved_time, part_of
from steelyard.inference.work import Exchange, StepWork
from steelyard.records.operator import Operator
from steelyard.units import Array

Vector = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]
_Record = TypeVar("_Record", Efficiency, Engine)

_QUANTITIES = ("flop", "weight_bytes", "activation_bytes", "cache_bytes", "m", "n", "k", "groups")
_OF_STEPS = (
    "returned_tokens",
    "prompts",
    "ranks",
    "sampled_bytes",
    "decoded_cache_bytes",
    "expert_ranks",
    "layers_count",
    "expert_layers_count",
)
_RATES = tuple(field.name for field in dataclasses.fields(Rates))
_LINKS = tuple(field.name for field in dataclasses.fields(Links) if field.name != "device_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Operators:
    """All operators of one kind, of all steps, one after the other [N]."""

    together: Operator
    rates: Rates
    count: Vector
    launched: Vector
    step: Index  # of which step each is


@dataclass(frozen=True, slots=True, kw_only=True)
class _Exchanges:
    """All collectives of one kind, of all steps [N]."""

    together: Exchange
    links: Links
    step: Index


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTable:
    """Steps [S] of any models on any devices, flattened by kind of operator; built once, timed often."""

    operators: tuple[_Operators, ...]
    exchanges: tuple[_Exchanges, ...]
    work: StepWork  # its arrays [S]; operators and exchanges are those above
    hbm_bytes_per_s: Vector
    flop: Vector
    num_steps: int

    def time(self, reached: Efficiency, engine: Engine) -> Step:
        """Return the time of every step [S].

        Args:
            reached: Efficiency; each field one number or one for each step [S].
            engine: Overheads, in the same form.
        """
        spent = {part: np.zeros(self.num_steps) for part in ("matrix", "attention", "other")}
        launch_s = np.zeros(self.num_steps)
        for ops in self.operators:
            here, rules = _at(reached, ops.step), _at(engine, ops.step)
            took = ops.count * time_at(ops.together, ops.rates, here)
            took = took * in_engine_ratio(ops.together, np.asarray(self.work.expert_ranks)[ops.step], rules)
            spent[part_of(ops.together)] += self._sum(took, ops.step)
            kernels = ops.count * ops.launched * kernels_of(ops.together, here)
            launch_s += self._sum(kernels * here.kernel_launch_s, ops.step)
        collective_s = np.zeros(self.num_steps)
        for group in self.exchanges:
            once = exchange_s(group.together, group.links, _at(reached, group.step))
            collective_s += self._sum(group.together.count * once, group.step)
        moved_s = moved_time(self.work, self.hbm_bytes_per_s, reached, engine)
        return assemble(spent, launch_s, moved_s, collective_s, self.work, engine, flop=self.flop)

    def _sum(self, values: Array, step: Index) -> Vector:
        weights = np.broadcast_to(np.asarray(values, dtype=np.float64), step.shape)
        return np.asarray(np.bincount(step, weights=weights, minlength=self.num_steps), dtype=np.float64)


def _at(record: _Record, step: Index) -> _Record:
    """Return a record with the values of each operator's step."""
    values = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    return dataclasses.replace(record, **{name: value[step] for name, value in values.items() if np.ndim(value)})


def step_table(works: Iterable[tuple[StepWork, Device, int]]) -> StepTable:
    """Return the table of the steps of each work in turn.

    Args:
        works: A work with arrays of one length (or single numbers), its device, and that length.
    """
    operators: dict[tuple[str, str], list[Any]] = {}
    exchanges: dict[str, list[Any]] = {}
    per_step: list[Vector] = []
    start = 0
    for work, device, length in works:
        where = start + np.arange(length)
        for op, launched in work.operators:
            rates = rates_for(op, device)
            row = [*(getattr(op, name) for name in _QUANTITIES), *(getattr(rates, name) for name in _RATES)]
            operators.setdefault((op.kind, part_of(op)), []).append(_rows([*row, op.count, launched], where))
        links = links_of(device)
        for one in work.exchanges:
            exchange_s(one, links, device.efficiency)  # refuses groups that the catalogue knows no link for
            row = [one.payload_bytes, one.ranks, one.count, *(getattr(links, name) for name in _LINKS)]
            exchanges.setdefault(one.kind, []).append(_rows(row, where))
        own = [getattr(work, name) for name in _OF_STEPS]
        per_step.append(_rows([*own, work.flop, device.accelerator.hbm_bytes_per_s], where))
        start += length
    *own, flop, bandwidth, _ = np.concatenate(per_step, axis=1)
    return StepTable(
        operators=tuple(_operators(kind, np.concatenate(rows, axis=1)) for (kind, _), rows in operators.items()),
        exchanges=tuple(_exchanges(kind, np.concatenate(rows, axis=1)) for kind, rows in exchanges.items()),
        work=StepWork(
            operators=(),
            exchanges=(),
            **dict(zip(_OF_STEPS, own, strict=True)),
        ),
        hbm_bytes_per_s=bandwidth,
        flop=flop,
        num_steps=start,
    )


def _rows(values: list[Array], where: Index) -> Vector:
    return np.stack([np.broadcast_to(np.asarray(value, dtype=np.float64), where.shape) for value in (*values, where)])


def _operators(kind: str, rows: Vector) -> _Operators:
    quantities, rates = rows[: len(_QUANTITIES)], rows[len(_QUANTITIES) : len(_QUANTITIES) + len(_RATES)]
    count, launched, where = rows[len(_QUANTITIES) + len(_RATES) :]
    together = Operator(
        name=kind, kind=cast(Any, kind), place="layer", count=1, **dict(zip(_QUANTITIES, quantities, strict=True))
    )
    return _Operators(
        together=together,
        rates=Rates(**dict(zip(_RATES, rates, strict=True))),
        count=count,
        launched=launched,
        step=where.astype(np.intp),
    )


def _exchanges(kind: str, rows: Vector) -> _Exchanges:
    payload, ranks, count = rows[:3]
    links = Links(device_id="", **dict(zip(_LINKS, rows[3:-1], strict=True)))
    together = Exchange(kind=kind, payload_bytes=payload, ranks=ranks, count=count)
    return _Exchanges(together=together, links=links, step=rows[-1].astype(np.intp))
