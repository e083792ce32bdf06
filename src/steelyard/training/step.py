"""The time of one optimizer step, from the operators of the model and the collectives of the layout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steelyard import arch
from steelyard.arch import Model
from steelyard.device import Device, effective_compute_dtype, peak_flop_per_s
from steelyard.records.term import term
from steelyard.training.calibration import parameter
from steelyard.training.communication import (
    data_parallel,
    exposed_data_parallel,
    exposed_layerwise,
    stage_transfer,
)
from steelyard.training.layout import Count, Layout, check, stage_layers
from steelyard.training.memory import GRADIENT_BYTES, OPTIMIZER_BYTES, WEIGHT_BYTES
from steelyard.training.passes import forward_backward
from steelyard.training.pipeline import bubble_count
from steelyard.training.sharding import LORA_RANK, Method, check_method, shard, whole
from steelyard.units import Array

_OPERATORS = "roofline of the operators (arch, device), calibration/training.toml"
_MEGATRON = "Narayanan et al., arXiv 2104.04473"
_KORTHIKANTI = "Korthikanti et al., arXiv 2205.05198"
_CALIBRATION = "calibration/training.toml"
_COMM = ("tp_s", "cp_s", "ep_s", "pp_s", "dp_s")
_PARTS = (
    "forward_s", "backward_s", "recompute_s", "ends_s", "exposed_comm_s", "bubble_s", "optimizer_s", "straggler_s",
)  # fmt: skip
# Per trained parameter and step: read gradient twice (norm, update), read and write the states, write the weight.
_UPDATE_BYTES = 2 * GRADIENT_BYTES + 2 * OPTIMIZER_BYTES + WEIGHT_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One optimizer step: where its time goes, and what it reaches; arrays broadcast over layouts and draws."""

    step_s: Array = term("step time", "s", " + ".join(_PARTS), parts=_PARTS)
    forward_s: Array = term("forward", "s", "layers of the stage, all micro-batches", _OPERATORS)
    backward_s: Array = term("backward", "s", "layers of the stage, all micro-batches", _OPERATORS)
    recompute_s: Array = term(
        "recomputed forward", "s", "full: all of it; selective: norms and activation functions", _KORTHIKANTI
    )
    ends_s: Array = term(
        "embedding, head and uneven stages", "s", "what the slowest stage needs above its layers", _OPERATORS
    )
    exposed_comm_s: Array = term("communication that nothing hides", "s", " + ".join(_COMM), parts=_COMM)
    tp_s: Array = term("tensor parallel", "s", "exposed share * gathers and scatters of all layers", _CALIBRATION)
    cp_s: Array = term("context parallel", "s", "max(0, ring - overlap * attention)", _CALIBRATION)
    ep_s: Array = term("expert parallel", "s", "exposed share * all-to-alls of the MoE layers", _CALIBRATION)
    pp_s: Array = term("pipeline hand-over", "s", "exposed share * 2 vpp transfers per micro-batch", _CALIBRATION)
    dp_s: Array = term(
        "data parallel", "s", "max(0, reduce - overlap * backward) + max(0, gather - overlap * forward)", _CALIBRATION
    )
    bubble_s: Array = term("pipeline bubble", "s", "(pp - 1) / vpp * time of one micro-batch on a stage", _MEGATRON)
    optimizer_s: Array = term("optimizer step", "s", "34 bytes per trained parameter / memory bandwidth")
    straggler_s: Array = term(
        "waiting for the slowest rank", "s", "straggler_ratio * log2(nodes) * all of the above", _CALIBRATION
    )
    tokens_per_s: Array = term("tokens per second", "token_per_s", "global_batch_tokens / step_s", parts=("step_s",))
    mfu_ratio: Array = term(
        "model FLOP utilisation", "ratio",
        "model FLOP (causal attention, no recompute) / (step_s * devices * bf16 peak)",
        parts=("model_flop", "step_s", "peak_flop_per_s"),
    )  # fmt: skip
    hfu_ratio: Array = term("hardware FLOP utilisation", "ratio", "mfu_ratio * FLOP with recompute / without")
    model_flop: Array = term("model FLOP of a step", "flop", "FLOP per token * global_batch_tokens")
    peak_flop_per_s: float = term("bf16 peak of one device", "flop_per_s")
    global_batch_tokens: Array = term("global batch", "token", "sequences * tokens of one")
    layout: Layout

    @property
    def num_devices(self) -> Count:
        return self.layout.num_devices


