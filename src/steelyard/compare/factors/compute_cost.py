"""Compute cost: USD of serving over the horizon against USD of the training run; total USD of each route."""

from __future__ import annotations

import numpy as np

from steelyard.compare.result import Cell, Evidence, FactorResult, Quantity
from steelyard.compare.routes.outcome import Outcome, median
from steelyard.compare.routes.training_leg import TrainingRun
from steelyard.compare.verdict import best_of
from steelyard.compare.view import View, missing, quantity
from steelyard.records.term import Term
from steelyard.units import format_quantity


def weigh(view: View) -> FactorResult:
    serving, run = view.inference, view.training
    spent = serving.monthly_usd.sum(axis=1, keepdims=True)
    answers = view.case.requests.sum(axis=1, keepdims=True)
    per_request = spent / answers
    tokens = answers * (view.case.lengths.mean_isl_tokens + view.case.lengths.mean_osl_tokens)
    inference = Cell(
        quantities=(
            quantity("serving over the horizon", spent, "usd", "predicted", serving.option),
            quantity("per request", per_request, "usd_per_request", "predicted"),
            quantity("per token, in and out", spent / tokens, "usd_per_token", "predicted"),
        )
    )
    training = Cell(
        quantities=(
            quantity("the final run, rented", run.rented_usd, "usd", "predicted", run.description),
            *_owned(run),
            quantity("with R&D around the run", run.rented_usd * run.job.rd_multiplier, "usd", "assumed"),
        )
    )
    equal = median(run.rented_usd / per_request)
    return FactorResult(
        id="compute_cost",
        title="Compute cost",
        activities={"inference": inference, "training": training},
        ratio=quantity("inference over training", spent / run.rented_usd, "1", "predicted"),
        crossover=f"the run costs as much as {format_quantity(equal, 'request')} answered this way",
        activity_verdict=best_of(
            {"inference": spent, "training": run.rented_usd}, criterion="less money over the horizon"
        ),
        routes=view.route_cells(_costs),
        route_verdict=best_of(
            {name: outcome.total_usd for name, outcome in view.running().items()},
            criterion="least total cost over the horizon, quality and objective met",
        ),
        tree=Term(
            label="inference over training, USD",
            value=median(spent / run.rented_usd),
            unit="1",
            formula="serving over the horizon / final run, rented",
            children=(
                serving.tree(),
                run.tree(),
                Term(
                    label="routes, total over the horizon",
                    value="",
                    children=tuple(outcome.tree() for outcome in view.priced().values()),
                ),
            ),
        ),
    )


def _owned(run: TrainingRun) -> tuple[Quantity, Quantity]:
    """Return the two other accountings of the run."""
    amortised, bought = "the run, on owned devices", "to buy the cluster"
    bills = run.accountings
    if bills is None:
        why = "unpriced: no purchase price"
        return missing(amortised, "usd", why), missing(bought, "usd", why)
    return (
        quantity(amortised, bills.amortised_usd, "usd", "predicted", "amortised, with electricity"),
        quantity(bought, bills.bought_usd, "usd", "predicted"),
    )


def _costs(outcome: Outcome) -> tuple[Quantity, ...]:
    priced: Evidence = "cited" if outcome.route == "api" else "predicted"
    return (
        quantity("total over the horizon", outcome.total_usd, "usd", priced),
        quantity("first month", outcome.monthly_usd[:, 0], "usd_per_month", priced),
        quantity("last month", outcome.monthly_usd[:, -1], "usd_per_month", priced),
        quantity("before the first answer", np.asarray(outcome.upfront_usd), "usd", priced),
    )
