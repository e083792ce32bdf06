"""`steelyard plan serve`: the search keeps the objective, and its answers are what they are called."""

import json

import pytest

from steelyard.cli.main import run

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
