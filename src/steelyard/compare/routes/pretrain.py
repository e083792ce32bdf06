"""Route `pretrain`: train a model of this shape from nothing, then serve it."""

from __future__ import annotations

import numpy as np

from steelyard.compare.case import Case
from steelyard.compare.routes.outcome import Outcome, Training, Unpriced
from steelyard.compare.routes.people import engineer_usd_per_month
from steelyard.compare.routes.trained import failed, serve_after
from steelyard.compare.routes.training_leg import Job, in_months, refresh_months, train
from steelyard.compare.scenario import PretrainRoute
from steelyard.errors import DoesNotFitError, UnknownError
from steelyard.units import SECONDS_PER_MONTH


def evaluate(case: Case) -> list[Outcome | Unpriced]:
    route = case.scenario.routes.pretrain
    if not route:
        return []
    try:
        run = train(case, job_of(route))
    except (DoesNotFitError, UnknownError) as error:
        return [failed(case, "pretrain", route.model, str(error))]
    setup_s = case.assumed("setup_pretrain")
    wall_s = np.asarray(run.run.wall_s)
    refreshes = refresh_months(case, route.refresh_months)
    once, again = run.usd_with_refreshes(route.rd_multiplier, 1.0, refreshes)
    runs = route.rd_multiplier + len(refreshes)
    people = route.engineers * engineer_usd_per_month(case) * (setup_s + wall_s) / SECONDS_PER_MONTH
    leg = Training(
        usd=once + people + route.each_time_usd,
        wall_s=wall_s,
        device_s=np.asarray(run.run.device_s) * runs,
        energy_j=run.energy_j * runs,
        flop=np.full((1, 1), np.asarray(run.run.training_flop).item() * runs),
        num_devices=route.num_devices,
        note=run.description,
    )
    return serve_after(
        case,
        "pretrain",
        route,
        run,
        leg,
        runs_usd=once,
        people_usd=people,
        ready_s=setup_s + wall_s,
        repeats=again + in_months(case, np.full((1, 1), route.each_time_usd), refreshes),
    )


def job_of(route: PretrainRoute) -> Job:
    return Job(
        model_ref=route.model,
        device_ref=route.device,
        num_devices=route.num_devices,
        pricing=route.pricing,
        tokens=route.tokens,
        seq_tokens=route.seq_tokens,
        global_batch_tokens=route.global_batch_tokens,
        rd_multiplier=route.rd_multiplier,
    )
