"""`steelyard plan serve` over several devices: each has its chance, and what came of it is told."""

import json

import pytest

from steelyard.cli.main import run
from steelyard.compare.serving import plan_account as reasons

BASE = ("plan", "serve", "--isl", "1000", "--osl", "200", "--draws", "0")


def answer(capsys, *arguments):
    assert run([*BASE, *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["result"]


def against(found, device):
    """Return how many layouts of a device each reason stands against."""
    return {one["reason"]: one["count"] for one in found["devices"][device]["against"]}


@pytest.fixture(scope="module")
def mixed():
    """Llama 3.1 70B in bf16 (141 GB) on up to 4 of a device that holds it, one too small, and one without a price."""
    import contextlib
    import io

    said = io.StringIO()
    asked = ("--model", "llama-3.1-70b", "--devices", "4", "--rate", "1", "--ttft", "2s", "--tpot", "60ms")
    with contextlib.redirect_stdout(said):
        assert run([*BASE, *asked, "--on", "h200", "--on", "t4", "--on", "gaudi2", "--json"]) == 0
    found = json.loads(said.getvalue())["result"]
    return found | {"devices": {one["device_id"]: one for one in found["devices"]}}


def test_every_layout_of_a_device_is_an_answer_or_lost_for_one_reason(mixed):
    assert list(mixed["devices"]) == ["h200-sxm-141gb", "t4", "gaudi2"]
    for name, one in mixed["devices"].items():
        assert one["num_layouts"] == one["num_answers"] + sum(against(mixed, name).values())
        assert one["num_answers"] == sum(option["device"] == name for option in mixed["options"])
        assert set(against(mixed, name)) <= set(reasons.REASONS)


def test_a_device_without_room_says_what_the_nearest_layout_lacks(mixed):
    told = mixed["devices"]["t4"]
    assert against(mixed, "t4") == {reasons.NO_FIT: told["num_layouts"]}
    assert "need 35.4 GB a device" in told["against"][0]["nearest"]  # 141.5 GB over 4, the most that are allowed


def test_a_device_without_a_price_says_so(mixed):
    assert "no rental price" in mixed["devices"]["gaudi2"]["unpriced"]
    assert not mixed["devices"]["h200-sxm-141gb"]["unpriced"]


def test_an_objective_missed_is_told_by_how_much(capsys):
    found = answer(capsys, "--model", "llama-3.1-8b", "--on", "h200", "--on", "a10", "--tpot", "10ms", "--devices", "1")
    found["devices"] = {one["device_id"]: one for one in found["devices"]}
    assert set(against(found, "a10")) == {reasons.MISSED}
    # 16 GB of weights at 600 GB/s are 27 ms a token and more
    times = float(found["devices"]["a10"]["against"][0]["nearest"].split(" times ")[0].split()[-1])
    assert times > 2.7


def test_what_the_engine_does_not_start_is_counted(capsys):
    """Qwen2.5 7B has 28 attention heads: no tensor parallelism over 8."""
    found = answer(capsys, "--model", "qwen2.5-7b", "--on", "h200", "--together")
    one = found["devices"][0]
    told = {each["reason"]: each for each in one["against"]}[reasons.NO_START]
    assert "28 attention heads for 8 ranks" in told["nearest"]


def test_text_tells_of_each_device_in_a_line(capsys):
    asked = ("--model", "llama-3.1-70b", "--on", "h200", "--on", "t4", "--devices", "4", "--together")
    assert run([*BASE, *asked]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "WHAT CAME OF EACH DEVICE" in told
    # tp 1, 2 and 4, and 2 and 4 stages
    assert "t4: 0 of 5 layouts are answers; does not fit: 5 (nearest, tp4 bf16: weights and one sequence need" in told


def test_nothing_fits_is_one_line_with_the_nearest_of_each_device_and_the_next_step(capsys):
    names = ("t4", "l4", "a10", "a30", "l40s")
    assert run([*BASE, "--model", "llama-3.1-405b", *(part for name in names for part in ("--on", name))]) == 1
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    for part in ("t4 tp8 bf16", "l4 tp8 bf16", "a10 tp8 bf16", "and so on for 2 more", "--devices"):
        assert part in said.err


@pytest.mark.parametrize("option", ["--dtype", "--kv-dtype"])
def test_an_unknown_format_is_not_a_model_that_does_not_fit(capsys, option):
    assert run([*BASE, "--model", "llama-3.1-8b", "--on", "h100", option, "bf61"]) == 3
    assert "unknown number format 'bf61'" in capsys.readouterr().err


def test_a_slow_device_that_is_cheap_enough_wins(capsys):
    """Which device is cheapest is seen by its price, not by what one of them answers."""
    prices = ("--price", "h200=100 USD/device/h", "--price", "l40s=0.1 USD/device/h")
    found = answer(capsys, "--model", "llama-3.1-8b", "--on", "h200", "--on", "l40s", *prices)
    assert found["cheapest"]["device"] == "l40s"
    assert {option["device"] for option in found["options"]} == {"h200-sxm-141gb", "l40s"}


def test_cards_without_links_of_their_own_are_joined_over_the_hosts_bus(capsys):
    """70B in fp8 are 70 GB: two cards of 48 GB, as tensor-parallel ranks too."""
    found = answer(capsys, "--model", "llama-3.1-70b", "--dtype", "fp8", "--on", "l40s", "--devices", "2", "--together")
    assert {option["deployment"]["tp"] for option in found["options"]} == {1, 2}
    assert all(option["num_devices"] == 2 for option in found["options"])


def test_a_device_or_format_named_twice_counts_once(capsys):
    once = ("--model", "llama-3.1-8b", "--on", "h100", "--devices", "2", "--together", "--dtype", "fp8")
    one, two = (answer(capsys, *once, *more) for more in ((), ("--on", "H100 SXM", "--dtype", "fp8")))
    assert [option["name"] for option in two["options"]] == [option["name"] for option in one["options"]]
    assert two["devices"] == one["devices"]
