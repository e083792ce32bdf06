"""The lifetime optimum: Sardana's condition in FLOP, money from predictions, the implied load, and refusals."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import arch, training
from steelyard.cli.main import run
from steelyard.decide.lifetime import ModelQuestion, Target, plan_model
from steelyard.decide.lifetime.explain import flop_prices
from steelyard.decide.lifetime.prices import between
from steelyard.decide.lifetime.result import COMPUTE_OPTIMAL, FLAT_RATIO, LEAST_FLOP, LEAST_MONEY, STATED
from steelyard.decide.lifetime.shapes import scaled, sizes
from steelyard.errors import InputError, UnknownError
from steelyard.records.workload import Objective

CHINCHILLA = Target(params=70e9, tokens=1.4e12, label="70B,1.4T")
SMALL = Target(params=2e9, tokens=4e10, label="2B,40B")  # few devices: quick to price


def ask(**changes):
    usual = {"target": CHINCHILLA, "served_tokens": 1e13, "devices": ("h100",), "draws": 20}
    return ModelQuestion(**(usual | changes))


@pytest.fixture(scope="module")
def plan():
    return plan_model(ask())


@pytest.fixture(scope="module")
def small():
    return plan_model(ask(target=SMALL, served_tokens=1e12))


def named(found):
    return {one.name: one for one in found.candidates}


def test_sardanas_optimum_stands_beside_the_stated_model_and_saves_26_percent(plan):
    """Sardana et al. 2023, rederived: at 1e13 served tokens and the loss of 70B on 1.4T, N 35B, D/N 108, 26% saved."""
    best = named(plan)[LEAST_FLOP]
    assert best.params == pytest.approx(35e9, rel=0.03)
    assert best.tokens_per_param == pytest.approx(108, rel=0.03)
    assert best.saved_flop_ratio == pytest.approx(0.26, abs=0.01)


def test_every_candidate_reaches_the_loss(plan):
    for one in plan.candidates:
        loss = training.loss_nats_per_token(one.params, one.tokens)
        assert loss == pytest.approx(plan.loss_nats, abs=1e-6)


def test_nothing_is_cheaper_than_the_cheapest_nor_takes_less_flop_than_the_least(plan):
    money = {one.name: one.total_usd.p50 for one in plan.candidates}
    flop = {one.name: one.training_flop + one.serving_flop for one in plan.candidates}
    assert min(money.values()) >= money[LEAST_MONEY] * 0.999
    assert min(flop, key=flop.get) == LEAST_FLOP
    assert named(plan)[STATED].saved_usd_ratio == 0


def test_the_price_of_a_served_flop_is_the_product_of_its_reasons(plan):
    """Price of a served FLOP over a trained one, counted directly: USD a token over 2N, and over 6N."""
    question, best = ask(), named(plan)[LEAST_MONEY]
    served, trained = best.serving, best.training
    usd_served = np.median(served.device_s_per_token) * question.peak_to_mean / (2 * served.params)
    usd_trained = np.median(trained.device_s_per_token) / (6 * trained.params)  # both on one device: rents cancel
    assert flop_prices(question, best).serving_price_ratio == pytest.approx(usd_served / usd_trained, rel=1e-9)


def test_dear_serving_makes_the_model_smaller_and_the_text_says_why(small):
    tight = plan_model(ask(target=SMALL, served_tokens=1e12, objective=Objective(tpot_s=0.006), peak_to_mean_ratio=4.0))
    assert tight.best.params < small.best.params
    assert "TPOT objective" in tight.reasons[0]
    assert "4 times what it is used" in tight.reasons[0]


def test_more_served_tokens_never_make_the_cheapest_model_larger():
    found = [plan_model(ask(target=SMALL, served_tokens=served)).best.params for served in (1e10, 1e12, 1e14)]
    assert found == sorted(found, reverse=True)


def test_a_model_that_is_best_for_a_load_implies_that_load():
    """Inverse use: the published condition inverted, and the grid in money."""
    best = training.lifetime_optimal(2.3, 5e12)
    target = Target(params=float(best.params), tokens=float(best.tokens), label="x")
    found = plan_model(ask(target=target, served_tokens=None)).implied
    assert found.least_flop_tokens.p50 == pytest.approx(5e12, rel=1e-3)
    cheapest = plan_model(ask(target=target, served_tokens=5e12)).best
    again = Target(params=cheapest.params, tokens=cheapest.tokens, label="y")
    implied = plan_model(ask(target=again, served_tokens=None)).implied.least_money_tokens
    load = implied.p50
    assert implied.p10 <= load <= implied.p90
    assert 5e12 / 2 < load < 5e12 * 2  # money is flat around its least, so the load it implies is only about that one:
    stated, least = (
        next(one for one in plan_model(ask(target=again, served_tokens=load)).candidates if one.name == name)
        for name in (STATED, LEAST_MONEY)
    )
    assert (
        stated.total_usd.p50 <= (1.0 + FLAT_RATIO) * least.total_usd.p50
    )  # there the model is as good as the cheapest


def test_a_published_model_implies_a_lifetime_load():
    target = Target.of_model("llama 3.1 8b")
    assert (target.params, target.tokens) == (8e9, 15e12)
    condition = training.lifetime_optimal(training.loss_nats_per_token(8e9, 15e12), 190e12)
    assert condition.params == pytest.approx(8e9, rel=0.01)  # 190T tokens: what the condition gives for it


def test_ranges_hold_the_median_and_the_flat_range_holds_the_best(plan):
    spread, best = plan.spread, plan.best
    for value in (spread.over_draws, spread.over_laws, spread.least_flop_over_laws):
        assert value.p10 <= value.p50 <= value.p90
    assert spread.flat_params[0] < best.params < spread.flat_params[1]


def test_rent_scales_money_and_leaves_the_optimum(small):
    cheap, dear = (
        plan_model(ask(target=SMALL, served_tokens=1e12, usd_per_device_s={"h100": usd / 3600})) for usd in (1.0, 10.0)
    )
    assert dear.best.params == pytest.approx(cheap.best.params)
    assert dear.best.total_usd.p50 == pytest.approx(10 * cheap.best.total_usd.p50)


def test_scarce_text_makes_the_cheapest_model_larger(small):
    scarce = plan_model(ask(target=SMALL, served_tokens=1e12, unique_tokens=2e10))
    assert scarce.best.params > small.best.params


def test_same_seed_same_answer(small):
    again = plan_model(ask(target=SMALL, served_tokens=1e12))
    assert again.to_dict() == small.to_dict()


@given(heads=st.sampled_from([8, 16, 24, 48, 96]))
@settings(max_examples=5, deadline=None)
def test_scaled_shapes_keep_their_proportions(heads):
    model = arch.load("llama-3.1-8b")
    other = scaled(model, heads)
    assert other.hidden / other.num_layers == model.hidden / model.num_layers
    assert other.num_heads == heads
    assert other.num_kv_heads == min(8, heads)


def test_a_model_scaled_to_its_own_heads_is_itself():
    model = arch.load("llama-3.1-8b")
    assert arch.count_params(scaled(model, 32)) == arch.count_params(model)


@given(least=st.floats(1e8, 6e10), times=st.floats(1.1, 50))  # up to 3T: the largest has 3.5T
@settings(max_examples=20, deadline=None)
def test_sizes_cover_what_is_asked(least, times):
    counts = [arch.count_params(one).total_params for one in sizes(arch.load("llama-3.1-8b"), least, least * times)]
    assert counts == sorted(counts)
    assert counts[0] <= least
    assert counts[-1] >= least * times


def test_prices_are_read_off_exactly_where_they_were_predicted():
    values = [np.array([1.0, 2.0]), np.array([3.0, 5.0]), np.array([9.0, 11.0])]
    assert between([1e9, 1e10, 1e11], values, np.array([1e10])) == pytest.approx(np.array([[3.0, 5.0]]))
    middle = between([1e9, 1e10, 1e11], values, np.array([3e9]))
    assert np.all((middle > values[0]) & (middle < values[1]))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"served_tokens": 0.0}, "served_tokens"),
        ({"shape_ref": "mixtral-8x7b"}, "mixture of experts"),
        ({"usd_per_device_s": {"b200": 1e-3}}, "which nothing here runs on"),
        ({"isl_tokens": 100.0}, "--isl and --osl"),
        ({"target": Target(params=1.0, tokens=1e12)}, "params"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(changes, said):
    with pytest.raises(InputError, match=said) as caught:
        plan_model(ask(**changes))
    assert "\n" not in str(caught.value)


def test_an_unknown_model_names_the_nearest():
    with pytest.raises(UnknownError, match=r"Llama 3\.1 8B"):
        Target.of_model("Llama 3.1 8")
    with pytest.raises(InputError, match="mixture of experts"):
        Target.of_model("DeepSeek-V3 671B")


SHORT = ["plan", "model", "--loss-of", "2B,40B", "--on", "h100", "--draws", "10"]


def test_the_command_prints_the_answer_and_json_has_the_same(capsys, tmp_path):
    assert run([*SHORT, "--served-tokens", "1T"]) == 0
    shown = capsys.readouterr().out
    assert LEAST_FLOP in shown
    assert COMPUTE_OPTIMAL in shown
    assert "WHY MONEY AND FLOP DIFFER" in shown
    assert run([*SHORT, "--served-tokens", "1T", "-o", str(tmp_path / "plan.json")]) == 0
    document = json.loads((tmp_path / "plan.json").read_text())
    assert {"schema", "inputs", "result", "breakdown", "sources", "warnings"} <= set(document)
    best = next(one for one in document["result"]["candidates"] if one["name"] == LEAST_MONEY)
    assert best["tokens"] / best["params"] == pytest.approx(best["tokens_per_param"])
    assert math.isfinite(best["total_usd"]["p50"])


def test_the_command_has_markdown_and_a_tree(capsys):
    assert run([*SHORT, "--served-tokens", "1T", "--markdown"]) == 0
    assert "| model | params |" in capsys.readouterr().out
    assert run([*SHORT, "--explain"]) == 0
    assert "price" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--served-tokens", "1T"], 2, "--loss-of"),
        (["--loss", "1.5"], 2, "floor"),
        (["--loss-of", "Llama 9"], 3, "trained model"),
        (["--loss-of", "2B,40B", "--price", "h100"], 2, "DEVICE=PRICE"),
        (["--loss-of", "2B,40B", "--on", "h1000"], 3, "nearest"),
        (["--loss-of", "2B,40B", "--json", "--explain"], 2, "exclude"),
    ],
)
def test_bad_input_is_one_line_and_its_exit_code(capsys, arguments, code, said):
    assert run(["plan", "model", *arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert len(captured.err.strip().splitlines()) == 1


def test_a_question_gives_its_inputs_back():
    inputs = ask().inputs()
    assert inputs["target"] == dataclasses.asdict(CHINCHILLA)
    assert json.dumps(inputs, default=str)
