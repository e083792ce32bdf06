"""Route `finetune`: tune an open model on one's own devices, then serve it."""

from __future__ import annotations

from steelyard.compare.case import Case
from steelyard.compare.routes.outcome import Outcome, Unpriced
from steelyard.compare.routes.trained import Course, train_and_serve
from steelyard.compare.routes.training_leg import Job
from steelyard.compare.scenario import FinetuneRoute

BATCH_SEQUENCES = 32  # sequences a step of fine-tuning sees
SEQ_TOKENS = 4096.0


def evaluate(case: Case) -> list[Outcome | Unpriced]:
    route = case.scenario.routes.finetune
    if not route:
        return []
    course = Course(first_count=route.runs, refresh_count=route.runs, sequential_count=route.runs, attended_count=0.0)
    return train_and_serve(case, "finetune", route, job_of(route), course)


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
