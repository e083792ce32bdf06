"""What interrupts a job and what that costs: failures, checkpoints, restarts."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from steelyard import arch, catalog
from steelyard.arch import Model
from steelyard.errors import CatalogError, InputError
from steelyard.records.estimate import estimate
from steelyard.training.calibration import parameter
from steelyard.training.memory import OPTIMIZER_BYTES, WEIGHT_BYTES
from steelyard.units import Array

_MIXED = ("estimated", "assumed")  # not counted failures: a model, or from memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """How often devices fail and how a job recovers; arrays are draws."""

    device_mtbf_s: Array  # operating time of one device between two failures that stop its job
    restart_s: Array  # from the failure to the first new step: detection, replacement, reload
    checkpoint_bytes_per_s: Array  # one device's share of the storage's write rate
    spare_ratio: Array = 0.0  # idle devices kept for replacement / devices in use
    pause_ratio: Array = 0.0  # share of the time in planned pauses: evaluation, maintenance
    source: str = ""


@functools.cache
def mtbf_points() -> tuple[float, ...]:
    """Return the device MTBF of every cluster in the catalogue that counted its failures [s], smallest first."""
    rows = catalog.table("failures").rows
    found = sorted(row.value("device_mtbf") for row in rows if "device_mtbf" in row.figures and row.basis not in _MIXED)
    if not found:
        raise CatalogError("table failures: no row states device_mtbf")
    return tuple(found)


def reliability(*, device_mtbf_s: Array | None = None, spare_ratio: Array | None = None) -> Reliability:
    """Return the reliability of a usual cluster: medians over the catalogue's clusters, or what the user states.

    Raises:
        InputError: A stated MTBF not above 0.

    Example:
        >>> usual = reliability()
        >>> 10_000 < usual.device_mtbf_s / 3600 < 100_000
        True
    """
    if device_mtbf_s is not None and np.any(np.asarray(device_mtbf_s) <= 0):
        raise InputError("the mean time between failures of a device must be above 0")
    restarts = [row.value("restart") for row in catalog.table("failures").rows if "restart" in row.figures]
    return Reliability(
        device_mtbf_s=estimate(mtbf_points()).p50 if device_mtbf_s is None else device_mtbf_s,
        restart_s=estimate(restarts).p50 if restarts else parameter("restart_s"),
        checkpoint_bytes_per_s=parameter("checkpoint_bytes_per_s"),
        spare_ratio=parameter("spare_ratio") if spare_ratio is None else spare_ratio,
        pause_ratio=parameter("pause_ratio"),
        source="failures, calibration/training.toml",
    )


def draw_mtbf(rng: np.random.Generator, draws: int) -> Array:
    """Return draws [D] of the device MTBF [s]: log-normal with the centre and spread of the catalogue's clusters."""
    logs = np.log(mtbf_points())
    return np.exp(rng.normal(np.median(logs), logs.std(ddof=1) if logs.size > 1 else 0.0, draws))


def checkpoint_bytes(model: Model) -> float:
    """Return the bytes of one full checkpoint: weights in bf16 and Adam's states, 14 per parameter."""
    return float((WEIGHT_BYTES + OPTIMIZER_BYTES) * arch.count_params(model).total_params)


def checkpoint_interval(write_s: Array, job_mtbf_s: Array) -> Array:
    """Return the work between two checkpoints that wastes the least [s].

    tau = sqrt(2 delta M) (1 + sqrt(delta / 2M) / 3 + delta / (18 M)) - delta where delta < 2M, else M

    Args:
        write_s: delta, time a checkpoint holds up the job.
        job_mtbf_s: M, mean time between failures of the whole job.

    Source:
        Daly, "A higher order estimate of the optimum checkpoint interval", FGCS 22(3), 2006; first order: Young, 1974.

    Example:
        >>> f"{checkpoint_interval(60.0, 3 * 3600.0) / 60:.1f} min"
        '18.3 min'
    """
    half = np.asarray(write_s) / (2.0 * np.asarray(job_mtbf_s))
    best = np.sqrt(2.0 * np.asarray(write_s) * job_mtbf_s) * (1.0 + np.sqrt(half) / 3.0 + half / 9.0) - write_s
    interval: Array = np.where(half < 1.0, best, job_mtbf_s)
    return interval


def goodput_ratio(interval_s: Array, write_s: Array, restart_s: Array, job_mtbf_s: Array) -> Array:
    """Return the share of wall time that makes kept progress, with failures at random and periodic checkpoints.

    goodput = tau / (M exp(R / M) (exp((tau + delta) / M) - 1))

    Args:
        interval_s: tau, work between two checkpoints, above 0.
        write_s: delta, time a checkpoint holds up the job.
        restart_s: R, from a failure to the first new step.
        job_mtbf_s: M.

    Returns:
        In (0, 1]; 0 where failures come faster than the job can restart, by far.

    Assumes:
        Failures are a Poisson process, also while restarting.

    Source:
        Daly, FGCS 22(3), 2006, equation 20.
    """
    with np.errstate(over="ignore", divide="ignore"):
        wall = job_mtbf_s * np.exp(restart_s / job_mtbf_s) * np.expm1((interval_s + write_s) / job_mtbf_s)
        ratio: Array = np.asarray(interval_s) / wall
    return ratio
