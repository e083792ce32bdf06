"""What routes with training in them share: the model is served afterwards, the training is paid before."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial

import numpy as np

from steelyard.compare.case import Case
from steelyard.compare.draws import Draw
from steelyard.compare.routes.outcome import Outcome, Training, Unpriced, median
from steelyard.compare.routes.people import engineer_usd_per_month, people_terms
from steelyard.compare.routes.serve import serve_options
from steelyard.compare.routes.training_leg import Job, TrainingRun, in_months, refresh_months, train
from steelyard.compare.scenario import FinetuneRoute, PretrainRoute, ServeRoute
from steelyard.errors import DoesNotFitError, UnknownError
from steelyard.records.term import Term
from steelyard.units import SECONDS_PER_MONTH

Route = FinetuneRoute | PretrainRoute


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How often the run of a training is paid, waited for and attended; part of it can be small runs that add up."""

    first_count: float  # paid before the first answer
    refresh_count: float  # paid for each refresh
    sequential_count: float  # waited for before the first answer
    attended_count: float  # of these, those that engineers stay for


@dataclass(frozen=True, slots=True, kw_only=True)
class _Paid:
    """What a training costs before the first answer and after it."""

    run: TrainingRun
    leg: Training  # as part of the outcome; its money is that before the first answer
    runs_usd: Draw
    people_usd: Draw
    ready_s: Draw
    refresh_usd: Draw  # [D, M]


def failed(case: Case, route: str, option: str, reason: str) -> Unpriced:
    return Unpriced(route=route, option=option, reason=reason, score=case.score(route))


def train_and_serve(case: Case, name: str, route: Route, job: Job, course: Course) -> list[Outcome | Unpriced]:
    """Return the options of serving a trained model, with its training before the first answer and its refreshes.

    It is served as the scenario's serve route is, else on the device and by the people that trained it.
    """
    try:
        run = train(case, job)
    except (DoesNotFitError, UnknownError) as error:
        return [failed(case, name, route.model, str(error))]
    own = ServeRoute(devices=(route.device,), pricing=(route.pricing,), engineers=route.engineers)
    settings = (case.scenario.routes.serve or own).model_copy(update={"weight_dtype": None, "model": route.model})
    paid = _paid(case, name, route, run, course)
    served = serve_options(case, settings, name, route.model)
    return [one if isinstance(one, Unpriced) else _after(case, name, route, one, paid) for one in served]


def _paid(case: Case, name: str, route: Route, run: TrainingRun, course: Course) -> _Paid:
    setup_s, wall_s = case.assumed(f"setup_{name}"), np.asarray(run.run.wall_s)
    refreshes = refresh_months(case, route.refresh_months)
    once, again = run.usd_with_refreshes(course.first_count, course.refresh_count, refreshes)
    runs = course.first_count + course.refresh_count * len(refreshes)
    attended_s = setup_s + wall_s * course.attended_count
    people = route.engineers * engineer_usd_per_month(case) * attended_s / SECONDS_PER_MONTH
    leg = Training(
        usd=once + people + route.each_time_usd,
        wall_s=wall_s,
        device_s=np.asarray(run.run.device_s) * runs,
        energy_j=run.energy_j * runs,
        flop=np.full((1, 1), np.asarray(run.run.training_flop).item() * runs),
        num_devices=route.num_devices,
        note=run.description,
    )
    return _Paid(
        run=run,
        leg=leg,
        runs_usd=once,
        people_usd=people,
        ready_s=setup_s + wall_s * course.sequential_count,
        refresh_usd=again + in_months(case, np.full((1, 1), route.each_time_usd), refreshes),
    )


def _after(case: Case, name: str, route: Route, served: Outcome, paid: _Paid) -> Outcome:
    """Return one way of serving the model, with what its training costs and how long it takes."""
    return dataclasses.replace(
        served,
        monthly_usd=served.monthly_usd + paid.refresh_usd,
        upfront_usd=paid.leg.usd,
        first_answer_s=paid.ready_s,
        training=dataclasses.replace(paid.leg, refresh_usd=paid.refresh_usd.sum(axis=1, keepdims=True)),
        held=partial(_held, served, f"{paid.leg.num_devices:g} {route.device} for the training"),
        tree=partial(_tree, case, name, route, served, paid),
    )


def _before(case: Case, route: Route, paid: _Paid) -> Term:
    """Return what is paid before the first answer: all runs, data and evaluation, people."""
    runs = Term(
        label="all runs",
        value=median(paid.runs_usd),
        unit="usd",
        formula="the run x repeats of the recipe",
        children=(paid.run.tree(),),
    )
    data = Term(label="data and evaluation", value=route.each_time_usd, unit="usd", source="stated in the scenario")
    people = Term(
        label="people until the first answer",
        value=median(paid.people_usd),
        unit="usd",
        formula="engineers x what one costs x time",
        children=people_terms(case, route.engineers),
    )
    return Term(
        label="before the first answer",
        value=median(paid.leg.usd),
        unit="usd",
        formula="all runs + data and evaluation + people",
        children=(runs, data, people),
    )


def _held(served: Outcome, training: str) -> str:
    return f"{served.to_rent_or_buy}; {training}"


def _tree(case: Case, name: str, route: Route, served: Outcome, paid: _Paid) -> Term:
    after = Term(
        label="refreshes",
        value=median(paid.refresh_usd.sum(axis=1)),
        unit="usd",
        formula="one run each time (a commitment pays for all in it), data again",
    )
    return Term(
        label=f"{name}: {served.option}",
        value=median(served.total_usd + paid.leg.usd + paid.refresh_usd.sum(axis=1, keepdims=True)),
        unit="usd",
        formula="before the first answer + refreshes + serving",
        children=(_before(case, route, paid), after, served.tree()),
    )
