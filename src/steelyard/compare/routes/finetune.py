"""Route `finetune`: tune an open model on one's own devices, then serve it."""

from __future__ import annotations

import numpy as np

from steelyard.compare.case import Case
from steelyard.compare.routes.outcome import Outcome, Training, Unpriced
from steelyard.compare.routes.people import engineer_usd_per_month
from steelyard.compare.routes.trained import failed, serve_after
from steelyard.compare.routes.training_leg import Job, in_months, refresh_months, train
from steelyard.compare.scenario import FinetuneRoute
from steelyard.errors import DoesNotFitError, UnknownError
from steelyard.units import SECONDS_PER_MONTH

BATCH_SEQUENCES = 32  # sequences a step of fine-tuning sees
SEQ_TOKENS = 4096.0


def evaluate(case: Case) -> list[Outcome | Unpriced]:
    route = case.scenario.routes.finetune
    if not route:
        return []
    try:
        run = train(case, job_of(route))
    except (DoesNotFitError, UnknownError) as error:
        return [failed(case, "finetune", route.model, str(error))]
    setup_s = case.assumed("setup_finetune")
    refreshes = refresh_months(case, route.refresh_months)
    once, again = run.usd_with_refreshes(route.runs, route.runs, refreshes)
    people = route.engineers * engineer_usd_per_month(case) * setup_s / SECONDS_PER_MONTH
    times = route.runs * (1 + len(refreshes))
    leg = Training(
        usd=once + people + route.each_time_usd,
        wall_s=np.asarray(run.run.wall_s),
        device_s=np.asarray(run.run.device_s) * times,
        energy_j=run.energy_j * times,
        flop=np.full((1, 1), np.asarray(run.run.training_flop).item() * times),
        num_devices=route.num_devices,
        note=run.description,
    )
    return serve_after(
        case,
        "finetune",
        route,
        run,
        leg,
        runs_usd=once,
        people_usd=people,
        ready_s=setup_s + np.asarray(run.run.wall_s) * route.runs,
        repeats=again + in_months(case, np.full((1, 1), route.each_time_usd), refreshes),
    )


def job_of(route: FinetuneRoute) -> Job:
    return Job(
        model_ref=route.model,
        device_ref=route.device,
        num_devices=route.num_devices,
        pricing=route.pricing,
        tokens=route.training_tokens,
        seq_tokens=SEQ_TOKENS,
        global_batch_tokens=BATCH_SEQUENCES * SEQ_TOKENS,
        method=route.method,
        from_nothing=False,
    )
