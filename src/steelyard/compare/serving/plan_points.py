"""Simulated operating points of a candidate: the largest rate within an objective, parts of it, ranges there."""

from __future__ import annotations

import math

import numpy as np

from steelyard import economics, inference
from steelyard.compare.serving.energy import energy_of
from steelyard.compare.serving.plan_result import Candidate, PlanOption, PlanPoint
from steelyard.compare.serving.plan_search import Search
from steelyard.compare.serving.traffic import time_ratios
from steelyard.inference.simulator import Distribution, ServingResult
from steelyard.records.estimate import Estimate, estimate
from steelyard.records.sweep import swept
from steelyard.records.workload import Objective

_WIDEN = 1.25
_WIDENINGS, _BISECTIONS = 12, 5
_PARTLY = (0.1, 0.4, 0.7)  # of the largest rate: where a user gets more


def close_in(search: Search, candidate: Candidate) -> tuple[PlanPoint, ...]:
    """Return simulated points around the largest rate within the objective and at parts of it, by rate."""
    rate, points = max(candidate.bound_request_per_s, 1e-3), []
    low = high = 0.0  # largest rate that keeps the objective, least that does not
    for _ in range(_WIDENINGS):
        points.append(simulated_point(search, candidate, rate))
        if points[-1].meets:
            low = rate
        else:
            high = rate
        if low and high:
            break
        rate = rate * _WIDEN if points[-1].meets else rate / (_WIDEN if high == points[0].request_rate_per_s else 2.0)
    if low and high:
        for _ in range(_BISECTIONS):
            rate = math.sqrt(low * high)
            points.append(simulated_point(search, candidate, rate))
            low, high = (rate, high) if points[-1].meets else (low, rate)
    points += [simulated_point(search, candidate, share * low, answered=low) for share in _PARTLY if low]
    return tuple(sorted(points, key=lambda point: point.request_rate_per_s))


def _sigma(search: Search, candidate: Candidate) -> float:
    on = search.on(candidate.device_id)
    return inference.time_residual_sigma(search.model, on, search.question.engine_on(on).kernels)


def simulated_point(search: Search, candidate: Candidate, rate: float, *, answered: float = 0.0) -> PlanPoint:
    """Return the point at a rate; up to `answered` the pace is known to be kept."""
    objective, run = search.question.objective, search.simulated(candidate, rate)
    tokens = run.num_requests * run.output_tokens_per_s / run.request_rate_per_s
    return PlanPoint(
        request_rate_per_s=rate,
        ttft_s=run.ttft.percentile_s(objective.ttft_percentile),
        tpot_s=run.tpot.percentile_s(objective.tpot_percentile),
        tokens_per_s_per_user=1.0 / _token_s(run.tpot, run.ttft),
        tokens_per_s_per_device=run.output_tokens_per_s / candidate.num_devices,
        energy=energy_of(run, economics.pue("hyperscaler").value).per(tokens),
        meets=within(run, objective) and (rate <= answered or search.keeps_pace(candidate, rate)),
    )


def _token_s(tpot: Distribution, ttft: Distribution) -> float:
    """Return the median time of a user's token; of answers of one token, which have no TPOT, that until it."""
    return (tpot if tpot.counts.any() else ttft).percentile_s(50.0)


def within(run: ServingResult, objective: Objective) -> bool:
    """Tell whether a run keeps the objective at its percentiles; answers of one token keep any TPOT."""
    ttft_s, tpot_s = (
        run.ttft.percentile_s(objective.ttft_percentile),
        run.tpot.percentile_s(objective.tpot_percentile),
    )
    return ttft_s <= objective.ttft_s and (math.isnan(tpot_s) or tpot_s <= objective.tpot_s)


def ranges_at(search: Search, option: PlanOption) -> tuple[dict[str, Estimate], float]:
    """Return TTFT and TPOT of an option at its part of the demand over draws of the step-time residual."""
    count = search.question.draws
    if count < 1:
        return {}, math.nan
    objective, rate = search.question.objective, option.at.request_rate_per_s
    if search.request_rate_per_s is not None:
        rate = search.request_rate_per_s / option.units

    def drawn(ratio: float) -> tuple[ServingResult, bool]:
        run = search.simulated(option.candidate, rate, time_ratio=ratio)
        return run, within(run, objective) and search.keeps_pace(option.candidate, rate, time_ratio=ratio)

    runs, kept = zip(*swept(drawn, time_ratios(_sigma(search, option.candidate), count).tolist()), strict=True)
    return {
        "ttft_s": estimate([run.ttft.percentile_s(objective.ttft_percentile) for run in runs]),
        "tpot_s": estimate([run.tpot.percentile_s(objective.tpot_percentile) for run in runs]),
        "output_tokens_per_s": estimate([run.output_tokens_per_s * option.units for run in runs]),
    }, float(np.mean(kept))
