"""A whole trial, step by step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from steelyard.measure.training import TrainingMeasures
from steelyard.measure.trial.plan import TrialPlan
from steelyard.measure.trial.pretrained import measure_pretrained, pretrained_gguf
from steelyard.measure.trial.serving import ask, measure_users, served
from steelyard.measure.trial.training import config_of, kept_trial, measure_scaling, train_kept
from steelyard.records.trial import ServingTrial, Trial
from steelyard.runtime.own_process import ended_by_signal

SATURATED_USERS = 2  # a place
_TEMPERATURE = 0.4  # the likeliest words of a model so small soon go round in circles


def run_trial(plan: TrialPlan, folder: Path, told: Callable[[str], None]) -> tuple[Trial, TrainingMeasures]:
    """Train and serve a small model on this machine; return what both did, and what the training was worth.

    Args:
        plan: Sizes and times.
        folder: A folder to work in; the trained model is left in `folder/kept/model`.
        told: Called with what is done next.

    Raises:
        OutsideProgramError: A command failed; nothing is left running.
    """
    with ended_by_signal():
        told(f"training {plan.params} parameters on Python's own source text for {plan.train_s:.0f} s")
        kept = folder / "kept"
        measured = train_kept(plan, kept)
        told(f"training on one rank, on {plan.copies} apart, on {plan.copies} together")
        trained = kept_trial(plan, measured)
        scaling = measure_scaling(plan, folder / "scaling", kept, trained)
        told("serving it on one replica")
        serving: dict[str, ServingTrial] = {}
        with served(plan, kept / "model", 1) as address:
            answer = ask(address.endpoint, plan.prompt, temperature=_TEMPERATURE)
            started_s = address.started_s
            for name, users in (("alone", 1), ("batch", plan.slots), ("one", SATURATED_USERS * plan.slots)):
                serving[name] = measure_users(plan, address.endpoint, 1, users)
            held = address.process.resident_bytes()
        told(f"serving it on {plan.copies} replicas")
        with served(plan, kept / "model", plan.copies) as address:
            users = SATURATED_USERS * plan.slots * plan.copies
            serving["all"] = measure_users(plan, address.endpoint, plan.copies, users)
        pretrained, gguf = None, pretrained_gguf()
        if gguf is not None:
            told(f"serving {gguf.stem}")
            pretrained = measure_pretrained(plan, gguf)
    trial = Trial(
        config=config_of(kept),
        training=trained,
        scaling=scaling,
        serving=serving,
        started_s=started_s,
        serving_bytes=held,
        prompt=plan.prompt,
        answer=answer,
        pretrained=pretrained,
    )
    return trial, measured
