"""Which deployment of a model on a device: the least devices, or the least device time per request."""

from __future__ import annotations

import numpy as np

from steelyard import arch
from steelyard.device import Device
from steelyard.errors import DoesNotFitError, UnknownError
from steelyard.inference.cuts import broken_cut
from steelyard.inference.deployment import Deployment, deployment_for
from steelyard.inference.engine import engine_for
from steelyard.inference.memory import memory, require_fit
from steelyard.inference.steady import Capacity, steady
from steelyard.records.workload import Lengths, Objective
from steelyard.units import Array, format_quantity

_ONE_SHORT = Lengths(isl_tokens=np.array([1024.0]), osl_tokens=np.array([256.0]), label="one short chat request")


def least_devices(
    model: arch.Model,
    device: Device,
    lengths: Lengths | None = None,
    *,
    weight_dtype: str | None = None,
    kv_dtype: str | None = None,
    max_devices: int = 1024,
) -> int:
    """Return the least power of two of devices whose memory holds the weights and one running sequence (count).

    Args:
        model, device: What on what.
        lengths: Requests; one short chat request when None.
        weight_dtype, kv_dtype: Formats; as stored, and bf16, when None.
        max_devices: Where to stop.

    Raises:
        DoesNotFitError: Not even `max_devices` hold it.

    Example:
        >>> from steelyard import arch, device
        >>> llama = arch.load("llama-3.1-70b")  # 141 GB in bf16
        >>> least_devices(llama, device.load("h100")), least_devices(llama, device.load("h100"), weight_dtype="fp8")
        (2, 1)
    """
    for layout in _layouts(model, device, max_devices, weight_dtype, kv_dtype):
        held = memory(model, device, layout, lengths or _ONE_SHORT)
        if float(np.max(held.max_sequences)) >= 1.0:
            return layout.tp
    require_fit(model, device, layout, held)
    return layout.tp


def best_deployment(
    model: arch.Model,
    device: Device,
    lengths: Lengths,
    objective: Objective,
    *,
    max_devices: int = 8,
    weight_dtype: str | None = None,
    kv_dtype: str | None = None,
) -> tuple[Deployment, Capacity]:
    """Return the deployment of one replica that meets the objective with the least device time per request.

    Tries tp = 1, 2, 4, ... up to `max_devices`; of equal ones the smaller.

    Args:
        model, device, lengths, objective: What, on what, for what.
        max_devices: Devices of one replica.
        weight_dtype, kv_dtype: Formats; as stored, and bf16, when None.

    Returns:
        The deployment and its `Capacity`.

    Raises:
        DoesNotFitError: The model does not fit on `max_devices`, or no deployment meets the objective; the message
            says by how much.

    Example:
        >>> from steelyard import arch, device
        >>> from steelyard.inference import lengths_from_stated
        >>> asked = lengths_from_stated({"mean": 1000, "p90": 2500}, {"mean": 200, "p90": 450})
        >>> llama, h100 = arch.load("llama-3.1-8b"), device.load("h100")
        >>> best, capacity = best_deployment(llama, h100, asked, Objective(ttft_s=1.0))
        >>> best.tp
        1
    """
    found = deployments(
        model, device, lengths, objective, max_devices=max_devices, weight_dtype=weight_dtype, kv_dtype=kv_dtype
    )
    return min(found, key=lambda pair: float(pair[1].device_s_per_request))


def deployments(
    model: arch.Model,
    device: Device,
    lengths: Lengths,
    objective: Objective,
    *,
    max_devices: int = 8,
    weight_dtype: str | None = None,
    kv_dtype: str | None = None,
    time_ratio: Array = 1.0,
) -> list[tuple[Deployment, Capacity]]:
    """Return every deployment of one replica that fits and meets the objective at the median, smallest first.

    A large replica is the more efficient, a small one the cheaper at little load: which is better depends on the load.

    Args:
        model, device, lengths, objective: What, on what, for what.
        max_devices: Devices of one replica; tp = 1, 2, 4, ... up to it are tried, where the engine starts with it.
        weight_dtype, kv_dtype: Formats; as stored, and bf16, when None.
        time_ratio: As in `steady`; its median must meet the objective.

    Raises:
        DoesNotFitError: None fits, or none meets the objective; the message says by how much.
        UnknownError: The device cannot compute in these formats, or lacks a figure that all layouts need.
    """
    fitting: list[tuple[Deployment, Capacity]] = []
    refused: DoesNotFitError | UnknownError | None = None
    for layout in _layouts(model, device, max_devices, weight_dtype, kv_dtype):
        try:
            fitting.append((layout, steady(model, device, layout, lengths, objective, time_ratio=time_ratio)))
        except DoesNotFitError as error:
            refused = error
        except UnknownError as error:  # no link for so many devices; smaller layouts stand
            refused = refused or error
            break
    if not fitting:
        raise refused or DoesNotFitError(f"{model.id}: max_devices {max_devices} allows no deployment")
    meeting = [pair for pair in fitting if float(np.median(pair[1].request_rate_per_s)) > 0]
    if not meeting:
        raise DoesNotFitError(_missed(model, device, objective, [capacity for _, capacity in fitting]))
    return meeting


def _layouts(
    model: arch.Model, device: Device, most: int, weight_dtype: str | None, kv_dtype: str | None
) -> list[Deployment]:
    """Return tensor parallelism over 1, 2, 4, ... devices, but for what the engine does not start with."""
    powers = [2**power for power in range(max(most, 0).bit_length())]
    layouts = [deployment_for(model, tp, weight_dtype=weight_dtype, kv_dtype=kv_dtype) for tp in powers]
    return [layout for layout in layouts if broken_cut(model, layout, engine_for(device)) is None]


def _missed(model: arch.Model, device: Device, objective: Objective, tried: list[Capacity]) -> str:
    """Return the message for an objective that no deployment meets even with one request at a time."""
    parts = []
    for name, limit, reached in (
        (f"TTFT p{objective.ttft_percentile:g}", objective.ttft_s, min(float(np.median(one.ttft_s)) for one in tried)),
        (f"TPOT p{objective.tpot_percentile:g}", objective.tpot_s, min(float(np.median(one.tpot_s)) for one in tried)),
    ):
        if reached > limit:
            parts.append(f"{name} is {format_quantity(reached, 's')} at best, {format_quantity(limit, 's')} is asked")
    told = "; ".join(parts) or "TTFT and TPOT are met, but not by the same deployment"
    return f"{model.id} on up to {tried[-1].num_devices}x {device.id} misses the objective even idle: {told}"
