"""`steelyard plan serve`: the search keeps the objective, and its answers are what they are called."""

import dataclasses
import json

import numpy as np
import pytest
from joblib import parallel_config

from steelyard import inference
from steelyard.cli.main import run
from steelyard.compare.serving import plan as plan_room
from steelyard.compare.serving.plan import plan_serving
from steelyard.compare.serving.plan_candidates import candidates, groups
from steelyard.compare.serving.plan_result import ServingPlanQuestion
from steelyard.compare.serving.plan_search import opened
from steelyard.compare.serving.traffic import simulate_serving
from steelyard.compare.serving.traffic_question import TrafficQuestion
from steelyard.compare.serving.workers import decode_rate, prompt_s
from steelyard.inference import simulator
from steelyard.records.workload import Objective

BASE = ("plan", "serve", "--model", "llama-3.1-8b", "--on", "h100", "--devices", "4", "--isl", "1000", "--osl", "200")


def outcome(capsys, *arguments, code=0):
    assert run([*BASE, *arguments]) == code
    return capsys.readouterr()


@pytest.fixture(scope="module")
def plans():
    """Plans by their TPOT limit."""
    import contextlib
    import io

    found = {}
    for limit in ("20ms", "40ms"):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            assert run([*BASE, "--ttft", "1s", "--tpot", limit, "--draws", "3", "--json"]) == 0
        found[limit] = json.loads(said.getvalue())["result"]
    return found


def test_a_plan_knows_its_engine_its_cache_and_its_draft(capsys):
    common = ("--tpot", "20ms", "--draws", "0", "--together")

    def rate(*options):
        plan = json.loads(outcome(capsys, *common, "--json", *options).out)
        return plan["result"]["cheapest"]["request_rate_per_s"] / plan["result"]["cheapest"]["num_devices"]

    plain = rate()
    assert rate("--speculative-tokens", "3", "--acceptance", "0.8") > plain
    assert rate("--cached", "0.8") > 1.1 * plain
    assert rate("--engine-version", "0.6") != plain
    told = outcome(capsys, *common, "--on", "h100", "--engine-version", "0.11").out  # named twice
    assert "on up to 4 of h100:" in told
    assert "engine: vllm 0.11" in told


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--speculative-tokens", "2"), "which model proposes is not known"),
        (("--engine-version", "0.11"), "the newest release"),
        (("--engine", "vllm@0.11"), "the newest release"),
    ],
)
def test_a_file_of_what_it_cannot_start_is_refused(capsys, options, told):
    refused = outcome(capsys, "--tpot", "20ms", "--draws", "0", "--together", "--emit", "compose", *options, code=2)
    assert told in refused.err
    assert not refused.out


def test_every_option_keeps_the_objective(plans):
    for limit, plan in plans.items():
        for option in plan["options"]:
            assert option["ttft_s"] <= 1.0
            assert option["tpot_s"] <= float(limit.removesuffix("ms")) / 1e3
            assert option["num_devices"] <= 4


def test_answers_are_the_best_of_the_options(plans):
    for plan in plans.values():
        cost = [option["usd_per_output_mtoken"]["p50"] for option in plan["options"]]
        assert plan["cheapest"]["usd_per_output_mtoken"]["p50"] == min(cost)
        energy = [option["it_energy_j_per_token"] for option in plan["options"]]
        assert plan["least_energy"]["it_energy_j_per_token"] == min(energy)
        front = plan["front"]
        users = [point["tokens_per_s_per_user"] for point in front]
        devices = [point["tokens_per_s_per_device"] for point in front]
        assert users == sorted(users, reverse=True)
        assert devices == sorted(devices)


def test_a_stricter_objective_costs_more(plans):
    strict, loose = (plans[limit]["cheapest"]["usd_per_output_mtoken"]["p50"] for limit in ("20ms", "40ms"))
    assert strict > loose


def test_what_is_chosen_is_answered_for_as_long_as_it_comes():
    question = ServingPlanQuestion(
        model="llama-3.1-8b", devices=("h100",), isl_tokens=1000, osl_tokens=200, max_devices=1, draws=0,
        objective=Objective(tpot_s=0.2), separate=False,
    )  # fmt: skip
    rate = plan_serving(question).options[0].at.request_rate_per_s
    search = opened(question)
    long = [simulator.simulate(search.fleet(candidates(search)[0]), search.demand.load_at(times * rate, 40_000), seed=3)
            for times in (1.0, 1.15)]  # fmt: skip
    answered = [run.num_requests / run.duration_s / rate for run in long]
    assert answered[0] > 0.97
    assert answered[1] < 1.1  # nor is much left


