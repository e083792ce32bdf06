"""A question about a serving fleet with its names resolved: the fleet and the load that are simulated."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from steelyard import arch, catalog, device, inference
from steelyard.compare.serving.demand import is_trace, stated_lengths
from steelyard.compare.serving.plan_result import cut
from steelyard.compare.serving.traffic_question import (
    DEFAULT_LEVEL_RATIO,
    DEFAULT_TARGET_REQUESTS,
    TrafficQuestion,
)
from steelyard.compare.serving.workers import decode_rate, prefill_rate, static_rate
from steelyard.errors import InputError, UnknownError, unknown
from steelyard.inference import simulator
from steelyard.inference.simulator import Fleet, Load, Replica
from steelyard.records.serving import Autoscaling, ReplicaFailures
from steelyard.records.workload import Lengths, Objective, Workload

DEFAULT_REQUESTS = 100_000
_SAMPLES = 16_384  # lengths of a preset
_DECODE_PARTS = ("tp", "pp", "dp", "ep", "max-sequences")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A question with its names resolved."""

    question: TrafficQuestion
    model: arch.Model
    device: device.Device
    deployment: inference.Deployment
    decode: inference.Deployment  # of separate decode replicas
    fleet: Fleet
    load: Load
    workload: Workload | None

    @property
    def engine(self) -> inference.Engine:
        return self.question.engine_on(self.device)

    @property
    def title(self) -> str:
        """Return what serves, in a line."""
        return _title(self)


def case_of(question: TrafficQuestion) -> Case:
    """Return a question with its names resolved, its fleet and its load made.

    Raises:
        DoesNotFitError: The model, or the longest request, does not fit.
        InputError: Options that exclude each other, ways of cutting the model that the engine does not allow, a trace
            that cannot be read, a request beyond the context.
        UnknownError: A name that the catalogue does not hold.
    """
    stated = [question.request_rate_per_s is not None, question.level_ratio is not None,
              question.concurrency is not None, question.all_at_once]  # fmt: skip
    if sum(stated) > 1:
        raise InputError("load: rate, load level, concurrency and all-at-once exclude each other; give one")
    _require_use(question)
    model, on = arch.load(question.model), device.load(question.device)
    stored = inference.deployment_for(
        model, question.tp, weight_dtype=question.weight_dtype, kv_dtype=question.kv_dtype
    )
    deployment = dataclasses.replace(stored, pp=question.pp, dp=question.dp, ep=question.ep)
    own = stated_lengths(question.load, question.isl_tokens, question.osl_tokens)
    workload = None if is_trace(question.load) else catalog.workload(question.load)
    if workload is None:
        trace = simulator.trace_load(
            question.load, num_requests=question.num_requests, request_rate_per_s=question.request_rate_per_s
        )
        load = question.trace_of(trace)
        lengths = load.lengths
    else:
        lengths = question.lengths_of(own or inference.lengths_from_workload(workload, num_samples=_SAMPLES))
    fleet = _fleet(question, model, on, deployment, lengths)
    if workload is not None:
        load = _load(question, workload, lengths, _capacity(fleet, model, on, deployment, lengths, question))
    elif question.concurrency is not None or question.all_at_once:
        raise InputError(
            f"load: {question.load} is a trace with its own times; only a rate or a load level can be given with it"
        )
    elif question.level_ratio is not None:
        capacity = _capacity(fleet, model, on, deployment, lengths, question)
        load = load.stretched_to(_checked_level(question.level_ratio) * capacity)
    return Case(
        question=question,
        model=model,
        device=on,
        deployment=deployment,
        decode=_decode_layout(question, deployment)[0],
        fleet=fleet,
        load=load,
        workload=workload,
    )


def _require_use(question: TrafficQuestion) -> None:
    """Refuse what this load or fleet has no use for: to ignore it would answer another question.

    Raises:
        InputError: The first such field; says what it belongs to.
    """
    timed = is_trace(question.load) or question.concurrency is not None or question.all_at_once
    shaping = {"--cv": question.arrival_cv_ratio, "--gaps": question.gaps, "--daily": question.daily or None}
    for option in (option for option, value in shaping.items() if timed and value is not None):
        raise InputError(
            f"load: {option} shapes requests that come at a rate; a trace, users who wait for their answer and "
            "requests that come all at once have their own times"
        )
    if question.replica_range is None and question.target_requests is not None:
        raise InputError("autoscaling: target requests without replicas that follow them; give both (--autoscale)")
    if question.replica_range is not None and question.replicas != 1:
        raise InputError("autoscaling: the number of replicas follows the load; leave --replicas out")


