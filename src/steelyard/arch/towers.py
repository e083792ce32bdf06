"""Vision towers beside a language model: their parameters, counted from their shapes; their work is not modelled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from steelyard.arch.fields import Fields
from steelyard.arch.spec import Tower
from steelyard.errors import InputError


def _linear(out: int, into: int, *, bias: bool = True) -> int:
    return out * into + (out if bias else 0)


def _sizes(fields: Fields, layers_key: str = "num_hidden_layers") -> tuple[int, int, int]:
    return (
        fields.count("hidden_size", "hidden"),
        fields.count("intermediate_size", "width"),
        fields.count(layers_key, "layers"),
    )


def _patch(fields: Fields, *, frames_key: str = "") -> int:
    """Return the numbers of one patch of an image (or of a few frames)."""
    side = fields.count("patch_size", "width")
    frames = fields.count(frames_key, "width", default=2) if frames_key else 1
    return (
        fields.count(fields.stated("num_channels", "in_channels", "in_chans"), "width", default=3)
        * frames
        * side
        * side
    )


def _plain_layer(hidden: int, ffn: int) -> int:
    """Return the parameters of a transformer layer with biases and two LayerNorms."""
    return 4 * _linear(hidden, hidden) + _linear(ffn, hidden) + _linear(hidden, ffn) + 4 * hidden


def _image_positions(fields: Fields) -> int:
    return (fields.count("image_size", "width") // fields.count("patch_size", "width")) ** 2


def _qwen3(fields: Fields, outer: Fields, text_hidden: int) -> int:
    del outer
    hidden, ffn, layers = _sizes(fields, "depth")
    merged = hidden * fields.count("spatial_merge_size", "width", default=2) ** 2
    out = fields.count("out_hidden_size", "hidden", default=text_hidden)
    merger = _linear(merged, merged) + _linear(out, merged)
    deep = len(fields.numbers("deepstack_visual_indexes"))
    entry = _linear(hidden, _patch(fields, frames_key="temporal_patch_size"))
    positions = fields.count("num_position_embeddings", "tokens") * hidden
    mergers = merger + 2 * hidden + deep * (merger + 2 * merged)
    return entry + positions + layers * _plain_layer(hidden, ffn) + mergers


def _qwen2(fields: Fields, outer: Fields, text_hidden: int) -> int:
    del outer
    hidden, layers = fields.count("embed_dim", "hidden"), fields.count("depth", "layers")
    merged = hidden * fields.count("spatial_merge_size", "width", default=2) ** 2
    ffn = hidden * fields.count("mlp_ratio", "width", default=4)
    out = fields.count("hidden_size", "hidden", default=text_hidden)
    entry = hidden * _patch(fields, frames_key="temporal_patch_size")
    return entry + layers * _plain_layer(hidden, ffn) + 2 * hidden + _linear(merged, merged) + _linear(out, merged)


def _qwen2_5(fields: Fields, outer: Fields, text_hidden: int) -> int:
    del outer
    hidden, ffn, layers = _sizes(fields, "depth")
    merged = hidden * fields.count("spatial_merge_size", "width", default=2) ** 2
    out = fields.count("out_hidden_size", "hidden", default=text_hidden)
    layer = 4 * _linear(hidden, hidden) + 2 * _linear(ffn, hidden) + _linear(hidden, ffn) + 2 * hidden
    entry = hidden * _patch(fields, frames_key="temporal_patch_size")
    return entry + layers * layer + hidden + _linear(merged, merged) + _linear(out, merged)


def _siglip(fields: Fields, outer: Fields, text_hidden: int) -> int:
    del outer
    hidden, ffn, layers = _sizes(fields)
    if fields.flag("vision_use_head", default=True):
        fields.refuse("vision_use_head", "false")
    entry = _linear(hidden, _patch(fields)) + _image_positions(fields) * hidden
    return entry + layers * _plain_layer(hidden, ffn) + 2 * hidden + hidden * text_hidden + hidden


def _clip(fields: Fields, outer: Fields, text_hidden: int) -> int:
    del outer
    hidden, ffn, layers = _sizes(fields)
    entry = hidden * _patch(fields) + (_image_positions(fields) + 2) * hidden  # and a class token with its position
    projector = _linear(text_hidden, hidden) + _linear(text_hidden, text_hidden)
    return entry + layers * _plain_layer(hidden, ffn) + 4 * hidden + projector


def _minimax(fields: Fields, outer: Fields, text_hidden: int) -> int:
    hidden, ffn, layers = _sizes(fields)
    compression = fields.part("img_token_compression_config")
    merged = text_hidden * compression.count("spatial_merge_size", "width", default=2) ** 2
    entry = hidden * _patch(fields) * compression.count("temporal_patch_size", "width", default=2) + 2 * hidden
    out = outer.count("projector_hidden_size", "hidden", default=text_hidden)
    projector = _linear(out, hidden) + _linear(text_hidden, out) + _linear(out, merged) + _linear(text_hidden, out)
    return entry + layers * _plain_layer(hidden, ffn) + projector


def _pixtral(fields: Fields, outer: Fields, text_hidden: int) -> int:
    hidden, ffn, layers = _sizes(fields)
    layer = 4 * hidden * hidden + 3 * hidden * ffn + 2 * hidden
    merge = outer.count("spatial_merge_size", "width", default=2) ** 2
    bias = outer.flag("multimodal_projector_bias")
    projector = hidden + merge * hidden * hidden
    projector += _linear(text_hidden, hidden, bias=bias) + _linear(text_hidden, text_hidden, bias=bias)
    return hidden * _patch(fields) + hidden + layers * layer + projector


def _gemma4(fields: Fields, outer: Fields, text_hidden: int) -> int:
    del outer
    hidden, ffn, layers = _sizes(fields)
    heads, dim = fields.count("num_attention_heads", "heads"), fields.count("head_dim", "head_dim")
    kv_heads = fields.count("num_key_value_heads", "heads", default=heads)
    layer = hidden * dim * 2 * (heads + kv_heads) + 2 * dim + 3 * hidden * ffn + 4 * hidden
    entry = hidden * _patch(fields) + 2 * fields.count("position_embedding_size", "tokens") * hidden
    return entry + layers * layer + hidden * text_hidden


TOWERS: dict[str, Callable[[Fields, Fields, int], int]] = {
    "gemma3": _siglip,
    "gemma4": _gemma4,
    "llava": _clip,
    "minimax_m3_vl": _minimax,
    "mistral3": _pixtral,
    "qwen2_5_vl": _qwen2_5,
    "qwen2_vl": _qwen2,
    "qwen3_5": _qwen3,
    "qwen3_5_moe": _qwen3,
    "qwen3_vl": _qwen3,
    "qwen3_vl_moe": _qwen3,
}
"""`model_type` -> the parameters of its vision tower and projector, from `vision_config` and the hidden size."""


def towers(
    config: Mapping[str, Any], model_type: str, hidden: int, where: str
) -> tuple[tuple[Tower, ...], tuple[str, ...]]:
    """Return the towers whose parameters can be counted, and in words what is left out."""
    found: list[Tower] = []
    left_out = [name for name, key in (("sound", "audio_config"),) if config.get(key)]
    stated, count = config.get("vision_config"), TOWERS.get(model_type)
    if isinstance(stated, Mapping) and count:
        with suppress(InputError):  # beside the question: the language model stands without it
            fields = Fields(stated, f"{where}: vision_config")
            found.append(Tower(name="vision", params=count(fields, Fields(config, where), hidden)))
    if not found and (stated or not left_out):
        left_out.insert(0, "images")
    return tuple(found), tuple(f"the part for {name} (not counted)" for name in left_out)
