"""Runs the event loop: lays out its memory, feeds it arrivals, reads off what it counted."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from steelyard.errors import InputError
from steelyard.inference.simulator.fleet import Fleet, Replica, require_pool, require_uptime
from steelyard.inference.simulator.load import Block, Load, burst_load
from steelyard.inference.simulator.result import Distribution, ServingResult
from steelyard.inference.simulator.state import grown, new_state
from steelyard.inference.simulator.table import tabulate
from steelyard.inference.simulator.timeline import Timeline, read_timeline
from steelyard.records.requests import SimulatedRequests
from steelyard.records.serving import Batching
from steelyard.records.workload import Lengths, Objective

if TYPE_CHECKING:
    from steelyard.inference.simulator.kernel.layout import State

MAX_SEED = 1 << 63
_EMPTY = np.empty(0, dtype=np.int64)


def simulate(
    fleet: Fleet | Replica,
    load: Load,
    *,
    objective: Objective | None = None,
    seed: int = 0,
    warm_up_requests: int = 0,
    keep_events: bool = False,
    keep_timeline: bool = False,
    sink: Callable[[SimulatedRequests], None] | None = None,
) -> ServingResult:
    """Return what a fleet does under a load, event by event.

    Args:
        fleet: Replicas and router, or one replica.
        load: From `open_load`, `closed_load`, `burst_load` or `trace_load`.
        objective: Limits that a request must keep to count as good.
        seed: Of everything drawn; the same seed gives the same answer to the bit.
        warm_up_requests: So many first arrivals are served and not counted.
        keep_events: Keep every counted request in `ServingResult.events`; memory then grows with them.
        keep_timeline: Read what happened over time into `ServingResult.timeline`; its memory is bounded.
        sink: Takes counted requests in batches instead, for a file.

    Returns:
        `ServingResult`.

    Raises:
        DoesNotFitError: The longest request does not fit into an empty KV pool.
        InputError: A seed out of its range, or replicas that fail before the longest answer can end.

    Assumes:
        Every answer has its length; nobody leaves; the network takes no time.

    Source:
        Kwon et al., "PagedAttention", SOSP 2023; Agrawal et al., "Vidur", MLSys 2024 (event by event, step times from
        a model).
    """
    if not 0 <= seed < MAX_SEED:
        raise InputError(f"seed: {seed} is not a whole number from 0 to 2^63 - 1")
    whole = Fleet(replica=fleet) if isinstance(fleet, Replica) else fleet
    require_uptime(whole, load.lengths)
    for replica in (whole.replica, whole.decode):
        if replica is not None:
            require_pool(replica, load.lengths)
    state = new_state(whole, load, objective or Objective(), seed, warm_up_requests, keep_events or sink is not None)
    kept: list[SimulatedRequests] = []
    _drive(state, load.blocks(seed), kept.append if sink is None else sink)
    timeline = read_timeline(state, float(state.world[0]["time"])) if keep_timeline else None
    return _result(whole, state, kept if keep_events and sink is None else None, timeline)


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


def _drive(state: State, blocks: Iterator[Block], take: Callable[[SimulatedRequests], None]) -> None:
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
            state = grown(state)
            world = state.world[0]
        elif told == layout.OUTPUT_FULL:
            take(_drain(state))
        else:
            break
    if world["keep_events"] and world["outputs"]:
        take(_drain(state))


def _drain(state: State) -> SimulatedRequests:
    count = int(state.world[0]["outputs"])
    held = state.output[:count].copy()
    state.world[0]["outputs"] = 0
    return SimulatedRequests(
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


def _result(
    fleet: Fleet, state: State, kept: list[SimulatedRequests] | None, timeline: Timeline | None
) -> ServingResult:
    world, replicas, roles = state.world[0], state.replicas, state.roles
    end_s = float(world["time"])
    paid = replicas["up_s"] + np.where(replicas["status"] == 0, 0.0, end_s - replicas["up_since"])
    tables = [fleet.replica.table] + ([fleet.decode.table] if fleet.decode else [])
    devices = np.array([tables[role].num_devices for role in replicas["role"]])
    idle_w = roles["idle_w"][replicas["role"]]
    host_w = np.array([table.host_w for table in tables])[replicas["role"]]
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
        host_energy_j=float((host_w * paid).sum()),
        device_s=float((paid * devices).sum()),
        mean_replica_count=float(paid.sum()) / end_s if end_s else float(len(replicas)),
        timeline=timeline,
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


def _joined(kept: list[SimulatedRequests] | None) -> SimulatedRequests | None:
    if kept is None:
        return None
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in kept]) if kept else _EMPTY
        for name in SimulatedRequests.__dataclass_fields__
    }
    return SimulatedRequests(**columns)
