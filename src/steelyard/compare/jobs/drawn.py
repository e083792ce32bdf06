"""The run of a step at the draws of what is uncertain about it: failures, the step time, what jobs lose beyond it."""

from __future__ import annotations

from steelyard import catalog, training
from steelyard.arch import Model
from steelyard.compare.draws import Draws
from steelyard.device import Device
from steelyard.records.estimate import estimate


def drawn_run(
    draws: Draws, step: training.Step, *, model: Model, device: Device, tokens: float, method: str
) -> training.Run:
    """Return the run of a step at the draws [D, 1]; the median case where the draws have no seed."""
    fitted = catalog.calibration("training")
    mtbf = estimate(training.mtbf_points())
    return training.run(
        step,
        tokens=tokens,
        device=device,
        reliability=training.reliability(device_mtbf_s=draws.between("mtbf", mtbf.p10, mtbf.p50, mtbf.p90)),
        checkpoint_bytes=training.checkpoint_bytes(model) if method == "full" else 0.0,
        time_ratio=draws.factor("training_time", fitted["step_time_residual_sigma"].value),
        job_time_ratio=fitted["whole_job_time_ratio"].value
        * draws.factor("whole_job", fitted["whole_job_residual_sigma"].value),
    )
