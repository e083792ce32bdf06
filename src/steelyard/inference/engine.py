"""A serving engine's rules (catalogue, tables/engines.csv) and its overheads (calibration/inference.toml)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import numpy as np

from steelyard import catalog
from steelyard.device import Device, expanding_where_faster, kinds, within_peak
from steelyard.errors import CatalogError, InputError
from steelyard.inference.deployment import Deployment
from steelyard.inference.engine_rules import EngineRules, engine_rules
from steelyard.records.figure import Figure
from steelyard.records.serving import ADMISSIONS, Admission
from steelyard.units import Array

DEFAULT_ENGINE = "vllm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A serving engine: rules by name and version, overheads calibrated; arrays for many at once."""

    name: str = DEFAULT_ENGINE
    kernels: str = DEFAULT_ENGINE  # the engine that does the work: another one where it is wrapped (Ollama: llama.cpp)
    note: str = dataclasses.field(default="", compare=False)  # what the catalogue remarks on its row
    gpu_memory_utilization_ratio: Array  # share of the visible memory that it takes for everything
    free_memory_ratio: Array = 1.0  # share of what weights and activations leave that the KV cache gets
    visible_memory_ratio: Array  # memory the driver reports over the printed capacity
    framework_bytes: Array  # context, communication buffers and captured graphs, per device
    chunk_tokens: Array  # most tokens in one step, decoded ones in
    max_sequences: Array  # most sequences in one step
    kv_block_tokens: Array = 1.0  # the cache is given out in blocks of so many
    prompts_first: Array = 0.0  # 1 where decoding stops while prompts wait, 0 where both share a step
    splits_prompts: Array = 1.0  # 1 where a prompt is cut into chunks unless told otherwise
    eager_prompts: Array = 0.0  # 1 where steps with prompts run outside captured graphs, launched by the processor
    eager_steps: Array = 0.0  # 1 where all steps do
    overlaps_steps: Array = 0.0  # 1 where the next step is scheduled while one runs, 0 where the device waits for it
    layer_launches_count: Array = 0.0  # launches of a layer in such a step, where they were counted; 0 where not
    elementwise_ratio: Array = 1.0  # what its elementwise kernels read and write, over that of fused ones
    copies_cache: Array = 0.0  # 1 where a decoding step writes the KV cache anew to append to it
    narrow_cache: Array = 0.0  # 1 where weights of 8 bits and fewer usually come with an 8-bit KV cache
    static_batches: Array = 0.0  # 1 where a batch starts together and is kept until its last answer is done
    # What must fit into the KV cache when a request starts; only the simulator sees it, so formulas are alike without.
    admission: Admission = dataclasses.field(default="chunk", compare=False)
    reserves_answer: Array = 0.0  # 1 where a sequence is given room for its whole answer at once
    whole_heads: Array = 1.0  # 1 where tensor-parallel ranks get whole heads and equal shares of columns
    even_experts: Array = 0.0  # 1 where expert-parallel ranks get equally many experts
    time_ratio: Array = 1.0  # of all that runs on the device
    step_overhead_s: Array  # scheduling one step
    sequence_overhead_s: Array  # preparing inputs, sampling and returning one token
    stream_token_s: Array = 0.0  # the server's own work for a token sent, beside the running steps
    prompt_overhead_s: Array  # preparing one prompt, or a chunk of it, in a step
    host_layer_s: Array = 0.0  # the processor's time to launch a layer outside captured graphs, of few fused kernels
    host_launch_s: Array = 0.0  # its time for one launch, where those of a layer were counted
    host_expert_s: Array = 0.0  # more for a layer of experts
    request_overhead_s: Array  # receiving and queueing a request, returning its first token
    request_token_s: Array = 0.0  # receiving and tokenising one token of a prompt
    admission_steps: Array  # decoding steps that pass before a waiting request is looked at
    expert_skew_ratio: Array  # how much more than by chance the busiest expert-parallel rank has to do
    routing_spread_ratio: float  # share of the tokens of a step that choose their experts anew

    @property
    def is_static(self) -> bool:
        """Whether batches start together and are kept until their last answer is done."""
        return float(np.max(self.static_batches)) > 0.0


def of_replica(engine: Engine, deployment: Deployment) -> Engine:
    """Return an engine with the limits of a whole replica: each dp rank and each micro-batch in flight has its own.

    Example:
        >>> from steelyard import device
        >>> one = engine_for(device.load("h100"))
        >>> of_replica(one, Deployment(dp=4)).max_sequences == 4 * one.max_sequences
        True
    """
    places = deployment.dp * deployment.pp
    return dataclasses.replace(
        engine, chunk_tokens=engine.chunk_tokens * places, max_sequences=engine.max_sequences * deployment.dp
    )


def outside_s(engine: Engine, isl_tokens: Array) -> Array:
    """Return the time of a request outside of the engine's steps, before its first token [s].

    request_overhead_s + isl_tokens * request_token_s: the server receives, tokenises and queues it.

    Example:
        >>> from steelyard import device
        >>> short, long = outside_s(engine_for(device.load("h100")), np.array([100.0, 10_000.0]))
        >>> bool(0 < short < long)
        True
    """
    return np.asarray(engine.request_overhead_s + isl_tokens * engine.request_token_s, dtype=np.float64)


CALIBRATED = (
    "time_ratio", "step_overhead_s", "sequence_overhead_s", "stream_token_s", "prompt_overhead_s",
    "host_layer_s", "host_launch_s", "host_expert_s", "request_overhead_s", "request_token_s", "admission_steps",
    "expert_skew_ratio",
)  # fmt: skip
"""Fields that are fitted; each may have a value of its own for an engine ("step_overhead_s.sglang")."""


