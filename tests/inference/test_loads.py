"""What loads make of step times: by hand, and laws that hold for all of them."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference import serving_reference as reference
from steelyard.inference.loads import NUM_STEPS, Load, queries
from steelyard.inference.replay import replay

ONE_EACH = 1011.0
"""Tokens of a step with room for one prompt beside 11 decoding sequences."""


def load_of(kind, **changes):
    values = {
        "users": 1.0, "request_rate_per_s": 0.0, "requests": 1e9, "isl_tokens": 1000.0, "cached_tokens": 0.0,
        "osl_tokens": 101.0, "limit": 1000.0, "chunk_tokens": 8192.0, "ranks": 1.0, "stages": 1.0,
        "prompts_first": 0.0, "length_spread_ratio": 0.2, "tokens_per_step": 1.0,
        "receive_steps": 0.0, "hold_steps": 0.0,
    } | changes  # fmt: skip
    return Load(kind=np.array([kind]), **{name: np.array([float(value)]) for name, value in values.items()})


def met(load, decode, mixed, other=None, alone=None, **overheads):
    steps = np.array([[decode], [mixed], [decode if other is None else other], [mixed if alone is None else alone]])
    return replay(load, queries(load), steps, **overheads)


def test_one_user_by_hand():
    found = met(load_of("closed loop"), decode=0.01, mixed=0.03, request_overhead_s=0.005, admission_steps=0.0)
    assert found.ttft_s == pytest.approx(0.005 + 0.03)
    assert found.tpot_s == pytest.approx(0.01)  # 100 more tokens, no other prompt in between
    assert found.output_tokens_per_s == pytest.approx(101 / (0.035 + 100 * 0.01))


def test_a_closed_loop_divides_one_sum_between_ttft_and_tpot():
    load = load_of("closed loop", users=11, osl_tokens=1001)
    found = met(load, decode=0.01, mixed=0.03, admission_steps=0.0)
    # 1000 steps of 10 ms and 11 prompts of 20 ms pass while a user is served once
    cycle = 1000 * 0.01 + 11 * 0.02
    assert found.e2e_s == pytest.approx(cycle + 0.01)  # and one more step, in which its own prompt rode along
    assert found.output_tokens_per_s == pytest.approx(11 * 1001 / found.e2e_s)  # Little's law


def test_everyone_at_once_waits_for_half_of_all_prompts():
    found = met(load_of("all at once", users=11, requests=11, chunk_tokens=ONE_EACH), decode=0.01, mixed=0.03)
    assert found.ttft_s == pytest.approx(0.03 + 10 / 2 * 0.03)  # a step each, in which the earlier ones decode


def test_a_short_closed_loop_remembers_its_start():
    short, endless = (
        met(load_of("closed loop", users=11, requests=n, chunk_tokens=ONE_EACH), decode=0.01, mixed=0.03)
        for n in (11 * 5, 1e9)
    )
    # a fifth of the requests start with everyone else: 5 prompts ahead in the mean, a step each, against a short queue
    assert short.ttft_s > endless.ttft_s
    assert short.ttft_s < endless.ttft_s + 0.2 * 5 * 0.03 + 1e-9
    assert short.e2e_s == pytest.approx(endless.e2e_s, rel=1e-9)


def test_a_fixed_batch_by_hand():
    found = met(load_of("fixed batch", users=8, osl_tokens=11, length_spread_ratio=0), decode=0.01, mixed=0.2)
    assert found.ttft_s == pytest.approx(0.2)  # the step that prefills all eight prompts
    assert found.tpot_s == pytest.approx(0.01)
    assert found.output_tokens_per_s == pytest.approx(8 * 11 / (0.2 + 10 * 0.01))


def test_a_static_batch_waits_for_its_longest_answer():
    found = met(load_of("fixed batch", users=8, osl_tokens=101, length_spread_ratio=0.2), decode=0.01, mixed=0.2)
    # the longest of 8: 0.2 (2 ln 8)^(1/2) = 0.408 mean lengths of 101 more, at the step of the full batch
    cycle = 0.2 + 100 * 0.01 + 101 * 0.2 * (2 * np.log(8)) ** 0.5 * 0.01
    assert found.e2e_s == pytest.approx(cycle)
    assert found.tpot_s == pytest.approx(0.01)  # while it is answered
    assert found.output_tokens_per_s == pytest.approx(8 * 101 / cycle)  # Little's law


def test_users_beyond_a_static_batch_wait_for_whole_batches():
    found = met(load_of("fixed batch", users=24, limit=8, length_spread_ratio=0), decode=0.01, mixed=0.2)
    cycle = 0.2 + 100 * 0.01
    assert found.e2e_s == pytest.approx(3 * cycle)
    assert found.output_tokens_per_s == pytest.approx(8 * 101 / cycle)


def test_a_queue_runs_in_waves_of_the_largest_batch():
    load = load_of("all at once", users=250, requests=250, limit=100, osl_tokens=100)
    found = met(load, decode=0.02, mixed=0.02, other=0.01)
    # two waves of 100 at 20 ms a step, the last 50 at 10 ms; prompts add nothing here
    assert found.output_tokens_per_s == pytest.approx(250 * 100 / (100 * (2 * 0.02 + 0.01)))


def test_a_stream_takes_the_batch_that_it_needs():
    quiet = met(load_of("open loop", request_rate_per_s=0.01), decode=0.1, mixed=0.1, other=0.01, alone=0.1)
    assert quiet.tpot_s == pytest.approx(0.01, rel=0.01)  # alone: the step of one sequence
    assert quiet.output_tokens_per_s == pytest.approx(0.01 * 101, rel=0.02)


def test_a_stream_beyond_capacity_does_not_grow():
    load = load_of("open loop", request_rate_per_s=1e4, requests=1e5, limit=100)
    found = met(load, decode=0.02, mixed=0.02, other=0.01)
    assert found.output_tokens_per_s == pytest.approx(100 / 0.02, rel=0.03)  # a full batch, a token each 20 ms
    assert found.ttft_s > 100 * 0.02  # requests wait for each other's whole answers


def test_speculation_divides_decoding_steps():
    plain, drafted = (
        met(load_of("closed loop", tokens_per_step=tokens), decode=0.01, mixed=0.03) for tokens in (1.0, 2.0)
    )
    assert drafted.tpot_s == pytest.approx(plain.tpot_s / 2)


def test_alike_requests_of_a_prompts_first_engine_stay_in_step():
    apart = load_of("closed loop", users=64, osl_tokens=129, prompts_first=1.0, chunk_tokens=1064.0)
    alike = dataclasses.replace(apart, length_spread_ratio=np.zeros(1))
    many, few = (met(load, decode=0.02, mixed=0.08) for load in (alike, apart))
    assert many.ttft_s > few.ttft_s
    assert many.tpot_s < few.tpot_s
    assert many.e2e_s == pytest.approx(few.e2e_s)


@settings(max_examples=200, deadline=None)
@given(
    users=st.floats(1, 5000), limit=st.floats(1, 2000), isl=st.floats(1, 1e5), osl=st.floats(1, 1e4),
    decode=st.floats(1e-3, 1.0), longer=st.floats(1.0, 20.0), kind=st.sampled_from(["closed loop", "all at once"]),
    ranks=st.sampled_from([1, 2, 8]), stages=st.sampled_from([1, 2, 4]),
)  # fmt: skip
def test_laws(users, limit, isl, osl, decode, longer, kind, ranks, stages):
    load = load_of(
        kind, users=users, limit=limit, isl_tokens=isl, osl_tokens=osl, ranks=ranks, stages=stages, requests=10 * users
    )
    asked = queries(load)
    assert asked.decode_sequences.shape == (NUM_STEPS, 1)
    assert (asked.prefill_tokens[1] <= load.chunk_tokens * ranks * stages + isl).all()
    found = met(load, decode, decode * longer, other=decode)
    assert 0 < found.ttft_s <= found.e2e_s * (1 + 1e-9)
    assert found.tpot_s >= decode * (osl - 1) / max(osl - 1, 1) * (1 - 1e-9)  # never faster than a step a token
    assert found.output_tokens_per_s <= min(users, limit) / decode * (osl / max(osl - 1, 0.5)) * (1 + 1e-9)
    assert found.batch <= limit * (1 + 1e-9)


def test_prompts_of_one_step_end_together():
    one_by_one, packed = (
        met(load_of("all at once", users=11, requests=11, chunk_tokens=chunk), decode=0.01, mixed=mixed)
        for chunk, mixed in ((ONE_EACH, 0.03), (11_011.0, 0.03))
    )
    # 11 prompts of 0.02 s each: the sixth is the middle one, in a step of 0.03 s; but in one step all wait for the last
    assert one_by_one.ttft_s == pytest.approx(0.03 + 5 * 0.03)
    assert packed.ttft_s == pytest.approx(0.03 + 10 * 0.02)


def test_an_engine_that_looks_seldom_finds_a_request_later():
    always, seldom, held = (
        met(load_of("closed loop", users=2, **asked), decode=0.01, mixed=0.03)
        for asked in ({}, {"receive_steps": 30.0}, {"hold_steps": 20.0})
    )
    assert seldom.ttft_s - always.ttft_s == pytest.approx(15 * 0.01, rel=0.05)  # and few others come meanwhile
    assert held.ttft_s - always.ttft_s == pytest.approx(20 * 0.01, rel=0.15)
    assert seldom.tpot_s == pytest.approx(always.tpot_s)


def test_only_who_finds_others_running_waits_for_their_step():
    def waits(**asked):
        late, prompt = (met(load_of(**asked), decode=0.01, mixed=0.03, admission_steps=n) for n in (1.0, 0.0))
        return float(late.ttft_s[0] - prompt.ttft_s[0])

    assert waits(kind="closed loop", users=1) == 0
    assert waits(kind="closed loop", users=2) == pytest.approx(0.01)
    rare, common = (waits(kind="open loop", request_rate_per_s=rate, requests=1000) for rate in (0.01, 10.0))
    assert rare == pytest.approx(0.01 * 0.01, rel=0.1)  # a request of a second every 100 s is there for one in 100
    assert common == pytest.approx(0.01, rel=0.01)


def test_alike_prompts_of_a_step_stay_half_together():
    # 8 prompts fit in a step beside 32 users: of those that ran in one, half come back together
    alike, uneven = (
        met(load_of("closed loop", users=32, chunk_tokens=8032.0, osl_tokens=1001, length_spread_ratio=spread),
            decode=0.01, mixed=0.01 + 0.02 * 4, admission_steps=0.0)
        for spread in (0.0, 0.2)
    )  # fmt: skip
    # 3 more prompts of 20 ms each ahead; both have the queue of requests that come by chance
    assert alike.ttft_s > uneven.ttft_s
    assert queries(load_of("closed loop", users=32, chunk_tokens=8032.0, length_spread_ratio=0)).together == 4


def test_the_median_step_has_the_prompts_that_chance_brings():
    def itl(osl_tokens):
        load = load_of("closed loop", users=100, osl_tokens=osl_tokens, length_spread_ratio=0.5)
        return float(met(load, decode=0.01, mixed=0.03).median_itl_s[0])

    assert itl(1001) == pytest.approx(0.01)  # a prompt every tenth step
    assert itl(101) == pytest.approx(0.01 + (1 - np.log(2)) * 0.02)  # one a step, in the mean
    drawn = np.random.default_rng(1).poisson(4.0, 100_001)
    many = met(load_of("closed loop", users=400, osl_tokens=101, length_spread_ratio=0.5, chunk_tokens=8192.0),
               decode=0.01, mixed=0.01 + 4 * 0.005)  # fmt: skip
    assert float(many.median_itl_s[0]) == pytest.approx(0.01 + 0.005 * np.median(drawn), rel=0.15)


def test_a_stream_too_fast_queues_by_what_it_is_too_fast():
    # 4 places, 100 steps of 10 ms and 20 ms of prompt: 4 / 1.08 answers a second; twice as many come
    answered = 4 / (100 * 0.01 + 4 * 0.02)
    found = met(
        load_of("open loop", request_rate_per_s=2 * answered, requests=100, limit=4.0, chunk_tokens=1004.0),
        decode=0.01, mixed=0.03,
    )  # fmt: skip
    waits = np.maximum(np.arange(100) * (1 / answered - 0.5 / answered) - 4 / answered, 0.0)
    assert found.ttft_s == pytest.approx(waits.mean(), rel=0.03)
    assert found.median_ttft_s == pytest.approx(np.median(waits), rel=0.03)
    assert found.last_ttft_s == pytest.approx(waits.max(), rel=0.05)


def test_a_short_stream_never_fills_its_places():
    # 100 requests, 10 a second; a cycle of n takes 100 * 0.01 + n * 0.02 s: n = 100 - 10 n / (1 + 0.02 n)
    load = load_of(
        "open loop", request_rate_per_s=10.0, requests=100, limit=92, chunk_tokens=1092.0, length_spread_ratio=0.0
    )
    found = met(load, decode=0.01, mixed=0.03)
    n = found.batch[0]
    assert n == pytest.approx(100 - 10 * n / (1 + 0.02 * n))
    assert found.output_tokens_per_s == pytest.approx(100 * 101 / (10.0 + found.e2e_s), rel=1e-6)


def test_prompts_that_come_faster_than_they_pass_fall_behind_by_the_difference():
    # a prompt of 40 ms every 25 ms: the hundredth of two hundred waits for 100 * 15 ms
    load = load_of("open loop", request_rate_per_s=40.0, requests=200, limit=300, prompts_first=1.0, chunk_tokens=1300)
    found = met(load, decode=1e-4, mixed=0.0401)
    assert found.ttft_s == pytest.approx(100 * 0.015 + 0.0401, rel=0.02)


@settings(max_examples=100, deadline=None)
@given(rate=st.floats(1e-3, 1e4), count=st.floats(2, 1e4), limit=st.floats(1, 2000), longer=st.floats(1.0, 20.0))
def test_laws_of_a_stream(rate, count, limit, longer):
    found, faster, more = (
        met(load_of("open loop", requests=n, limit=limit, request_rate_per_s=pace), 0.02, 0.02 * longer)
        for n, pace in ((count, rate), (count, 2 * rate), (2 * count, rate))
    )
    assert 0 < found.batch <= min(count, limit) * (1 + 1e-9)
    assert found.batch <= min(faster.batch, more.batch) * (1 + 1e-9)
    assert found.ttft_s <= min(faster.ttft_s, more.ttft_s) * (1 + 1e-9)
    assert found.output_tokens_per_s <= rate * 101 * (1 + 1e-9)


def test_all_at_once_is_the_fastest_stream():
    same = {"users": 100.0, "requests": 100.0, "limit": 100.0}
    flood = met(load_of("open loop", request_rate_per_s=1e9, **same), 0.02, 0.08, admission_steps=0.0)
    at_once = met(load_of("all at once", **same), 0.02, 0.08, admission_steps=0.0)
    for name in ("ttft_s", "tpot_s", "batch", "output_tokens_per_s"):
        assert getattr(flood, name) == pytest.approx(getattr(at_once, name), rel=1e-3), name


@pytest.mark.parametrize("mixed", [True, False])
@pytest.mark.parametrize("rate", [3.0, 12.0, 60.0, 1e6])
def test_streams_as_a_scheduler_plays_them(rate, mixed):
    """All 300 together get 300 / (150 * 0.08 s + 300 * 0.03 s) = 14 answers a second: below that, beyond, at once."""

    def cost(sequences, tokens, *_):
        return 0.02 + 2e-4 * sequences + 3e-5 * tokens

    rng = np.random.default_rng(0)
    arrivals = np.cumsum(rng.exponential(1.0 / rate, 300))
    requests = [
        reference.Request(id=i, arrival_s=at, isl=int(rng.integers(400, 1601)), osl=int(rng.integers(75, 226)))
        for i, at in enumerate(arrivals)
    ]
    engine = reference.Engine(cost=cost, token_budget=8192, max_sequences=512, kv_blocks=10**6, mixed=mixed)
    reference.simulate(engine, requests)
    ttft_s = np.mean([one.first_s - one.arrival_s for one in requests])
    tpot_s = np.sum([one.end_s - one.first_s for one in requests]) / np.sum([one.osl - 1 for one in requests])
    load = load_of(
        "open loop", request_rate_per_s=rate, requests=300, osl_tokens=150, limit=512, prompts_first=1.0 - mixed
    )
    asked = queries(load)
    found = replay(load, asked, cost(asked.decode_sequences, asked.prefill_tokens))
    assert found.ttft_s == pytest.approx(ttft_s, rel=0.4)
    assert found.tpot_s == pytest.approx(tpot_s, rel=0.4)


@pytest.mark.parametrize("mixed", [True, False])
@pytest.mark.parametrize("rate", [4.0, 10.0, 18.0])
def test_waits_of_a_steady_stream_as_a_scheduler_plays_them(rate, mixed):
    """Alike prompts of 30 ms that come by chance and take an eighth, a third and a half of the time."""

    def cost(sequences, tokens, *_):
        return 0.005 + 2e-5 * sequences + 3e-5 * tokens

    arrivals = np.cumsum(np.random.default_rng(1).exponential(1.0 / rate, 1500))
    requests = [reference.Request(id=i, arrival_s=at, isl=1000, osl=100) for i, at in enumerate(arrivals)]
    engine = reference.Engine(cost=cost, token_budget=8192, max_sequences=512, kv_blocks=10**6, mixed=mixed)
    reference.simulate(engine, requests)
    ttft_s = np.array([one.first_s - one.arrival_s for one in requests])
    load = load_of(
        "open loop", request_rate_per_s=rate, requests=1500, osl_tokens=100, limit=512, prompts_first=1.0 - mixed,
        length_spread_ratio=0.0,
    )  # fmt: skip
    asked = queries(load)
    found = replay(load, asked, cost(asked.decode_sequences, asked.prefill_tokens))
    assert found.ttft_s == pytest.approx(ttft_s.mean(), rel=0.2)
    assert found.median_ttft_s == pytest.approx(np.median(ttft_s), rel=0.25)


def test_nobody_decodes_in_steps_of_prompts_that_go_first():
    """256 users, one prompt a step: a cycle is 9 decoding steps and what 256 prompts add to them."""
    few_tokens = {"users": 256.0, "isl_tokens": 8192.0, "osl_tokens": 10.0, "prompts_first": 1.0, "chunk_tokens": 8448}
    found = met(load_of("closed loop", **few_tokens), decode=0.02, mixed=0.09)
    added_s = 0.09 - 0.02
    assert found.output_tokens_per_s == pytest.approx(256 * 10 / (9 * 0.02 + 256 * added_s), rel=0.01)


@pytest.mark.parametrize("limit", [40, 512])
@pytest.mark.parametrize("spread", [0.58, 1.0])
def test_the_longest_answers_of_uneven_ones_are_waited_for(limit, spread):
    """300 requests sent at once: until the last is answered, and how much longer that takes than for even answers."""

    def cost(sequences, tokens, *_):
        return 0.02 + 2e-4 * sequences + 3e-6 * tokens

    rng = np.random.default_rng(1)
    drawn = {0.0: np.full(300, 200.0), 0.58: rng.uniform(1, 400, 300), 1.0: rng.exponential(200.0, 300)}
    over_s = {}
    for kind in (0.0, spread):
        lengths = np.maximum(np.round(drawn[kind] * 200.0 / drawn[kind].mean()), 1).astype(int)
        requests = [reference.Request(id=i, arrival_s=0.0, isl=100, osl=int(osl)) for i, osl in enumerate(lengths)]
        engine = reference.Engine(cost=cost, token_budget=8192, max_sequences=limit, kv_blocks=10**6)
        reference.simulate(engine, requests)
        over_s[kind] = max(one.end_s for one in requests)
    found_s = {}
    for kind in (0.0, spread):
        load = load_of("all at once", users=300, requests=300, isl_tokens=100, osl_tokens=200, limit=limit,
                       length_spread_ratio=kind)  # fmt: skip
        asked = queries(load)
        found = replay(load, asked, cost(asked.decode_sequences, asked.prefill_tokens), admission_steps=0.0)
        found_s[kind] = 300 * 200 / found.output_tokens_per_s
    assert found_s[0.0] == pytest.approx(over_s[0.0], rel=0.15)
    assert found_s[spread] == pytest.approx(over_s[spread], rel=0.25)
    assert over_s[spread] > 1.2 * over_s[0.0] or limit == 40


@given(
    st.floats(0, 1), st.floats(0, 1), st.sampled_from(["all at once", "closed loop", "open loop"]), st.integers(1, 50)
)
def test_more_uneven_answers_are_never_sooner_done(one, other, kind, limit):
    less, more = sorted((one, other))
    tokens = [
        met(
            load_of(kind, users=50, requests=500, request_rate_per_s=5.0 * (kind == "open loop"), limit=limit,
                    length_spread_ratio=max(spread, 0.01)),
            decode=0.02, mixed=0.05, other=0.01,
        ).output_tokens_per_s
        for spread in (less, more)
    ]  # fmt: skip
    assert tokens[1] <= tokens[0] * (1 + 1e-9)
