"""The simulator obeys the laws of queues, and its fleet features do what they are named after."""

import dataclasses
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from steelyard import catalog, inference
from steelyard.errors import DoesNotFitError, InputError
from steelyard.inference.simulator import (
    Fleet,
    Replica,
    burst_load,
    closed_load,
    open_load,
    replica_for,
    simulate,
    state,
    step_table,
    tabulate,
    transfer_s_per_token,
)  # fmt: skip
from steelyard.inference.simulator.kernel import queues
from steelyard.inference.simulator.load import weibull_shape
from steelyard.records.serving import ADMISSIONS, ROUTINGS, Autoscaling, Batching, ReplicaFailures
from steelyard.records.workload import Lengths, Objective


def lengths(isl, osl, **more):
    return Lengths(isl_tokens=np.array(isl, dtype=float), osl_tokens=np.array(osl, dtype=float), **more)


def made_up(seconds, **batching):
    """A replica whose steps take `seconds(sequences, prompt tokens, context, attended)` and draw 100 W."""
    rules = {"token_budget": 2048, "max_sequences": 64} | batching
    table = tabulate(
        lambda n, p, c, a: (seconds(n, p, c, a), 100.0 * seconds(n, p, c, a)),
        max_sequences=rules["max_sequences"], token_budget=rules["token_budget"], max_context_tokens=4096.0,
        idle_w=10.0,
    )  # fmt: skip
    return Replica(table=table, batching=Batching(**rules), kv_blocks=20_000, max_context_tokens=10**6)


def usual(n, p, c, a):
    return 0.005 + 1e-4 * n + 2e-5 * p + 1e-8 * n * c + 1e-10 * p * a


MIXED = lengths([100, 400, 1500, 30], [50, 10, 200, 1])


def test_a_static_engine_is_simulated_as_such(tiny, h100, fixed):
    engine = inference.engine_for(h100, "transformers")
    replica = replica_for(tiny, h100, inference.Deployment(), fixed, engine=engine, max_sequences=8)
    run = simulate(Fleet(replica=replica), closed_load(fixed, 8, 400), seed=0)
    closed = inference.under_load(
        tiny, h100, inference.Deployment(), isl_tokens=1000, osl_tokens=200, users=8, engine=engine,
        length_spread_ratio=0.0,
    )  # fmt: skip
    assert run.e2e.mean_s == pytest.approx(float(closed.e2e_s), rel=0.05)
    waiting = simulate(Fleet(replica=replica), closed_load(fixed, 16, 800), seed=0)  # a whole batch runs before
    assert waiting.e2e.mean_s == pytest.approx(2 * run.e2e.mean_s, rel=0.05)


def test_same_seed_same_answer_to_the_bit():
    replica = made_up(usual)
    first, again, other = (
        simulate(replica, open_load(MIXED, 20.0, 5000), seed=seed, keep_events=True) for seed in (3, 3, 4)
    )
    assert first.events.end_s.tobytes() == again.events.end_s.tobytes()
    assert first.to_dict() == again.to_dict()
    assert first.events.end_s.tobytes() != other.events.end_s.tobytes()


def test_littles_law_and_order_and_conservation():
    replica = made_up(usual)
    run = simulate(replica, open_load(MIXED, 25.0, 20_000, arrival_cv_ratio=2.0), keep_events=True)
    events = run.events
    assert sorted(events.id) == list(range(20_000))
    assert run.mean_in_system_requests == pytest.approx(events.e2e_s.sum() / run.duration_s)
    assert (events.arrival_s < events.first_token_s).all()
    assert (events.first_token_s <= events.end_s).all()
    assert run.num_preemptions == 0
    assert run.prefilled_tokens == events.isl_tokens.sum()
    in_order = np.argsort(events.id)
    assert (np.diff(events.first_token_s[in_order]) >= 0).all()  # first come, first served
    assert run.goodput_request_per_s <= run.request_rate_per_s * (1 + 1e-12)