IN_ENGINE = (
    "grouped_matmul_ratio", "grouped_memory_ratio", "dispatch_memory_ratio", "expanded_ratio", "expand_flop_count",
    "cache_memory_ratio", "kernel_launch_s", "dispatch_kernels_count", "fused_latency_s", "pcie_link_ratio",
    "active_power_ratio", "compute_power_ratio",
)  # fmt: skip
"""Figures of a device's efficiency that serving measurements tell better than kernels timed alone."""


def served(device: Device) -> Device:
    """Return a device with what its kernels reach inside a serving engine.

    Narrow numbers are expanded where the wider format is faster. Each figure of `IN_ENGINE`, and each that the device's
    kind has a fitted one of ("memory_ratio.this-machine"), is scaled by its fitted value over the one of a kernel timed
    alone, so that draws of it stay draws; a share of a printed figure stays at most 1.

    Example:
        >>> from steelyard import device
        >>> h100 = device.load("h100")
        >>> served(h100).efficiency.matmul_ratio == h100.efficiency.matmul_ratio
        True
    """
    figures, alone = catalog.calibration("inference"), catalog.calibration("device")
    known_as = kinds(device.accelerator)
    names = {item.name for item in dataclasses.fields(device.efficiency)}
    own = {name for name in names if any(f"{name}.{kind}" in figures for kind in known_as)}
    scaled = {}
    for name in own.union(IN_ENGINE):
        more = _value(figures, name, *known_as) / _value(alone, name, *known_as)
        scaled[name] = within_peak(name, getattr(device.efficiency, name) * more)
    expanded = expanding_where_faster(device)
    return dataclasses.replace(expanded, efficiency=dataclasses.replace(device.efficiency, **scaled))


def engine_for(device: Device, name: str | None = None, version: str = "", *, as_of: str = "") -> Engine:
    """Return an engine with its defaults for this device.

    Args:
        device: Its memory decides between two sizes of a step; its vendor may have a calibration of its own.
        name: As users and tables write it ("vLLM", "TensorRT-LLM 1.0"); vLLM when None.
        version: Rules are those of the last entry not after it.
        as_of: Without a version, rules are those of this date (YYYY-MM); of the newest when empty.

    Raises:
        InputError: The engine does not run on this vendor's devices.
        UnknownError: The catalogue has no such engine.

    Example:
        >>> from steelyard import device
        >>> engine_for(device.load("h100"), "SGLang").prompts_first
        1.0
    """
    figures = catalog.calibration("inference")
    rules = engine_rules(name or DEFAULT_ENGINE, version, as_of=as_of)
    _require_vendor(rules, device)
    visible = _value(figures, "visible_memory_ratio")
    large = device.accelerator.hbm_bytes * visible >= _value(figures, "large_memory_bytes")
    size = "large" if large else "small"
    vendor = device.accelerator.vendor.casefold()
    calibrated = {field: _value(figures, field, vendor, rules.name, rules.kernels) for field in CALIBRATED}
    calibrated["time_ratio"] *= _value(figures, "vendor_time_ratio", vendor)
    return Engine(
        name=rules.name,
        kernels=rules.kernels,
        note=rules.row.get("note"),
        gpu_memory_utilization_ratio=rules.value("memory"),
        free_memory_ratio=rules.value("free_memory"),
        visible_memory_ratio=visible,
        framework_bytes=_value(figures, "framework_bytes", vendor),
        chunk_tokens=rules.value(f"chunk_{size}"),
        max_sequences=rules.value(f"sequences_{size}"),
        kv_block_tokens=rules.value("block"),
        prompts_first=rules.value("prompts_first"),
        splits_prompts=rules.value("splits_prompts"),
        eager_prompts=rules.value("eager_prompts"),
        overlaps_steps=rules.value("overlaps_steps", 0.0),
        eager_steps=rules.value("eager_steps", 0.0),
        layer_launches_count=rules.value("layer_launches", 0.0),
        elementwise_ratio=rules.value("elementwise", 1.0),
        copies_cache=rules.value("copies_cache", 0.0),
        narrow_cache=rules.value("narrow_cache", 0.0),
        static_batches=rules.value("static_batches", 0.0),
        admission=_admission(rules),
        reserves_answer=float(rules.text("admission") == "answer"),
        whole_heads=rules.value("whole_heads"),
        even_experts=rules.value("even_experts"),
        routing_spread_ratio=_value(figures, "routing_spread_ratio"),
        **calibrated,
    )


def ttft_sigmas() -> tuple[float, float]:
    """Return how well a server's overhead and a prompt's wait are known: standard deviations of their logarithms."""
    figures = catalog.calibration("inference")
    return _value(figures, "overhead_residual_sigma"), _value(figures, "waiting_residual_sigma")


def _value(figures: Mapping[str, Figure], name: str, *variants: str) -> float:
    """Return a figure of the first variant that has one, else the general one."""
    for key in (*(f"{name}.{variant}" for variant in variants), name):
        if key in figures:
            return figures[key].value
    raise CatalogError(f"calibration/inference.toml: no figure {name!r}")


def _require_vendor(rules: EngineRules, device: Device) -> None:
    vendors = [name.strip() for name in rules.text("vendors").split(";") if name.strip()]
    own = device.accelerator.vendor
    if vendors and own.casefold() not in map(str.casefold, vendors):
        raise InputError(
            f"engine: {rules.name} runs on {', '.join(vendors)}, and {device.id} is of {own}; choose another "
            "engine (`steelyard catalog list engines`) or device"
        )


def _admission(rules: EngineRules) -> Admission:
    stated = rules.text("admission")
    for admission in get_args(Admission):
        if stated == admission:
            return admission  # type: ignore[no-any-return]
    raise CatalogError(f"{rules.row.where}: admission {stated!r}; allowed: {', '.join(ADMISSIONS)}")
