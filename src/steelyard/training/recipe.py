"""How the software runs a step on its layout: number formats, kernels, what it overlaps, what it keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from steelyard import arch
from steelyard.errors import InputError
from steelyard.units import Array

Method: TypeAlias = Literal["full", "lora"]
METHODS: tuple[Method, ...] = get_args(Method)
AttentionKernel: TypeAlias = Literal["flash", "flash2", "unfused"]
ATTENTION_KERNELS: tuple[AttentionKernel, ...] = get_args(AttentionKernel)
LORA_RANK = 16  # of the adapters beside every dense matrix of a layer, unless stated


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a step needs to know beside model, device and layout; the defaults are software of today.

    Fields typed `Array` may be arrays that broadcast with those of the layout. A flag is 1 (on) or 0.
    """

    compute_dtype: str = "bf16"  # of the matrix products
    method: str = "full"  # "lora": frozen weights, adapters trained
    lora_rank: int = LORA_RANK
    trained_ends: bool = False  # with adapters: embedding and head are trained too
    base_dtype: str = "bf16"  # of frozen weights at rest: narrower ones are expanded before use (QLoRA)
    attention: str = "flash"  # "flash2": not written for devices with narrow formats; "unfused": scores through memory
    sequence_parallel: bool = True  # tensor-parallel ranks share norms, dropout and residuals, not repeat them
    recomputed: tuple[str, ...] = arch.USUAL_RECOMPUTED  # modules that "selective" recomputes
    narrow_kept_ratio: Array = 1.0  # inputs of narrow matrix products are kept narrow, not in 16 bits
    prediction_layers: int = 0  # multi-token prediction: layers with a head of their own
    tuned_ratio: Array = 0.0  # 1: tuned for its devices as vendors' benchmarks are; 0: as most runs are
    hooked_ratio: Array = 0.0  # weights are gathered one by one from hooks on each module, as DeepSpeed's ZeRO-3 does
    compiled_ratio: Array = 0.0  # a compiler fuses norms and activations, and keeps nothing of them
    eager_ratio: Array = 0.0  # every operation is a kernel of its own: no compiler, few fused ones
    tp_overlap_ratio: Array = 1.0  # gathers and scatters run beside the matrix products they feed
    ep_overlap_ratio: Array = 0.0  # expert exchange runs beside another micro-batch
    node_dispatch_ratio: Array = 1.0  # a token crosses to a node once for all its experts there, as DeepEP sends it
    dispatch_bytes: Array = 2.0  # an element of a token on its way to its experts; it comes back in 16 bits
    captured_ratio: Array = 0.0  # share of the kernels launched by graphs
    gradient_reduce_bytes: Array = 4.0  # a gradient on the wire: 4 in fp32, 2 in bf16
    gather_bytes: Array = 2.0  # a weight on the wire: 2 in bf16, 1 in fp8
    gradient_bytes: Array = 4.0  # a gradient while it is accumulated
    logit_bytes: Array = 6.0  # kept of a logit at the loss: in 16 bits, and an fp32 copy that becomes the gradient
    bucket_bytes: Array = 0.0  # buffers through which replicas reduce gradients and gather weights
    update_bytes: Array = 0.0  # copies of a gradient that the optimizer makes while it updates its weight
    master_bytes: Array = 4.0  # an fp32 copy of a 16-bit weight; 0 where the optimizer updates the weight itself
    moment_bytes: Array = 8.0  # both moments of a parameter: 8 in fp32, 4 in bf16, 2 in 8 bits; 4 of Muon's one
    offload_ratio: Array = 0.0  # share of the kept activations that wait in host memory
    state_offload_ratio: Array = 0.0  # optimizer states and their update are the host's
    imbalance_ratio: Array = 1.0  # tokens of the busiest expert rank over the mean

    def __post_init__(self) -> None:
        check_method(self.method)
        if self.attention not in ATTENTION_KERNELS:
            raise InputError(f"attention is {self.attention!r}; allowed: {', '.join(ATTENTION_KERNELS)}")


def check_method(method: str) -> Method:
    """Return the method, refusing an unknown one."""
    if method not in METHODS:
        raise InputError(f"method is {method!r}; allowed: {', '.join(METHODS)}")
    return method
