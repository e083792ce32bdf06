"""The whole comparison: from a scenario to both tables, the break-even and the advice."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from steelyard import arch, inference, training
from steelyard.compare import words
from steelyard.compare.break_even import find_break_even
from steelyard.compare.case import Case, build_case
from steelyard.compare.draws import Draw
from steelyard.compare.factors import FACTORS
from steelyard.compare.result import ROUTES, BreakEven, Comparison
from steelyard.compare.routes import EVALUATE, finetune, pretrain
from steelyard.compare.routes.outcome import Outcome, Unpriced, choose, median
from steelyard.compare.routes.training_leg import Job, TrainingRun, train
from steelyard.compare.scenario import Scenario
from steelyard.compare.view import View
from steelyard.errors import DoesNotFitError, InputError, UnknownError
from steelyard.units import DAYS_PER_MONTH

TENFOLD = 10.0
HALF = 0.5
LEAST_OVERFLOW = 0.005  # of the answers, for a hybrid to be one
IDLE = "nothing overflows: as serve"
EMPTY = "everything overflows: as without a fleet"
COMPUTE_OPTIMAL_TOKENS_PER_PARAM = 20.0  # Hoffmann et al. 2022; only where no pretraining is stated
SEQ_TOKENS = 4096.0
FALLBACK_DEVICE = "h100-sxm5-80gb"  # trained on where none of the scenario's devices can be rented; the output says so


def compare(scenario: Scenario) -> Comparison:
    """Weigh inference against training, and the routes against each other, for one scenario.

    Raises:
        InputError: No route of the scenario could be priced, or no training run fits devices to stand beside it.
        UnknownError: No such run has a price.
    """
    case = build_case(scenario)
    view = look(case)
    even = break_even(view)
    factors = tuple(weigh(view) for weigh in FACTORS.values())
    return Comparison(
        title=scenario.name,
        outcome=words.outcome(view),
        summaries=tuple(words.summary(view, route) for route in ROUTES),
        factors=factors,
        advice=words.advice(view, even, factors),
        break_even=even,
        assumptions=words.assumptions(view),
        not_modelled=words.not_modelled(),
        warnings=words.warnings(view),
        sources=words.sources(view, [factor.tree for factor in factors]),
        inputs=scenario.to_dict(),
    )


def look(case: Case) -> View:
    """Return every route's chosen option, the two activities, the routes at ten times the load and the median case."""
    options = evaluate_routes(case)
    chosen = {route: unless_idle(choose(found)) for route, found in options.items()}
    priced = [found for found in chosen.values() if isinstance(found, Outcome)]
    if not priced:
        reasons = "; ".join(
            f"{found.route}: {found.reason}" for found in chosen.values() if isinstance(found, Unpriced)
        )
        raise InputError(
            f"no route can be priced ({reasons}); next step: state prices, other devices or a looser objective"
        )
    own = [found for found in priced if found.route == "serve"]
    run, odd = training_run(case)
    tenfold = {route: choose(found) for route, found in evaluate_routes(case.scaled(TENFOLD)).items()}
    view = View(
        case=case,
        chosen=chosen,
        able={route: names for route, found in options.items() if (names := _able(found))},
        tenfold={name: found for name, found in tenfold.items() if isinstance(found, Outcome)},
        inference=(own or priced)[0],
        training=run,
        odd=odd,
        typical=None,
        least_serving_devices=_least_devices(case),
    )
    return dataclasses.replace(view, typical=_typical(view))


def unless_idle(found: Outcome | Unpriced | None) -> Outcome | Unpriced | None:
    """Take a hybrid out of the running whose overflow or fleet is idle: it is another route under a second name."""
    if not isinstance(found, Outcome) or found.spilled_ratio is None or found.misses:
        return found
    over = found.spilled_ratio.mean(axis=1)
    if np.median(splits(found)) >= HALF:
        return found
    return dataclasses.replace(found, misses=IDLE if median(over) < HALF else EMPTY)


def splits(found: Outcome) -> Draw:
    """Tell in which rows [D] an option is what it is called: for a hybrid, where both its parts answer."""
    if found.spilled_ratio is None:
        return np.ones(len(found.total_usd))
    over = found.spilled_ratio.mean(axis=1)
    held = found.autoscales | (over <= 1 - LEAST_OVERFLOW)
    return np.asarray((over >= LEAST_OVERFLOW) & held, dtype=np.float64)


