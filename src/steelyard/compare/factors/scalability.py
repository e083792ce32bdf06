"""Scalability: capacity against replicas, tokens/s against devices; what ten times the load does to each route."""

from __future__ import annotations

import dataclasses

import numpy as np

from steelyard import inference
from steelyard.compare.draws import Draw
from steelyard.compare.result import Cell, FactorResult, Quantity
from steelyard.compare.routes.outcome import Outcome
from steelyard.compare.routes.training_leg import scaling
from steelyard.compare.verdict import best_of
from steelyard.compare.view import View, missing, quantity
from steelyard.records.term import Term, explain

GROWTH = 10.0  # the step in scale that both sides are asked to take; `View.tenfold` holds the routes there

PLACE = 6


def weigh(view: View) -> FactorResult:
    run, case = view.training, view.case
    cached = max(case.workload.prefix_hit_ratio, case.lengths.cached_input_ratio)
    workload = dataclasses.replace(case.workload, prefix_hit_ratio=cached)
    one, many = np.asarray(inference.replica_scaling(workload, np.array([1.0, GROWTH])))
    serving_ratio = float(many / one)
    larger, same = scaling(case, run.job, GROWTH, "weak"), scaling(case, run.job, GROWTH, "strong")
    training_ratio = float(np.asarray(larger.efficiency_ratio)[-1])
    cell_inference = Cell(
        quantities=(
            quantity(
                f"capacity a replica, {GROWTH:g} times the replicas and the load", serving_ratio, "ratio", "predicted"
            ),
            quantity("share of prompt tokens a single cache saves", cached, "ratio", "cited"),
        ),
        note="prefix-cache hits lost to spreading; bursts and cold starts are in the fleet's size",
    )
    cell_training = Cell(
        quantities=(
            quantity(
                f"tokens/s a device, {GROWTH:g} times the devices and the batch", training_ratio, "ratio", "predicted"
            ),
            quantity("the same at an unchanged batch", np.asarray(same.efficiency_ratio)[-1], "ratio", "predicted"),
            quantity("communication not hidden", np.asarray(larger.exposed_comm_ratio)[-1], "ratio", "predicted"),
            quantity("pipeline bubble", np.asarray(larger.bubble_ratio)[-1], "ratio", "predicted"),
            quantity("time kept after failures", run.run.goodput_ratio, "ratio", "predicted"),
        )
    )
    return FactorResult(
        id="scalability",
        title="Scalability",
        activities={"inference": cell_inference, "training": cell_training},
        ratio=quantity("inference over training", serving_ratio / training_ratio, "1", "predicted"),
        crossover="",
        activity_verdict=best_of(
            {
                "inference": np.full(1, abs(1 - serving_ratio)),
                "training": np.full(1, abs(1 - training_ratio)),
            },
            criterion=f"nearer to linear when load, or batch, and devices grow {GROWTH:g}-fold",
            because="replicas share nothing but the cache; ranks wait for each other",
        ),
        routes=view.route_cells(lambda outcome: _unit_cost(view, outcome)),
        route_verdict=best_of(
            {name: _later(view, name) for name in view.running() if name in view.tenfold},
            criterion=f"least USD per request at {GROWTH:g} times the load",
        ),
        tree=Term(
            label="inference over training, nearness to linear",
            value=serving_ratio / training_ratio,
            unit="1",
            formula="(capacity a replica at ten times) / (tokens/s a device at ten times)",
            children=(
                Term(
                    label="capacity a replica",
                    value=serving_ratio,
                    unit="ratio",
                    formula="work per request with one shared cache / with the cache split over the replicas",
                ),
                Term(
                    label="tokens/s a device",
                    value=training_ratio,
                    unit="ratio",
                    formula="tokens/s on ten times the devices at ten times the batch / ten times the tokens/s",
                    children=tuple(explain(plan.step) for plan in larger.plans),
                ),
            ),
        ),
    )


def _later(view: View, route: str) -> Draw:
    """Return USD per request at ten times the load [D, 1]."""
    result: Draw = view.tenfold[route].total_usd / (GROWTH * view.case.requests.sum(axis=1, keepdims=True))
    return result


def _unit_cost(view: View, outcome: Outcome) -> tuple[Quantity, ...]:
    requests = view.case.requests.sum(axis=1, keepdims=True)
    now = outcome.total_usd / requests
    if outcome.route not in view.tenfold:
        return (missing("per request at ten times the load", "usd_per_request", "not evaluated"),)
    later = _later(view, outcome.route)
    return (
        quantity(f"per request at {GROWTH:g} times the load", later, "usd_per_request", "predicted"),
        quantity("per request now", now, "usd_per_request", "predicted"),
        quantity("cost at ten times the load over now", later * GROWTH / now, "1", "predicted"),
    )
