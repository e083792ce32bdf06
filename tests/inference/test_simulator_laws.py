"""What holds of every simulated fleet, whatever is drawn, and the limits that queueing theory knows in closed form."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steelyard.inference.simulator import Fleet, Load, Replica, burst_load, closed_load, open_load, simulate, tabulate
from steelyard.records.serving import ROUTINGS, Autoscaling, Batching, ReplicaFailures
from steelyard.records.workload import Lengths, Objective

QUICK = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


def table(scale, most=64, budget=256):
    return tabulate(
        lambda n, p, c, a: (
            scale * (0.01 + 0.001 * n + 0.0005 * p + 1e-6 * n * c + 1e-8 * p * a),
            50.0 * scale * (0.01 + 0.001 * n + 0.0005 * p + 0.0 * c + 0.0 * a),
        ),
        max_sequences=most, token_budget=budget, max_context_tokens=1024.0, idle_w=20.0, host_w=5.0,
    )  # fmt: skip


TABLES = (table(1.0), table(0.4))


@st.composite
def fleets(draw):
    """Any fleet under any load: what is asked, how it is batched, routed, scaled, lost and handed on."""
    sequences = draw(st.integers(1, 12))
    kind = draw(st.sampled_from(["plain", "plain", "apart", "scaled", "failing"]))
    return {
        "kind": kind,
        "seed": draw(st.integers(0, 10**6)),
        "count": draw(st.integers(1, 120)),
        "load": draw(st.sampled_from(["open", "closed", "burst"])),
        "rate": draw(st.sampled_from([0.5, 5.0, 50.0])),
        "users": draw(st.integers(1, 20)),
        "isl": draw(st.sampled_from([1, 20, 150])),
        "osl": draw(st.sampled_from([1, 10, 90])),
        "batching": Batching(
            token_budget=draw(st.integers(sequences, 200)),
            max_sequences=sequences,
            chunked=draw(st.booleans()),
            mixed=draw(st.booleans()),
            block_tokens=draw(st.sampled_from([1, 4, 16])),
        ),
        "spare_blocks": draw(st.integers(0, 40)),
        "replicas": draw(st.integers(1, 4)),
        "decode_replicas": draw(st.integers(1, 3)),
        "decode_sequences": draw(st.integers(1, 12)),
        "routing": draw(st.sampled_from(ROUTINGS)),
        "families": draw(st.sampled_from([0, 0, 3])),
        "mtbf_s": draw(st.sampled_from([2.0, 20.0])),
        "warm_up": draw(st.sampled_from([0, 0, 10])),
    }


def requests_of(case, rng):
    isl = rng.integers(1, case["isl"] + 1, case["count"])
    osl = rng.integers(1, case["osl"] + 1, case["count"])
    lengths = Lengths(isl_tokens=isl.astype(float), osl_tokens=osl.astype(float))
    if case["load"] == "closed":
        return isl, osl, closed_load(lengths, case["users"], case["count"], in_order=True)
    if case["load"] == "burst":
        return isl, osl, burst_load(lengths, case["count"], in_order=True)
    load = open_load(lengths, case["rate"], case["count"], in_order=True)
    if not case["families"]:
        return isl, osl, load
    size = case["batching"].block_tokens
    blocks = []
    for place, tokens in enumerate(isl):
        family = 1000 * rng.integers(0, case["families"])
        blocks.append([family + i if i < 4 else 10**6 * (place + 1) + i for i in range(-(-tokens // size))])
    counts = np.array([len(one) for one in blocks])
    traced = Load(
        num_requests=case["count"], lengths=lengths, label="", in_order=True, hash_block_tokens=size,
        trace_times=next(load.blocks(case["seed"])).times, trace_hash_count=counts,
        trace_hash_start=np.cumsum(counts) - counts, hashes=np.concatenate([np.array(one) for one in blocks]),
    )  # fmt: skip
    return isl, osl, traced


def fleet_of(case, longest):
    batching = case["batching"]
    blocks = -(-longest // batching.block_tokens) + case["spare_blocks"]
    replica = Replica(table=TABLES[0], batching=batching, kv_blocks=blocks, max_context_tokens=10**6)
    fleet = Fleet(replica=replica, num_replicas=case["replicas"], routing=case["routing"])
    if case["kind"] == "apart":  # decode workers of another size and speed
        rules = dataclasses.replace(batching, max_sequences=case["decode_sequences"], token_budget=200)
        decode = Replica(table=TABLES[1], batching=rules, kv_blocks=blocks + 7, max_context_tokens=10**6)
        return dataclasses.replace(
            fleet,
            decode=decode,
            num_decode_replicas=case["decode_replicas"],
            transfer_s=0.01,
            transfer_s_per_token=1e-4,
        )
    if case["kind"] == "scaled":
        scaling = Autoscaling(
            min_replicas=1, max_replicas=case["replicas"] + 1, target_requests=4.0, interval_s=1.0,
            downscale_delay_s=5.0, cold_start_s=2.0,
        )  # fmt: skip
        return dataclasses.replace(fleet, autoscaling=scaling)
    if case["kind"] == "failing":
        return dataclasses.replace(fleet, failures=ReplicaFailures(mtbf_s=case["mtbf_s"], repair_s=1.0))
    return fleet


def obeys(case):
    isl, osl, load = requests_of(case, np.random.default_rng(case["seed"]))
    fleet = fleet_of(case, int((isl + osl).max()))
    objective = Objective(ttft_s=0.5, tpot_s=0.03)
    run = simulate(
        fleet, load, objective=objective, seed=case["seed"], warm_up_requests=case["warm_up"], keep_events=True,
        keep_timeline=True,
    )  # fmt: skip
    again = simulate(fleet, load, objective=objective, seed=case["seed"], warm_up_requests=case["warm_up"])
    events, seen = run.events, run.timeline
    warm_up = min(case["warm_up"], case["count"])
    # Every request is answered once, with the tokens it asked for, after its first token, which is after its arrival.
    assert run.num_requests == case["count"]
    assert sorted(events.id) == list(range(warm_up, case["count"]))
    assert (events.isl_tokens == isl[events.id]).all()
    assert (events.osl_tokens == osl[events.id]).all()
    assert (events.arrival_s < events.first_token_s).all()
    assert (events.first_token_s <= events.end_s).all()
    assert ((events.end_s > events.first_token_s) == (events.osl_tokens > 1)).all()
    # Same seed, same answer.
    assert (again.duration_s, again.energy_j, again.itl.mean_s) == (run.duration_s, run.energy_j, run.itl.mean_s)
    # Blocks: never more than the pool has.
    assert 0.0 <= run.kv_use_ratio <= run.kv_peak_ratio * (1 + 1e-9)
    assert run.kv_peak_ratio <= 1.0
    assert (seen.kv_use_ratio <= 1.0 + 1e-9).all()
    # Goodput is part of the throughput.
    assert 0.0 <= run.slo_attainment_ratio <= 1.0 or not run.num_counted
    assert not run.goodput_request_per_s > run.request_rate_per_s * (1 + 1e-12)
    assert 0.0 <= run.busy_ratio <= 1.0 + 1e-9
    # Energy: never below that of devices which idle, hosts a part of it.
    assert run.energy_j >= run.host_energy_j > 0.0
    conserves(case, run, isl, osl, warm_up)
    follows_time(case, run, osl)


def conserves(case, run, isl, osl, warm_up):
    """Check Little's law and that no token is lost or made up."""
    events = run.events
    if warm_up == 0:
        assert run.mean_in_system_requests * run.duration_s == pytest.approx(events.e2e_s.sum())
    if case["kind"] != "failing":
        assert run.itl.counts.sum() == (osl - 1).sum()
        # What is computed: the prompts but for what was cached, and what is computed again.
        assert run.prefilled_tokens + run.reused_tokens == isl.sum() + run.recomputed_tokens
        assert run.recomputed_tokens >= 0
        assert run.num_preemptions > 0 or run.recomputed_tokens == 0
    if case["kind"] == "plain" and case["replicas"] == 1:  # first come, first served
        assert (np.diff(events.first_token_s[np.argsort(events.id)]) >= 0).all()