def test_answers_of_one_token_have_no_tpot_to_keep(capsys):
    told = outcome(capsys, "--osl", "1", "--ttft", "1s", "--tpot", "40ms", "--draws", "3", "--json").out
    found = json.loads(told)["result"]
    assert found["cheapest"]["tpot_s"] is None
    assert found["cheapest"]["ttft_s"] <= 1.0
    assert all(point["tokens_per_s_per_user"] > 0 for point in found["front"])
    assert "TTFT p95 is" in outcome(capsys, "--osl", "1", "--ttft", "1ms", "--tpot", "40ms", code=1).err


def test_an_engine_of_static_batches_is_not_searched(capsys):
    out, err = outcome(capsys, "--engine", "transformers", code=2)
    assert (out, err.count("\n")) == ("", 1)
    assert "start and end together" in err


def test_cost_at_the_mean_load_is_that_of_the_same_fleet_idling(capsys):
    told = outcome(capsys, "--rate", "10", "--peak-to-mean", "2", "--tpot", "40ms", "--draws", "0", "--json").out
    best = json.loads(told)["result"]["cheapest"]
    peak, mean = best["usd_per_output_mtoken"]["p50"], best["usd_per_output_mtoken_at_mean"]["p50"]
    assert mean == pytest.approx(2 * peak)
    assert best["units"] * best["request_rate_per_s"] >= 10


def test_text_says_why_the_others_lost(capsys):
    told = outcome(capsys, "--ttft", "1s", "--tpot", "40ms", "--draws", "3").out
    for part in ("WITHIN THE OBJECTIVE", "WHY NOT THE OTHERS", "THE FRONT", "keep the objective", "of the winner's"):
        assert part in told


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--ttft", "1ms"), 1, "times the 1 ms asked"),
        (("--rate", "100000", "--tpot", "40ms"), 1, "4 are allowed"),
        (("--peak-to-mean", "0.5"), 2, "below 1"),
        (("--on", "nope"), 3, "unknown accelerator"),
        (("--engine", "vlm"), 3, "vllm"),
        (("--load", "chatt"), 3, "nearest: chat"),
    ],
)
def test_no_answer_is_one_line(capsys, arguments, code, told):
    said = outcome(capsys, "--draws", "0", *arguments, code=code)
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert told in said.err


def test_energy_has_its_parts(plans):
    for plan in plans.values():
        for option in plan["options"]:
            parts = option["energy_per_token"]
            assert all(parts[name] > 0 for name in ("device_j", "host_j", "cooling_j"))
            assert parts["device_j"] + parts["host_j"] == pytest.approx(option["it_energy_j_per_token"])
            assert parts["facility_j"] == pytest.approx(parts["it_j"] + parts["cooling_j"])


def test_energy_is_that_under_the_demand_not_of_a_full_fleet():
    asked = {"model": "llama-3.1-8b", "isl_tokens": 500.0, "osl_tokens": 100.0, "request_rate_per_s": 1.0, "draws": 0}
    objective = Objective(tpot_s=0.05)
    one = ServingPlanQuestion(devices=("h100",), max_devices=1, separate=False, objective=objective, **asked)
    best = plan_serving(one).cheapest
    seen = simulate_serving(TrafficQuestion(device="h100", arrival_cv_ratio=1.0, num_requests=3000, **asked))
    assert best.at.request_rate_per_s > 10
    assert best.energy.it_j > 3 * best.at.energy.it_j
    assert best.energy.it_j == pytest.approx(seen.energy.it_j / (seen.run.num_requests * 100), rel=0.1)


def test_a_short_trace_with_no_prefix_twice_is_planned_for_as_one_without_blocks(tmp_path):
    """300 prompts of 8 blocks that no other has."""
    shared = tmp_path / "shared.jsonl"
    rows = [{"timestamp": 1000 * i, "input_length": 4096, "output_length": 20, "hash_ids": [*range(8 * i, 8 * i + 8)]}
            for i in range(300)]  # fmt: skip
    shared.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    search = opened(ServingPlanQuestion(model="llama-3.1-8b", devices=("mi300x",), load=str(shared)))
    one = next(found for found in candidates(search) if found.num_devices == 1)
    assert search.simulated(one, 5.0).prefix_hit_ratio == 0.0
    again = search.demand.load_at(5.0, 1000)
    blocks = next(again.blocks(0))
    assert blocks.isl.tolist() == [4096] * 1000
    taken = [again.hashes[start : start + 8] for start in blocks.hash_start]
    assert len(np.unique(taken)) == 8000