def test_preempted_prompts_are_computed_again():
    small = dataclasses.replace(made_up(usual), kv_blocks=130)
    run = simulate(small, open_load(MIXED, 25.0, 5000), keep_events=True)
    assert run.num_preemptions == run.events.num_preemptions.sum() > 0
    assert run.prefilled_tokens - run.events.isl_tokens.sum() == run.recomputed_tokens > 0
    assert run.kv_peak_ratio <= 1.0


@pytest.mark.parametrize("load_ratio", [0.3, 0.7, 0.9])
def test_single_server_waits_as_pollaczek_and_khinchine_say(load_ratio):
    """One place, one token each: M/G/1. Mean wait = rate E[S^2] / (2 (1 - load))."""
    replica = made_up(lambda n, p, c, a: 1e-3 * p + 0.0 * n + 0.0 * c + 0.0 * a, max_sequences=1)
    service = np.array([0.1, 0.3])  # 100 and 300 tokens
    rate = load_ratio / service.mean()
    run = simulate(replica, open_load(lengths([100, 300], [1, 1]), rate, 2_000_000), seed=1)
    wait = rate * (service**2).mean() / (2 * (1 - load_ratio))
    assert run.ttft.mean_s == pytest.approx(wait + service.mean(), rel=0.03)
    assert run.busy_ratio == pytest.approx(load_ratio, rel=0.01)


def test_many_places_are_an_infinite_server():
    """Steps of one length whatever is in them: nobody waits for a place; mean number = rate x time of an answer."""
    replica = made_up(lambda n, p, c, a: 0.01 + 0.0 * (n + p + c + a), max_sequences=2048)
    run = simulate(replica, open_load(lengths([10], [100]), 50.0, 50_000))
    assert run.tpot.percentile_s(50) == pytest.approx(0.01, rel=0.005)
    assert run.tpot.percentile_s(99) == pytest.approx(0.01, rel=0.005)
    # Half a step until the next begins on average, one for the prompt, 99 for the rest.
    assert run.e2e.mean_s == pytest.approx(0.01 * 100.5, rel=0.002)


def test_one_user_meets_the_closed_form(llama_8b, h100):
    """Alone, TTFT is overhead and one step of the prompt, TPOT the mean step of one sequence."""
    asked = inference.lengths_from_stated({"fixed": 1000}, {"fixed": 200}, num_samples=2)
    layout = inference.Deployment()
    run = simulate(replica_for(llama_8b, h100, layout, asked), closed_load(asked, 1, 20))
    form = inference.latency_of_users(llama_8b, h100, layout, asked, 1.0)
    assert run.tpot.mean_s == pytest.approx(float(form.mean_tpot_s), rel=0.03)
    prompt = inference.step(llama_8b, h100, layout, decode_sequences=0.0, context_tokens=0.0, prefill_tokens=1000.0)
    overhead = float(inference.outside_s(inference.engine_for(h100), 1000.0))
    assert run.ttft.mean_s == pytest.approx(overhead + float(prompt.total_s), rel=0.02)


def test_an_open_load_at_low_rate_meets_the_closed_form(llama_8b, h100, chat):
    layout = inference.Deployment()
    run = simulate(replica_for(llama_8b, h100, layout, chat), open_load(chat, 0.2, 5000))
    form = inference.latency_at(llama_8b, h100, layout, chat, 0.2, Objective())
    assert run.tpot.mean_s == pytest.approx(float(form.mean_tpot_s), rel=0.05)
    assert run.ttft.mean_s == pytest.approx(float(form.mean_ttft_s), rel=0.1)


