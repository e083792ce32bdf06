"""How the memory of one sequence grows: with every token, only at first, or not at all."""

from __future__ import annotations

from dataclasses import dataclass

from steelyard.arch.counts import cache_bytes
from steelyard.arch.parts import parts
from steelyard.arch.spec import Model
from steelyard.records.term import term

_BLOCK_TOKENS = 128.0  # entries of compressed attention are complete at its multiples
_FAR_TOKENS = 2.0**34  # beyond every window


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheGrowth:
    """What one sequence keeps in the cache."""

    kv_bytes_per_token: float = term("keys and values of a token, all layers", "bytes", "sum over layers")
    lasting_kv_bytes_per_token: float = term(
        "what a token adds once every window is full", "bytes", "layers without a window"
    )
    state_bytes: float = term("states, whatever the length", "bytes", "sum over layers with a state")


def cache_growth(model: Model, *, kv_dtype: str | None = None) -> CacheGrowth:
    """Return what a token adds to the cache of its sequence, at first and for long, and the states besides (bytes).

    Args:
        model: The model.
        kv_dtype: Format of the cache; None: the one its checkpoint asks for, bf16 where it does not.

    Example:
        >>> from steelyard import arch
        >>> oss = cache_growth(arch.load("gpt-oss-20b"))  # 24 layers of 2 x 8 x 64 numbers, 12 of them with a window
        >>> oss.kv_bytes_per_token, oss.lasting_kv_bytes_per_token, oss.state_bytes
        (49152.0, 24576.0, 0.0)
    """
    kept = kv_dtype or model.kv_dtype
    states = sum(float(core.state_bytes(1.0)) * count for core, count in parts(model).cores)
    first = float(cache_bytes(model, _BLOCK_TOKENS, kv_dtype=kept)) - states
    far, farther = (float(cache_bytes(model, tokens, kv_dtype=kept)) for tokens in (_FAR_TOKENS, 2 * _FAR_TOKENS))
    return CacheGrowth(
        kv_bytes_per_token=first / _BLOCK_TOKENS,
        lasting_kv_bytes_per_token=(farther - far) / _FAR_TOKENS,
        state_bytes=states,
    )
