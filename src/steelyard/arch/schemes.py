"""How quantisation methods store a matrix: bits, scales, and to which numbers a scale belongs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from steelyard.arch.dtypes import dtype_bytes
from steelyard.arch.fields import shorten
from steelyard.arch.parts import Linear, whole
from steelyard.errors import InputError

_FP32_BYTES, _FP16_BYTES = 4.0, 2.0
_WEIGHTS_ALONE = {4: "int4", 8: "w8a16"}  # bits of formats whose numbers are widened before they are multiplied
_WIDEST_4_BIT = 6.0  # bits a number of mixed blocks below which most are held in half a byte


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """One format of a stored matrix."""

    dtype: str
    number_bytes: float  # block scales that are part of the format included
    scale_bytes: float = 0.0  # of one scale (and zero point)
    group: int = 0  # numbers that share it; 0: one per output row
    whole_tensor: bool = False  # one scale for the matrix: nothing per number

    def param_bytes(self, linear: Linear) -> float:
        """Return the bytes per parameter of a matrix."""
        if self.whole_tensor or not self.scale_bytes:
            return self.number_bytes
        return self.number_bytes + self.scale_bytes / (self.group or whole(linear.into))


def refuse(where: str, key: str, value: Any, allowed: str) -> NoReturn:
    """Raise the one-line error for a wrong key of the quantisation."""
    raise InputError(f"{where}: quantization_config.{key} is {shorten(value)}; known: {allowed}")


def _number(config: Mapping[str, Any], key: str, where: str) -> int:
    value = config.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 2**20:
        refuse(where, key, value, "a whole number from 1 to 1,048,576")
    return value


def _plain(dtype: str) -> Scheme:
    return Scheme(dtype=dtype, number_bytes=dtype_bytes(dtype))


_MXFP8 = Scheme(dtype="fp8", number_bytes=dtype_bytes("fp8") + 1 / 32)  # one 8-bit exponent per 32 numbers
_ALGORITHMS = {
    "FP8": _plain("fp8"),
    "FP8_PER_CHANNEL_PER_TOKEN": Scheme(dtype="fp8", number_bytes=1.0, scale_bytes=_FP32_BYTES),
    "FP8_PB_WO": Scheme(dtype="fp8", number_bytes=1.0, scale_bytes=_FP32_BYTES, group=128 * 128),
    "MXFP4": _plain("mxfp4"),
    "MXFP8": _MXFP8,
    "NVFP4": _plain("nvfp4"),
    "W4A16_NVFP4": _plain("nvfp4"),
    "W4A8_NVFP4_FP8": _plain("nvfp4"),
    "W4A16_AWQ": Scheme(dtype="int4", number_bytes=0.5, scale_bytes=_FP16_BYTES, group=128),
    "W4A8_AWQ": Scheme(dtype="int4", number_bytes=0.5, scale_bytes=_FP16_BYTES, group=128),
    "INT8_SQ": Scheme(dtype="int8", number_bytes=1.0, scale_bytes=_FP32_BYTES),
    "W8A16": Scheme(dtype="w8a16", number_bytes=1.0, scale_bytes=_FP16_BYTES),
}


def of_algorithm(config: Mapping[str, Any], where: str) -> Scheme:
    """Return the format that ModelOpt's `quant_algo` names."""
    algorithm = config.get("quant_algo")
    scheme = _ALGORITHMS.get(algorithm) if isinstance(algorithm, str) else None
    if scheme is None:
        refuse(where, "quant_algo", algorithm, ", ".join(_ALGORITHMS))
    return scheme


def _fp8(config: Mapping[str, Any], where: str) -> Scheme:
    block = config.get("weight_block_size")
    if block is None:
        return _plain("fp8")
    if not isinstance(block, list) or len(block) != 2:
        refuse(where, "weight_block_size", block, "two whole numbers")
    sides = {"height": block[0], "width": block[1]}
    numbers = _number(sides, "height", where) * _number(sides, "width", where)
    return Scheme(dtype="fp8", number_bytes=1.0, scale_bytes=_FP32_BYTES, group=numbers)


def _rows_fp8(config: Mapping[str, Any], where: str) -> Scheme:
    del config  # one scale per row, always
    return of_algorithm({"quant_algo": "FP8_PER_CHANNEL_PER_TOKEN"}, where)


def mxfp4(config: Mapping[str, Any], where: str) -> Scheme:
    """Return the format of OCP microscaling numbers, which fixes its scales."""
    del config, where
    return _plain("mxfp4")


def _group_size(config: Mapping[str, Any], where: str) -> int:
    return 0 if config.get("group_size") == -1 else _number(config, "group_size", where)


def _grouped_integers(config: Mapping[str, Any], where: str) -> Scheme:
    bits = _number(config, "bits", where)
    if bits not in {4, 8}:
        refuse(where, "bits", bits, "4, 8")
    scale = _FP16_BYTES + bits / 8  # and a zero point
    return Scheme(
        dtype=_WEIGHTS_ALONE[bits], number_bytes=bits / 8, scale_bytes=scale, group=_group_size(config, where)
    )


def _affine(config: Mapping[str, Any], where: str) -> Scheme:
    """Return MLX's own format: a scale and an offset in 16 bits per group."""
    mode = config.get("mode", "affine")
    if mode in ("mxfp4", "nvfp4"):
        return _plain(mode)
    bits = config.get("bits")
    if mode != "affine":
        refuse(where, "mode", mode, "affine, mxfp4, nvfp4")
    if bits not in (4, 8) or isinstance(bits, float):
        refuse(where, "bits", bits, "4, 8")
    group = _number(config, "group_size", where)
    return Scheme(dtype=_WEIGHTS_ALONE[bits], number_bytes=bits / 8, scale_bytes=2 * _FP16_BYTES, group=group)


