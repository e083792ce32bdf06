"""The whole training job: from tokens to days, device-hours and joules, with failures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steelyard.device import Device, power_w
from steelyard.errors import InputError
from steelyard.records.term import term
from steelyard.records.usage import Usage
from steelyard.training.calibration import parameter
from steelyard.training.reliability import Reliability, checkpoint_interval, goodput_ratio
from steelyard.training.step import Step
from steelyard.units import Array

_DALY = "Daly, FGCS 22(3), 2006"
_COMPUTING = ("forward_s", "backward_s", "recompute_s", "ends_s", "optimizer_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A training job from the first to the last token; arrays broadcast over layouts and draws."""

    wall_s: Array = term(
        "time to train", "s", "productive_s / goodput_ratio * job_time_ratio",
        parts=("productive_s", "goodput_ratio", "job_time_ratio"),
    )  # fmt: skip
    productive_s: Array = term("time of the steps alone", "s", "step_count * step_s", parts=("step_count", "step"))
    goodput_ratio: Array = term(
        "share of the time with kept progress", "ratio",
        "interval / (M exp(restart / M) (exp((interval + write) / M) - 1)) * (1 - pauses), M = job_mtbf_s", _DALY,
        parts=("job_mtbf_s", "checkpoint_s", "checkpoint_interval_s", "restart_s"),
    )  # fmt: skip
    job_time_ratio: Array = term(
        "time of reported jobs / predicted", "ratio",
        "reruns, warm-up, layouts and software short of the best", "calibration/training.toml",
    )  # fmt: skip
    job_mtbf_s: Array = term("time between failures of the job", "s", "MTBF of a device / devices", "table failures")
    checkpoint_s: Array = term("time of one checkpoint", "s", "bytes / (devices * write rate of one)")
    checkpoint_interval_s: Array = term(
        "work between checkpoints", "s", "sqrt(2 write M), with higher-order terms", _DALY
    )
    restart_s: Array = term("restart after a failure", "s", source="table failures")
    failure_count: Array = term("failures to expect", "failure", "wall_s / job_mtbf_s")
    device_s: Array = term(
        "device time, spares and idle included", "device_s", "wall_s * devices * (1 + spares)",
        parts=("wall_s", "num_devices"),
    )  # fmt: skip
    it_energy_j: Array = term(
        "IT energy, before PUE", "j", "wall_s * (devices at their busy share + idle spares) * power",
        parts=("wall_s", "num_devices"),
    )  # fmt: skip
    mfu_ratio: Array = term(
        "MFU of a step (the headline)", "ratio", "model FLOP / (step time * devices * peak)", parts=("step",)
    )
    whole_job_mfu_ratio: Array = term(
        "efficiency of the whole job", "ratio", "model FLOP of all tokens / (device_s * bf16 peak)",
        parts=("mfu_ratio", "goodput_ratio", "job_time_ratio"),
    )  # fmt: skip
    training_flop: Array = term("model FLOP of all tokens", "flop", "FLOP of a step * step_count")
    tokens: Array = term("training tokens", "token")
    step_count: Array = term("optimizer steps", "", "ceil(tokens / global batch)")
    num_devices: Array = term("devices in use", "device")
    step: Step

    @property
    def usage(self) -> Usage:
        """What the job uses, for `economics` to price."""
        return Usage(
            device_s=self.device_s,
            busy_device_s=self.productive_s * self.num_devices,
            it_energy_j=self.it_energy_j,
            training_tokens=self.tokens,
        )


def run(
    step: Step,
    *,
    tokens: Array,
    device: Device,
    reliability: Reliability,
    checkpoint_bytes: Array,
    num_devices: Array | None = None,
    time_ratio: Array = 1.0,
    job_time_ratio: Array | None = None,
) -> Run:
    """Return the whole job: wall time, goodput, device time, energy, headline and whole-job efficiency.

    wall = steps * step time / goodput * job time ratio; device time = wall * devices * (1 + spares).

    Args:
        step: The step time of the layout used.
        tokens: Training tokens, repetitions included.
        device: For its power.
        reliability: Failures, restarts, checkpoint writing (draws allowed).
        checkpoint_bytes: Of one checkpoint (`training.checkpoint_bytes(model)`).
        num_devices: Devices of the job; those of the layout when None.
        time_ratio: Factor on the step time: draws of its residual, or 1.
        job_time_ratio: What reported jobs took over what is predicted for them; calibrated when None, 1 for the ideal.

    Returns:
        A `Run` in the broadcast shape of its inputs.

    Raises:
        InputError: Tokens not above 0.

    Assumes:
        Failures are independent and stop the whole job; checkpoints hold it up while they are written.

    Source:
        Daly, "A higher order estimate of the optimum checkpoint interval", FGCS 22(3), 2006.
    """
    if np.any(np.asarray(tokens) <= 0):
        raise InputError("training tokens must be above 0")
    count = np.asarray(step.num_devices if num_devices is None else num_devices, np.float64)
    step_s = np.asarray(step.step_s) * time_ratio
    steps = np.ceil(np.asarray(tokens) / step.global_batch_tokens)
    job_mtbf_s = np.asarray(reliability.device_mtbf_s) / count
    write_s = np.asarray(checkpoint_bytes) / (count * reliability.checkpoint_bytes_per_s)
    interval_s = np.maximum(checkpoint_interval(write_s, job_mtbf_s), step_s)
    goodput = goodput_ratio(interval_s, write_s, reliability.restart_s, job_mtbf_s) * (1.0 - reliability.pause_ratio)
    productive_s = steps * step_s
    lost = parameter("whole_job_time_ratio") if job_time_ratio is None else job_time_ratio
    with np.errstate(divide="ignore"):
        wall_s = productive_s / goodput * lost
    device_s = wall_s * count * (1.0 + reliability.spare_ratio)
    flop = step.model_flop * steps
    computing = sum(getattr(step, name) for name in _COMPUTING) / step.step_s
    spare_w = reliability.spare_ratio * power_w(device, 0.0)
    return Run(
        wall_s=wall_s,
        productive_s=productive_s,
        goodput_ratio=goodput,
        job_time_ratio=lost,
        job_mtbf_s=job_mtbf_s,
        checkpoint_s=write_s,
        checkpoint_interval_s=interval_s,
        restart_s=reliability.restart_s,
        failure_count=wall_s / job_mtbf_s,
        device_s=device_s,
        it_energy_j=wall_s * count * (power_w(device, goodput * computing / lost) + spare_w),
        mfu_ratio=step.mfu_ratio / time_ratio,
        whole_job_mfu_ratio=flop / (device_s * step.peak_flop_per_s),
        training_flop=flop,
        tokens=tokens,
        step_count=steps,
        num_devices=count,
        step=step,
    )


def device_s_for_flop(flop: Array, *, peak_flop_per_s: Array, mfu_ratio: Array) -> Array:
    """Return the device time a reported run takes at its reported efficiency [s].

    device_s = flop / (peak * mfu)

    Args:
        flop: Training FLOP.
        peak_flop_per_s: Printed dense rate of one device.
        mfu_ratio: Share of it that the run reached, above 0.

    Raises:
        InputError: A peak or an efficiency not above 0.

    Example:
        >>> f"{device_s_for_flop(3.15e23, peak_flop_per_s=125e12, mfu_ratio=0.197) / 3600:.2e} V100-hours"
        '3.55e+06 V100-hours'
    """
    if np.any(np.asarray(peak_flop_per_s) <= 0) or np.any(np.asarray(mfu_ratio) <= 0):
        raise InputError("peak rate and efficiency must be above 0")
    return flop / (peak_flop_per_s * mfu_ratio)
