"""The operators of one backward pass on one device of a parallel group."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from steelyard.arch.forward import forward_operators
from steelyard.arch.spec import Model
from steelyard.errors import UnknownError, unknown
from steelyard.records.operator import Operator
from steelyard.units import Array

ATTENTION_BACKWARD_RATIO = 2.5
"""Matrix products of a flash backward pass to those of its forward pass, 5 to 2: scores are computed again."""

SCAN_BACKWARD_RATIO = 3.0
"""The states of all chunks are computed again, then each product has two gradients."""

ELEMENTWISE_BACKWARD_RATIO = 1.5
"""Three tensors (input, gradient in, gradient out) where the forward pass moves two."""

GRADIENT_TO_WEIGHT_BYTES = 2.0
"""A gradient is written in fp32, weights are read in bf16."""


def backward_operators(
    model: Model,
    *,
    batch: Array,
    seq_tokens: Array,
    tp: Array = 1,
    cp: Array = 1,
    ep: Array = 1,
    compute_dtype: str = "bf16",
    expert_imbalance_ratio: Array = 1.0,
    trainable: Literal["all", "lora"] = "all",
    sequence_parallel: bool = True,
) -> tuple[Operator, ...]:
    """Return the operators of one backward pass, as one device of the (tp, cp, ep) group runs them.

    Every matrix runs twice at the FLOP of its forward product: gradient of its input, gradient of its weights.
    Flash attention runs 2.5 times its forward FLOP, because it computes the scores again; recomputation of
    anything else is not included.

    Args:
        model: The model.
        batch: Sequences in the micro-batch of this data-parallel rank.
        seq_tokens: Tokens of each sequence (tokens).
        tp: Tensor-parallel ranks.
        cp: Context-parallel ranks.
        ep: Expert-parallel ranks.
        compute_dtype: Format that matrices are multiplied in.
        expert_imbalance_ratio: Rows of the busiest expert rank to the mean, at least 1.
        trainable: "all", or "lora": frozen matrices get no weight gradient; the adapters' own work is not
            included.
        sequence_parallel: Tensor-parallel ranks share norms and residual additions, not repeat them.

    Raises:
        UnknownError: A number format or a `trainable` that is not known.

    Source: FlashAttention-2, arXiv 2307.08691, section 3.2 (five matrix products backward, two forward).

    Example:
        >>> from steelyard import arch
        >>> frozen = backward_operators(arch.load("llama-3.1-8b"), batch=1, seq_tokens=8, trainable="lora")
        >>> [o.name for o in frozen if o.place == "head"]
        ['head.elementwise.gradient', 'head.input_gradient']
    """
    if trainable not in {"all", "lora"}:
        raise UnknownError(unknown("kind of training", str(trainable), ("all", "lora")))
    forward = forward_operators(
        model,
        batch=batch,
        new_tokens=seq_tokens,
        tp=tp,
        cp=cp,
        ep=ep,
        compute_dtype=compute_dtype,
        kv_dtype=None,
        expert_imbalance_ratio=expert_imbalance_ratio,
        sequence_parallel=sequence_parallel,
    )
    gradients = [_gradients(operator, trainable == "all") for operator in reversed(forward)]
    return tuple(operator for group in gradients for operator in group)


def _gradients(operator: Operator, train_weights: bool) -> tuple[Operator, ...]:
    if operator.kind in {"gemm", "grouped_gemm"}:
        of_input = replace(operator, name=f"{operator.name}.input_gradient", n=operator.k, k=operator.n)
        of_weights = replace(
            operator,
            name=f"{operator.name}.weight_gradient",
            weight_bytes=0.0,
            activation_bytes=operator.activation_bytes + GRADIENT_TO_WEIGHT_BYTES * operator.weight_bytes,
            m=operator.n,
            n=operator.k,
            k=operator.m,
        )
        return (of_input, of_weights) if train_weights else (of_input,)
    if operator.kind in {"attention", "scan"}:
        return (
            replace(
                operator,
                name=f"{operator.name}.gradient",
                flop=(ATTENTION_BACKWARD_RATIO if operator.kind == "attention" else SCAN_BACKWARD_RATIO)
                * operator.flop,
                activation_bytes=2 * operator.activation_bytes,  # all inputs and outputs, and their gradients
            ),
        )
    if operator.kind == "embedding" and not train_weights:
        return ()
    return (
        replace(
            operator,
            name=f"{operator.name}.gradient",
            activation_bytes=ELEMENTWISE_BACKWARD_RATIO * operator.activation_bytes,
        ),
    )
