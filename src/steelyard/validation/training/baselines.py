"""What two simple rules say of training runs, to be beaten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from steelyard import arch
from steelyard.device import effective_compute_dtype, peak_flop_per_s
from steelyard.validation.baselines import constant_share, nearest_row
from steelyard.validation.points import Vector
from steelyard.validation.training.points import MEMORY, SPEED, Run
from steelyard.validation.training.tasks import Task


def baselines(task: Task, found: Sequence[Run]) -> Mapping[str, Vector]:
    """Return, for each point, one share of the printed peak (speed) or capacity (memory), and the nearest row's share.

    Both shares are of other families of sources only.
    """
    measured = np.exp(task.log_measured)
    scale = np.array([_scale(task.metric, found[number]) for number in task.at])
    families = np.array(task.families)
    features = np.array([_features(found[number]) for number in task.at])
    return {
        "constant": constant_share(measured, scale, families),
        "nearest": nearest_row(measured, scale, families, features),
    }


def _scale(metric: str, run: Run) -> float:
    """Return tokens/s (seconds of the job) at the printed peak of the run's number format, or the device's memory."""
    if metric == MEMORY:
        return run.device.accelerator.hbm_bytes
    dtype = effective_compute_dtype(run.device, run.alternatives[0][1].compute_dtype)
    flop = arch.flop_per_token(run.model, run.seq_tokens, training=True)
    rate = peak_flop_per_s(run.device, dtype) / float(flop)
    if metric == SPEED:
        return rate
    layout = run.alternatives[0][0]
    return run.steps * float(layout.global_batch) * run.seq_tokens / float(np.asarray(layout.num_devices)) / rate


def _features(run: Run) -> list[float]:
    """Return what makes two runs alike, as logarithms."""
    layout, recipe = run.alternatives[0]
    card = run.device.accelerator
    sizes = (
        arch.count_params(run.model).active_params, run.seq_tokens, layout.num_devices, layout.tp, layout.pp,
        layout.micro_batch, peak_flop_per_s(run.device, effective_compute_dtype(run.device, "bf16")), card.hbm_bytes,
    )  # fmt: skip
    logs = [float(np.log(float(np.asarray(size)))) for size in sizes]
    return [
        *logs,
        float(layout.recompute == "full"),
        float(recipe.compute_dtype == "fp8"),
        float(recipe.method == "lora"),
    ]
