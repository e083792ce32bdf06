"""The training side of a trial: the model that is kept, and what further ranks bring."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from steelyard.errors import OutsideProgramError
from steelyard.measure.training import TrainingMeasures, measure_training
from steelyard.measure.trial.plan import TrialPlan
from steelyard.records.trial import TrainingTrial
from steelyard.runtime.own_process import finished
from steelyard.runtime.train import TrainJob, load_job, prepare, read_log

_LEARNING_RATE = 3e-3  # high: the run is short
_LEAST_STEPS, _MOST_STEPS = 6, 60  # of runs whose speed is compared


def train_kept(plan: TrialPlan, folder: Path) -> TrainingMeasures:
    """Train the model that is served, with all threads, for the time planned; its folder is `folder`."""
    limits = {"time": f"{plan.train_s} s", "tokens": plan.train_steps * plan.batch * plan.sequence_tokens}
    job = _job(plan, folder, ranks=1, threads=plan.cores, limits=limits, questions=plan.questions)
    _run([job], threads=plan.cores, timeout_s=plan.timeout_s)
    return measure_training(read_log(folder))


def kept_trial(plan: TrialPlan, measured: TrainingMeasures) -> TrainingTrial:
    """Return the speed of the run that was kept."""
    return _trial(plan, [measured], ranks=1, threads=plan.cores)


def measure_scaling(plan: TrialPlan, folder: Path, lender: Path, kept: TrainingTrial) -> dict[str, TrainingTrial]:
    """Return the speed of one rank, of as many runs at once that do not talk, and of as many ranks of one run.

    Each process has one thread and the same work a step. What the runs apart lose against one is what they take from
    each other (memory bandwidth, clocks); what the ranks lose beyond that is communication.
    """
    steps = min(max(round(plan.scaling_s / (kept.step_s * kept.threads)), _LEAST_STEPS), _MOST_STEPS)
    found = {}
    for name, ranks, together in (("one", 1, 1), ("apart", 1, plan.copies), ("ranks", plan.copies, 1)):
        jobs = []
        for number in range(together):
            out = folder / f"{name}-{number}"
            limits = {"tokens": steps * plan.batch * ranks * plan.sequence_tokens}
            job = _job(plan, out, ranks=ranks, threads=1, limits=limits, questions=0)
            prepare(job, lender=lender)
            jobs.append(job)
        _run(jobs, threads=1, timeout_s=plan.timeout_s)
        measured = [measure_training(read_log(job.out)) for job in jobs]
        found[name] = _trial(plan, measured, ranks=ranks, threads=1)
    return found


def config_of(folder: Path) -> dict[str, Any]:
    """Return the configuration of the model of a run that has ended."""
    found: dict[str, Any] = json.loads((folder / "model" / "config.json").read_text(encoding="utf-8"))
    return found


def _job(
    plan: TrialPlan, out: Path, *, ranks: int, threads: int, limits: Mapping[str, Any], questions: int
) -> TrainJob:
    stated: dict[str, Any] = {
        "out": str(out), "model": plan.params, "tokenizer": plan.vocabulary, "sequence": plan.sequence_tokens,
        "batch": plan.batch * ranks, "micro_batch": plan.batch, "threads": threads, "processes": ranks,
        "device": "cpu", "learning_rate": _LEARNING_RATE, "warmup": 10, "limits": dict(limits),
        "evaluate": {"every": 10**6, "sequences": 64 if questions else 4, "questions": questions},
        "checkpoint": {"every": 10**6},
    }  # fmt: skip
    return load_job(None, stated if plan.data is None else stated | {"data": str(plan.data)})


def _run(jobs: Sequence[TrainJob], *, threads: int, timeout_s: float) -> None:
    commands = []
    for job in jobs:
        file = job.out.with_name(f"{job.out.name}.json")  # JSON is YAML
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(job.model_dump_json(by_alias=True, exclude_none=True, exclude_defaults=True), encoding="utf-8")
        commands.append(["train", str(file), "--json"])
    finished(commands, threads=threads, timeout_s=timeout_s)


def _trial(plan: TrialPlan, measured: Sequence[TrainingMeasures], *, ranks: int, threads: int) -> TrainingTrial:
    if any(run.step_s is None for run in measured):
        raise OutsideProgramError("training came to no step in its time: this machine is too busy to be measured")
    step_s = statistics.median(run.step_s or 0.0 for run in measured)
    return TrainingTrial(
        ranks=ranks,
        threads=threads,
        together=len(measured),
        sequence_tokens=plan.sequence_tokens,
        batch=plan.batch * ranks,
        micro_batch=plan.batch,
        dtype=measured[0].dtype,
        step_s=step_s,
        tokens_per_s=plan.batch * ranks * plan.sequence_tokens / step_s,
        peak_memory_bytes=max(run.peak_memory_bytes or 0.0 for run in measured),
    )