def _typical(view: View) -> View:
    """Return the chosen options in the median case."""
    priced = view.priced()
    case = view.case.at_loads(np.ones(1)).wanting({route: frozenset({found.option}) for route, found in priced.items()})
    same: dict[str, Outcome | Unpriced | None] = dict(view.chosen)
    for route, found in priced.items():
        options = [option for option in EVALUATE[route](case) if isinstance(option, Outcome)]
        same[route] = next(option for option in options if option.option == found.option)
    served = same[view.inference.route]
    assert isinstance(served, Outcome)
    return dataclasses.replace(view, case=case, chosen=same, inference=served, training=train(case, view.training.job))


def evaluate_routes(case: Case) -> dict[str, list[Outcome | Unpriced]]:
    """Return each route's options at this load."""
    return {route: EVALUATE[route](case) for route in ROUTES}


def training_run(case: Case) -> tuple[TrainingRun, str]:
    """Return the run that stands for training, and what is odd about it.

    It is the scenario's pretraining, else its fine-tuning; where that cannot be priced or does not fit, or neither is
    stated, the scenario's model at the compute optimum, on the first of its devices that can be rented.
    """
    routes = case.scenario.routes
    refused: DoesNotFitError | UnknownError | None = None
    stated = pretrain.job_of(routes.pretrain) if routes.pretrain else None
    if stated is None and routes.finetune:
        stated = finetune.job_of(routes.finetune)
    if stated:
        try:
            return train(case, stated), ""
        except (DoesNotFitError, UnknownError) as error:
            refused = error
    for device_ref in (*(routes.serve.devices if routes.serve else ()), FALLBACK_DEVICE):
        try:
            run = train(case, _compute_optimal_job(case, device_ref))
        except (DoesNotFitError, UnknownError) as error:
            refused = refused or error
            continue
        odd = f"the training stated cannot stand for training ({refused}); {run.description} does" if stated else ""
        return run, odd
    told = f"no training run can stand beside inference: {refused}"
    if isinstance(refused, UnknownError):  # says itself what to state
        raise UnknownError(told)
    raise InputError(f"{told}; next step: state routes.pretrain")


def _compute_optimal_job(case: Case, device_ref: str) -> Job:
    model = case.model(case.scenario.model)
    least = training.least_devices(model, case.device(device_ref), seq_tokens=SEQ_TOKENS)
    num_devices = max(8, 2 ** int(np.ceil(np.log2(least))) * 4)  # beyond the least: room for a usual micro-batch
    return Job(
        model_ref=case.scenario.model,
        device_ref=device_ref,
        num_devices=num_devices,
        pricing="on_demand",
        tokens=COMPUTE_OPTIMAL_TOKENS_PER_PARAM * arch.count_params(model).active_params,
        seq_tokens=SEQ_TOKENS,
        global_batch_tokens=SEQ_TOKENS * max(256, num_devices),
    )


def _least_devices(case: Case) -> int:
    serve = case.scenario.routes.serve
    if not serve:
        return 0
    model = case.model(serve.model or case.scenario.model)
    fits = []
    for device_ref in serve.devices:
        try:
            fits.append(inference.least_devices(model, case.device(device_ref), weight_dtype=serve.weight_dtype))
        except DoesNotFitError:
            continue
    return min(fits, default=0)


def break_even(view: View) -> BreakEven:
    """Return which route in the running is cheapest at which load, at the median of the uncertain inputs."""
    case = view.case
    first = case.scenario.demand.requests_per_day * DAYS_PER_MONTH
    running = tuple(view.able)

    def curves(loads: npt.NDArray[np.float64], routes: tuple[str, ...] = running) -> dict[str, npt.NDArray[np.float64]]:
        at = case.at_loads(loads / first).wanting(view.able)
        costs = {}
        for route in routes:
            options = [outcome for outcome in EVALUATE[route](at) if isinstance(outcome, Outcome)]
            totals = [
                np.broadcast_to(np.where(splits(option) > 0, option.total_usd[:, 0], np.inf), loads.shape)
                for option in options
            ]
            costs[route] = np.min(totals, axis=0) / case.months
        return costs

    return find_break_even(curves, stated_requests_per_month=first)


def _able(options: Iterable[Outcome | Unpriced]) -> frozenset[str]:
    """Return the names of the options that can be in the running."""
    return frozenset(option.option for option in options if isinstance(option, Outcome) and not option.why_not)
