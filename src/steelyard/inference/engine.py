"""The serving engine's rules and overheads, from the calibration table of this room."""

from __future__ import annotations

from dataclasses import dataclass

from steelyard import catalog
from steelyard.device import Device
from steelyard.errors import CatalogError
from steelyard.units import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A continuous-batching engine with chunked prefill, as one of today's is by default."""

    gpu_memory_utilization_ratio: Array  # share of the visible memory that it takes for everything
    visible_memory_ratio: Array  # memory the driver reports over the printed capacity
    framework_bytes: Array  # context, communication buffers and captured graphs, per device
    chunk_tokens: Array  # most tokens in one step, decoded ones in
    max_sequences: Array  # most sequences in one step
    step_overhead_s: Array  # scheduling and launching one step
    sequence_overhead_s: Array  # preparing inputs, sampling and returning one token
    prompt_overhead_s: Array  # preparing one prompt, or a chunk of it, in a step
    expert_skew_ratio: Array  # extra work of the busiest of two expert-parallel ranks
    request_overhead_s: Array  # receiving, tokenising and queueing a request, returning its first token


def engine_for(device: Device) -> Engine:
    """Return the engine with its defaults for this device.

    Example:
        >>> from steelyard import device
        >>> engine_for(device.load("h100")).gpu_memory_utilization_ratio
        0.9
    """
    figures = catalog.calibration("inference")

    def value(name: str) -> float:
        if name not in figures:
            raise CatalogError(f"calibration/inference.toml: no figure {name!r}")
        return figures[name].value

    tier = (
        "large"
        if device.accelerator.hbm_bytes * value("visible_memory_ratio") >= value("large_memory_bytes")
        else "small"
    )
    return Engine(
        gpu_memory_utilization_ratio=value("gpu_memory_utilization_ratio"),
        visible_memory_ratio=value("visible_memory_ratio"),
        framework_bytes=value("framework_bytes"),
        chunk_tokens=value(f"chunk_tokens.{tier}"),
        max_sequences=value(f"max_sequences.{tier}"),
        step_overhead_s=value("step_overhead_s"),
        sequence_overhead_s=value("sequence_overhead_s"),
        prompt_overhead_s=value("prompt_overhead_s"),
        expert_skew_ratio=value("expert_skew_ratio"),
        request_overhead_s=value("request_overhead_s"),
    )
