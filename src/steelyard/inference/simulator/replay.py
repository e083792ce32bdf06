"""What a router does to prefix caches, without a scheduler: the blocks of a trace in their order."""

from __future__ import annotations

import numpy as np

from steelyard.errors import InputError
from steelyard.inference.simulator.load import Load


def prefix_hits(load: Load, num_caches: int, *, affinity: bool = False, balance_ratio: float = 1.25) -> float:
    """Return the share of a trace's prompt blocks found in unbounded prefix caches (ratio).

    A request is sent to the next cache in turn, or, with `affinity`, to the one that last took the longest known part
    of its prompt unless that has had more than `balance_ratio` times its share of the prompt tokens.

    Args:
        load: Of a trace with block hashes.
        num_caches: Replicas, each with a cache of its own.
        affinity: Route by prefix.
        balance_ratio: Most prompt tokens of a replica over the mean.

    Raises:
        InputError: The load has no block hashes, or there is no cache.

    Source:
        Qin et al., "Mooncake", FAST 2025 (the trace's blocks); SGLang's cache-aware router (affinity within a bound).
    """
    if not len(load.hashes):
        raise InputError(f"{load.label}: has no block hashes (hash_ids)")
    if num_caches < 1:
        raise InputError(f"caches: {num_caches} is not a number from 1 on")
    from steelyard.inference.simulator.kernel.replay import replay

    known, places = np.unique(load.hashes, return_inverse=True)
    directory = 1 << (2 * len(known)).bit_length()
    return float(
        replay(
            places.astype(np.int64).ravel(),
            load.trace_hash_start,
            load.trace_hash_count,
            load.lengths.isl_tokens,
            num_caches,
            affinity,
            balance_ratio,
            np.zeros((num_caches, len(known)), dtype=np.bool_),
            np.full(directory, -1, dtype=np.int64),
            np.full(directory, -1, dtype=np.int64),
            np.zeros(num_caches),
        )
    )
