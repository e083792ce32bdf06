"""Predictions of all published serving runs at once, from named parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from steelyard.device import Efficiency, device_power_w, effective_compute_dtype
from steelyard.inference.engine import CALIBRATED, Engine, outside_s, served, ttft_sigmas
from steelyard.inference.loads import NUM_STEPS, Load, Queries, queries
from steelyard.inference.memory import memory, sequence_cache_bytes
from steelyard.inference.replay import Replay, flop_rate, replay, ttft_residual_sigma
from steelyard.inference.table import StepTable, step_table
from steelyard.inference.work import step_work
from steelyard.records.workload import Lengths
from steelyard.units import Array
from steelyard.validation.inference.points import Measured, Run
from steelyard.validation.points import Vector

REQUESTS_PER_USER = 4.0  # of a closed loop that does not say how many it sent: those that do say 2 to 10
QUEUED_REQUESTS = 1000.0  # of a queue, or of a stream, that does not say how many it held: as load tools send
_Record = TypeVar("_Record", Efficiency, Engine)
_ANY_LENGTHS = Lengths(isl_tokens=np.array([1.0]), osl_tokens=np.array([1.0]))
_METRICS = {
    "throughput": "output_tokens_per_s",
    "prefill": "prefill_tokens_per_s",
    "tpot": "tpot_s",
    "itl": "median_itl_s",
    "e2e": "e2e_s",
    "ttft_p99": "last_ttft_s",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What predictions need of each run [R] and of each point [N], apart from calibrated figures."""

    devices: Vector
    peak_flop_per_s: Vector
    tdp_w: Vector
    idle_w: Vector
    bare: npt.NDArray[np.bool_]  # no server around the engine
    static: npt.NDArray[np.bool_]  # nothing decides between steps
    moe: npt.NDArray[np.bool_]
    engines: npt.NDArray[np.str_]
    vendors: npt.NDArray[np.str_]
    places: Vector  # sequences that fit in the KV pool; below 1 the run does not fit
    run_of: npt.NDArray[np.intp]  # [N]
    metric: npt.NDArray[np.str_]  # [N]
    median: npt.NDArray[np.bool_]  # [N] whether the point is a median


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Published runs, ready to be predicted for any values of the parameters."""

    measured: Measured
    facts: Facts
    load: Load
    asked: Queries
    table: StepTable
    order: npt.NDArray[np.intp]  # of the table's steps: where each stands in [4, R]
    efficiency: Efficiency  # shipped; numbers, or arrays over runs [R]
    engine: Engine  # shipped, in the same form

    def predict(self, values: Mapping[str, float]) -> Vector:
        """Return the prediction of every point, in SI; parameters that are not named keep their shipped value."""
        found, times, flop, efficiency, _ = self._replayed(values)
        return self._of_points(found, self._power_w(found, times, flop, efficiency))

    def ttft_sigma(self, values: Mapping[str, float], time_sigma: Vector) -> Vector:
        """Return the spread of the logarithm of every run's TTFT [R]: step times drawn through the load, and the rest.

        Args:
            values: Parameters.
            time_sigma: Spread of the logarithm of step times [R].
        """
        found, *_, engine = self._replayed(values)
        late, early = (self._replayed(values, np.exp(sign * time_sigma))[0].ttft_s for sign in (1.0, -1.0))
        beside = ttft_residual_sigma(found, self._outside_s(engine), *ttft_sigmas())
        return np.asarray(np.hypot(np.log(late / early) / 2.0, beside))

    def _replayed(
        self, values: Mapping[str, float], time_ratio: Array = 1.0
    ) -> tuple[Replay, Vector, Vector, Efficiency, Engine]:
        efficiency, engine = self._with(values)
        step = self.table.time(_to_steps(efficiency, self.order), _to_steps(engine, self.order))
        times, flop = self._by_run(step.total_s) * time_ratio, self._by_run(step.flop)
        found = replay(
            self.load,
            self.asked,
            times,
            request_overhead_s=self._outside_s(engine),
            admission_steps=engine.admission_steps,
        )
        return found, times, flop, efficiency, engine

    def _outside_s(self, engine: Engine) -> Array:
        return outside_s(engine, self.load.isl_tokens + self.load.cached_tokens)

    def _by_run(self, of_steps: Array) -> Vector:
        found = np.empty(NUM_STEPS * len(self.measured.runs))
        found[self.order] = of_steps
        return found.reshape(NUM_STEPS, -1)

    def _with(self, values: Mapping[str, float]) -> tuple[Efficiency, Engine]:
        """Return the figures of every run; "name.engine" and "name.vendor" are factors on "name"."""
        kept = {field.name for field in dataclasses.fields(Efficiency)}
        reached: dict[str, Any] = {
            name: value * self._factor(values, name, self.facts.vendors)
            for name, value in values.items()
            if name in kept
        }
        efficiency = dataclasses.replace(self.efficiency, **reached)
        changed: dict[str, Any] = {}
        for name in CALIBRATED:
            if name in values:
                changed[name] = values[name] * self._factor(values, name, self.facts.engines)
        if "time_ratio" in changed:
            vendor = self._factor(values, "vendor_time_ratio", self.facts.vendors)
            changed["time_ratio"] = changed["time_ratio"] * vendor
        engine = dataclasses.replace(self.engine, **changed)
        absent = dict.fromkeys(("step_overhead_s", "sequence_overhead_s", "prompt_overhead_s"), self.facts.static)
        absent |= dict.fromkeys(("request_overhead_s", "request_token_s", "stream_token_s"), self.facts.bare)
        left: dict[str, Any] = {name: np.where(gone, 0.0, getattr(engine, name)) for name, gone in absent.items()}
        return efficiency, dataclasses.replace(engine, **left)

    def _factor(self, values: Mapping[str, float], name: str, variants: npt.NDArray[np.str_]) -> Array:
        own = {other.removeprefix(f"{name}."): value for other, value in values.items() if other.startswith(f"{name}.")}
        if not own:
            return 1.0  # one number for all spares the work of gathering it
        factor = np.ones(len(variants))
        for variant, value in own.items():
            factor[variants == variant] = value
        return factor

    def _power_w(self, found: Replay, times: Vector, flop: Vector, reached: Efficiency) -> Vector:
        """Return the mean power of one device while the load runs [W]."""
        facts = self.facts
        mfu = flop_rate(flop, times, found.prompt_time_ratio) / facts.peak_flop_per_s
        return np.asarray(device_power_w(facts.tdp_w, facts.idle_w, reached, found.busy_ratio, mfu_ratio=mfu))

    def _of_points(self, found: Replay, power_w: Vector) -> Vector:
        facts = self.facts
        of_runs = {metric: getattr(found, field) for metric, field in _METRICS.items()}
        of_runs["energy"] = power_w * facts.devices / found.output_tokens_per_s
        # An engine without a server returns the answers of a queue together: it is timed until the last one is there.
        whole = facts.bare & (self.load.kind == "all at once")
        elapsed_s = self.load.users * self.load.osl_tokens / np.maximum(found.output_tokens_per_s, 1e-12)
        of_runs["e2e"] = np.where(whole, elapsed_s, found.e2e_s)
        first_s, median_s = (np.where(whole, found.last_ttft_s, one) for one in (found.ttft_s, found.median_ttft_s))
        values = np.full(len(facts.run_of), np.nan)
        for metric, column in of_runs.items():
            here = facts.metric == metric
            values[here] = column[facts.run_of[here]]
        here = facts.metric == "ttft"
        runs = facts.run_of[here]
        values[here] = np.where(facts.median[here], median_s[runs], first_s[runs])
        return values


def _to_steps(record: _Record, order: npt.NDArray[np.intp]) -> _Record:
    values = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    tiled: dict[str, Any] = {name: np.tile(value, NUM_STEPS)[order] for name, value in values.items() if np.ndim(value)}
    return dataclasses.replace(record, **tiled)


def _together(values: Sequence[float]) -> Array:
    """Return one number where all are alike, which spares the work of gathering it, else their array."""
    array = np.array(values, dtype=np.float64)
    return float(array[0]) if np.ptp(array) == 0 else array


def serving(measured: Measured) -> Serving:
    """Return the runs of a table, with their loads and steps."""
    runs = measured.runs
    places = _places(runs)
    load = _load(runs, places)
    asked = queries(load)
    table, order = _table(runs, asked)
    devices = {run.device.id: run.device for run in runs}
    reached = {name: served(one).efficiency for name, one in devices.items()}
    efficiencies = [reached[run.device.id] for run in runs]
    names = [field.name for field in dataclasses.fields(Efficiency)]
    words = {"name", "kernels", "note", "admission", "routing_spread_ratio"}  # not numbers, or alike for all
    numbers = [field.name for field in dataclasses.fields(Engine) if field.name not in words]
    engine: dict[str, Any] = {name: _together([getattr(run.engine, name) for run in runs]) for name in numbers}
    return Serving(
        measured=measured,
        facts=_facts(measured, places),
        load=load,
        asked=asked,
        table=table,
        order=order,
        efficiency=Efficiency(**{name: _together([getattr(one, name) for one in efficiencies]) for name in names}),
        engine=dataclasses.replace(runs[0].engine, **engine),
    )


def _facts(measured: Measured, places: Vector) -> Facts:
    runs, points = measured.runs, measured.points
    cards = [run.device.accelerator for run in runs]
    dtypes = [effective_compute_dtype(run.device, run.deployment.compute_dtype) for run in runs]
    return Facts(
        devices=np.array([run.deployment.num_devices for run in runs], dtype=np.float64),
        peak_flop_per_s=np.array([card.peak_flop_per_s[dtype] for card, dtype in zip(cards, dtypes, strict=True)]),
        tdp_w=np.array([card.tdp_w for card in cards]),
        idle_w=np.array([card.idle_w for card in cards]),
        bare=np.array([run.harness.bare for run in runs]),
        static=np.array([not run.harness.scheduled for run in runs]),
        moe=np.array([run.model.num_moe_layers > 0 for run in runs]),
        engines=np.array([run.engine.kernels for run in runs]),
        vendors=np.array([card.vendor.casefold() for card in cards]),
        places=places,
        run_of=np.array(measured.run_of, dtype=np.intp),
        metric=np.array([point.metric for point in points]),
        median=np.array([point.row.get("statistic", "") == "median" for point in points]),
    )


def _places(runs: Sequence[Run]) -> Vector:
    """Return the sequences that the KV pool of each run holds [R]; the pool itself does not depend on lengths."""
    pools: dict[tuple[object, ...], float] = {}
    places = []
    for run in runs:
        key = (run.model.id, run.model.num_layers, run.device.id, run.deployment, run.engine)
        if key not in pools:
            held = memory(run.model, run.device, run.deployment, _ANY_LENGTHS, engine=run.engine)
            pools[key] = max(float(held.kv_pool_bytes), 0.0)
        each = sequence_cache_bytes(run.model, run.deployment, run.isl_tokens, run.osl_tokens, run.engine)
        places.append(pools[key] / float(each))
    return np.array(places)


def _load(runs: Sequence[Run], places: Vector) -> Load:
    def of(get: object) -> Vector:
        return np.array([get(run) for run in runs], dtype=np.float64)  # type: ignore[operator]

    kind = np.array([run.harness.kind for run in runs])
    stated, requests = of(lambda run: run.load), of(lambda run: run.harness.requests)
    at_once = kind == "all at once"
    users = np.where(at_once & (stated == 0), np.where(requests > 0, requests, QUEUED_REQUESTS), stated)
    users = np.where(kind == "open loop", 0.0, users)
    unstated = np.where(at_once, users, REQUESTS_PER_USER * np.maximum(users, 1.0))
    unstated = np.where(kind == "open loop", QUEUED_REQUESTS, unstated)
    most = np.minimum(places, of(lambda run: run.engine.max_sequences * run.deployment.dp))
    limit = np.maximum(np.where(kind == "fixed batch", np.maximum(most, users), most), 1.0)
    users = np.where(kind == "saturated", np.minimum(users, limit), users)
    cached = of(lambda run: run.harness.cached_input_ratio * run.isl_tokens)
    return Load(
        kind=kind,
        users=users,
        request_rate_per_s=np.where(kind == "open loop", stated, 0.0),
        requests=np.where(requests > 0, requests, unstated),
        isl_tokens=of(lambda run: run.isl_tokens) - cached,
        cached_tokens=cached,
        osl_tokens=of(lambda run: run.osl_tokens),
        limit=limit,
        chunk_tokens=of(lambda run: run.engine.chunk_tokens),
        ranks=of(lambda run: run.deployment.dp),
        stages=of(lambda run: run.deployment.pp),
        prompts_first=of(lambda run: run.engine.prompts_first),
        length_spread_ratio=of(lambda run: run.harness.length_spread_ratio),
        tokens_per_step=np.ones(len(runs)),
        receive_steps=of(lambda run: run.launch.receive_steps),
        hold_steps=of(lambda run: run.launch.hold_steps),
    )


def _table(runs: Sequence[Run], asked: Queries) -> tuple[StepTable, npt.NDArray[np.intp]]:
    """Return the steps of all runs, built model by model, and where each stands in [4, R]."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, run in enumerate(runs):
        layout = run.deployment
        formats = (layout.weight_dtype, layout.compute_dtype, layout.kv_dtype)
        groups.setdefault((run.model.id, run.model.num_layers, *formats, run.device.id), []).append(index)
    works, order = [], []
    for members in groups.values():
        first, places = runs[members[0]], np.array(members)
        ways = {
            name: np.tile([float(getattr(runs[i].deployment, name)) for i in members], NUM_STEPS)
            for name in ("tp", "pp", "dp", "ep")
        }
        layout = first.deployment
        sharding = SimpleNamespace(
            **ways, weight_dtype=layout.weight_dtype, compute_dtype=layout.compute_dtype, kv_dtype=layout.kv_dtype
        )
        steps = {
            name: getattr(asked, name)[:, places].ravel()
            for name in (
                "decode_sequences", "context_tokens", "prefill_tokens", "prompt_tokens", "prompt_context_tokens",
                "prompt_ranks",
            )
        }  # fmt: skip
        spread = first.engine.routing_spread_ratio
        works.append(
            (
                step_work(first.model, sharding, routing_spread_ratio=spread, **steps),
                first.device,
                NUM_STEPS * len(places),
            )
        )
        order.append(np.concatenate([places + row * len(runs) for row in range(NUM_STEPS)]))
    return step_table(works), np.concatenate(order)
