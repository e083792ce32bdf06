"""Bytes of one number in each format, scales of block formats included."""

from __future__ import annotations

from steelyard.errors import UnknownError, unknown

_BITS = {
    "fp32": 32.0,
    "tf32": 32.0,
    "bf16": 16.0,
    "fp16": 16.0,
    "fp8": 8.0,
    "int8": 8.0,
    "w8a16": 8.0,  # 8-bit integers for weights alone: kernels widen them and multiply 16-bit activations
    "int4": 4.0,
    "fp4": 4.0,
    "mxfp4": 4.0 + 8.0 / 32,  # one 8-bit exponent per 32 numbers (OCP Microscaling Formats v1.0)
    "nvfp4": 4.0 + 8.0 / 16,  # one fp8 scale per 16 numbers
}


def dtype_bytes(dtype: str) -> float:
    """Return the bytes that one stored number takes, block scales included.

    Args:
        dtype: "fp32", "tf32", "bf16", "fp16", "fp8", "int8", "w8a16", "int4", "fp4", "mxfp4" or
            "nvfp4".

    Raises:
        UnknownError: Another name.

    Assumes: plain "int4" and "fp4" carry no scales; a checkpoint with group scales states them itself.

    Source: OCP Microscaling Formats v1.0 for mxfp4 (32 numbers share 8 bits); nvfp4 shares 8 bits among 16.

    Example:
        >>> dtype_bytes("bf16"), dtype_bytes("mxfp4"), dtype_bytes("nvfp4")
        (2.0, 0.53125, 0.5625)
    """
    if dtype not in _BITS:
        of_file = "how a file is stored belongs to the model's name, as in llama-3.1-8b-q4_k_m"
        raise UnknownError(f"{unknown('number format', dtype, _BITS)}; {of_file}")
    return _BITS[dtype] / 8


def wide(dtype: str) -> str:
    """Return the format that unquantised parts run in: the format itself, or bf16 where it is narrower."""
    return dtype if dtype_bytes(dtype) >= 2 else "bf16"