def step(
    model: Model,
    device: Device,
    layout: Layout,
    *,
    seq_tokens: float,
    compute_dtype: str = "bf16",
    method: str = "full",
    lora_rank: int = LORA_RANK,
    time_ratio: Array = 1.0,
) -> Step:
    """Return the time of one optimizer step, and the tokens per second and MFU that follow.

    step = m (slowest stage's forward + backward + recompute + exposed communication) + bubble
           + exposed gradient and weight traffic + optimizer + stragglers,
    with m micro-batches per rank and bubble = (pp - 1) / vpp stage times.

    Args:
        model: From `arch`.
        device: With its calibrated efficiency.
        layout: One layout, or arrays that broadcast; all of them must keep the rules of `layout.check`.
        seq_tokens: Tokens of one sequence.
        compute_dtype: Of the matrix products; attention stays in 16 bits.
        method: "full" or "lora" (frozen weights get no weight gradients).
        lora_rank: Rank of the adapters.
        time_ratio: Factor on the step time: draws of the residual, or 1.

    Returns:
        A `Step` in the broadcast shape of the layout's arrays.

    Raises:
        InputError: A layout breaks a rule.
        UnknownError: The device cannot compute in the dtype.

    Assumes:
        Balanced experts; memory is not checked here (`memory`).

    Source:
        Narayanan et al., arXiv 2104.04473; Korthikanti et al., arXiv 2205.05198; Rajbhandari et al., arXiv 1910.02054.

    Example:
        >>> from steelyard import arch, device
        >>> one = step(arch.load("llama-3.1-8b"), device.load("h100"), seq_tokens=8192,
        ...            layout=Layout(dp=64, global_batch=128, zero_stage=3, recompute="selective"))
        >>> bool(0.25 < one.mfu_ratio < 0.6)
        True
    """
    check(model, layout)
    return step_unchecked(
        model,
        device,
        layout,
        seq_tokens=seq_tokens,
        compute_dtype=compute_dtype,
        method=method,
        lora_rank=lora_rank,
        time_ratio=time_ratio,
    )


