"""A model as it was understood: layer by layer, parameters, bytes, and what was not needed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from steelyard import arch
from steelyard.report import listing
from steelyard.report.text import clean, compact
from steelyard.units import format_quantity

CONTEXTS_TOKENS = (1_024, 8_192, 32_768, 131_072, 1_048_576)  # powers of two that are asked about
_PARTS = {
    "embedding_params": "embedding",
    "head_params": "head",
    "attention_params": "attention",
    "mlp_params": "feed-forward",
    "experts_params": "routed experts",
    "router_params": "routers",
    "vector_params": "norms and vectors",
}
_BESIDE = {
    "prediction_params": "multi-token-prediction layers",
    "tower_params": "towers for images and sound",
    "buffer_params": "stored numbers that are no parameters",
}


def facts(model: arch.Model) -> dict[str, Any]:
    """Return what is known of a model as data: counts, bytes, layers, what was left out."""
    params, found, growth = arch.count_params(model), arch.describe(model), arch.cache_growth(model)
    return {
        "id": model.id,
        "name": model.name,
        "num_layers": model.num_layers,
        "hidden": model.hidden,
        "vocab": model.vocab,
        "max_context_tokens": model.max_context_tokens,
        **dataclasses.asdict(params),
        "non_embedding_params": params.non_embedding_params,
        "weight_dtype": model.weight_dtype,
        "base_dtype": model.base_dtype,
        "kv_dtype": model.kv_dtype,
        "weight_bytes": float(arch.weight_bytes(model)),
        **dataclasses.asdict(arch.beside_bytes(model)),
        **dataclasses.asdict(growth),
        "sequence_bytes": {str(context): size for context, size in _sequences(model)},
        "layers": [_layer_facts(layer) for layer in found.layers],
        "prediction": [_layer_facts(layer) for layer in found.prediction],
        "towers": [dataclasses.asdict(tower) for tower in found.towers],
        "defaults": list(found.defaults),
        "ignored_keys": list(found.harmless_keys),
        "left_out": list(found.left_out),
    }


def _layer_facts(layer: arch.LayerFacts) -> dict[str, Any]:
    blocks = [{**dataclasses.asdict(block), "facts": dict(block.facts)} for block in layer.blocks]
    return {**dataclasses.asdict(layer), "blocks": blocks}


def imported(model: arch.Model, *, saved: str = "", width: int | None = None) -> str:
    """Return what an import understood, and where it was saved."""
    return f"{clean(model.name)}\n{render(model, width=width)}" + (f"saved as {saved}\n" if saved else "")


def render(model: arch.Model, *, width: int | None = None) -> str:
    """Return what was understood of a model, for people."""
    params, found, growth = arch.count_params(model), arch.describe(model), arch.cache_growth(model)
    depth = "1 layer" if model.num_layers == 1 else f"{model.num_layers:,} layers"
    size = f"{depth}, {model.hidden:,} wide, vocabulary of {model.vocab:,}"
    rows = [_row(layer, "") for layer in found.layers] + [_row(layer, "prediction ") for layer in found.prediction]
    lines = [
        f"{size}, context up to {model.max_context_tokens:,} tokens",
        "",
        listing.table(rows, width=width),
        f"parameters: {compact(params.total_params)} ({params.total_params:,}), {_active(params)} for a token",
        "  " + ", ".join(_named(params, _PARTS)),
        *_beside(model, params),
        f"weights as stored: {format_quantity(float(arch.weight_bytes(model)), 'bytes')} in {_formats(model)}",
        *_cache(model, growth),
    ]
    if found.defaults:
        lines.append("not stated, as its class has it by default: " + clean(", ".join(found.defaults)))
    if found.harmless_keys:
        lines.append("stated, changes neither time nor memory: " + clean(", ".join(found.harmless_keys)))
    lines += [f"left out: {clean(text)}" for text in found.left_out]
    return "\n".join(lines) + "\n"


def _row(layer: arch.LayerFacts, prefix: str) -> dict[str, str]:
    active = "" if layer.active_params == layer.params else compact(layer.active_params)
    return {
        "layers": prefix + layer.span,
        "blocks": (" beside " if layer.parallel else "; ").join(_words(block) for block in layer.blocks),
        "parameters of one": compact(layer.params),
        "active": active,
    }


def _words(block: arch.BlockFacts) -> str:
    stated = [_fact(name, value) for name, value in block.facts]
    return f"{block.kind} ({', '.join(stated)})" if stated else block.kind


def _fact(name: str, value: Any) -> str:
    words = name.replace("_", " ")
    return words if value is True else f"{words} {value:,}" if isinstance(value, int) else f"{words} {value}"


def _beside(model: arch.Model, params: arch.Params) -> list[str]:
    """Return the lines of what stands beside the model, with its bytes as stored."""
    stored = arch.beside_bytes(model)
    sizes = {"prediction_params": stored.prediction_bytes, "tower_params": stored.tower_bytes}
    lines = []
    for name, words in _BESIDE.items():
        count, size = getattr(params, name), sizes.get(name)
        told = format_quantity(size, "bytes") + " stored" if size is not None else "stored in a format not told"
        if count:
            lines.append(f"  beside them: {words} {compact(count)}" + (f", {told}" if name in sizes else ""))
    return lines


def _active(params: arch.Params) -> str:
    return "all of them" if params.active_params == params.total_params else compact(params.active_params)


def _named(params: arch.Params, words: dict[str, str]) -> Iterable[str]:
    return [f"{word} {compact(getattr(params, name))}" for name, word in words.items() if getattr(params, name)]


def _formats(model: arch.Model) -> str:
    same = model.weight_dtype == model.base_dtype
    return model.weight_dtype if same else f"{model.weight_dtype}, the rest in {model.base_dtype}"


def _cache(model: arch.Model, growth: arch.CacheGrowth) -> list[str]:
    def size(number: float) -> str:
        return format_quantity(number, "bytes")

    lines = []
    if growth.kv_bytes_per_token:
        lasting = growth.lasting_kv_bytes_per_token
        grows = "" if lasting == growth.kv_bytes_per_token else f", {size(lasting)} once every window is full"
        lines.append(f"cache of a token: {size(growth.kv_bytes_per_token)} in {model.kv_dtype}{grows}")
    if growth.state_bytes:
        lines.append(f"state of a sequence, whatever its length: {size(growth.state_bytes)}")
    known = ", ".join(f"{size(number)} at {context:,}" for context, number in _sequences(model))
    return [*lines, f"cache of a sequence by its tokens: {known}"]


def _sequences(model: arch.Model) -> list[tuple[int, float]]:
    """Return contexts to tell a cache at, up to the model's own, and what one sequence keeps (bytes)."""
    longest = model.max_context_tokens
    asked = [*(context for context in CONTEXTS_TOKENS if context < longest), longest]
    return [(tokens, float(arch.cache_bytes(model, float(tokens), kv_dtype=model.kv_dtype))) for tokens in asked]
