"""Lays out the memory of the event loop."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from steelyard.errors import InputError
from steelyard.inference.simulator.fleet import Fleet, Replica
from steelyard.inference.simulator.load import MAX_IN_SYSTEM, Load
from steelyard.records.serving import ADMISSIONS, ROUTINGS
from steelyard.records.workload import Objective

if TYPE_CHECKING:
    from steelyard.inference.simulator.kernel.layout import State

_NEVER = 1e300
_FIRST_PLACES = 1024  # requests in the system that there is room for at first
_OUTPUT_EVENTS = 65_536


def new_state(
    fleet: Fleet, load: Load, objective: Objective, seed: int, warm_up_requests: int, keep_events: bool
) -> State:
    """Return the memory of a run that is about to start."""
    from steelyard.inference.simulator.kernel import layout

    roles = [fleet.replica] if fleet.decode is None else [fleet.replica, fleet.decode]
    decoding = fleet.num_decode_replicas if fleet.decode is not None else 0
    scaling = fleet.autoscaling
    first = scaling.max_replicas if scaling else fleet.num_replicas
    count = first + decoding
    leaves = 1 << max(count - 1, 0).bit_length()
    places = _FIRST_PLACES
    entry_blocks = max(1, load.hash_block_tokens // fleet.replica.batching.block_tokens)
    entries = max(1, min(max(one.kv_blocks for one in roles) // entry_blocks, len(load.hashes)))
    slots = 1 << (2 * entries).bit_length()
    directory = 1 << (2 * max(1, len(load.hashes))).bit_length()
    block_tokens = fleet.replica.batching.block_tokens
    widest = max(one.batching.max_sequences for one in roles)
    state = layout.State(
        world=_world(fleet, load, objective, seed, warm_up_requests, keep_events),
        roles=_roles(roles, fleet, entry_blocks),
        replicas=np.zeros(count, dtype=layout.REPLICA),
        requests=np.zeros(places, dtype=layout.REQUEST),
        unused=np.arange(places, dtype=np.int64)[::-1].copy(),
        heaps=np.zeros((count, 2 * widest + 2), dtype=np.int64),
        leaving=np.zeros(widest + 2, dtype=np.int64),
        residues=np.zeros((count, block_tokens), dtype=np.int64),
        event_keys=np.full(leaves, _NEVER),
        event_tree=_tree(leaves),
        load_keys=np.full((2, leaves), _NEVER),
        load_trees=np.stack([_tree(leaves), _tree(leaves)]),
        delayed_keys=np.zeros(places + max(load.concurrency, 1)),
        delayed_values=np.full(places + max(load.concurrency, 1), layout.NONE),
        histograms=np.zeros((4, layout.NUM_BINS)),
        timeline=np.zeros((layout.SLOTS, 6)),
        slot_latencies=np.zeros((layout.SLOTS, 2 * layout.SLOT_BINS), dtype=np.int64),
        grids=_grids(roles),
        costs=_costs(roles),
        output=np.zeros(max(_OUTPUT_EVENTS, widest + 2) if keep_events else 1, dtype=layout.EVENT),
        hashes=load.hashes,
        slots=np.zeros((count, slots), dtype=np.int64),
        entry_hash=np.zeros((count, entries), dtype=np.int64),
        entry_refs=np.zeros((count, entries), dtype=np.int64),
        entry_prev=np.zeros((count, entries), dtype=np.int64),
        entry_next=np.zeros((count, entries), dtype=np.int64),
        directory_hash=np.full(directory, layout.NONE),
        directory_replica=np.full(directory, layout.NONE),
    )
    _start(state, fleet, first, load)
    return state


def _tree(leaves: int) -> Any:
    """Return a winner tree over equal keys."""
    tree = np.zeros(2 * leaves, dtype=np.int64)
    tree[leaves:] = np.arange(leaves)
    for node in range(leaves - 1, 0, -1):
        tree[node] = tree[2 * node]
    return tree


def _world(fleet: Fleet, load: Load, objective: Objective, seed: int, warm_up_requests: int, keep_events: bool) -> Any:
    from steelyard.inference.simulator.kernel import layout

    scaling, failures = fleet.autoscaling, fleet.failures
    values: dict[str, float] = {
        "total": load.num_requests,
        "pool_free": _FIRST_PLACES,
        "routing": ROUTINGS.index(fleet.routing),
        "closed": load.closed,
        "keep_events": keep_events,
        "warm_up": warm_up_requests,
        "seed": seed,
        "pool0": scaling.max_replicas if scaling else fleet.num_replicas,
        "pool1": fleet.num_decode_replicas,
        "overhead_s": fleet.replica.request_overhead_s,
        "think_s": load.think_s,
        "ttft_limit": objective.ttft_s,
        "tpot_limit": objective.tpot_s,
        "e2e_limit": math.inf,
        "balance": fleet.balance_ratio,
        "mtbf_s": failures.mtbf_s if failures else 0.0,
        "repair_s": failures.repair_s if failures else 0.0,
        "slots_per_s": layout.FIRST_SLOTS_PER_S,
        "slots_end": layout.SLOTS / layout.FIRST_SLOTS_PER_S,
    }
    if scaling:
        values |= {
            "scaling": 1,
            "least": scaling.min_replicas,
            "most": scaling.max_replicas,
            "target": scaling.target_requests,
            "tick_s": scaling.interval_s,
            "next_tick": scaling.interval_s,
            "down_ticks": math.ceil(scaling.downscale_delay_s / scaling.interval_s),
            "cold_start_s": scaling.cold_start_s,
        }
    world = np.zeros(1, dtype=layout.WORLD)
    for name, value in values.items():
        world[0][name] = value
    return world


def _roles(roles: list[Replica], fleet: Fleet, entry_blocks: int) -> Any:
    from steelyard.inference.simulator.kernel import layout

    made = np.zeros(len(roles), dtype=layout.ROLE)
    for place, replica in enumerate(roles):
        batching, table = replica.batching, replica.table
        apart = place == 0 and fleet.decode is not None  # its answers are given elsewhere
        admits = ADMISSIONS.index(batching.admission)
        values: dict[str, float] = {
            "token_budget": batching.token_budget,
            "max_sequences": batching.max_sequences,
            "chunked": batching.chunked and not batching.static,
            "mixed": batching.mixed,
            "static": batching.static,
            "admission": layout.BY_PROMPT if apart and batching.admission == "answer" else admits,
            "block_tokens": batching.block_tokens,
            "kv_blocks": replica.kv_blocks,
            "prefill_only": apart,
            "max_context": min(replica.max_context_tokens, replica.kv_blocks * batching.block_tokens),
            "entry_blocks": entry_blocks,
            "transfer_s": fleet.transfer_s,
            "transfer_s_per_token": fleet.transfer_s_per_token,
            "idle_w": table.idle_w,
        }
        for name, axis in zip("npca", _axes(table), strict=True):
            values[f"grid_{name}"] = len(axis)
        for name, value in values.items():
            made[place][name] = value
    return made


def _axes(table: Any) -> tuple[Any, Any, Any, Any]:
    return table.sequences, table.prompt_tokens, table.context_tokens, table.attended_tokens


def _grids(roles: list[Replica]) -> Any:
    longest = max(len(axis) for replica in roles for axis in _axes(replica.table))
    grids = np.zeros((len(roles), 4, longest))
    for place, replica in enumerate(roles):
        for row, axis in enumerate(_axes(replica.table)):
            grids[place, row, : len(axis)] = axis
    return grids


def _costs(roles: list[Replica]) -> Any:
    shape = np.max([replica.table.step_s.shape for replica in roles], axis=0)
    costs = np.zeros((len(roles), *shape, 2))
    for place, replica in enumerate(roles):
        n, p, c, a = replica.table.step_s.shape
        costs[place, :n, :p, :c, :a, 0] = replica.table.step_s
        costs[place, :n, :p, :c, :a, 1] = replica.table.energy_j
    return costs


def _start(state: State, fleet: Fleet, first: int, load: Load) -> None:
    """Switch the replicas on and let the users of a closed loop send their first requests."""
    from steelyard.inference.simulator.kernel import layout, lifecycle

    for place, replica in enumerate(state.replicas):
        replica["role"] = place >= first
        for name in ("run_head", "run_tail", "partial", "fresh", "wait_head", "wait_tail"):
            replica[name] = layout.NONE
        replica["free_blocks"] = state.roles[replica["role"]]["kv_blocks"]
        replica["end"] = replica["fail_at"] = replica["ready_at"] = _NEVER
    lifecycle.begin(state, fleet.autoscaling.min_replicas if fleet.autoscaling else first)
    for user in range(load.concurrency):
        state.delayed_keys[user] = fleet.replica.request_overhead_s
    state.world[0]["delayed"] = state.world[0]["issued"] = load.concurrency


def grown(state: State) -> State:
    """Return a state with room for twice as many requests in the system; every place in use keeps its number.

    Raises:
        InputError: There would be more than `MAX_IN_SYSTEM`.
    """
    if len(state.requests) >= MAX_IN_SYSTEM:
        raise InputError(
            f"load: more than {MAX_IN_SYSTEM:,} requests wait at once: the fleet cannot keep up; give more replicas, a "
            "lower rate or fewer requests"
        )
    places, users = len(state.requests), len(state.delayed_keys) - len(state.requests)
    unused = np.zeros(2 * places, dtype=np.int64)
    unused[:places] = np.arange(places, 2 * places)[::-1]
    state.world[0]["pool_free"] = places
    return state._replace(
        requests=np.concatenate([state.requests, np.zeros(places, dtype=state.requests.dtype)]),
        unused=unused,
        delayed_keys=_longer(state.delayed_keys, 2 * places + users),
        delayed_values=_longer(state.delayed_values, 2 * places + users),
    )


def _longer(held: Any, size: int) -> Any:
    more = np.zeros(size, dtype=held.dtype)
    more[: len(held)] = held
    return more
