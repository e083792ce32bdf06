from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from steelyard import catalog, economics, inference
from steelyard.compare.claim import anchor, bounds, verdict_of_cases, verdict_of_share
from steelyard.compare.claims import CLAIMS, claims
from steelyard.compare.claims_price import SAMPLES, _price_span, request_prices

NO_CACHE = 0.0


@pytest.fixture(scope="module")
def judged():
    return {claim.id: claim for claim in claims()}


def test_every_claim_is_judged_once_with_numbers_and_sources(judged):
    assert len(judged) == len(CLAIMS) == 10
    for claim in judged.values():
        assert claim.verdict in {"holds", "holds if", "does not hold", "no source"}
        assert claim.sentence.endswith(".")
        assert claim.numbers
        assert claim.sources
        assert all(catalog.source(name).title for name in claim.sources)
        assert (claim.verdict == "holds if") == bool(claim.condition)


def test_claims_are_plain_json(judged):
    document = json.loads(json.dumps([claim.to_dict() for claim in judged.values()], allow_nan=False))
    assert {"id", "text", "verdict", "condition", "sentence", "numbers", "sources"} <= set(document[0])
    assert {"label", "value", "unit", "basis"} <= set(document[0]["numbers"][0])


def test_rule_turns_shares_into_verdicts():
    assert [verdict_of_share(share) for share in (1.0, 0.9, 0.89, 0.11, 0.1, 0.0)] == [
        "holds", "holds", "holds if", "holds if", "does not hold", "does not hold",
    ]  # fmt: skip
    assert verdict_of_cases({"a": True, "b": False}) == ("holds if", ("a",))


def test_verdicts_follow_the_numbers(monkeypatch):
    # A claim whose bounds hold nearly everything must hold, one whose bounds hold nothing must not.
    from steelyard.compare import claims_price

    monkeypatch.setattr(claims_price, "bounds", lambda name: (0.0, 1e9))
    assert claims_price.price_per_request().verdict == "holds"
    monkeypatch.setattr(claims_price, "bounds", lambda name: (1e8, 1e9))
    assert claims_price.price_per_request().verdict == "does not hold"


# Price of each real request of the three traces without cache discounts, computed from the files: the median as it was
# published (USD), and the share of requests between 0.001 and 0.1 USD.
OF_TRACES = {
    "deepinfra/mistralai/Mistral-Nemo-Instruct-2407": ("0.00003 0%", "0.00003 0%", "0.00014 3%"),
    "deepinfra/openai/gpt-oss-120b": ("0.00008 0%", "0.00006 0%", "0.0003 12%"),
    "openai/gpt-6-luna": ("0.0002 0%", "0.0002 0%", "0.0009 45%"),
    "google/gemini-3.8-flash": ("0.0017 59%", "0.0012 56%", "0.0065 96%"),
    "openai/gpt-6.1-sol": ("0.0045 97%", "0.0032 81%", "0.017 96%"),
    "anthropic/claude-opus-5-5": ("0.009 99%", "0.006 89%", "0.035 86%"),
    "openai/gpt-6-astra": ("0.023 100%", "0.016 98%", "0.087 55%"),
    "openai/gpt-4": ("0.052 91%", "0.046 80%", "0.23 26%"),
}


@pytest.fixture(scope="module")
def prices():
    return request_prices(0.001, 0.1)


@pytest.mark.parametrize("ref", OF_TRACES)
def test_the_median_request_costs_what_it_does_in_the_traces(prices, ref):
    for preset, published in zip(("chat", "code", "long-context"), OF_TRACES[ref], strict=True):
        median, share = published.split()
        digits = len(median.partition(".")[2])
        assert f"{prices.median_usd[preset][prices.refs.index(ref)]:.{digits}f}" == median
        found = prices.share_in_range[preset][prices.refs.index(ref)]
        assert found == pytest.approx(float(share.rstrip("%")) / 100, abs=0.01)


@pytest.mark.parametrize("preset", ["chat", "code", "long-context"])
def test_the_mean_request_costs_what_the_mean_lengths_of_the_trace_do(preset):
    workload, price = catalog.workload(preset), economics.api_price("openai/gpt-6.1-sol")
    costs = economics.request_costs_usd(
        dataclasses.replace(inference.lengths_from_workload(workload), cached_input_ratio=0.0), price
    )
    expected = workload.isl_mean_tokens * price.input.value + workload.osl_mean_tokens * price.output.value
    assert costs.mean() == pytest.approx(expected, rel=0.01)


def test_request_prices_are_those_of_economics(prices):
    ref = "openai/gpt-6-luna"
    lengths = inference.lengths_from_workload(catalog.workload("code"), num_samples=SAMPLES)
    costs = economics.request_costs_usd(lengths, economics.api_price(ref))
    assert lengths.cached_input_ratio == NO_CACHE
    assert prices.median_usd["code"][prices.refs.index(ref)] == pytest.approx(np.median(costs))


