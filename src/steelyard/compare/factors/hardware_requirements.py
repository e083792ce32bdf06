"""Hardware requirements: devices to answer with, against devices to train with; what each route makes you hold."""

from __future__ import annotations

import numpy as np

from steelyard.compare.draws import Draw
from steelyard.compare.result import Cell, FactorResult, Quantity
from steelyard.compare.routes.outcome import Outcome, median
from steelyard.compare.routes.training_leg import least_devices
from steelyard.compare.verdict import best_of
from steelyard.compare.view import View, quantity
from steelyard.records.term import Term, explain
from steelyard.units import SECONDS_PER_MONTH, format_quantity

PLACE = 4


def weigh(view: View) -> FactorResult:
    serving, run = view.inference, view.training
    fleet = serving.devices[:, -1:]
    inference = Cell(
        quantities=(
            quantity("for the load of the last month", fleet, "device", "predicted", serving.option),
            quantity("for the load of the first month", serving.devices[:, :1], "device", "predicted"),
            *_smallest(view),
        )
    )
    training = Cell(
        quantities=(
            quantity("in the run", run.job.num_devices, "device", "stated", run.description),
            quantity("least, by memory", least_devices(view.case, run.job), "device", "predicted"),
            quantity(
                "least to be done within the horizon",
                np.maximum(np.ceil(np.asarray(run.run.device_s) / view.case.horizon_s), 1.0),
                "device",
                "predicted",
                "at the efficiency of this run",
            ),
            quantity("memory a device", run.plan.memory.total_bytes, "bytes", "predicted", run.layout_text),
        )
    )
    return FactorResult(
        id="hardware_requirements",
        title="Hardware requirements",
        activities={"inference": inference, "training": training},
        ratio=quantity("inference over training", fleet / run.job.num_devices, "1", "predicted"),
        crossover=_crossover(view),
        activity_verdict=best_of(
            {"inference": fleet, "training": np.full_like(fleet, run.job.num_devices)},
            criterion="fewer devices at once",
        ),
        routes=view.route_cells(_held),
        route_verdict=best_of(
            {name: _peak_devices(outcome) for name, outcome in view.running().items()},
            criterion="fewest devices to rent or buy",
        ),
        tree=_tree(view.explained),
    )


def _peak_devices(outcome: Outcome) -> Draw:
    peak: Draw = np.maximum(outcome.devices.max(axis=1, keepdims=True), outcome.training.num_devices)
    return peak


def _held(outcome: Outcome) -> tuple[Quantity, ...]:
    return (
        quantity("most at once", _peak_devices(outcome), "device", "predicted", outcome.to_rent_or_buy),
        quantity("serving, first month", outcome.devices[:, 0], "device", "predicted"),
        quantity("serving, last month", outcome.devices[:, -1], "device", "predicted"),
        quantity("training", outcome.training.num_devices, "device", "stated"),
    )


def _smallest(view: View) -> tuple[Quantity, ...]:
    """Return the least devices by memory and by the latency objective, where there is a fleet."""
    carried = view.inference.per_device
    if carried is None:
        return ()
    return (
        quantity("least, by latency objective", carried.num_devices, "device", "predicted", "one replica"),
        quantity("least, by memory", view.least_serving_devices, "device", "predicted"),
    )


def _crossover(view: View) -> str:
    """Say at which load a fleet, filled at its peak, is as large as the cluster of the run."""
    carried = view.inference.per_device
    if carried is None:
        return ""
    rate = median(carried.request_rate_per_s) / view.case.peak_to_mean_ratio
    load = rate * view.training.job.num_devices * SECONDS_PER_MONTH
    return f"serving needs as many devices as the run from about {format_quantity(load, 'request')} a month on"


def _tree(view: View) -> Term:
    capacity = view.inference.capacity_tree
    peak = Term(
        label="peak rate, last month",
        value=median(view.case.peak_rate_per_s[:, -1]),
        unit="request_per_s",
        formula="requests a month / seconds x peak-to-mean",
    )
    return Term(
        label="inference over training, devices",
        value=median(view.inference.devices[:, -1]) / view.training.job.num_devices,
        unit="1",
        formula="devices serving the last month / devices of the run",
        children=(peak, *((capacity(),) if capacity else ()), explain(view.training.plan.memory)),
    )