def test_separate_workers_have_layouts_and_a_ratio_of_their_own():
    """Long prompts and short answers need more prefill than decode workers, and the other way round."""
    shares = {}
    for isl, osl in ((4000.0, 50.0), (200.0, 1000.0)):
        question = ServingPlanQuestion(
            model="llama-3.1-70b", devices=("h200",), max_devices=16, isl_tokens=isl, osl_tokens=osl,
            objective=Objective(ttft_s=4.0, tpot_s=0.05),
        )  # fmt: skip
        search = opened(question)
        found = groups(search, candidates(search), 8)
        assert all(one.num_devices <= 16 and one.transfer_s_per_token > 0 for one in found)
        best = found[0]
        shares[isl] = best.prefill_replicas * best.prefill.num_devices / best.num_devices
        assert any(one.prefill != one.deployment for one in found)
        domain = search.on("h200").accelerator.scale_up_devices
        one, many = (search.fleet(best, units=units) for units in (1, domain // best.num_devices + 1))
        assert one.transfer_s_per_token == best.transfer_s_per_token
        assert many.transfer_s_per_token > one.transfer_s_per_token or best.num_devices > domain
    assert shares[4000.0] > 0.5 > shares[200.0]


def test_what_a_worker_does_alone_is_its_step_time():
    question = ServingPlanQuestion(model="llama-3.1-8b", devices=("h100",), isl_tokens=1000.0, osl_tokens=200.0)
    search = opened(question)
    h100, layout = search.on("h100-sxm5-80gb"), candidates(search)[0].deployment
    replica = search.replica(h100.id, layout)
    rate, batch = decode_rate(replica, search.demand.lengths, 0.010)
    step_s = float(inference.step(
        search.model, h100, layout, decode_sequences=float(batch), context_tokens=1100.0,
    ).total_s)  # fmt: skip
    assert step_s == pytest.approx(0.010, rel=0.05)  # the largest batch within the limit
    assert rate == pytest.approx(batch / (200 * step_s), rel=0.05)
    assert decode_rate(replica, search.demand.lengths, 1e-6)[0] == 0.0  # no batch is that quick
    tokens = float(replica.batching.token_budget)
    full_s = float(inference.step(
        search.model, h100, layout, decode_sequences=0.0, context_tokens=0.0, prefill_tokens=tokens,
        prompt_tokens=1000.0,
    ).total_s)  # fmt: skip
    assert prompt_s(replica, 1000.0) == pytest.approx(full_s * 1000.0 / tokens, rel=0.1)


def trace_of(folder, *, peak_per_s=8, hashes=False):
    """Ten minutes at 2 requests/s, of which one is at `peak_per_s`."""
    rows = []
    for second in range(600):
        for part in range(peak_per_s if 300 <= second < 360 else 2):
            at = second + part / peak_per_s
            row = {"timestamp": at, "isl": 1000, "osl": 100}
            rows.append(row | ({"hash_ids": [0, 1]} if hashes else {}))
    file = folder / "trace.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return str(file)


def test_a_trace_is_sized_for_its_peak_and_replayed(capsys, tmp_path):
    base = ("plan", "serve", "--model", "llama-3.1-8b", "--on", "h100", "--devices", "4", "--draws", "0", "--together")
    asked = (*base, "--load", trace_of(tmp_path), "--ttft", "1s", "--tpot", "30ms", "--json")
    assert run(list(asked)) == 0
    found = json.loads(capsys.readouterr().out)["result"]
    assert found["request_rate_per_s"] == pytest.approx(8.0, rel=0.01)
    assert found["peak_to_mean_ratio"] == pytest.approx(8.0 / 2.6, rel=0.02)
    best = found["cheapest"]
    assert best["units"] * best["request_rate_per_s"] >= found["request_rate_per_s"]
    peak, mean = best["usd_per_output_mtoken"]["p50"], best["usd_per_output_mtoken_at_mean"]["p50"]
    assert mean == pytest.approx(peak * found["peak_to_mean_ratio"])
    replay = found["replay"]
    assert replay["num_requests"] == 1560
    assert replay["meets"]
    assert replay["ttft_s"] <= 1.0
    assert run([*asked, "--rate", "16"]) == 0  # the same shape, twice as high
    twice = json.loads(capsys.readouterr().out)["result"]
    assert twice["request_rate_per_s"] == 16.0
    assert twice["peak_to_mean_ratio"] == pytest.approx(found["peak_to_mean_ratio"])


def test_a_trace_that_no_fleet_carries_is_no_plan(capsys, tmp_path, monkeypatch):
    replay = plan_room._replay
    monkeypatch.setattr(plan_room, "_replay", lambda *asked: dataclasses.replace(replay(*asked), meets=False))
    monkeypatch.setattr(plan_room, "_GROWTHS", 2)
    base = ("plan", "serve", "--model", "llama-3.1-8b", "--on", "h100", "--devices", "64", "--draws", "0", "--together")
    assert run([*base, "--load", trace_of(tmp_path), "--ttft", "1s", "--tpot", "30ms"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "under the trace itself" in said.err


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("timestamp,isl\n0,10\n", 2, "no column osl"),
        ("timestamp,isl,osl\n0,10,5\n1,-3,5\n", 2, "line 3"),
        ("timestamp,isl,osl\n9,10,5\n1,10,5\n", 2, "sort the file by time"),
        ("timestamp,isl,osl\n0,10,5\n0,10,5\n", 2, "no rate to plan for"),
        ("timestamp,isl,osl\n0,10,5\n1,200000,5\n", 2, "131,072 tokens of context"),
    ],
)
def test_a_trace_that_cannot_be_planned_for_is_one_line(capsys, tmp_path, text, code, told):
    (tmp_path / "trace.csv").write_text(text, encoding="utf-8")
    base = ("plan", "serve", "--model", "llama-3.1-8b", "--on", "h100", "--load", str(tmp_path / "trace.csv"))
    assert run([*base, "-o", str(tmp_path / "plan.html")]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert told in said.err
    assert [one.name for one in tmp_path.iterdir()] == ["trace.csv"]


def test_lengths_are_those_of_the_trace(capsys, tmp_path):
    said = outcome(capsys, "--load", trace_of(tmp_path), code=2)  # BASE states lengths
    assert "leave --isl and --osl out" in said.err


def test_a_plan_is_the_same_however_many_simulations_run_at_once():
    question = ServingPlanQuestion(
        model="llama-3.1-8b", devices=("h100",), max_devices=2, isl_tokens=500.0, osl_tokens=50.0, draws=3,
        request_rate_per_s=20.0,
    )  # fmt: skip
    found = []
    for said in ({"backend": "sequential"}, {"n_jobs": 2}):
        with parallel_config(**said):
            found.append(dataclasses.replace(plan_serving(question), elapsed_s=0.0))
    assert found[0] == found[1]
    assert found[0].num_simulations > 3 * len(found[0].options)


def test_a_mean_rate_is_the_peak_that_is_a_multiple_of_it(capsys):
    asked = ("--tpot", "40ms", "--peak-to-mean", "2", "--together", "--draws", "0", "--json")
    mean, peak = (
        json.loads(outcome(capsys, *asked, option, rate).out)["result"]
        for option, rate in (("--mean-rate", "3 requests/s"), ("--rate", "6 requests/s"))
    )
    for found in (mean, peak):
        found.pop("elapsed_s")
    assert mean == peak
    told = outcome(capsys, "--rate", "1", "--mean-rate", "1", code=2)
    assert told.err.count("\n") == 1


def test_the_users_own_price_is_what_a_token_costs(capsys):
    asked = ("--rate", "2", "--tpot", "40ms", "--together", "--draws", "0")
    told = outcome(capsys, *asked, "--price", "h100=3 USD/h").out
    assert "3 USD/device-h; on_demand, stated by the user" in told
    cheapest = json.loads(outcome(capsys, *asked, "--price", "h100=3 USD/device/h", "--json").out)["result"]["cheapest"]
    cost = cheapest["usd_per_output_mtoken"]
    # 3 USD an hour a device, over 2 requests/s of 200 tokens
    assert cost["p50"] == pytest.approx(3 * cheapest["num_devices"] / 3600 / (2 * 200) * 1e6, rel=0.01)
    assert cost["p10"] == cost["p50"] == cost["p90"]


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--price", "3"), 2, "DEVICE=PRICE"),
        (("--price", "h100=2 USD/h", "--price", "h100=3 USD/h"), 2, "give each device one price"),
        (("--price", "h200=3 USD/h"), 2, "none of the devices asked about"),
        (("--pricing", "cheap"), 2, "unknown kind of rental 'cheap'"),
    ],
)
def test_prices_that_cannot_be_are_one_line(capsys, options, code, words):
    told = outcome(capsys, "--rate", "1", "--draws", "0", *options, code=code)
    assert words in told.err
    assert told.err.count("\n") == 1
    assert not told.out
