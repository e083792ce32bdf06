"""Memory of the event loop: one record a replica, a request, a role, and one for the whole fleet.

Records rather than objects: the loop runs compiled, and a replica's state lies together in memory.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

NONE = -1  # no request, no replica

# What a replica is doing.
IDLE, STEP, JUMP, PLAN = 0, 1, 2, 3
# What a replica is.
OFF, STARTING, READY, DRAINING = 0, 1, 2, 3
# Why the loop returned.
DONE, NEED_ARRIVALS, POOL_FULL, OUTPUT_FULL = 0, 1, 2, 3
# Routing, by position in `records.serving.ROUTINGS`.
ROUND_ROBIN, LEAST_REQUESTS, POWER_OF_TWO, LEAST_KV, PREFIX_AFFINITY = 0, 1, 2, 3, 4
# What must be free when a request starts, by position in `records.serving.ADMISSIONS`.
BY_CHUNK, BY_PROMPT, BY_ANSWER = 0, 1, 2
# Histograms.
TTFT, TPOT, ITL, E2E = 0, 1, 2, 3

# Bins of a histogram: 128 to a doubling, from 2^-20 s (1 us) on for 44 doublings (half a year).
BINS_PER_DOUBLING_BITS = 7
LEAST_EXPONENT = -20
NUM_BINS = 44 << BINS_PER_DOUBLING_BITS

# Timeline: at most so many slots, at first of 1/64 s; of their latencies 8 bins to a doubling.
SLOTS, FIRST_SLOTS_PER_S = 256, 64.0
FINE_TO_SLOT_BITS = 4
SLOT_BINS = NUM_BINS >> FINE_TO_SLOT_BITS
IN_SYSTEM, IN_BATCH, KV_USE, TOKENS, PAID, ANSWERED = 0, 1, 2, 3, 4, 5


def _record(**fields: str) -> np.dtype[Any]:
    names = [(name, kind) for kind, listed in fields.items() for name in listed.split()]
    return np.dtype(names, align=True)


REPLICA = _record(
    i8=(
        "role status doing steps step decoding alive run_head run_tail running partial fresh wait_head wait_tail"
        " waiting free_blocks peak_blocks heap_size failures lru_head lru_tail evictable entries entry_free"
    ),
    f8=(
        "start first_s slope_s end energy_per_step context fail_at ready_at up_since idle_since"
        " busy_s energy_j block_s sequence_s up_s"
    ),
)
REQUEST = _record(
    i8="id isl osl done cached filled target chunk finish next prev blocks entries hash_start hash_count sent"
    " preemptions replica",
    f8="arrival first last",
)
ROLE = _record(
    i8="token_budget max_sequences chunked mixed static block_tokens kv_blocks prefill_only grid_n grid_p grid_c grid_a"
    " at_n at_p at_c at_a max_context entry_blocks admission",
    f8="transfer_s transfer_s_per_token idle_w",
)
WORLD = _record(
    i8=(
        "cursor issued total pool_free delayed routing closed outputs keep_events warm_up seed"
        " in_system peak_in_system completed counted good rejected preemptions recomputed prefilled reused"
        " hit_blocks asked_blocks first_role turn0 turn1 pool0 pool1 failed_over"
        " scaling least most down_ticks ticks events leaving"
    ),
    f8=(
        "time overhead_s think_s ttft_limit tpot_limit e2e_limit itl_limit in_system_s sum_ttft sum_tpot sum_e2e"
        " num_tpot isl_tokens osl_tokens next_tick tick_s target cold_start_s mtbf_s repair_s balance first_counted"
        " last_counted counted_osl slots_per_s slots_end"
    ),
)
EVENT = _record(i8="id isl osl cached preemptions replica", f8="arrival first end")


class State(NamedTuple):
    """Everything the loop reads and writes."""

    world: Any  # WORLD [1]
    roles: Any  # ROLE [K]
    replicas: Any  # REPLICA [R]
    requests: Any  # REQUEST [Q], those in the system
    unused: Any  # int [Q], stack of free places in `requests`
    heaps: Any  # int [R, H], finish step * 2^24 + request
    leaving: Any  # int [H], answers that end in one step: number in the order of arrival * 2^24 + request
    residues: Any  # int [R, block_tokens], decoding sequences by (tokens - step) mod block
    event_keys: Any  # float [P], time of a replica's next event
    event_tree: Any  # int [2 P], winner tree over it
    load_keys: Any  # float [2, P], what routing compares, by pool
    load_trees: Any  # int [2, 2 P]
    delayed_keys: Any  # float [Q + users], requests on their way
    delayed_values: Any  # int, request, or NONE for a user's next one
    histograms: Any  # float [4, NUM_BINS]
    timeline: Any  # float [SLOTS, 6], what is counted over time, by column
    slot_latencies: Any  # int [SLOTS, 2 SLOT_BINS], TTFT and then TPOT of the requests answered in a slot
    grids: Any  # float [K, 4, G]
    costs: Any  # float [K, N, P, C, A, 2], seconds and joules of a step
    output: Any  # EVENT [E], finished requests
    hashes: Any  # int [B], block hashes of the trace's prompts
    slots: Any  # int [R, M], hash table of a replica's prefix cache: entry + 1
    entry_hash: Any  # int [R, C]
    entry_refs: Any  # int [R, C]
    entry_prev: Any  # int [R, C]
    entry_next: Any  # int [R, C]
    directory_hash: Any  # int [D], which replica last took a block
    directory_replica: Any  # int [D]