def follows_time(case, run, osl):
    """Check that the timeline adds up to the run."""
    seen, width = run.timeline, np.diff(run.timeline.edges_s)
    assert len(width) <= 256
    assert seen.edges_s[-1] == pytest.approx(run.duration_s)
    assert (width * seen.answered_request_per_s).sum() == pytest.approx(case["count"])
    assert (width * seen.in_system_requests).sum() == pytest.approx(run.mean_in_system_requests * run.duration_s)
    assert (width * seen.replica_count).sum() == pytest.approx(run.mean_replica_count * run.duration_s)
    tokens = (width * seen.output_tokens_per_s).sum()
    if case["kind"] == "failing":
        assert tokens >= osl.sum() * (1 - 1e-9)  # those of lost requests are made again
    else:
        assert tokens == pytest.approx(osl.sum())
        assert (seen.in_batch_requests <= seen.in_system_requests * (1 + 1e-9) + 1e-9).all()
    for name in seen.__dataclass_fields__:
        values = getattr(seen, name)
        assert (values[np.isfinite(values)] >= -1e-12).all(), name
    assert np.isfinite(seen.ttft_p50_s).sum() == (seen.answered_request_per_s > 0).sum()


@QUICK
@given(fleets())
def test_laws_hold_of_any_fleet(case):
    obeys(case)


@pytest.mark.slow
@settings(QUICK, max_examples=5000)
@given(fleets())
def test_laws_hold_of_thousands_of_fleets(case):
    obeys(case)


