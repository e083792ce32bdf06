"""The time of one optimizer step, from the operators of the model and the collectives of the layout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steelyard import arch
from steelyard.arch import Model
from steelyard.device import Device, effective_compute_dtype, peak_flop_per_s
from steelyard.records.system import Accelerator
from steelyard.records.term import term
from steelyard.training.calibration import Parameters, shipped
from steelyard.training.combine import Costs, combine
from steelyard.training.communication import traffic
from steelyard.training.layout import Count, Layout, check, slot_layers, stage_layers
from steelyard.training.memory import WEIGHT_BYTES
from steelyard.training.passes import Pass, forward_backward
from steelyard.training.recipe import LORA_RANK, Recipe
from steelyard.training.sharding import shard, whole
from steelyard.units import Array

_OPERATORS = "roofline of the operators (arch, device), calibration/training.toml"
_MEGATRON = "Narayanan et al., arXiv 2104.04473"
_KORTHIKANTI = "Korthikanti et al., arXiv 2205.05198"
_CALIBRATION = "calibration/training.toml"

_COMM = ("tp_s", "cp_s", "ep_s", "pp_s", "dp_s")
_PARTS = (
    "forward_s", "backward_s", "recompute_s", "ends_s", "exposed_comm_s", "bubble_s", "optimizer_s", "straggler_s",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One optimizer step: where its time goes, and what it reaches; arrays broadcast over layouts and draws."""

    step_s: Array = term("step time", "s", " + ".join(_PARTS), parts=_PARTS)
    forward_s: Array = term("forward", "s", "layers of the stage, all micro-batches", _OPERATORS)
    backward_s: Array = term("backward", "s", "layers of the stage, all micro-batches", _OPERATORS)
    recompute_s: Array = term(
        "recomputed forward",
        "s",
        "full: all of it; selective: the modules named, or norms and activations",
        _KORTHIKANTI,
    )
    ends_s: Array = term(
        "embedding, head and uneven stages", "s", "what the slowest stage needs above its layers", _OPERATORS
    )
    exposed_comm_s: Array = term("communication that nothing hides", "s", " + ".join(_COMM), parts=_COMM)
    tp_s: Array = term("tensor parallel", "s", "share that nothing hides * traffic of all layers", _CALIBRATION)
    cp_s: Array = term("context parallel", "s", "max(0, ring - overlap * attention)", _CALIBRATION)
    ep_s: Array = term("expert parallel", "s", "exposed share * all-to-alls of the MoE layers", _CALIBRATION)
    pp_s: Array = term("pipeline hand-over", "s", "exposed share * 2 vpp transfers per micro-batch", _CALIBRATION)
    dp_s: Array = term(
        "data parallel", "s", "max(0, reduce - overlap * backward) + max(0, gather - overlap * forward)", _CALIBRATION
    )
    bubble_s: Array = term(
        "pipeline bubble", "s", "(pp - 1) / vpp * time of one micro-batch on the fullest stage", _MEGATRON
    )
    optimizer_s: Array = term(
        "optimizer step",
        "s",
        "34 bytes per trained parameter / memory bandwidth + what a step costs once",
        _CALIBRATION,
    )
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
    recipe: Recipe | None = None,
    parameters: Parameters | None = None,
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
        recipe: All that software decides (then the three above are its fields); software of today when None.
        parameters: Calibrated ratios; those shipped for the device's family when None.
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
        recipe=recipe,
        parameters=parameters,
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
    recipe: Recipe | None = None,
    parameters: Parameters | None = None,
    time_ratio: Array = 1.0,
) -> Step:
    """Return `step` without checking the layouts: a search masks those that break a rule."""
    chosen = recipe or Recipe(compute_dtype=compute_dtype, method=method, lora_rank=lora_rank)
    costs = step_costs(model, device, layout, chosen, seq_tokens=seq_tokens)
    spent = combine(costs, shipped(device.accelerator) if parameters is None else parameters)
    spent = {name: seconds * time_ratio for name, seconds in spent.items()}
    full = layout.is_recompute("full")
    repeated = np.where(
        full, costs.forward.work_flop, np.where(layout.is_recompute("selective"), costs.again.work_flop, 0.0)
    )
    executed = 1.0 + repeated / (costs.forward.work_flop + costs.backward.work_flop)
    return _result(model, device, layout, seq_tokens, chosen, spent, executed)


