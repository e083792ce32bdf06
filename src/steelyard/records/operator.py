"""The unit of work that `arch` produces and `device` times: training and inference both stand on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from steelyard.units import Array

OperatorKind = Literal["gemm", "grouped_gemm", "attention", "scan", "elementwise", "dispatch", "embedding"]
Place = Literal["embedding", "layer", "head"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One kind of work in one pass over a model, on one device of its parallel group; arrays broadcast.

    All quantities are of ONE run of the operator on ONE device, after sharding; `count` says how many times the
    whole model runs it per pass (the number of layers that have it), before pipeline stages divide them.
    """

    name: str  # "attention.query_key_value", "mlp.up_gate", "moe.experts", "head"
    kind: OperatorKind
    place: Place
    count: int
    flop: Array  # a multiply-add is 2
    weight_bytes: Array  # parameters read (scales included)
    activation_bytes: Array  # inputs read and outputs written
    cache_bytes: Array = 0.0  # KV cache or state read and written
    m: Array = 0.0  # rows of the GEMM: tokens; 0 where it is not one
    n: Array = 0.0
    k: Array = 0.0
    groups: Array = 1.0  # of a grouped GEMM: experts really hit, which share the m rows
    compute_dtype: str = "bf16"  # the rate it runs at