def test_table_is_the_formula_at_its_points_and_near_it_between(llama_8b, h100):
    layout = inference.Deployment()
    table = step_table(llama_8b, h100, layout, max_sequences=512, token_budget=8192, max_context_tokens=32_768.0)
    at = (7, 9, 3, 2)
    n, p, c, a = (
        axis[place]
        for axis, place in zip(
            (table.sequences, table.prompt_tokens, table.context_tokens, table.attended_tokens), at, strict=True
        )
    )
    chunk = min(max(2 * a, 1.0), p)
    exact = inference.step(
        llama_8b, h100, layout, decode_sequences=n, context_tokens=c, prefill_tokens=p, prompt_tokens=chunk,
        prompt_context_tokens=a - chunk / 2,
    )  # fmt: skip
    assert table.step_s[at] == pytest.approx(float(exact.total_s))


@pytest.mark.parametrize("routing", ROUTINGS)
def test_a_fleet_answers_everything_once(routing):
    fleet = Fleet(replica=made_up(usual), num_replicas=5, routing=routing)
    run = simulate(fleet, open_load(MIXED, 100.0, 5000), keep_events=True)
    assert sorted(run.events.id) == list(range(5000))
    share = np.bincount(run.events.replica, minlength=5) / 5000
    assert share.min() > 0.1


def test_routing_by_load_beats_taking_turns_when_requests_differ():
    asked = lengths([100, 100, 100, 100, 4000], [20, 20, 20, 20, 800])
    replica, load = made_up(usual, max_sequences=8), open_load(asked, 30.0, 20_000)
    tails = {
        routing: simulate(Fleet(replica=replica, num_replicas=8, routing=routing), load).ttft.percentile_s(95)
        for routing in ("round-robin", "least-requests", "power-of-two")
    }
    assert tails["least-requests"] < tails["power-of-two"] < tails["round-robin"]


def test_failures_start_requests_again_and_none_is_lost():
    calm = Fleet(replica=made_up(usual), num_replicas=4)
    rough = dataclasses.replace(calm, failures=ReplicaFailures(mtbf_s=30.0, repair_s=5.0))
    load = open_load(MIXED, 60.0, 20_000)
    quiet, run = simulate(calm, load), simulate(rough, load, keep_events=True)
    assert sorted(run.events.id) == list(range(20_000))
    assert run.num_failed_over > 0
    assert run.e2e.percentile_s(99) > quiet.e2e.percentile_s(99)


def test_autoscaling_follows_the_load_and_waits_for_cold_starts():
    scaling = Autoscaling(min_replicas=1, max_replicas=8, target_requests=8.0, interval_s=5.0, cold_start_s=20.0)
    fleet = Fleet(replica=made_up(usual), autoscaling=scaling)
    load = open_load(MIXED, 60.0, 20_000)
    run = simulate(fleet, load, keep_events=True)
    steady = simulate(Fleet(replica=made_up(usual), num_replicas=8), load)
    assert sorted(run.events.id) == list(range(20_000))
    assert 1.0 < run.mean_replica_count < 8.0
    assert run.device_s < steady.device_s
    assert run.events.replica.max() > 0
    assert run.ttft.percentile_s(99) > steady.ttft.percentile_s(99)
    started = run.events.arrival_s[run.events.replica > 0].min()
    assert started >= 5.0 + 20.0 - 1e-9 or (run.events.first_token_s[run.events.replica > 0].min() >= 25.0)


def test_separate_prefill_keeps_prompts_out_of_decoding():
    asked = lengths([1000], [100])
    together = simulate(Fleet(replica=made_up(usual), num_replicas=4), open_load(asked, 40.0, 5000))
    apart = simulate(
        Fleet(
            replica=made_up(usual), num_replicas=2, decode=made_up(usual), num_decode_replicas=2,
            transfer_s=0.5, transfer_s_per_token=1e-5,
        ),
        open_load(asked, 40.0, 5000),
        keep_events=True,
    )  # fmt: skip
    assert sorted(apart.events.id) == list(range(5000))
    assert apart.itl.percentile_s(99) < together.itl.percentile_s(99)  # no prompt in a decoding step
    # The second token waits for the transfer of 1,000 tokens: 0.5 s + 10 ms.
    assert (apart.events.end_s - apart.events.first_token_s).min() >= 0.51 + 99 * 0.005


