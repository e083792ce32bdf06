"""Query-key pairs: how many keys all queries of a pass see together."""

from __future__ import annotations

import numpy as np

from steelyard.units import Array


def causal_pairs(new_tokens: Array, context_tokens: Array, window: int = 0, *, chunked: bool = False) -> Array:
    """Return the query-key pairs of one head over one sequence (count).

    Formula: the sum over i = 1..new of min(window, context + i), in closed form; with chunks, the sum of the
    positions within the chunk.

    Args:
        new_tokens: Queries (tokens, any shape).
        context_tokens: Tokens before them (tokens, broadcasts).
        window: Keys that a query sees at most, itself included; 0 means all.
        chunked: The window is the fixed chunk of positions that a query lies in.

    Example:
        >>> float(causal_pairs(4.0, 0.0)), float(causal_pairs(4.0, 0.0, 2))  # 1+2+3+4, 1+2+2+2
        (10.0, 7.0)
        >>> float(causal_pairs(1.0, 9.0)), float(causal_pairs(4.0, 0.0, 3, chunked=True))  # 10, 1+2+3+1
        (10.0, 7.0)
    """
    if not window:
        return new_tokens * (context_tokens + 0.5 * (new_tokens + 1))
    if chunked:
        return _chunk_pairs(context_tokens + new_tokens, window) - _chunk_pairs(context_tokens, window)
    growing = np.minimum(np.maximum(window - context_tokens, 0.0), new_tokens)
    pairs: Array = growing * (context_tokens + 0.5 * (growing + 1)) + (new_tokens - growing) * window
    return pairs


def _chunk_pairs(tokens: Array, chunk: int) -> Array:
    full = np.floor(tokens / chunk)
    rest = in_chunk(tokens, chunk)
    pairs: Array = full * (chunk * (chunk + 1) / 2) + rest * (rest + 1) / 2
    return pairs


def in_chunk(tokens: Array, chunk: int) -> Array:
    """Return the tokens of the last, incomplete chunk (tokens)."""
    rest: Array = tokens - np.floor(tokens / chunk) * chunk
    return rest
