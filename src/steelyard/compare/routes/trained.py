"""What routes with training in them share: the model is served afterwards, the training is paid before."""

from __future__ import annotations

import dataclasses
from functools import partial

from steelyard.compare.case import Case
from steelyard.compare.draws import Draw
from steelyard.compare.routes.outcome import Outcome, Training, Tree, Unpriced, median
from steelyard.compare.routes.people import people_terms
from steelyard.compare.routes.serve import serve_options
from steelyard.compare.routes.training_leg import TrainingRun
from steelyard.compare.scenario import FinetuneRoute, PretrainRoute, ServeRoute
from steelyard.records.term import Term


def failed(case: Case, route: str, option: str, reason: str) -> Unpriced:
    return Unpriced(route=route, option=option, reason=reason, score=case.score(route))


def serve_after(
    case: Case,
    name: str,
    route: FinetuneRoute | PretrainRoute,
    run: TrainingRun,
    leg: Training,
    *,
    runs_usd: Draw,
    people_usd: Draw,
    ready_s: Draw,
    repeats: Draw,
) -> list[Outcome | Unpriced]:
    """Return the options of serving a trained model, with its training before the first answer and `repeats` [D, M].

    It is served as the scenario's serve route is, else on the device and by the people that trained it. `runs_usd` and
    `people_usd` are what all runs and the people before the first answer cost, parts of the leg's money.
    """
    own = ServeRoute(devices=(route.device,), pricing=(route.pricing,), engineers=route.engineers)
    settings = (case.scenario.routes.serve or own).model_copy(update={"weight_dtype": None, "model": route.model})
    before = partial(_before, case, route, run, leg, runs_usd, people_usd)
    options: list[Outcome | Unpriced] = []
    for served in serve_options(case, settings, name, route.model):
        if isinstance(served, Unpriced):
            options.append(served)
            continue
        options.append(
            dataclasses.replace(
                served,
                monthly_usd=served.monthly_usd + repeats,
                upfront_usd=leg.usd,
                first_answer_s=ready_s,
                training=dataclasses.replace(leg, refresh_usd=repeats.sum(axis=1, keepdims=True)),
                held=partial(_held, served, f"{leg.num_devices:g} {route.device} for the training"),
                tree=partial(_tree, name, served, leg, repeats, before),
            )
        )
    return options


def _before(
    case: Case, route: FinetuneRoute | PretrainRoute, run: TrainingRun, leg: Training, runs_usd: Draw, people_usd: Draw
) -> Term:
    """Return what is paid before the first answer: all runs, data and evaluation, people."""
    runs = Term(
        label="all runs",
        value=median(runs_usd),
        unit="usd",
        formula="the run x repeats of the recipe",
        children=(run.tree(),),
    )
    data = Term(label="data and evaluation", value=route.each_time_usd, unit="usd", source="stated in the scenario")
    people = Term(
        label="people until the first answer",
        value=median(people_usd),
        unit="usd",
        formula="engineers x what one costs x time",
        children=people_terms(case, route.engineers),
    )
    return Term(
        label="before the first answer",
        value=median(leg.usd),
        unit="usd",
        formula="all runs + data and evaluation + people",
        children=(runs, data, people),
    )


def _held(served: Outcome, training: str) -> str:
    return f"{served.to_rent_or_buy}; {training}"


def _tree(name: str, served: Outcome, leg: Training, repeats: Draw, before: Tree) -> Term:
    after = Term(
        label="refreshes",
        value=median(repeats.sum(axis=1)),
        unit="usd",
        formula="one run each time (a commitment pays for all in it), data again",
    )
    return Term(
        label=f"{name}: {served.option}",
        value=median(served.total_usd + leg.usd + repeats.sum(axis=1, keepdims=True)),
        unit="usd",
        formula="before the first answer + refreshes + serving",
        children=(before(), after, served.tree()),
    )
