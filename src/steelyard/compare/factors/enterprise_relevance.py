"""Enterprise relevance: which share of the user's FLOP, energy and spend is inference, and which is training."""

from __future__ import annotations

import numpy as np

from steelyard import catalog
from steelyard.catalog import Row
from steelyard.compare.draws import Draw
from steelyard.compare.result import Cell, FactorResult, Quantity
from steelyard.compare.routes.outcome import Outcome, median
from steelyard.compare.verdict import best_of
from steelyard.compare.view import View, quantity
from steelyard.records.term import Term, figure_term

PLACE = 5


def weigh(view: View) -> FactorResult:
    spend, energy, flop = _shares(view)
    cells = {}
    for name, shares in (("inference", (spend, energy, flop)), ("training", (1 - spend, 1 - energy, 1 - flop))):
        of = zip(("spend", "energy", "FLOP"), shares, strict=True)
        cells[name] = Cell(
            quantities=tuple(quantity(f"share of {what}", share, "ratio", "predicted") for what, share in of)
        )
    return FactorResult(
        id="enterprise_relevance",
        title="Enterprise relevance",
        activities=cells,
        ratio=quantity("inference over training, spend", spend / np.maximum(1 - spend, 1e-12), "1", "predicted"),
        crossover=_crossover(view),
        activity_verdict=best_of(
            {"inference": spend, "training": 1 - spend},
            criterion="larger share of the spend on devices, power and tokens, if you did both",
            lower_is_better=False,
            because="published shares of inference run from 29% to 67% depending on who counts what (--explain)",
        ),
        routes=view.route_cells(_sunk),
        route_verdict=best_of(
            {name: _sunk_ratio(outcome) for name, outcome in view.running().items()},
            criterion="least share of the spend sunk before the first answer, devices bought included",
        ),
        tree=_tree(view.explained),
    )


def inference_share(inference: Draw, training: Draw) -> Draw:
    """Return the share of inference in what both take; nothing is no share of nothing: not a number."""
    total = inference + training
    share: Draw = np.divide(inference, total, out=np.full(np.shape(total), np.nan), where=total > 0)
    return share


def published_shares() -> tuple[Row, ...]:
    """Return the published shares of inference and of training, each with its date and source."""
    rows = catalog.table("anchors").rows
    return tuple(row for row in rows if row["factor"] == "enterprise_relevance" and "value" in row.figures)


def _sunk_ratio(outcome: Outcome) -> Draw:
    sunk = outcome.upfront_usd + outcome.capital_usd
    result: Draw = sunk / np.maximum(np.maximum(outcome.total_usd, sunk), 1e-12)
    return result


def _sunk(outcome: Outcome) -> tuple[Quantity, ...]:
    total = np.maximum(outcome.total_usd, 1e-12)
    return (
        quantity("sunk before the first answer", _sunk_ratio(outcome), "ratio", "predicted"),
        quantity(
            "share of spend on training",
            (outcome.training.usd + outcome.training.refresh_usd) / total,
            "ratio",
            "predicted",
        ),
        quantity(
            "share of energy on training",
            outcome.training.energy_j / np.maximum(outcome.energy_j, 1e-12),
            "ratio",
            "predicted",
        ),
    )


def _crossover(view: View) -> str:
    """Say in which month the spend on answers passes the spend on the run."""
    serving = view.inference
    spent = np.median(np.cumsum(serving.monthly_usd - serving.people_usd, axis=1), axis=0)
    passed = np.nonzero(spent >= median(view.training.rented_usd))[0]
    if passed.size:
        return f"spend on answers passes that of the run in month {passed[0] + 1}"
    return f"spend on answers stays below that of the run over all {view.case.months} months"


def _shares(view: View) -> tuple[Draw, Draw, Draw]:
    """Return the share of inference in spend, energy and FLOP."""
    serving, run = view.inference, view.training
    return (
        inference_share(serving.serving_usd, run.rented_usd),
        inference_share(serving.serving_energy_j.sum(axis=1, keepdims=True), run.energy_j),
        inference_share(serving.serving_flop.sum(axis=1, keepdims=True), np.asarray(run.run.training_flop)),
    )


def _tree(view: View) -> Term:
    spend, energy, flop = _shares(view)
    return Term(
        label="share of spend that is inference",
        value=median(spend),
        unit="ratio",
        formula="serving over the horizon / (serving over the horizon + final run)",
        children=(
            Term(
                label="share of energy",
                value=median(energy),
                unit="ratio",
                formula="as above, facility energy",
            ),
            Term(label="share of FLOP", value=median(flop), unit="ratio", formula="as above, model FLOP"),
            Term(
                label="published shares, for comparison",
                value="",
                children=tuple(figure_term(row["statement"], row.figures["value"]) for row in published_shares()),
            ),
        ),
    )