def test_static_batches_wait_for_their_longest_answer():
    replica = made_up(lambda n, p, c, a: 0.01 + 0.0 * (n + p + c + a), max_sequences=2, static=True)
    run = simulate(replica, burst_load(lengths([10, 10, 10, 10], [5, 50, 5, 50]), 4, in_order=True), keep_events=True)
    ends = run.events.end_s[np.argsort(run.events.id)]
    # First batch: one step of prompts and 49 more; the second starts when the longer answer is done.
    assert ends == pytest.approx([0.05, 0.5, 0.55, 1.0])


def test_energy_is_steps_and_idle_time():
    replica = made_up(lambda n, p, c, a: 0.01 + 0.0 * (n + p + c + a))
    run = simulate(replica, open_load(lengths([10], [1]), 10.0, 10_000))
    busy_s = run.busy_ratio * run.duration_s
    assert run.energy_j == pytest.approx(100.0 * busy_s + 10.0 * (run.duration_s - busy_s))


def test_percentiles_from_bins_are_near_those_of_the_requests():
    run = simulate(made_up(usual), open_load(MIXED, 25.0, 20_000), keep_events=True)
    for level in (10, 50, 90, 99):
        for metric, values in (("ttft", run.events.ttft_s), ("e2e", run.events.e2e_s)):
            exact = np.percentile(values, level)
            assert getattr(run, metric).percentile_s(level) == pytest.approx(exact, rel=0.008)
    assert run.ttft.mean_s == pytest.approx(run.events.ttft_s.mean())


def test_warm_up_is_served_and_not_counted():
    run = simulate(made_up(usual), open_load(MIXED, 25.0, 1000), warm_up_requests=400, keep_events=True)
    assert (run.num_requests, run.num_counted) == (1000, 600)
    assert run.events.id.min() == 400


def test_memory_does_not_grow_with_the_requests():
    replica = made_up(usual)
    simulate(replica, open_load(MIXED, 25.0, 100))
    peaks = []
    for count in (100_000, 800_000):
        tracemalloc.start()
        simulate(replica, open_load(MIXED, 25.0, count))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


def test_slower_steps_lower_what_a_closed_loop_gets():
    replica = made_up(usual)
    slow = dataclasses.replace(replica, table=replica.table.scaled(2.0))
    rates = [simulate(one, closed_load(MIXED, 16, 4000)).request_rate_per_s for one in (replica, slow)]
    assert rates[0] / rates[1] == pytest.approx(2.0, rel=0.01)


@pytest.mark.parametrize("gaps", ["gamma", "weibull"])
@pytest.mark.parametrize("cv", [0.0, 0.5, 1.0, 3.0])
def test_gaps_have_the_rate_and_the_variation_asked_for(gaps, cv):
    load = open_load(MIXED, 4.0, 200_000, arrival_cv_ratio=cv, gaps=gaps)
    times = np.concatenate([block.times for block in load.blocks(seed=5)])
    found = np.diff(times)
    assert found.mean() == pytest.approx(0.25, rel=0.03)
    assert found.std() / found.mean() == pytest.approx(cv, abs=0.03, rel=0.05)


def test_weibull_shape_inverts_its_coefficient_of_variation():
    assert weibull_shape(1.0) == pytest.approx(1.0)  # exponential
    assert weibull_shape(0.5227232) == pytest.approx(2.0, rel=1e-5)  # Rayleigh: sqrt(4 / pi - 1)


def test_a_day_has_the_shape_asked_for():
    shape = tuple([1.0] * 12 + [3.0] * 12)
    load = open_load(MIXED, 10.0, 864_000, hourly_shape_ratio=shape)
    times = np.concatenate([block.times for block in load.blocks(seed=2)])
    assert times[-1] == pytest.approx(86_400, rel=0.01)
    assert (times < 43_200).mean() == pytest.approx(0.25, abs=0.01)