def step_unchecked(
    model: Model,
    device: Device,
    layout: Layout,
    *,
    seq_tokens: float,
    compute_dtype: str = "bf16",
    method: str = "full",
    lora_rank: int = LORA_RANK,
    time_ratio: Array = 1.0,
) -> Step:
    """Return `step` without checking the layouts: a search masks those that break a rule."""
    way = check_method(method)
    forward, backward = forward_backward(
        model, device, layout, seq_tokens=seq_tokens, compute_dtype=compute_dtype, method=way
    )
    recompute_s = np.where(
        layout.is_recompute("full"),
        forward.layers_s,
        np.where(layout.is_recompute("selective"), forward.elementwise_s, 0.0),
    )
    inside = exposed_layerwise(model, device, layout, forward, backward, seq_tokens=seq_tokens)
    layers, last_layers = stage_layers(model, layout)
    share, last_share = layers / model.num_layers, last_layers / model.num_layers
    whole_s = forward.layers_s + backward.layers_s + recompute_s + sum(inside.values())
    # The last stage has the head on top of its layers; where that is more than the fullest stage, all wait for it.
    ends_s = np.maximum(0.0, forward.ends_s + backward.ends_s - (share - last_share) * whole_s)
    stage_s = share * whole_s + ends_s
    m = layout.num_microbatches
    hops = 2.0 * np.asarray(layout.vpp) * m * stage_transfer(model, device, layout, seq_tokens=seq_tokens)
    # A second of computation hides one communication: attention that covers the context ring covers nothing else.
    taken = np.where(np.asarray(layout.cp) > 1, 1.0, 0.0)
    again_s = np.where(layout.is_recompute("full"), forward.attention_s, 0.0)
    spent: dict[str, Array] = {
        "forward_s": m * share * forward.layers_s,
        "backward_s": m * share * backward.layers_s,
        "recompute_s": m * share * recompute_s,
        "ends_s": m * ends_s,
        **{name: m * share * seconds for name, seconds in inside.items()},
        "pp_s": parameter("pp_exposed_ratio") * hops,
        "dp_s": exposed_data_parallel(
            data_parallel(model, device, layout, method=way, lora_rank=lora_rank),
            layout,
            forward_s=share * (forward.layers_s - taken * forward.attention_s),
            backward_s=share * (backward.layers_s + recompute_s - taken * (backward.attention_s + again_s)),
        ),
        "bubble_s": bubble_count(layout) * stage_s,
        "optimizer_s": _optimizer(model, device, layout, way, lora_rank),
    }
    spent["straggler_s"] = sum(spent.values()) * _jitter(device, layout)
    spent = {name: seconds * time_ratio for name, seconds in spent.items()}
    again = np.where(layout.is_recompute("full"), forward.work_flop / (forward.work_flop + backward.work_flop), 0.0)
    return _result(model, device, layout, seq_tokens, way, spent, 1.0 + again)


def _optimizer(model: Model, device: Device, layout: Layout, method: Method, lora_rank: int) -> Array:
    """Return the time to update the local share of the trained parameters: memory traffic [s]."""
    held = shard(model, layout, lora_rank=lora_rank)
    dense, expert, first, last = held.trained(method, whole(model, lora_rank))
    split = np.asarray(layout.zero_stage) >= 1
    ranks = np.where(split, np.asarray(layout.dp, np.float64) * layout.cp, 1.0)
    local = (dense + np.maximum(first, last)) / ranks + expert / np.where(split, layout.expert_dp, 1.0)
    rate = device.accelerator.hbm_bytes_per_s * device.efficiency.memory_ratio
    return _UPDATE_BYTES * local / rate


def _jitter(device: Device, layout: Layout) -> Array:
    """Return the share of the step lost to the slowest rank: calibrated, per doubling of the nodes."""
    nodes = np.asarray(layout.num_devices) / max(device.accelerator.devices_per_node, 1)
    return parameter("straggler_ratio") * np.log2(np.maximum(nodes, 1.0))


def _result(
    model: Model,
    device: Device,
    layout: Layout,
    seq_tokens: float,
    method: Method,
    spent: dict[str, Array],
    executed: Array,
) -> Step:
    comm = sum(spent[name] for name in _COMM)
    total = sum(seconds for name, seconds in spent.items())
    tokens = np.asarray(layout.global_batch, np.float64) * seq_tokens
    per_token = arch.flop_per_token(model, seq_tokens, training=True, attention="causal")
    # Frozen weights get no gradients of their own: two of the three matrix products remain.
    flop = per_token * tokens * (1.0 if method == "full" else 2.0 / 3.0)
    peak = peak_flop_per_s(device, effective_compute_dtype(device, "bf16"))
    mfu = flop / (total * np.asarray(layout.num_devices) * peak)
    return Step(
        step_s=total,
        exposed_comm_s=comm,
        tokens_per_s=tokens / total,
        mfu_ratio=mfu,
        hfu_ratio=mfu * executed,
        model_flop=flop,
        peak_flop_per_s=peak,
        global_batch_tokens=tokens,
        layout=layout,
        **spent,
    )
