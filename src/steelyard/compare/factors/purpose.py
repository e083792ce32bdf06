"""Purpose: answers at a quality, against a model of a quality."""

from __future__ import annotations

from steelyard.compare.draws import Draw
from steelyard.compare.result import NOT_COMPARABLE, Cell, FactorResult, Quantity, Verdict
from steelyard.compare.routes.outcome import Outcome, median
from steelyard.compare.verdict import best_of
from steelyard.compare.view import View, loss, quantity
from steelyard.records.term import Term
from steelyard.units import DAYS_PER_MONTH

PLACE = 1


def weigh(view: View) -> FactorResult:
    scenario = view.case.scenario
    answers = view.case.requests.sum(axis=1)
    per_day = view.case.requests[:, :1] / DAYS_PER_MONTH
    run = view.training
    inference = Cell(
        quantities=(
            quantity("answers over the horizon", answers, "request", "stated"),
            quantity("answers a day, first month", per_day, "request_per_day", "stated"),
            view.inference.score.quantity(scenario.quality.scale),
        )
    )
    training = Cell(
        quantities=(
            quantity("models trained", 1.0, "model", "stated", run.job.model_ref),
            loss("loss it is predicted to reach", run, "of the scaling law's own corpus"),
        )
    )
    return FactorResult(
        id="purpose",
        title="Purpose",
        activities={"inference": inference, "training": training},
        ratio=None,
        crossover="",
        activity_verdict=Verdict(
            winner=NOT_COMPARABLE,
            criterion="what it yields",
            because="inference yields answers, training yields the model that gives them",
        ),
        routes=view.route_cells(lambda outcome: _quality(view, outcome)),
        route_verdict=best_of(
            {name: _scores(outcome, view) for name, outcome in view.running().items() if outcome.score.value},
            criterion=f"highest quality on {scenario.quality.scale}",
            lower_is_better=False,
            nobody="no route in the running has a known score",
        ),
        tree=_tree(view.explained),
    )


def _quality(view: View, outcome: Outcome) -> tuple[Quantity, ...]:
    return (outcome.score.quantity(view.case.scenario.quality.scale),)


def _scores(outcome: Outcome, view: View) -> Draw:
    value = outcome.score.value
    assert value is not None
    # Keyed by the score, not by the option: two routes that serve one model have one quality.
    return view.case.draws.shifted(f"score {outcome.score.note} {value.p50}", value.p10, value.p50, value.p90)


def _tree(view: View) -> Term:
    demand = view.case.scenario.demand
    children = (
        Term(
            label="requests a day, first month",
            value=demand.requests_per_day,
            unit="request",
            source="scenario",
        ),
        Term(label="growth a month", value=demand.growth_per_month_ratio, unit="ratio", source="scenario"),
        Term(label="horizon", value=view.case.horizon_s, unit="s", source="scenario"),
    )
    return Term(
        label="answers over the horizon",
        value=median(view.case.requests.sum(axis=1)),
        unit="request",
        formula="sum over months of requests a day x days x (1 + growth)^month",
        children=children,
    )