def single_server(lengths, rate, count):
    """One place, one token each: time in the system is TTFT, service 1 ms a token of the prompt."""
    steps = tabulate(
        lambda n, p, c, a: (1e-3 * p + 0.0 * (n + c + a), 0.0 * (n + p + c + a)),
        max_sequences=1, token_budget=8192, max_context_tokens=16_384.0,
    )  # fmt: skip
    batching = Batching(token_budget=8192, max_sequences=1)
    replica = Replica(table=steps, batching=batching, kv_blocks=20_000, max_context_tokens=10**6)
    return simulate(replica, open_load(lengths, rate, count), seed=2)


def exponential(mean, samples=20_001):
    """Lengths whose distribution is exponential, as equally likely samples."""
    return -mean * np.log1p(-(np.arange(samples) + 0.5) / samples)


@pytest.mark.parametrize("load_ratio", [0.2, 0.5, 0.8])
def test_memoryless_prompts_spend_exponential_times(load_ratio):
    """M/M/1: the time in the system is exponential with mean 1 / (mu - lambda), at every percentile."""
    isl = np.maximum(np.rint(exponential(1000.0)), 1.0)
    rate = load_ratio / (isl.mean() * 1e-3)
    run = single_server(Lengths(isl_tokens=isl, osl_tokens=np.ones(len(isl))), rate, 600_000)
    mean_s = 1.0 / (1.0 / (isl.mean() * 1e-3) - rate)
    assert run.ttft.mean_s == pytest.approx(mean_s, rel=0.03)
    for percentile in (25, 50, 90, 99):
        assert run.ttft.percentile_s(percentile) == pytest.approx(-mean_s * math.log1p(-percentile / 100), rel=0.05)


@pytest.mark.parametrize("load_ratio", [0.2, 0.5, 0.8])
def test_equal_prompts_wait_half_as_long(load_ratio):
    """M/D/1: mean wait = load / (2 mu (1 - load)); nobody waits in 1 - load of all cases."""
    lengths = Lengths(isl_tokens=np.array([1000.0]), osl_tokens=np.array([1.0]))
    run = single_server(lengths, load_ratio, 600_000)
    assert run.ttft.mean_s - 1.0 == pytest.approx(load_ratio / (2.0 * (1.0 - load_ratio)), rel=0.03)
    assert run.ttft.share_within(1.009) == pytest.approx(1.0 - load_ratio, abs=0.01)


@pytest.mark.parametrize("spread", ["equal", "exponential"])
def test_steps_as_long_as_their_batch_share_the_processor(spread):
    """M/G/1-PS: mean time in the system = service / (1 - load), whatever the distribution of answers."""
    osl = np.full(3, 200.0) if spread == "equal" else np.maximum(np.rint(exponential(200.0)), 1.0)
    steps = tabulate(
        lambda n, p, c, a: (1e-3 * n + 1e-9 * p + 0.0 * (c + a), 0.0 * (n + p + c + a)),
        max_sequences=512, token_budget=4096, max_context_tokens=8192.0,
    )  # fmt: skip
    batching = Batching(token_budget=4096, max_sequences=512)
    replica = Replica(table=steps, batching=batching, kv_blocks=100_000, max_context_tokens=10**6)
    lengths = Lengths(isl_tokens=np.ones(len(osl)), osl_tokens=osl)
    service_s = 1e-3 * osl.mean()
    run = simulate(replica, open_load(lengths, 0.7 / service_s, 300_000), seed=3)
    assert run.e2e.mean_s == pytest.approx(service_s / 0.3, rel=0.04)


def test_few_places_and_memoryless_answers_wait_as_erlang_says():
    """M/M/c: mean wait = C(c, a) / (c mu - lambda), Erlang's C of c places at a offered ones."""
    places, load_ratio, step_s = 4, 0.8, 1e-3
    osl = np.maximum(np.rint(exponential(2000.0)), 1.0)
    steps = tabulate(
        lambda n, p, c, a: (step_s + 0.0 * (n + p + c + a), 0.0 * (n + p + c + a)),
        max_sequences=places, token_budget=512, max_context_tokens=65_536.0,
    )  # fmt: skip
    batching = Batching(token_budget=512, max_sequences=places)
    replica = Replica(table=steps, batching=batching, kv_blocks=100_000, max_context_tokens=10**6)
    lengths = Lengths(isl_tokens=np.ones(len(osl)), osl_tokens=osl)
    service_s = step_s * osl.mean()
    rate = load_ratio * places / service_s
    runs = [simulate(replica, open_load(lengths, rate, 300_000), seed=seed) for seed in range(6)]
    offered = load_ratio * places
    terms = [offered**k / math.factorial(k) for k in range(places)]
    last = offered**places / math.factorial(places) / (1.0 - load_ratio)
    waiting = last / (sum(terms) + last)
    wait_s = waiting / (places / service_s - rate)
    assert np.mean([run.ttft.mean_s for run in runs]) - 1.5 * step_s == pytest.approx(wait_s, rel=0.04)
