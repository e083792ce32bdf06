"""Runs the event loop: lays out its memory, feeds it arrivals, reads off what it counted."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from steelyard.inference.simulator.fleet import Fleet, Replica, require_pool
from steelyard.inference.simulator.load import Block, Load, burst_load
from steelyard.inference.simulator.result import Distribution, RequestEvents, ServingResult
from steelyard.inference.simulator.table import tabulate
from steelyard.records.serving import ROUTINGS, Batching
from steelyard.records.workload import Lengths, Objective

if TYPE_CHECKING:
    from steelyard.inference.simulator.kernel.layout import State

_NEVER = 1e300
_FIRST_PLACES = 1024  # requests in the system that there is room for at first
_OUTPUT_EVENTS = 65_536
_EMPTY = np.empty(0, dtype=np.int64)


def simulate(
    fleet: Fleet | Replica,
    load: Load,
    *,
    objective: Objective | None = None,
    seed: int = 0,
    warm_up_requests: int = 0,
    keep_events: bool = False,
    sink: Callable[[RequestEvents], None] | None = None,
) -> ServingResult:
    """Return what a fleet does under a load, event by event.

    Args:
        fleet: Replicas and router, or one replica.
        load: From `open_load`, `closed_load`, `burst_load` or `trace_load`.
        objective: Limits that a request must keep to count as good.
        seed: Of everything drawn; the same seed gives the same answer to the bit.
        warm_up_requests: So many first arrivals are served and not counted.
        keep_events: Keep every counted request in `ServingResult.events`; memory then grows with them.
        sink: Takes counted requests in batches instead, for a file.

    Returns:
        `ServingResult`.

    Raises:
        DoesNotFitError: The longest request does not fit into an empty KV pool.

    Assumes:
        Every answer has its length; nobody leaves; the network takes no time.

    Source:
        Kwon et al., "PagedAttention", SOSP 2023; Agrawal et al., "Vidur", MLSys 2024 (event by event, step times from
        a model).
    """
    whole = Fleet(replica=fleet) if isinstance(fleet, Replica) else fleet
    for replica in (whole.replica, whole.decode):
        if replica is not None:
            require_pool(replica, load.lengths)
    state = _state(whole, load, objective or Objective(), seed, warm_up_requests, keep_events or sink is not None)
    kept: list[RequestEvents] = []
    _drive(state, load.blocks(seed), kept.append if sink is None else sink)
    return _result(whole, state, kept if keep_events and sink is None else None)


def prepare() -> bool:
    """Compile the event loop, or take it from its cache, so that no later run waits; return whether it was compiled.

    The first time on a machine this takes some 15 s of one core.
    """
    from steelyard.inference.simulator.kernel import compiled, loop

    cold = not any(compiled.cache_folder().rglob("*.nbc"))
    if cold:
        print(  # for people only: an answer on stdout stays whole
            "steelyard: compiling the simulator, once on this machine (about 20 s) ...", file=sys.stderr, flush=True
        )
    if not loop.run.signatures:
        table = tabulate(lambda n, *_: (0.01 + 0.0 * n, 0.0 * n), max_sequences=2, token_budget=2, max_context_tokens=4)
        replica = Replica(
            table=table, batching=Batching(token_budget=2, max_sequences=2), kv_blocks=4, max_context_tokens=4
        )
        simulate(replica, burst_load(Lengths(isl_tokens=np.ones(1), osl_tokens=np.ones(1)), 1))
    return cold


def _drive(state: State, blocks: Iterator[Block], take: Callable[[RequestEvents], None]) -> None:
    """Run the loop to its end, doing what it asks for in between."""
    from steelyard.inference.simulator.kernel import layout, loop

    world = state.world[0]
    block = Block(np.empty(0), *[_EMPTY] * 5)
    while True:
        told = loop.run(state, *block)
        if told == layout.NEED_ARRIVALS:
            block = next(blocks)
            world["cursor"] = 0
        elif told == layout.POOL_FULL:
            state = _grown(state)
            world = state.world[0]
        elif told == layout.OUTPUT_FULL:
            take(_drain(state))
        else:
            break
    if world["keep_events"] and world["outputs"]:
        take(_drain(state))


def _drain(state: State) -> RequestEvents:
    count = int(state.world[0]["outputs"])
    held = state.output[:count].copy()
    state.world[0]["outputs"] = 0
    return RequestEvents(
        id=held["id"],
        arrival_s=held["arrival"],
        first_token_s=held["first"],
        end_s=held["end"],
        isl_tokens=held["isl"],
        osl_tokens=held["osl"],
        cached_tokens=held["cached"],
        num_preemptions=held["preemptions"],
        replica=held["replica"],
    )


def _grown(state: State) -> State:
    """Return a state with room for twice as many requests in the system; every place in use keeps its number."""
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


def _state(
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
        residues=np.zeros((count, block_tokens), dtype=np.int64),
        event_keys=np.full(leaves, _NEVER),
        event_tree=_tree(leaves),
        load_keys=np.full((2, leaves), _NEVER),
        load_trees=np.stack([_tree(leaves), _tree(leaves)]),
        delayed_keys=np.zeros(places + max(load.concurrency, 1)),
        delayed_values=np.full(places + max(load.concurrency, 1), layout.NONE),
        histograms=np.zeros((4, layout.NUM_BINS)),
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
        values: dict[str, float] = {
            "token_budget": batching.token_budget,
            "max_sequences": batching.max_sequences,
            "chunked": batching.chunked and not batching.static,
            "mixed": batching.mixed,
            "static": batching.static,
            "block_tokens": batching.block_tokens,
            "kv_blocks": replica.kv_blocks,
            "prefill_only": place == 0 and fleet.decode is not None,
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
    from steelyard.inference.simulator.kernel import fleet as _fleet
    from steelyard.inference.simulator.kernel import layout

    for place, replica in enumerate(state.replicas):
        replica["role"] = place >= first
        for name in ("run_head", "run_tail", "partial", "fresh", "wait_head", "wait_tail"):
            replica[name] = layout.NONE
        replica["free_blocks"] = state.roles[replica["role"]]["kv_blocks"]
        replica["end"] = replica["fail_at"] = replica["ready_at"] = _NEVER
    _fleet.begin(state, fleet.autoscaling.min_replicas if fleet.autoscaling else first)
    for user in range(load.concurrency):
        state.delayed_keys[user] = fleet.replica.request_overhead_s
    state.world[0]["delayed"] = state.world[0]["issued"] = load.concurrency


def _result(fleet: Fleet, state: State, kept: list[RequestEvents] | None) -> ServingResult:
    world, replicas, roles = state.world[0], state.replicas, state.roles
    end_s = float(world["time"])
    paid = replicas["up_s"] + np.where(replicas["status"] == 0, 0.0, end_s - replicas["up_since"])
    tables = [fleet.replica.table] + ([fleet.decode.table] if fleet.decode else [])
    devices = np.array([tables[role].num_devices for role in replicas["role"]])
    idle_w = roles["idle_w"][replicas["role"]]
    busy = float(replicas["busy_s"].sum())
    counted, counted_s = int(world["counted"]), float(world["last_counted"] - world["first_counted"])
    per_s = 1.0 / counted_s if counted_s > 0 else math.nan
    blocks = roles["kv_blocks"][replicas["role"]]
    return ServingResult(
        num_requests=int(world["completed"]),
        num_counted=counted,
        num_rejected=int(world["rejected"]),
        num_preemptions=int(world["preemptions"]),
        num_failed_over=int(world["failed_over"]),
        duration_s=end_s,
        counted_s=counted_s,
        request_rate_per_s=counted * per_s,
        output_tokens_per_s=float(world["osl_tokens"]) * per_s,
        input_tokens_per_s=float(world["isl_tokens"]) * per_s,
        goodput_request_per_s=int(world["good"]) * per_s,
        slo_attainment_ratio=int(world["good"]) / counted if counted else math.nan,
        busy_ratio=busy / float(paid.sum()) if paid.sum() else math.nan,
        kv_use_ratio=float((replicas["block_s"] / blocks).sum()) / busy if busy else 0.0,
        kv_peak_ratio=float((replicas["peak_blocks"] / blocks).max()),
        mean_batch_requests=float(replicas["sequence_s"].sum()) / busy if busy else 0.0,
        mean_in_system_requests=float(world["in_system_s"]) / end_s if end_s else 0.0,
        peak_in_system=int(world["peak_in_system"]),
        prefix_hit_ratio=int(world["hit_blocks"]) / max(1, int(world["asked_blocks"])),
        prefilled_tokens=int(world["prefilled"]),
        recomputed_tokens=int(world["recomputed"]),
        reused_tokens=int(world["reused"]),
        energy_j=float(replicas["energy_j"].sum() + (idle_w * (paid - replicas["busy_s"])).sum()),
        device_s=float((paid * devices).sum()),
        mean_replica_count=float(paid.sum()) / end_s if end_s else float(len(replicas)),
        events=_joined(kept),
        **_distributions(state),
    )


def _distributions(state: State) -> dict[str, Distribution]:
    from steelyard.inference.simulator.kernel import layout

    world = state.world[0]
    per_doubling = 1 << layout.BINS_PER_DOUBLING_BITS
    places = np.arange(layout.NUM_BINS + 1)
    edges = 2.0 ** (layout.LEAST_EXPONENT + places // per_doubling) * (1.0 + places % per_doubling / per_doubling)
    counted = max(1, int(world["counted"]))
    gaps = state.histograms[layout.ITL]
    middle = 0.5 * (edges[1:] + edges[:-1])
    means = {
        layout.TTFT: float(world["sum_ttft"]) / counted,
        layout.TPOT: float(world["sum_tpot"]) / max(1.0, float(world["num_tpot"])),
        layout.ITL: float((gaps * middle).sum() / max(1.0, gaps.sum())),
        layout.E2E: float(world["sum_e2e"]) / counted,
    }
    return {
        name: Distribution(edges=edges, counts=state.histograms[place], mean_s=means[place])
        for name, place in (("ttft", layout.TTFT), ("tpot", layout.TPOT), ("itl", layout.ITL), ("e2e", layout.E2E))
    }


def _joined(kept: list[RequestEvents] | None) -> RequestEvents | None:
    if kept is None:
        return None
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in kept]) if kept else _EMPTY
        for name in RequestEvents.__dataclass_fields__
    }
    return RequestEvents(**columns)