def test_request_prices_span_four_orders_of_magnitude(judged):
    claim = judged["price_per_request"]
    assert claim.number("p1 of the cheapest requests").value <= 1e-5
    assert claim.number("p99 of the dearest requests").value >= 0.1
    assert claim.verdict == "holds if"


def test_a_cent_is_a_frontier_chat(judged):
    claim = judged["cent_per_request"]
    assert claim.verdict == "holds if"
    # opus-class models cost 4/20 USD a million tokens: 8 blended, within the span of the condition
    assert "chat" in claim.condition
    # 100 times too high for open models of 8 to 12B
    assert claim.number("claim over the cheapest model").value > 100


def test_price_span_is_the_widest_with_nearly_all_inside():
    blended = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    assert _price_span(blended, np.array([False, True, True, True, False])) == (2.0, 4.0)
    assert _price_span(blended, np.zeros(5, dtype=bool)) is None


def test_gpt4_is_between_40_and_80_million(judged):
    claim = judged["gpt4_training"]
    amortised, rented = claim.number("amortised on an owned cluster").value, claim.number("rented").value
    assert 40e6 <= amortised < rented <= 80e6
    # 2.1e25 / (312e12 * 0.34) / 3600 = 54.99 million hours; Epoch AI reports 57
    hours = claim.number("A100 time at the reported efficiency").value / 3600
    assert hours == pytest.approx(54.99e6, rel=1e-3)
    assert hours == pytest.approx(claim.number("A100 time reported").value / 3600, rel=0.05)
    assert claim.number("cluster bought for it").value > 5 * rented
    assert "bought" not in claim.condition


def test_prices_fell_at_fixed_capability_only(judged):
    claim = judged["price_fall"]
    assert claim.number("gpt4_class_mmlu86: fall").value > 0.99
    assert claim.number("gpt35_class_mmlu65: fall").value > 0.98
    # Claude 3 Opus 15/75 (2024-03) to Claude Opus 4.5 5/25 (2025-11): two thirds; o3 10/40 to 2/8: 80%
    assert claim.number("list price of anthropic claude opus: fall").value == pytest.approx(2 / 3)
    assert claim.number("list price of openai o3: fall").value == pytest.approx(0.8)
    assert claim.verdict == "holds if"
    assert "fixed capability" in claim.condition
    assert "tier" not in claim.condition


def test_seconds_against_weeks_needs_pretraining(judged):
    claim = judged["time_to_value"]
    assert claim.verdict == "holds if"
    assert "pretraining" in claim.condition
    assert "fine-tuning" not in claim.condition
    assert claim.number("LoRA fine-tuning").value < 24 * 3600


def test_devices_from_1b_to_1t(judged):
    claim = judged["devices_needed"]
    serving = [number for number in claim.numbers if "to serve" in number.label]
    training = [number for number in claim.numbers if "to train" in number.label]
    assert len(serving) == len(training) >= 8
    # An 8-GPU H200 node has 1.1 TB, enough for 671B in fp8
    by_name = {number.label.partition(":")[0]: number.value for number in serving}
    assert by_name["deepseek-v3"] <= 8
    assert by_name["llama-3.1-8b"] == 1
    assert all(train.value >= serve.value for serve, train in zip(serving, training, strict=True))
    assert claim.verdict == "holds if"


def test_scaling_names_what_does_not_scale(judged):
    claim = judged["scaling"]
    # Mooncake conversation shares prefixes: hits fall from 36.6% to 6.1% over 64 replicas
    assert claim.number("long-context: capacity of one replica among 64").value < 0.9
    assert claim.number("chat: capacity of one replica among 64").value == pytest.approx(1.0)
    efficiency = [number.value for number in claim.numbers if "efficiency against" in number.label]
    assert efficiency == sorted(efficiency, reverse=True)
    assert "long-context" in claim.condition


def test_share_of_compute_hangs_on_who_counts(judged):
    claim = judged["compute_share"]
    assert claim.verdict == "holds if"
    assert "Deloitte" in claim.condition
    values = [number.value for number in claim.numbers]
    # 29% (OpenAI 2024) to two thirds (Deloitte 2026)
    assert (min(values), max(values)) == pytest.approx((0.29, 0.667))


def test_responses_of_chat_length_take_seconds(judged):
    claim = judged["response_time"]
    low, high = bounds("claim-response-time")
    assert low <= claim.number("chat: mean response, median over APIs").value <= high
    assert claim.number("reasoning: mean response, median over APIs").value > high
    assert claim.verdict == "holds if"
    assert "chat" in claim.condition
    assert "reasoning" not in claim.condition


def test_interactions_have_no_source(judged):
    claim = judged["enterprise_interactions"]
    assert claim.verdict == "no source"
    assert claim.number("the claim as repeated").value == pytest.approx(0.95)


def test_an_anchor_without_a_range_is_refused():
    from steelyard.errors import CatalogError

    assert anchor("claim-price-fall").value == pytest.approx(0.9)
    with pytest.raises(CatalogError, match="claim-price-fall"):
        bounds("claim-price-fall")
