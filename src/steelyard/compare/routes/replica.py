"""One replica of a model on some devices, what it carries within the objective, and how many a load takes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt

from steelyard import arch, device, inference
from steelyard.compare.case import Case
from steelyard.compare.draws import Draw
from steelyard.compare.routes.device_price import FREE_TO_LEAVE, OWNED
from steelyard.compare.routes.outcome import Latency, PerDevice
from steelyard.compare.scenario import ServeRoute
from steelyard.errors import DoesNotFitError
from steelyard.inference.surface import CapacitySurface, capacity_surface
from steelyard.records.term import Term, explain


@dataclass(frozen=True, kw_only=True)
class Replica:
    """One replica of a model on some devices, and what it can carry within the objective."""

    case: Case
    model: arch.Model
    device: device.Device
    deployment: inference.Deployment
    capacity: inference.Capacity  # in closed form; fields [D + 3, 1] as `Case.serving_time_ratio`
    surface: CapacitySurface | None = None  # by simulation

    def tree(self) -> Term:
        """Return how the capacity of the median case comes about."""
        return explain(self.capacity, index=(self.case.scenario.draws, 0))

    @property
    def name(self) -> str:
        return f"{self.model.id} on {self.deployment.num_devices}x {self.device.id}"

    def of(self, field: str) -> Draw:
        """Return a field of the capacity at this case's draws [D, 1]."""
        values: Draw = np.asarray(getattr(self.capacity, field))[self.case.serving_rows]
        return values

    @cached_property
    def carried(self) -> Draw:
        """Capacity of a replica among others [D, N], as in the surface; one column without it."""
        if self.surface is None:
            rate = self.of("request_rate_per_s")
        else:
            ratio = self.case.serving_time_ratio[self.case.serving_rows, 0]
            rate = self.surface.capacity(self.case.objective, ratio)
        return _where_met(rate)

    @property
    def request_rate_per_s(self) -> Draw:
        """Capacity of one replica alone [D, 1]."""
        return self.carried[:, :1]

    @cached_property
    def met(self) -> npt.NDArray[np.bool_]:
        """Whether the objective can be met [D, 1]."""
        reached: npt.NDArray[np.bool_] = self.of("request_rate_per_s") > 0
        return reached

    def carries(self, replicas: Draw) -> Draw:
        """Return the request rate that so many replicas carry together [D, M] [1/s], at the objective."""
        if self.surface is None:
            alone: Draw = replicas * self.carried
            return alone
        return self.surface.carries(replicas, self.carried)

    @cached_property
    def among(self) -> Draw:
        """Capacity of one replica in a fleet sized for the peak [D, M] [1/s]; without surfaces that of one alone."""
        count = np.maximum(self.needed(self.case.peak_rate_per_s), 1.0)
        together: Draw = self.carries(count) / count
        return together

    def needed(self, peak_rate_per_s: Draw) -> Draw:
        """Return the replicas that carry a peak rate [D, M], bursts included."""
        if self.surface is not None:
            return self.surface.fleet_size(peak_rate_per_s, self.carried)
        return np.asarray(
            inference.fleet_size(
                self.request_rate_per_s,
                peak_rate_per_s,
                arrival_cv_ratio=self.case.workload.arrival_cv_ratio,
                batch=self.of("batch"),
            )
        )

    def held(self, peak_rate_per_s: Draw, pricing: str) -> Draw:
        """Return replicas held in each month [D, M]; what is reserved or owned is not given back in the horizon."""
        step = self.bought_together(pricing)
        held: Draw = np.ceil(self.needed(peak_rate_per_s) / step) * step
        return held if pricing in FREE_TO_LEAVE else np.maximum.accumulate(held, axis=1)

    def bought_together(self, pricing: str) -> int:
        """Return how many come at once: they are bought by the whole server, rented by the device."""
        per_server = self.device.accelerator.devices_per_node
        return max(1, per_server // self.deployment.num_devices) if pricing == OWNED else 1

    @property
    def misses(self) -> str:
        """Why it is out of the running: too many draws of its speed miss the objective; empty where it is not."""
        share = float(self.met.mean())
        if share >= self.case.calibration("compare")["win_probability"].value:
            return ""
        return f"meets the objective in only {share:.0%} of draws"

    @property
    def latency(self) -> Latency:
        """Latency at full load; TTFT is the least certain and carries its own residual."""
        sigma = self.case.calibration("inference")["ttft_residual_sigma"].value
        ttft_s = self.of("ttft_s") * self.case.draws.factor("ttft", sigma)
        return Latency(
            ttft_s=ttft_s,
            tpot_s=self.of("tpot_s"),
            e2e_s=self.of("e2e_s") - self.of("ttft_s") + ttft_s,
            evidence="predicted",
            note="at full load, at the objective's percentile",
        )

    @property
    def per_device(self) -> PerDevice:
        return PerDevice(
            request_rate_per_s=self.among[:, :1] / self.deployment.num_devices,
            prefill_time_ratio=self.of("prefill_time_ratio"),
            num_devices=self.deployment.num_devices,
            model=self.model,
        )


def find_replicas(case: Case, route: ServeRoute, model_ref: str, device_ref: str) -> list[Replica]:
    """Return the replicas of every size that meet the objective: which is cheapest depends on the load.

    Raises:
        DoesNotFitError: None fits, or none meets the objective.
        UnknownError: The device lacks a figure that all of them need.
    """
    key = (model_ref, device_ref, route.weight_dtype, route.kv_dtype, route.max_devices_per_replica)
    model, on = case.model(model_ref), case.device(device_ref)
    settings = (route.weight_dtype, route.kv_dtype, route.max_devices_per_replica)
    drawn = (case.scenario.draws, case.scenario.seed)
    found = case.kept(
        ("replicas", model, on, case.asked, settings, drawn),
        lambda: inference.deployments(
            model,
            on,
            case.lengths,
            case.objective,
            max_devices=route.max_devices_per_replica,
            weight_dtype=route.weight_dtype,
            kv_dtype=route.kv_dtype,
            time_ratio=case.serving_time_ratio,
        ),
    )
    replicas = [
        Replica(case=case, model=model, device=on, deployment=deployment, capacity=capacity)
        for deployment, capacity in found
    ]
    return _simulated(case, key, replicas) if case.simulated else replicas


def _simulated(case: Case, key: tuple[object, ...], replicas: list[Replica]) -> list[Replica]:
    """Return those replicas that meet the objective when simulated, each with its surface."""
    found: list[Replica] = []
    refused: DoesNotFitError | None = None
    for one in replicas:
        try:
            surface = case.once(("surface", *key, one.deployment), partial(_surface, case, one))
        except DoesNotFitError as error:
            refused = error
            continue
        if surface.capacity(case.objective).max() > 0:
            found.append(dataclasses.replace(one, surface=surface))
    if not found:
        raise refused or DoesNotFitError(f"{replicas[-1].name} misses the objective in simulation even idle")
    return found


def _surface(case: Case, replica: Replica) -> CapacitySurface:
    return capacity_surface(
        replica.model,
        replica.device,
        replica.deployment,
        case.lengths,
        case.objective,
        arrival_cv_ratio=case.workload.arrival_cv_ratio,
        stream_request_rate_per_s=case.workload.request_rate_per_s,
    )


def _where_met(rates: Draw) -> Draw:
    """Return rates [D, N]; draws that miss the objective whatever the fleet get those of the slowest that meets it."""
    best = rates[:, -1]
    if not (best > 0).any():
        return rates
    slowest = rates[np.argmin(np.where(best > 0, best, np.inf))]
    result: Draw = np.where(best[:, None] > 0, rates, slowest)
    return result