def gguf(config: Mapping[str, Any], where: str, key: str = "bits") -> Scheme:
    """Return the mean of a GGUF file, or of its experts, which mix block formats of 4 or of 8 bits and their scales."""
    bits = config.get(key)
    if isinstance(bits, bool) or not isinstance(bits, int | float) or not 1 <= bits <= 16:
        refuse(where, key, bits, "bits a weight in the mean, from 1 to 16")
    return Scheme(dtype=_WEIGHTS_ALONE[4 if bits < _WIDEST_4_BIT else 8], number_bytes=bits / 8)


def _bits_and_bytes(config: Mapping[str, Any], where: str) -> Scheme:
    if config.get("load_in_8bit") is True:
        return Scheme(dtype="int8", number_bytes=1.0, scale_bytes=_FP32_BYTES)
    if config.get("load_in_4bit") is not True:
        refuse(where, "load_in_4bit", config.get("load_in_4bit"), "true, or load_in_8bit true")
    block, blocks_per_scale = 64, 256  # the library's own; nested scales are 8 bits with an fp32 per 256 of them
    scale = 1.0 + _FP32_BYTES / blocks_per_scale if config.get("bnb_4bit_use_double_quant") is True else _FP32_BYTES
    return Scheme(dtype="int4", number_bytes=0.5, scale_bytes=scale, group=block)


def _quark(config: Mapping[str, Any], where: str) -> Scheme:
    """Return the format of Quark's `global_quant_config`; layers of their own may differ in their outputs only."""
    stated = config.get("global_quant_config")
    weight = stated.get("weight") if isinstance(stated, Mapping) else None
    if not isinstance(weight, Mapping):
        refuse(where, "global_quant_config", stated, "a mapping with weight")
    for key in ("layer_quant_config", "layer_type_quant_config"):
        own = config.get(key) or {}
        parts = own.values() if isinstance(own, Mapping) else [own]
        if any(not isinstance(part, Mapping) or part.get("weight") != weight for part in parts):
            refuse(where, key, own, "layers whose weights are stored like all others")
    dtype, group = str(weight.get("dtype")), weight.get("group_size")
    if dtype.startswith("fp4") and group == 32:
        return _plain("mxfp4")
    if not dtype.startswith("fp8_e4m3") or weight.get("qscheme") not in ("per_tensor", "per_channel"):
        kind = f"{dtype} {weight.get('qscheme')}"[:40]
        refuse(where, "global_quant_config.weight", kind, "fp8_e4m3 per_tensor or per_channel, fp4 in groups of 32")
    return _plain("fp8") if weight["qscheme"] == "per_tensor" else _rows_fp8(config, where)


def of_weights(weights: Any, where: str) -> Scheme:
    """Return the format of the `weights` of a group of `config_groups` (compressed-tensors, ModelOpt)."""
    if not isinstance(weights, Mapping):
        refuse(where, "config_groups", weights, "groups with weights")
    kind = f"{weights.get('type')}{weights.get('num_bits')}"[:20]
    known = {"float8": "fp8", "float4": "nvfp4", "int8": "int8", "int4": "int4"}
    if kind not in known:
        refuse(where, "config_groups", kind, ", ".join(sorted(known)))
    dtype, strategy = known[kind], weights.get("strategy")
    if dtype == "nvfp4":
        return _plain("mxfp4" if weights.get("group_size") == 32 else dtype)
    if strategy == "block" and isinstance(weights.get("block_structure"), list):
        return _fp8({"weight_block_size": weights["block_structure"]}, where)
    grouped = weights.get("group_size") not in {None, -1}
    if grouped:
        return Scheme(
            dtype="w8a16" if dtype == "int8" else dtype,  # kernels that multiply 8 bits take one scale a row
            number_bytes=dtype_bytes(dtype),
            scale_bytes=_FP16_BYTES,
            group=_number(weights, "group_size", where),
        )
    per_row = strategy == "channel"
    return Scheme(dtype=dtype, number_bytes=dtype_bytes(dtype), scale_bytes=_FP16_BYTES if per_row else 0.0)


def _compressed_tensors(config: Mapping[str, Any], where: str) -> Scheme | None:
    groups = config.get("config_groups")
    if not isinstance(groups, Mapping) or not groups:
        refuse(where, "config_groups", groups, "groups with weights")
    for group in groups.values():
        targets = group.get("targets") if isinstance(group, Mapping) else None
        if targets is None or "Linear" in targets:
            return of_weights(group.get("weights") if isinstance(group, Mapping) else None, where)
    return None  # every group names its modules


METHODS: dict[str, Callable[[Mapping[str, Any], str], Scheme | None]] = {
    "awq": _grouped_integers,
    "bitsandbytes": _bits_and_bytes,
    "compressed-tensors": _compressed_tensors,
    "fbgemm_fp8": _rows_fp8,
    "fp8": _fp8,
    "gguf": gguf,
    "gptq": _grouped_integers,
    "mlx": _affine,
    "modelopt": of_algorithm,
    "mxfp4": mxfp4,
    "quark": _quark,
}
"""`quant_method` -> the format of the matrices that no list singles out."""
