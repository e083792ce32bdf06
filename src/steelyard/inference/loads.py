"""What a load makes of step times: TTFT, TPOT and throughput of closed loops, queues and fixed batches, as arrays.

The same few steps are timed for each load (`queries`), whatever it is; `replay` puts them together. A cycle of one
user takes OSL decoding steps and, in the same steps, the prompts of all users that pass through them: that sum does
not depend on whether users are in step with each other, only its division between TTFT and TPOT does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steelyard.units import Array

KINDS = ("closed loop", "saturated", "all at once", "fixed batch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How servers are loaded, one entry for each [R]; requests of one length."""

    kind: Array  # [R] of `KINDS`
    users: Array  # requests in the system: concurrency, batch, or requests sent together
    requests: Array  # sent in all
    isl_tokens: Array
    osl_tokens: Array
    limit: Array  # sequences that the engine can place at once
    chunk_tokens: Array  # of one step, of one rank
    dp: Array
    pp: Array
    prompts_first: Array  # 1 where the engine stops decoding while prompts wait, else 0
    length_spread_ratio: Array  # of lengths around the mean; 0: all requests are alike


@dataclass(frozen=True, slots=True, kw_only=True)
class Queries:
    """The steps to be timed, [3, R]: decoding alone, decoding and prompts, decoding of the smaller batch."""

    decode_sequences: Array
    context_tokens: Array
    prefill_tokens: Array
    prompt_tokens: Array
    prompt_context_tokens: Array
    prompt_ranks: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What users meet, means over requests [R]."""

    ttft_s: Array
    median_ttft_s: Array
    tpot_s: Array
    e2e_s: Array
    output_tokens_per_s: Array
    decode_step_s: Array
    mixed_step_s: Array
    batch: Array


def queries(load: Load) -> tuple[Queries, Array]:
    """Return the steps that a load needs, and how many prompts share one step [R]."""
    batch = np.minimum(load.users, load.limit)
    static = load.kind == "fixed batch"
    room = np.maximum(load.chunk_tokens * load.dp * load.pp - batch, load.chunk_tokens * load.dp * load.pp / 4)
    chunk = np.minimum(load.isl_tokens, np.maximum(load.chunk_tokens - batch / (load.dp * load.pp), 1.0))
    pieces = load.isl_tokens / chunk
    arriving = np.maximum(batch / np.maximum(load.osl_tokens, 1.0) * pieces, 1.0)
    arriving = np.where(static, batch, arriving)
    together = np.clip(arriving, 1.0, np.maximum(room / chunk, 1.0))
    rest = np.mod(load.users, np.maximum(load.limit, 1.0))
    smaller = np.where(load.users > load.limit, np.maximum(rest, 1.0), np.maximum(batch / 2, 1.0))
    context = load.isl_tokens + load.osl_tokens / 2
    zero = np.zeros_like(batch)
    decoding = np.stack([batch, np.where(static, 0.0, batch), smaller])
    return Queries(
        decode_sequences=decoding,
        context_tokens=np.stack([context, context, context]),
        prefill_tokens=np.stack([zero, together * chunk, zero]),
        prompt_tokens=np.stack([chunk, chunk, chunk]),
        prompt_context_tokens=np.stack([zero, np.maximum(load.isl_tokens - chunk, 0.0) / 2, zero]),
        prompt_ranks=np.stack([together, together, together]),
    ), together


def replay(load: Load, together: Array, step_s: Array, request_overhead_s: Array) -> Replay:
    """Return what users meet, from the times of the steps of `queries` [3, R]."""
    decode_s, mixed_s, smaller_s = step_s
    osl, isl = np.maximum(load.osl_tokens, 1.0), load.isl_tokens
    batch = np.minimum(load.users, load.limit)
    chunk = np.minimum(isl, np.maximum(load.chunk_tokens - batch / (load.dp * load.pp), 1.0))
    pieces = isl / chunk
    static = load.kind == "fixed batch"
    stages = np.clip(together / load.dp, 1.0, load.pp)  # micro-batches that carry prompts
    longer = np.where(static, mixed_s, np.maximum(mixed_s - decode_s, 0.0))
    added = longer * pieces * stages / (load.pp * together)  # by one prompt, to everyone
    decoding = np.maximum(osl - 1.0, 0.0)
    cycle = decoding * decode_s + batch * added
    own = pieces * mixed_s
    # Steady state: arrivals meet the prompts of others.
    busy = np.clip((batch - 1.0) * added / cycle, 0.0, 0.98)
    queue = np.minimum(added * busy / (2.0 * (1.0 - busy)), np.maximum(batch - 1.0, 0.0) * added / 2.0)
    first = np.maximum(batch - 1.0, 0.0) * added / 2.0  # everyone starts at once
    # Alike requests whose prompts ran together end together, and come back together.
    bunched = first * np.minimum(1.0, 2.5 * busy) * load.prompts_first
    queue = np.where(load.length_spread_ratio > 0, queue, np.maximum(queue, bunched))
    waves = np.maximum(load.requests / np.maximum(load.users, 1.0), 1.0)
    rate = batch / cycle
    waiting = np.maximum(load.users - load.limit, 0.0) / rate  # for a place
    closed = load.kind == "closed loop"
    at_once = (load.kind == "all at once")
    place = np.where(closed, waiting * (1.0 - 0.5 / waves), np.where(at_once, waiting / 2.0, 0.0))
    late = np.where(at_once, first, np.where(closed, first / waves + queue * (1 - 1 / waves), queue))
    half = np.where(static | at_once, 0.0, decode_s / 2.0)
    ttft = request_overhead_s + half + own + late
    ttft = np.where(static, request_overhead_s + batch * added, ttft)
    left = np.maximum(cycle - np.minimum(late + own - decode_s, batch * added) , decoding * decode_s)
    tpot = np.where(static, decode_s, left / np.maximum(decoding, 1.0))
    e2e = ttft + decoding * tpot + place
    median = np.where(at_once, ttft + place, request_overhead_s + half + own + queue + place)
    throughput = np.where(
        load.users > load.limit, batch * osl / cycle, load.users * osl / e2e)
    total = _queued_total_s(load, decode_s, smaller_s, added, osl)
    throughput = np.where(at_once & (load.users > load.limit), load.users * osl / total, throughput)
    throughput = np.where(load.kind == "saturated", batch * osl / cycle, throughput)
    return Replay(
        ttft_s=ttft + place, median_ttft_s=median, tpot_s=tpot, e2e_s=e2e, output_tokens_per_s=throughput,
        decode_step_s=decode_s, mixed_step_s=mixed_s, batch=batch,
    )


def _queued_total_s(load: Load, decode_s: Array, smaller_s: Array, added: Array, osl: Array) -> Array:
    """Return the time until a queue of requests is done: whole waves of the largest batch, then the rest."""
    whole = np.floor(load.users / np.maximum(load.limit, 1e-9))
    rest = load.users - whole * load.limit
    return whole * osl * decode_s + np.where(rest >= 1.0, osl * smaller_s, 0.0) + load.users * added
