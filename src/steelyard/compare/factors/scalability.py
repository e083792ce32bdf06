"""Scalability: capacity against replicas, tokens/s against devices; what ten times the load does to each route."""

from __future__ import annotations

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


def weigh(view: View) -> FactorResult:
    run = view.training
    serving = inference.replica_scaling(view.case.workload, np.array([1.0, GROWTH]))
    one, many = np.asarray(serving)
    serving_ratio = float(many / one)
    scaled = scaling(view.case, run.job, GROWTH)
    training_ratio = float(np.asarray(scaled.efficiency_ratio)[-1])
    cell_inference = Cell(
        quantities=(
            quantity(
                f"capacity a replica at {GROWTH:g} times the replicas",
                serving_ratio,
                "ratio",
                "predicted",
                "prefix-cache hits lost to spreading",
            ),
            quantity(
                "share of prompt tokens a single cache would save",
                view.case.workload.prefix_hit_ratio,
                "ratio",
                "cited",
            ),
        )
    )
    cell_training = Cell(
        quantities=(
            quantity(
                f"tokens/s a device at {GROWTH:g} times the devices",
                training_ratio,
                "ratio",
                "predicted",
                "same global batch",
            ),
            quantity("communication not hidden", np.asarray(scaled.exposed_comm_ratio)[-1], "ratio", "predicted"),
            quantity("pipeline bubble", np.asarray(scaled.bubble_ratio)[-1], "ratio", "predicted"),
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
            criterion=f"nearer to linear from one scale to {GROWTH:g} times it",
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
                    formula="tokens/s on ten times the devices / ten times the tokens/s, best layout at each",
                    children=tuple(explain(plan.step) for plan in scaled.plans),
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
        quantity("cost at ten times the load over now", later * GROWTH / np.median(now), "1", "predicted"),
    )
