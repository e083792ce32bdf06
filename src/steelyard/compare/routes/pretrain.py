"""Route `pretrain`: train a model of this shape from nothing, then serve it."""

from __future__ import annotations

from steelyard.compare.case import Case
from steelyard.compare.routes.outcome import Outcome, Unpriced
from steelyard.compare.routes.trained import Course, train_and_serve
from steelyard.compare.routes.training_leg import Job
from steelyard.compare.scenario import PretrainRoute


def evaluate(case: Case) -> list[Outcome | Unpriced]:
    route = case.scenario.routes.pretrain
    if not route:
        return []
    course = Course(first_count=route.rd_multiplier, refresh_count=1.0, sequential_count=1.0, attended_count=1.0)
    return train_and_serve(case, "pretrain", route, job_of(route), course)


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
