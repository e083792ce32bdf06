"""What a scenario asks of one side alone: the deployment that serves its load, the training that it states."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from steelyard import arch, catalog, device
from steelyard.compare.jobs.job import TrainingJob
from steelyard.compare.scenario import Scenario, ServeRoute, StatedLengths
from steelyard.compare.serving.plan_result import ServingPlanQuestion
from steelyard.compare.serving.traffic_question import TrafficQuestion
from steelyard.errors import InputError
from steelyard.inference import least_devices, lengths_from_stated
from steelyard.units import SECONDS_PER_DAY

DEFAULT_LOAD = "chat"
ON_DEMAND = "on_demand"  # as searches and simulations are priced
FINETUNING_BATCH_TOKENS = 32 * 4096.0  # where fine-tuning states no batch: 32 sequences


def serving_question(scenario: Scenario, max_devices: int = 8) -> ServingPlanQuestion:
    """Return the search for a deployment that carries the peak of the first month within the objective.

    Stated lengths enter as their means.

    Raises:
        InputError: The scenario serves nothing itself.
    """
    route, peak = _serve(scenario), peak_to_mean(scenario)
    return ServingPlanQuestion(
        model=served_model(scenario),
        devices=tuple(route.devices),
        max_devices=max_devices,
        request_rate_per_s=scenario.demand.requests_per_day / SECONDS_PER_DAY * peak,
        peak_to_mean_ratio=peak,
        objective=scenario.objective.to_objective(),
        weight_dtypes=(route.weight_dtype,) if route.weight_dtype else (),
        kv_dtype=route.kv_dtype,
        usd_per_device_s=_stated(scenario, route.devices),
        as_of=scenario.as_of,
        **_lengths(scenario),
    )


def _stated(scenario: Scenario, devices: Sequence[str]) -> dict[str, float]:
    """Return the user's own prices of devices by the hour."""
    own = {ref: scenario.prices.devices.get(ref, {}).get(ON_DEMAND) for ref in devices}
    return {ref: price for ref, price in own.items() if price is not None}


def traffic_question(
    scenario: Scenario, device_ref: str, *, least_tp: int = 1, trace: str | None = None, **asked: Any
) -> TrafficQuestion:
    """Return the simulation of one replica on as many devices as its model needs, `least_tp` or more.

    A `trace` file gives the requests in place of the scenario's lengths.

    Raises:
        InputError: The scenario serves nothing itself.
    """
    route, model = _serve(scenario), served_model(scenario)
    needed = least_devices(arch.load(model), device.load(device_ref), weight_dtype=route.weight_dtype)
    return TrafficQuestion(
        model=model,
        device=device_ref,
        tp=max(needed, least_tp),
        objective=scenario.objective.to_objective(),
        weight_dtype=route.weight_dtype,
        kv_dtype=route.kv_dtype,
        usd_per_device_s=_stated(scenario, [device_ref]).get(device_ref),
        as_of=scenario.as_of,
        **(_lengths(scenario) if trace is None else {"load": trace}),
        **asked,
    )


def training_question(scenario: Scenario) -> tuple[TrainingJob, int]:
    """Return the training that the scenario states, its pretraining before its fine-tuning, and its devices.

    Raises:
        InputError: It states none.
    """
    pretrain, finetune = scenario.routes.pretrain, scenario.routes.finetune
    if pretrain:
        job = TrainingJob(
            model_ref=_ref(scenario, pretrain.model),
            device_ref=pretrain.device,
            tokens=pretrain.tokens,
            seq_tokens=pretrain.seq_tokens,
            global_batch_tokens=pretrain.global_batch_tokens,
            as_of=scenario.as_of,
        )
        return job, pretrain.num_devices
    if finetune:
        job = TrainingJob(
            model_ref=_ref(scenario, finetune.model),
            device_ref=finetune.device,
            tokens=finetune.training_tokens,
            global_batch_tokens=FINETUNING_BATCH_TOKENS,
            kind=finetune.method,
            as_of=scenario.as_of,
        )
        return job, finetune.num_devices
    raise InputError("this scenario trains nothing; state routes.pretrain or routes.finetune")


def served_model(scenario: Scenario) -> str:
    """Return the model that the scenario would serve itself: a name, or the path of a file beside the scenario."""
    route = scenario.routes.serve
    return _ref(scenario, (route.model if route else None) or scenario.model)


def peak_to_mean(scenario: Scenario) -> float:
    """Return the rate of the busiest minutes over the mean, as stated or as in the preset."""
    stated, lengths = scenario.demand.peak_to_mean_ratio, scenario.demand.lengths
    preset = lengths if isinstance(lengths, str) else DEFAULT_LOAD
    return catalog.workload(preset).peak_to_mean_ratio if stated is None else stated


def mean_lengths(scenario: Scenario) -> tuple[float, float]:
    """Return the mean prompt and answer [tokens] of a scenario's preset or stated lengths; NaN of a trace."""
    lengths = scenario.demand.lengths
    if isinstance(lengths, str):
        found = catalog.workload(lengths)
        return found.isl_mean_tokens, found.osl_mean_tokens
    if isinstance(lengths, StatedLengths):
        isl, osl = lengths.isl, lengths.osl
        drawn = lengths_from_stated(isl.model_dump(), osl.model_dump())
        return isl.mean_tokens or drawn.mean_isl_tokens, osl.mean_tokens or drawn.mean_osl_tokens
    return math.nan, math.nan


def _serve(scenario: Scenario) -> ServeRoute:
    if scenario.routes.serve is None:
        raise InputError("this scenario serves nothing itself; state routes.serve")
    return scenario.routes.serve


def _ref(scenario: Scenario, model: str) -> str:
    path = scenario.base_dir / model
    return str(path) if path.exists() else model


def _lengths(scenario: Scenario) -> dict[str, Any]:
    """Return a preset's name or a trace's path, or the means of stated lengths for every request."""
    stated = scenario.demand.lengths
    if isinstance(stated, StatedLengths):
        isl, osl = mean_lengths(scenario)
        return {"isl_tokens": isl, "osl_tokens": osl}
    return {"load": str(stated) if isinstance(stated, str) else str(scenario.base_dir / stated.trace)}
