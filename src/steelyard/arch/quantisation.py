"""How a checkpoint stores its weights: from `quantization_config` to bytes per parameter of each group."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from steelyard.arch.dtypes import dtype_bytes
from steelyard.arch.fields import shorten
from steelyard.arch.formats import QUANTISED_GROUPS
from steelyard.arch.parts import Linear, parts
from steelyard.arch.spec import Model, Stored
from steelyard.errors import InputError

_FP32_SCALE_BYTES = 4.0
_FP16_SCALE_BYTES = 2.0

_ALWAYS_WIDE = re.compile(
    r"lm_head|embed|norm|vision|visual|projector|router|e_score_correction|mtp|eh_proj|shared_head|gate(\.weight)?$"
)
_LAYER = re.compile(r"layers\.(\d+)")
_WHOLE_LAYER = re.compile(r"layers\.\d+\.?\*?$")
_PROJECTION = re.compile(r"self_attn\.(\w+?)_proj")
_ALL_LAYERS = -1
_GROUP_WORDS = (
    ("shared_expert", "shared_experts"),
    ("experts", "experts"),
    ("self_attn", "attention"),
    ("mlp", "mlp"),
)
_PROJECTIONS = {
    "q": "attention.query_key_value",
    "k": "attention.query_key_value",
    "v": "attention.query_key_value",
    "qkv": "attention.query_key_value",
    "o": "attention.output",
    "q_a": "attention.down",
    "kv_a": "attention.down",
    "q_b": "attention.query_up",
    "kv_b": "attention.key_value_up",
}


def stored_groups(model: Model, config: Mapping[str, Any], where: str) -> tuple[str, tuple[Stored, ...]]:
    """Return the format of the quantised matrices and how each group is stored.

    Args:
        model: The model, unquantised.
        config: `quantization_config`, or the content of `hf_quant_config.json`.
        where: File or id, for messages.

    Raises:
        InputError: A method, or an exclusion, that is not known.
    """
    inner = config.get("quantization")
    if isinstance(inner, Mapping):  # hf_quant_config.json
        config = {"quant_method": "modelopt", "ignore": inner.get("exclude_modules"), **inner}
    method = config.get("quant_method", "modelopt" if "quant_algo" in config else None)
    read = _METHODS.get(method) if isinstance(method, str) else None
    if read is None:
        _refuse(where, "quant_method", method, ", ".join(sorted(_METHODS)))
    dtype, param_bytes = read(config, where)
    wide_bytes = dtype_bytes(model.base_dtype)
    return dtype, tuple(
        Stored(group=group, dtype=dtype, param_bytes=share * wide_bytes + (1 - share) * param_bytes)
        for group, share in _left_wide(model, config, where).items()
        if share < 1
    )


def _left_wide(model: Model, config: Mapping[str, Any], where: str) -> dict[str, float]:
    """Return for each group that can be quantised the share of its parameters that the checkpoint leaves wide."""
    stated = (config.get(key) for key in ("ignore", "modules_to_not_convert", "exclude_modules"))
    names: Any = next((value for value in stated if value), [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        _refuse(where, "ignore", names, "a list of module names")
    linears = [(linear, count) for linear, count in parts(model).linears if linear.group in QUANTISED_GROUPS]
    occurs: Counter[str] = Counter()
    for linear, count in linears:
        occurs[linear.name] += count
    layers: dict[str, set[int]] = {name: set() for name in occurs}
    matches: dict[str, list[str]] = {}  # pattern without its layer number -> names of the matrices it covers
    for name in set(names):
        index = _LAYER.search(name)
        if _ALWAYS_WIDE.search(name) or (index and int(index[1][:9]) >= model.num_layers):
            continue  # wide anyway, or a layer for multi-token prediction
        pattern = _LAYER.sub("layers.0", name)
        if pattern not in matches:
            matches[pattern] = [linear.name for linear, _ in linears if _leaves_out(pattern, linear, where)]
        for covered in matches[pattern]:
            layers[covered].add(int(index[1]) if index else _ALL_LAYERS)
    total: Counter[str] = Counter()
    wide: dict[str, float] = {}
    for linear, count in linears:
        params = linear.params * linear.experts * count
        left = min(len(layers[linear.name]) / occurs[linear.name], 1.0)
        left = 1.0 if _ALL_LAYERS in layers[linear.name] else left
        total[linear.group] += params
        wide[linear.group] = wide.get(linear.group, 0.0) + params * left
    return {group: wide[group] / total[group] for group in total}


def _leaves_out(name: str, linear: Linear, where: str) -> bool:
    """Return whether a pattern of module names covers a matrix."""
    group = next((group for word, group in _GROUP_WORDS if word in name), None)
    if group is None:
        if _WHOLE_LAYER.search(name):
            return True
        _refuse(where, "ignore", name, "names of attention, mlp, experts, routers, norms, embeddings or layers")
    projection = _PROJECTION.search(name) if group == "attention" else None
    if projection is None:
        return linear.group == group
    return _PROJECTIONS.get(projection[1]) == linear.name


def _refuse(where: str, key: str, value: Any, allowed: str) -> NoReturn:
    raise InputError(f"{where}: quantization_config.{key} is {shorten(value)}; known: {allowed}")


def _number(config: Mapping[str, Any], key: str, where: str) -> int:
    value = config.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 2**20:
        _refuse(where, key, value, "a whole number from 1 to 1,048,576")
    return value


def _fp8(config: Mapping[str, Any], where: str) -> tuple[str, float]:
    block = config.get("weight_block_size")
    if block is None:
        return "fp8", dtype_bytes("fp8")
    if not isinstance(block, list) or len(block) != 2:
        _refuse(where, "weight_block_size", block, "two whole numbers")
    sides = {"height": block[0], "width": block[1]}
    numbers = _number(sides, "height", where) * _number(sides, "width", where)
    return "fp8", dtype_bytes("fp8") + _FP32_SCALE_BYTES / numbers


def _mxfp4(config: Mapping[str, Any], where: str) -> tuple[str, float]:
    del config, where  # the format fixes its scales
    return "mxfp4", dtype_bytes("mxfp4")


def _modelopt(config: Mapping[str, Any], where: str) -> tuple[str, float]:
    algorithm = config.get("quant_algo")
    dtype = {"FP8": "fp8", "NVFP4": "nvfp4"}.get(algorithm) if isinstance(algorithm, str) else None
    if dtype is None:
        _refuse(where, "quant_algo", algorithm, "FP8, NVFP4")
    return dtype, dtype_bytes(dtype)


def _grouped_integers(config: Mapping[str, Any], where: str) -> tuple[str, float]:
    bits = _number(config, "bits", where)
    if bits not in {4, 8}:
        _refuse(where, "bits", bits, "4, 8")
    scales = (_FP16_SCALE_BYTES + bits / 8) / _number(config, "group_size", where)  # and a zero point
    return f"int{bits}", bits / 8 + scales


def _compressed_tensors(config: Mapping[str, Any], where: str) -> tuple[str, float]:
    groups = config.get("config_groups")
    group = next(iter(groups.values())) if isinstance(groups, Mapping) and len(groups) == 1 else None
    weights = group.get("weights") if isinstance(group, Mapping) else None
    if not isinstance(weights, Mapping):
        _refuse(where, "config_groups", groups, "one group with weights")
    kind = f"{weights.get('type')}{weights.get('num_bits')}"[:20]
    known = {"float8": "fp8", "float4": "nvfp4", "int8": "int8", "int4": "int4"}
    if kind not in known:
        _refuse(where, "config_groups", kind, ", ".join(sorted(known)))
    size = dtype_bytes(known[kind])
    if kind.startswith("int") and weights.get("group_size") is not None and weights.get("group_size") != -1:
        size += _FP16_SCALE_BYTES / _number(weights, "group_size", where)
    return known[kind], size


_METHODS: dict[str, Callable[[Mapping[str, Any], str], tuple[str, float]]] = {
    "awq": _grouped_integers,
    "compressed-tensors": _compressed_tensors,
    "fp8": _fp8,
    "gptq": _grouped_integers,
    "modelopt": _modelopt,
    "mxfp4": _mxfp4,
}