def step_costs(
    model: Model,
    device: Device,
    layout: Layout,
    recipe: Recipe,
    *,
    seq_tokens: float,
    passes: tuple[Pass, Pass, Pass] | None = None,
) -> Costs:
    """Return what a step consists of before any calibration of this room: kernels, traffic, shape.

    `passes` are those of `forward_backward`, where they are known already: a search times each kernel once.
    """
    forward, backward, again = passes or forward_backward(model, device, layout, recipe, seq_tokens=seq_tokens)
    layers, last_layers = stage_layers(model, layout)
    card = device.accelerator
    extra = 1.0 + recipe.prediction_layers / model.num_layers
    return Costs(
        forward=forward,
        backward=backward,
        again=again,
        traffic=traffic(model, device, layout, recipe, seq_tokens=seq_tokens),
        layout=layout,
        stage_ratio=layers / model.num_layers * np.where(np.asarray(layout.pp) == 1, extra, 1.0),
        slot_ratio=slot_layers(model, layout) / model.num_layers * np.where(np.asarray(layout.pp) == 1, extra, 1.0),
        last_stage_ratio=last_layers / model.num_layers * extra,
        layers_count=float(model.num_layers),
        moe_layers_count=float(model.num_moe_layers),
        adapters_ratio=0.0 if recipe.method == "full" else 1.0,
        older_attention_ratio=1.0 if recipe.attention == "flash2" and _multiplies_apart(card) else 0.0,
        matmul_ratio=device.efficiency.matmul_ratio,
        update_s=_update(model, device, layout, recipe),
        nodes_count=np.asarray(layout.num_devices) / max(card.devices_per_node, 1),
        tuned_ratio=recipe.tuned_ratio,
        hooked_ratio=recipe.hooked_ratio,
        eager_ratio=recipe.eager_ratio,
        compiled_ratio=recipe.compiled_ratio,
        captured_ratio=recipe.captured_ratio,
        tp_overlap_ratio=recipe.tp_overlap_ratio,
        ep_overlap_ratio=recipe.ep_overlap_ratio,
    )


def _multiplies_apart(card: Accelerator) -> bool:
    """Return whether matrix units run apart from the threads, which kernels of before do not use.

    Hopper and the Blackwell of datacentres do; graphics cards of the same years, with the same formats, do not.
    """
    return card.vendor == "NVIDIA" and "fp8" in card.peak_flop_per_s and card.memory_type.startswith("HBM")


def _update(model: Model, device: Device, layout: Layout, recipe: Recipe) -> Array:
    """Return the time to update the local share of the trained parameters: memory traffic [s].

    Per parameter: read the gradient twice (norm, update), read and write the states, write the weight; states that the
    host keeps travel over PCIe, gradients out and weights back.
    """
    held = shard(model, layout, lora_rank=recipe.lora_rank)
    dense, expert, first, last = held.trained(recipe, whole(model, recipe.lora_rank))
    split = np.asarray(layout.zero_stage) >= 1
    ranks, expert_ranks = np.where(split, layout.zero_ranks, 1.0), np.where(split, layout.zero_expert_ranks, 1.0)
    local = (dense + np.maximum(first, last)) / ranks + expert / expert_ranks
    states, gradient = np.asarray(recipe.master_bytes) + recipe.moment_bytes, np.asarray(recipe.gradient_bytes)
    rate = device.accelerator.hbm_bytes_per_s * device.efficiency.memory_ratio
    here = (2 * gradient + 2 * states + WEIGHT_BYTES) * local / rate
    if not np.any(recipe.state_offload_ratio):
        return here
    link = device.accelerator.pcie_bytes_per_s * device.efficiency.pcie_link_ratio
    return np.where(np.asarray(recipe.state_offload_ratio) > 0, (gradient + WEIGHT_BYTES) * local / link, here)


def _result(
    model: Model,
    device: Device,
    layout: Layout,
    seq_tokens: float,
    recipe: Recipe,
    spent: dict[str, Array],
    executed: Array,
) -> Step:
    comm = sum(spent[name] for name in _COMM)
    total = sum(seconds for name, seconds in spent.items())
    tokens = np.asarray(layout.global_batch, np.float64) * seq_tokens
    per_token = arch.flop_per_token(model, seq_tokens, training=True, attention="causal")
    # Frozen weights get no gradients of their own: two of the three matrix products remain.
    flop = per_token * tokens * (1.0 if recipe.method == "full" else 2.0 / 3.0)
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
