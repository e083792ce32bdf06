"""The compiled event loop against the slow reference, request by request."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference import serving_reference as reference
from steelyard.inference.simulator import Fleet, Load, Replica, burst_load, closed_load, open_load, simulate, tabulate
from steelyard.records.serving import Batching
from steelyard.records.workload import Lengths


def cost(sequences, tokens, context, attended):
    """Straight in every axis, so that the table between its points is the function itself."""
    return 0.01 + 0.001 * sequences + 0.0005 * tokens + 1e-6 * sequences * context + 1e-8 * tokens * attended


def table():
    return tabulate(
        lambda n, p, c, a: (cost(n, p, c, a), cost(n, p, c, a)),
        max_sequences=64, token_budget=256, max_context_tokens=1024.0,
    )  # fmt: skip


TABLE = table()


@st.composite
def cases(draw):
    static = draw(st.booleans()) and draw(st.booleans())
    sequences = draw(st.integers(1, 12))
    return {
        "seed": draw(st.integers(0, 10**6)),
        "count": draw(st.integers(1, 40)),
        "kind": draw(st.sampled_from(["open", "closed", "burst"])),
        "rate": draw(st.sampled_from([0.5, 5.0, 50.0])),
        "users": draw(st.integers(1, 20)),
        "longest_isl": draw(st.sampled_from([1, 20, 150, 300])),
        "longest_osl": draw(st.sampled_from([1, 10, 90])),
        "cached": draw(st.sampled_from([0.0, 0.0, 0.3, 1.0])),
        "static": static,
        "batching": Batching(
            token_budget=10**9 if static else draw(st.integers(sequences, 200)),
            max_sequences=sequences,
            chunked=draw(st.booleans()),
            mixed=draw(st.booleans()),
            static=static,
            admission=draw(st.sampled_from(["chunk", "prompt", "answer"])),
            block_tokens=draw(st.sampled_from([1, 4, 16])),
        ),
        "spare_blocks": draw(st.sampled_from([0, 1, 3, 10, 30])),
        "families": draw(st.sampled_from([0, 0, 1, 4])),  # of prompts that begin alike
        "entry_blocks": draw(st.sampled_from([1, 2, 4])),
    }


def prefixes(case, rng, isl):
    """Return the block hashes of each prompt: families share their first blocks, down to a random depth."""
    size = case["batching"].block_tokens * case["entry_blocks"]
    listed = []
    for place, tokens in enumerate(isl):
        family, shared = rng.integers(0, case["families"]), rng.integers(0, 8)
        count = -(-int(tokens) // size)
        listed.append(tuple(1000 * family + i if i < shared else 10**6 * (place + 1) + i for i in range(count)))
    return listed, size


def engine_of(case, blocks, hash_block):
    batching = case["batching"]
    return reference.Engine(
        cost=cost, token_budget=batching.token_budget, max_sequences=batching.max_sequences, kv_blocks=blocks,
        chunked=batching.chunked, mixed=batching.mixed, static=batching.static, block_tokens=batching.block_tokens,
        hash_block_tokens=hash_block, admission=batching.admission,
    )  # fmt: skip


def run_both(case):
    rng = np.random.default_rng(case["seed"])
    isl = rng.integers(1, case["longest_isl"] + 1, case["count"])
    osl = rng.integers(1, case["longest_osl"] + 1, case["count"])
    lengths = Lengths(isl_tokens=isl.astype(float), osl_tokens=osl.astype(float), cached_input_ratio=case["cached"])
    batching = case["batching"]
    blocks = -(-int((isl + osl).max()) // batching.block_tokens) + case["spare_blocks"]
    load = {
        "open": lambda: open_load(lengths, case["rate"], case["count"], in_order=True),
        "closed": lambda: closed_load(lengths, case["users"], case["count"], in_order=True),
        "burst": lambda: burst_load(lengths, case["count"], in_order=True),
    }[case["kind"]]()
    hashes, hash_block = [()] * case["count"], 16
    if case["families"] and case["kind"] == "open":
        hashes, hash_block = prefixes(case, rng, isl)
        counts = np.array([len(one) for one in hashes])
        load = Load(
            num_requests=case["count"], lengths=lengths, label="", in_order=True,
            trace_times=next(load.blocks(case["seed"])).times, trace_hash_count=counts,
            trace_hash_start=np.cumsum(counts) - counts, hashes=np.concatenate([np.array(one) for one in hashes]),
            hash_block_tokens=hash_block,
        )  # fmt: skip
    replica = Replica(table=TABLE, batching=batching, kv_blocks=blocks, max_context_tokens=10**6)
    got = simulate(replica, load, seed=case["seed"], keep_events=True)
    times = next(load.blocks(case["seed"])).times
    requests = [
        reference.Request(
            id=i, arrival_s=float(times[i]), isl=int(isl[i]), osl=int(osl[i]), hashes=hashes[i],
            cached=int(isl[i] * case["cached"]),
        )
        for i in range(case["count"])
    ]  # fmt: skip
    engine = engine_of(case, blocks, hash_block)
    reference.simulate(engine, requests, concurrency=min(case["users"], case["count"]) if load.closed else 0)
    return got, requests, engine


def same(got, requests, engine):
    order = np.argsort(got.events.id)
    assert len(order) == len(requests)
    for name, wanted in (
        ("arrival_s", [one.arrival_s for one in requests]),
        ("first_token_s", [one.first_s for one in requests]),
        ("end_s", [one.end_s for one in requests]),
        ("num_preemptions", [one.preemptions for one in requests]),
        ("osl_tokens", [one.osl for one in requests]),
    ):
        assert getattr(got.events, name)[order] == pytest.approx(wanted, rel=1e-9, abs=1e-9), name
    assert got.kv_peak_ratio * engine.kv_blocks == pytest.approx(engine.peak_blocks)
    assert got.kv_peak_ratio <= 1.0
    # Every token after the first has one gap before it.
    assert got.itl.counts.sum() == sum(one.osl - 1 for one in requests)
    assert got.prefilled_tokens == sum(tokens for *_, tokens in engine.steps)
    assert got.prefilled_tokens + got.reused_tokens == sum(one.isl for one in requests) + got.recomputed_tokens
    assert got.recomputed_tokens >= 0
    if engine.admission == "answer":
        assert got.num_preemptions == 0


# The same cases in every run; the thousands of the slow test are drawn anew each time.
QUICK = settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
GIVEN_UP_WHILE_IT_WAITS = {
    "seed": 0, "count": 7, "kind": "open", "rate": 0.5, "users": 1, "longest_isl": 150, "longest_osl": 90,
    "cached": 0.0, "static": False, "spare_blocks": 0, "families": 1, "entry_blocks": 2,
    "batching": Batching(
        token_budget=2, max_sequences=2, chunked=True, mixed=False, static=False, block_tokens=4
    ),
}  # fmt: skip


@QUICK
@given(cases())
def test_same_as_the_reference(case):
    same(*run_both(case))


def test_a_request_whose_cached_prompt_is_given_up_while_it_waits_may_fit():
    # Its chunk of two tokens ends right behind the cached ones: as the cache shrinks, it takes fewer blocks.
    same(*run_both(GIVEN_UP_WHILE_IT_WAITS))


@settings(QUICK, max_examples=40)
@given(cases(), st.integers(2, 5))
def test_a_fleet_that_takes_turns_is_as_many_engines(case, count):
    rng = np.random.default_rng(case["seed"])
    isl = rng.integers(1, case["longest_isl"] + 1, case["count"])
    osl = rng.integers(1, case["longest_osl"] + 1, case["count"])
    lengths = Lengths(isl_tokens=isl.astype(float), osl_tokens=osl.astype(float))
    load = open_load(lengths, case["rate"], case["count"], in_order=True)
    batching = case["batching"]
    blocks = -(-int((isl + osl).max()) // batching.block_tokens) + case["spare_blocks"]
    replica = Replica(table=TABLE, batching=batching, kv_blocks=blocks, max_context_tokens=10**6)
    fleet = Fleet(replica=replica, num_replicas=count, routing="round-robin")
    got = simulate(fleet, load, seed=case["seed"], keep_events=True)
    times = next(load.blocks(case["seed"])).times
    requests = [
        reference.Request(id=i, arrival_s=float(times[i]), isl=int(isl[i]), osl=int(osl[i]))
        for i in range(case["count"])
    ]
    for place in range(count):
        reference.simulate(engine_of(case, blocks, 16), requests[place::count])
    order = np.argsort(got.events.id)
    assert got.events.replica[order].tolist() == [i % count for i in range(case["count"])]
    assert got.events.first_token_s[order] == pytest.approx([one.first_s for one in requests], rel=1e-9)
    assert got.events.end_s[order] == pytest.approx([one.end_s for one in requests], rel=1e-9)


@pytest.mark.slow
@settings(QUICK, max_examples=5000, derandomize=False)
@given(cases())
def test_same_as_the_reference_in_thousands_of_cases(case):
    same(*run_both(case))
