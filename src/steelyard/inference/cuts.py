"""Which ways of cutting a model over devices an engine starts with."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from steelyard import arch
from steelyard.errors import InputError
from steelyard.inference.deployment import Deployment
from steelyard.inference.engine import Engine

_WHOLE = (("heads", "attention heads"), ("key_heads", "key heads"), ("o_groups", "output groups"))


def require_cut(model: arch.Model, deployment: Deployment, engine: Engine) -> None:
    """Raise where an engine does not start with this way of cutting a model.

    Engines that shard give every tensor-parallel rank whole heads and equal shares of feed-forward columns; KV heads
    that are fewer than the ranks are copied, as many times on each. The vocabulary is padded, so it sets no limit.
    No expert-parallel rank goes without an expert; some engines want as many on every rank. No pipeline stage goes
    without a layer.

    Raises:
        InputError: It does not; says which sizes are allowed.

    Source:
        vLLM, `ModelConfig.verify_with_parallel_config` and `LlamaAttention`; SGLang and TensorRT-LLM assert alike.
        Which engine keeps which rule: catalogue, tables/engines.csv (whole_heads, even_experts).

    Example:
        >>> from steelyard import arch, device
        >>> from steelyard.inference import engine_for
        >>> require_cut(arch.load("llama-3.1-8b"), Deployment(tp=3), engine_for(device.load("h100")))
        Traceback (most recent call last):
            ...
        steelyard.errors.InputError: llama-3.1-8b: tp 3: 32 attention heads for 3 ranks, and vllm gives each as many; \
allowed: tp 1, 2, 4, 8, 16 or 32
    """
    if (broken := broken_cut(model, deployment, engine)) is not None:
        raise InputError(f"{model.id}: {broken}")


def broken_cut(model: arch.Model, deployment: Deployment, engine: Engine) -> str | None:
    """Return why an engine does not start with this way of cutting a model and what is allowed; None where it does."""
    tp, dp, ep = deployment.tp, deployment.dp, deployment.ep
    if 1 < deployment.pp > model.num_layers:
        layers = model.num_layers
        return f"pp {deployment.pp}: {layers} layers for {deployment.pp} stages; allowed: pp 1 to {max(layers, 1)}"
    most = max(model.num_experts, 1)
    spread = [ways for ways in _divisors(tp * dp) if ways <= most and not (engine.even_experts and most % ways)]
    if ep not in spread:
        even = f", and {engine.name} wants as many on every rank" if engine.even_experts and ep <= most else ""
        return f"ep {ep} for {model.num_experts:,} experts{even}; allowed: ep {_listed(spread)}"
    if not engine.whole_heads or (wrong := _uneven(model, tp, tp * dp // ep)) is None:
        return None
    heads = _divisors(max(model.num_heads, 1))
    allowed = [ways for ways in heads if _uneven(model, ways, ways * dp if ep == 1 else 1) is None]
    sizes = f"tp {_listed(allowed)}" if allowed else f"none with dp {dp} and ep 1"
    return f"tp {tp}: {wrong}, and {engine.name} gives each as many; allowed: {sizes}"


def _uneven(model: arch.Model, tp: int, expert_tp: int) -> str | None:
    """Return what of a model cannot be shared out evenly over tensor-parallel ranks."""
    for layer, _ in model.layers:
        for block in layer.blocks:
            for name, count, ways in _shared_out(block, tp, expert_tp):
                if count % ways:
                    return f"{count:,} {name} for {ways} ranks"
            kv_heads = getattr(block, "kv_heads", 1)
            if kv_heads % tp and tp % kv_heads:
                return f"{kv_heads} KV heads for {tp} ranks"
    return None


def _shared_out(block: Any, tp: int, expert_tp: int) -> Iterator[tuple[str, int, int]]:
    """Yield what of a block is shared out evenly: its name, how many there are, over how many ranks."""
    for field, name in _WHOLE:
        if count := getattr(block, field, 0):
            yield name, count, tp
    if isinstance(block, arch.Mlp):
        yield "feed-forward columns", block.ffn, tp
    if isinstance(block, arch.Moe):
        yield "columns of an expert", block.ffn, expert_tp
        yield "columns of the shared experts", block.shared_ffn, tp


def _divisors(number: int) -> list[int]:
    small = [ways for ways in range(1, math.isqrt(number) + 1) if number % ways == 0]
    return sorted({*small, *(number // ways for ways in small)})


def _listed(sizes: list[int]) -> str:
    *others, last = map(str, sizes)
    return f"{', '.join(others)} or {last}" if others else last