def test_the_chat_preset_runs_on_every_scheduler(llama_8b, h100):
    asked = inference.lengths_from_workload(catalog.workload("azure-conversation"))
    gaps = {}
    for name in ("vllm", "sglang", "tensorrt-llm"):
        engine = inference.engine_for(h100, name)
        replica = replica_for(llama_8b, h100, inference.Deployment(), asked, engine=engine)
        run = simulate(replica, open_load(asked, 8.0, 5000))
        assert run.num_requests == 5000
        gaps[name] = run.ttft.mean_s
    assert max(gaps.values()) < 2 * min(gaps.values())


def test_what_cannot_be_simulated_is_refused(llama_8b, h100):
    beyond = lengths([200_000], [10])
    with pytest.raises(InputError, match="131,072 tokens of context"):
        replica_for(llama_8b, h100, inference.Deployment(), beyond)
    with pytest.raises(DoesNotFitError, match="KV pool holds 160 tokens"):
        simulate(dataclasses.replace(made_up(usual), kv_blocks=10), burst_load(MIXED, 1))
    for wrong in (
        lambda: open_load(MIXED, 0.0, 1),
        lambda: open_load(MIXED, 1.0, 0),
        lambda: open_load(MIXED, 1.0, 10**13),
        lambda: closed_load(MIXED, 0, 1),
        lambda: closed_load(MIXED, 10**9, 10**9),
    ):
        with pytest.raises(InputError):
            wrong()


def test_more_requests_at_once_than_a_key_holds_are_refused(monkeypatch):
    assert 1 << queues.REQUEST_BITS == state.MAX_IN_SYSTEM
    monkeypatch.setattr(state, "MAX_IN_SYSTEM", 2048)
    assert simulate(made_up(usual), burst_load(MIXED, 2048)).num_requests == 2048
    with pytest.raises(InputError, match="more than 2,048 requests wait at once"):
        simulate(made_up(usual), burst_load(MIXED, 2049))


def test_numba_is_imported_by_a_simulation_only():
    code = "import sys, steelyard.inference.simulator, steelyard.compare.serving.traffic; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_kv_cache_goes_over_the_links_of_a_domain_or_over_the_network_between_them(llama_8b, h100, fixed):
    card = h100.accelerator
    near, far, unsaid = (
        transfer_s_per_token(llama_8b, h100, inference.Deployment(), fixed, num_devices=count)
        for count in (card.scale_up_devices, card.scale_up_devices + 1, None)
    )
    # 32 layers, keys and values, 8 heads of 128 in 16 bits
    assert near == pytest.approx(32 * 2 * 8 * 128 * 2 / card.scale_up_bytes_per_s)
    assert far == unsaid == pytest.approx(32 * 2 * 8 * 128 * 2 / card.scale_out_bytes_per_s)


def test_the_more_must_fit_when_a_request_starts_the_less_is_computed_twice():
    """A pool of two prompts and a half, prompts in four chunks: the case that vLLM's pull request 37307 describes."""
    asked = lengths([400], [200])
    found = {}
    for admission in ADMISSIONS:
        replica = made_up(lambda n, p, c, a: 0.01 + 0.001 * p + 0.0 * n, token_budget=100, max_sequences=8)
        tight = dataclasses.replace(
            replica, kv_blocks=63, batching=dataclasses.replace(replica.batching, admission=admission)
        )
        found[admission] = simulate(tight, burst_load(asked, 200))
    chunk, prompt, answer = (found[name].recomputed_tokens for name in ("chunk", "prompt", "answer"))
    assert chunk > prompt > answer == 0
    assert all(run.num_requests == 200 and run.kv_peak_ratio <= 1 for run in found.values())
    assert found["answer"].peak_in_system == 200
    assert found["answer"].mean_batch_requests < 2  # 38 of 63 blocks each: one at a time