def _fleet(
    question: TrafficQuestion,
    model: arch.Model,
    on: device.Device,
    deployment: inference.Deployment,
    lengths: Lengths,
) -> Fleet:
    def made(layout: inference.Deployment, max_sequences: int | None) -> Replica:
        return simulator.replica_for(
            model,
            on,
            layout,
            lengths,
            engine=engine,
            static=question.static,
            speculation=question.speculation,
            max_sequences=max_sequences,
            token_budget=question.token_budget,
        )

    apart = question.decode_replicas > 0
    taken, batch = _decode_layout(question, deployment)
    engine = question.engine_on(on)
    for layout in (deployment, taken):
        inference.require_cut(model, layout, engine)
    replica = made(deployment, question.max_sequences)
    decode = replica if (taken, batch) == (deployment, question.max_sequences) else made(taken, batch)
    cold_start_s = inference.cold_start(model, weight_dtype=deployment.weight_dtype).range_s.p50
    scaling = failures = None
    if question.replica_range is not None:
        least, most = question.replica_range
        scaling = Autoscaling(
            min_replicas=least,
            max_replicas=most,
            target_requests=DEFAULT_TARGET_REQUESTS if question.target_requests is None else question.target_requests,
            cold_start_s=cold_start_s,
        )
    if question.mtbf_s is not None:
        failures = ReplicaFailures(mtbf_s=question.mtbf_s, repair_s=cold_start_s)
    devices = question.replicas * deployment.num_devices + question.decode_replicas * taken.num_devices
    transfer = (
        simulator.transfer_s_per_token(model, on, deployment, lengths, to=taken, num_devices=devices) if apart else 0.0
    )
    return Fleet(
        replica=replica,
        num_replicas=question.replicas,
        routing=question.routing,
        decode=decode if apart else None,
        num_decode_replicas=question.decode_replicas,
        transfer_s_per_token=transfer,
        autoscaling=scaling,
        failures=failures,
    )


def _decode_layout(question: TrafficQuestion, prefill: inference.Deployment) -> tuple[inference.Deployment, int | None]:
    """Return the layout of separate decode replicas and their largest batch; what is left out is as for prefill.

    Raises:
        InputError: A part that cannot be read, or no separate decode replicas for it.
    """
    if question.decode_layout is None:
        return prefill, question.max_sequences
    if not question.decode_replicas:
        raise InputError("decode layout: there are no separate decode replicas; say how many (--decode-replicas)")
    values: dict[str, Any] = {}
    for part in question.decode_layout.split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in _DECODE_PARTS:
            raise InputError(f"decode layout: {unknown('part', name, _DECODE_PARTS)}; for example tp=4,ep=4")
        if name in values:
            raise InputError(f"decode layout: {name} is given twice; leave one out")
        if not (value.isascii() and value.isdecimal() and int(value[:9]) > 0):
            raise InputError(f"decode layout: {name} is {value[:20]!r}; allowed: a whole number from 1 on")
        values[name] = int(value)
    most = values.pop("max-sequences", question.max_sequences)
    ways = dict.fromkeys(("tp", "pp", "dp", "ep"), 1) if values else {}
    return dataclasses.replace(prefill, **(ways | values)), most


def _capacity(
    fleet: Fleet,
    model: arch.Model,
    on: device.Device,
    deployment: inference.Deployment,
    lengths: Lengths,
    question: TrafficQuestion,
) -> float:
    """Return the closed-form capacity of the fleet, of the least replicas where they are autoscaled [requests/s]."""
    if fleet.decode is not None:
        prefilled = fleet.num_replicas * prefill_rate(fleet.replica, lengths)
        return min(prefilled, fleet.num_decode_replicas * decode_rate(fleet.decode, lengths, math.inf)[0])
    count = question.replicas if question.replica_range is None else question.replica_range[0]
    if fleet.replica.batching.static:
        return count * static_rate(fleet.replica, lengths)
    engine, ranks = question.engine_on(on), deployment.dp
    if question.max_sequences is not None:
        engine = dataclasses.replace(engine, max_sequences=question.max_sequences / ranks)
    if question.token_budget is not None:
        engine = dataclasses.replace(engine, chunk_tokens=question.token_budget / (ranks * deployment.pp))
    one = inference.steady(model, on, deployment, lengths, Objective(), engine=engine, speculation=question.speculation)
    return count * float(np.max(one.request_rate_per_s))


def _checked_level(level_ratio: float) -> float:
    if not 0 < level_ratio < math.inf:
        raise InputError(f"load level: {level_ratio:g} is not a positive share of the capacity")
    return level_ratio


def _load(question: TrafficQuestion, workload: Workload, lengths: Lengths, capacity: float) -> Load:
    count = DEFAULT_REQUESTS if question.num_requests is None else question.num_requests
    if question.concurrency is not None:
        return simulator.closed_load(lengths, question.concurrency, count)
    if question.all_at_once:
        return simulator.burst_load(lengths, count)
    rate = question.request_rate_per_s
    if rate is None:
        rate = capacity * _checked_level(DEFAULT_LEVEL_RATIO if question.level_ratio is None else question.level_ratio)
    cv = workload.arrival_cv_ratio if question.arrival_cv_ratio is None else question.arrival_cv_ratio
    if question.gaps not in {None, "gamma", "weibull"}:
        raise UnknownError(f"unknown distribution of gaps {question.gaps!r} (known: gamma, weibull)")
    if question.daily and not workload.hourly_shape_ratio:
        raise InputError(f"daily shape: the preset {workload.id} has none published; leave it out")
    return simulator.open_load(
        lengths,
        rate,
        count,
        arrival_cv_ratio=cv,
        gaps="weibull" if question.gaps == "weibull" else "gamma",
        hourly_shape_ratio=workload.hourly_shape_ratio if question.daily else (),
    )


def _title(case: Case) -> str:
    count = case.question.replicas
    if case.fleet.decode is not None:
        laid_out = f" ({cut(case.deployment)} and {cut(case.decode)})" if case.decode != case.deployment else ""
        counts = f"{count} prefill and {case.question.decode_replicas} decode replicas{laid_out}"
        return f"{counts} of {case.model.id} on {case.device.id}"
    if case.fleet.autoscaling is not None:
        least, most = case.fleet.autoscaling.min_replicas, case.fleet.autoscaling.max_replicas
        return f"{least} to {most} replicas of {case.fleet.replica.name}"
    return f"{count} replica{'s' * (count > 1)} of {case.fleet.replica.name}"
