"""Compute cost: USD of serving over the horizon against USD of the training run; total USD of each route."""

from __future__ import annotations

import numpy as np

from steelyard.compare.result import Cell, Evidence, FactorResult, Quantity
from steelyard.compare.routes.outcome import Outcome, median
from steelyard.compare.routes.training_leg import TrainingRun
from steelyard.compare.verdict import best_of
from steelyard.compare.view import View, missing, quantity
from steelyard.records.term import Term
from steelyard.units import SECONDS_PER_MONTH, format_quantity

PLACE = 2


def weigh(view: View) -> FactorResult:
    serving, run = view.inference, view.training
    spent = serving.serving_usd
    answers = view.case.requests.sum(axis=1, keepdims=True)
    equal = median(run.rented_usd * answers / spent) if median(spent) > 0 else np.inf
    return FactorResult(
        id="compute_cost",
        title="Compute cost",
        activities={"inference": _inference(view), "training": _training(run)},
        ratio=quantity("inference over training", spent / run.rented_usd, "1", "predicted"),
        crossover=f"the run costs as much as {format_quantity(equal, 'request')} answered this way",
        activity_verdict=best_of(
            {"inference": spent, "training": run.rented_usd},
            criterion="less money for devices, power and tokens over the horizon, people apart",
        ),
        routes=view.route_cells(_costs),
        route_verdict=best_of(
            {name: outcome.total_usd for name, outcome in view.running().items()},
            criterion="least total cost over the horizon of the routes in the running",
        ),
        tree=_tree(view.explained),
    )


def _inference(view: View) -> Cell:
    """Return the cost of serving; a fleet's is shared out over prompt and answer tokens by the time they take."""
    serving, lengths = view.inference, view.case.lengths
    spent, answers = serving.serving_usd, view.case.requests.sum(axis=1, keepdims=True)
    found = [
        quantity("serving over the horizon", spent, "usd", "predicted", serving.option),
        quantity("per request", spent / answers, "usd_per_request", "predicted"),
    ]
    if serving.per_device is not None:
        prompts = serving.per_device.prefill_time_ratio
        fresh = answers * lengths.mean_isl_tokens * (1 - lengths.cached_input_ratio)
        written = answers * lengths.mean_osl_tokens
        found += [
            quantity("per input token", spent * prompts / np.maximum(fresh, 1e-9), "usd_per_token", "predicted"),
            quantity("per output token", spent * (1 - prompts) / written, "usd_per_token", "predicted"),
            quantity("device time held", serving.devices.sum(axis=1) * SECONDS_PER_MONTH, "device_s", "predicted"),
        ]
    found.append(quantity("people beside it", serving.people_usd.sum(axis=1), "usd", "stated"))
    return Cell(quantities=tuple(found))


def _training(run: TrainingRun) -> Cell:
    return Cell(
        quantities=(
            quantity("the run, as paid for", run.rented_usd, "usd", "predicted", run.description),
            *_owned(run),
            quantity("device time", np.asarray(run.run.device_s), "device_s", "predicted"),
            quantity("with R&D around the run", run.usd_of(run.job.rd_multiplier), "usd", "assumed"),
        )
    )


def _tree(view: View) -> Term:
    serving, run = view.inference, view.training
    routes = tuple(outcome.tree() for outcome in view.priced().values())
    return Term(
        label="inference over training, USD (median case)",
        value=median(serving.serving_usd / run.rented_usd),
        unit="1",
        formula="serving without people / the run",
        children=(serving.tree(), run.tree(), Term(label="routes, over the horizon", value="", children=routes)),
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
