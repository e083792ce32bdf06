"""Parameters, weight bytes and cache bytes, read off the parts list."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steelyard.arch.dtypes import dtype_bytes
from steelyard.arch.formats import formats
from steelyard.arch.parts import Linear, parts, share
from steelyard.arch.prediction import prediction_model
from steelyard.arch.spec import Model
from steelyard.records.term import term
from steelyard.units import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """Parameters of a model by kind; every one is counted from a shape."""

    total_params: int = term(
        "parameters",
        "param",
        "embedding + head + attention + mlp + experts + router + norms",
        parts=(
            "embedding_params",
            "head_params",
            "attention_params",
            "mlp_params",
            "experts_params",
            "router_params",
            "vector_params",
        ),
    )
    active_params: int = term(
        "parameters that one token uses, embedding table included",
        "param",
        "total - experts * (1 - top_k / num_experts)",
        parts=("total_params", "experts_params"),
    )
    embedding_params: int = term("token embedding and learned positions", "param", "(vocab + positions) * hidden")
    head_params: int = term("output head (0 when tied to the embedding)", "param", "vocab * hidden")
    attention_params: int = term("attention matrices", "param")
    mlp_params: int = term("dense and shared feed-forward matrices", "param")
    experts_params: int = term("routed experts", "param")
    router_params: int = term("routers", "param")
    vector_params: int = term("norms and other vectors", "param")

    buffer_params: int = term("numbers stored that are no parameters, beside the total", "param")
    prediction_params: int = term("multi-token-prediction layers, beside the total", "param")
    tower_params: int = term("towers for images and sound, beside the total", "param")

    @property
    def non_embedding_params(self) -> int:
        """All but the embedding table and learned positions (a tied head is the table)."""
        return self.total_params - self.embedding_params


_KINDS = {"mlp": "mlp", "shared_experts": "mlp", "experts": "experts", "router": "router"}


def count_params(model: Model) -> Params:
    """Return the parameters of a model (count), by kind.

    Formula: the sum over matrices of rows x columns + biases, and over vectors of their length.

    Multi-token-prediction layers, towers for images and sound, and what a checkpoint stores that is no parameter
    (corrections that balance the load of experts) are counted beside the total, not in it.

    Example:
        >>> from steelyard import arch
        >>> count_params(arch.load("llama-3.1-8b")).total_params
        8030261248
    """
    sums = dict.fromkeys(("attention", "mlp", "experts", "router"), 0)
    idle = 0
    for linear, count in parts(model).linears:
        params = linear.params * linear.experts * count
        sums[_KINDS.get(linear.group, "attention")] += params
        if linear.experts > 1:
            idle += linear.params * (linear.experts - linear.top_k) * count
    vectors = parts(model).vector_params
    embedding = (model.vocab + model.learned_positions) * model.hidden + model.vocab * model.layer_embedding
    head = (0 if model.tied_embeddings else model.vocab * model.hidden) + (model.vocab if model.head_bias else 0)
    total = sum(sums.values()) + vectors + embedding + head
    return Params(
        total_params=total,
        active_params=total - idle,
        embedding_params=embedding,
        head_params=head,
        attention_params=sums["attention"],
        mlp_params=sums["mlp"],
        experts_params=sums["experts"],
        router_params=sums["router"],
        vector_params=vectors,
        buffer_params=parts(model).buffers,
        prediction_params=_prediction_params(model),
        tower_params=sum(tower.params for tower in model.towers),
    )


def _prediction_params(model: Model) -> int:
    if not model.prediction:
        return 0
    listed = parts(prediction_model(model))
    return listed.vector_params + sum(linear.params * linear.experts * count for linear, count in listed.linears)


def rank_params(linear: Linear, tp: Array, ep: Array) -> Array:
    """Return the parameters of a matrix (all its experts) that one device of the tp x ep group holds."""
    if linear.experts == 1:
        n, k = share(linear.out, tp), share(linear.into, tp)
        return n * k + (n if linear.bias else 0.0)
    n, k = share(linear.out, expert_shards(tp, ep)), share(linear.into, expert_shards(tp, ep))
    return np.ceil(linear.experts / ep) * (n * k + (n if linear.bias else 0.0))


def expert_shards(tp: Array, ep: Array) -> Array:
    """Return over how many devices one expert is cut: all of tp without ep, none once ep reaches tp."""
    return np.maximum(tp / ep, 1.0)


def weight_bytes(model: Model, weight_dtype: str | None = None, *, tp: Array = 1.0, ep: Array = 1.0) -> Array:
    """Return the bytes of all weights, or of those that one device of a parallel group holds.

    Args:
        model: The model.
        weight_dtype: Format of the weights; None or the model's own: as its checkpoint stores them, scales
            included. A narrow one leaves embeddings, head, routers and norms at 16 bits.
        tp: Tensor-parallel ranks (any shape).
        ep: Expert-parallel ranks (broadcasts).

    Assumes: the busiest rank, where a width does not divide; key-value heads fewer than `tp` are replicated, and
        so are norms, routers and learned positions.

    Example:
        >>> from steelyard import arch
        >>> weight_bytes(arch.load("llama-3.1-8b"), "bf16")  # 2 bytes of 8,030,261,248 parameters
        16060522496.0
    """
    tp, ep = as_floats(tp), as_floats(ep)
    held = formats(model, weight_dtype)
    vocab = share(((model.vocab, 1),), tp)
    table = vocab * (model.hidden + model.layer_embedding) * held.param_bytes("embedding", "embedding")
    head = 0.0 if model.tied_embeddings else vocab * model.hidden * held.param_bytes("head", "head")
    bias = vocab * held.base_bytes if model.head_bias else 0.0
    replicated = parts(model).vector_params + parts(model).buffers + model.learned_positions * model.hidden
    total = table + head + bias + replicated * held.base_bytes
    for linear, count in parts(model).linears:
        total = total + rank_params(linear, tp, ep) * (count * held.param_bytes(linear.name, linear.group))
    return total


@dataclass(frozen=True, slots=True, kw_only=True)
class BesideBytes:
    """Bytes that a checkpoint holds beside the weights of the model (None: its configuration does not tell)."""

    prediction_bytes: float | None = term(
        "stored weights of multi-token-prediction layers, without copies of the embedding and the head", "bytes"
    )
    tower_bytes: float | None = term("stored weights of towers for images and sound whose shape is known", "bytes")


def beside_bytes(model: Model) -> BesideBytes:
    """Return what a checkpoint stores beside the weights of the model itself (bytes), where its format is known.

    With `weight_bytes` this explains the size of the files on disk. Some checkpoints repeat the embedding and the
    head beside their prediction layers.

    Example:
        >>> from steelyard import arch
        >>> beside_bytes(arch.load("qwen3.5-35b-a3b")).prediction_bytes  # 2 bytes of 844,640,768 parameters
        1689281536.0
    """
    one = prediction_model(model)
    listed, held = parts(one), formats(one, None)
    params = {linear: linear.params * linear.experts * count for linear, count in listed.linears}
    prediction = (listed.vector_params + listed.buffers) * held.base_bytes
    prediction += sum(count * held.param_bytes(linear.name, linear.group) for linear, count in params.items())
    towers = sum(tower.params for tower in model.towers)
    known = model.prediction_stored is not None
    return BesideBytes(
        prediction_bytes=float(prediction) if known else None,
        tower_bytes=towers * dtype_bytes(model.tower_dtype) if model.tower_dtype else None if towers else 0.0,
    )


def cache_bytes(model: Model, context_tokens: Array, *, kv_dtype: str = "bf16", tp: Array = 1.0) -> Array:
    """Return the bytes of keys and values (or latents) that one sequence keeps.

    Formula: per layer, 2 * kv_heads * head_dim * min(context, window) numbers; for latent attention
    (kv_lora_rank + rope_head_dim) * context.

    Args:
        model: The model.
        context_tokens: Tokens in the cache (tokens, any shape).
        kv_dtype: Format of the cache.
        tp: Tensor-parallel ranks; with more than one, the bytes on each (latents are replicated).

    Example:
        >>> from steelyard import arch
        >>> cache_bytes(arch.load("llama-3.1-70b"), 1.0)  # 80 layers * 2 * 8 * 128 numbers * 2 bytes
        327680.0
    """
    context, ranks = as_floats(context_tokens), as_floats(tp)
    elements: Array = 0.0
    states: Array = 0.0
    for core, count in parts(model).cores:
        elements = elements + core.cache_elements(context, ranks) * count
        states = states + core.state_bytes(ranks) * count
    return elements * dtype_bytes(kv_dtype) + states


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """What context parallelism adds to the attention of a whole model, on one tensor-parallel rank."""

    passed_bytes: Array  # keys and values of one sequence in 16 bits, all ranks together
    output_bytes: Array  # of one token in 16 bits: each step of the ring makes a part of all of it


def ring(model: Model, seq_tokens: Array, *, tp: Array = 1.0) -> Ring:
    """Return what a ring of context-parallel ranks passes and puts together in one forward pass.

    Latent attention passes the keys and values of every head, made of the latents first, and not what it would cache.

    Source: Liu et al., "Ring Attention", arXiv 2310.01889; Transformer Engine, `attention.py` (cp_comm_type p2p).

    Example:
        >>> from steelyard import arch
        >>> llama, deepseek = (ring(arch.load(name), 1.0) for name in ("llama-3.1-8b", "deepseek-v3"))
        >>> float(llama.passed_bytes), float(deepseek.passed_bytes)  # twice 32 * 2 * 8 * 128, 61 * 128 * 320
        (131072.0, 4997120.0)
    """
    seq, ranks = as_floats(seq_tokens), as_floats(tp)
    cores = parts(model).cores
    return Ring(
        passed_bytes=2.0 * sum(core.passed_elements(seq, ranks) * count for core, count in cores),
        output_bytes=2.0 * sum(core.output_elements(ranks) * count for core, count in cores),
    )


def as_floats(value: Array) -> Array:
    """Return a float, or an array of floats, from numbers or arrays of any kind."""
    return float(value) if isinstance(value, (int, float)) else np.asarray(value, dtype=np.float64)
