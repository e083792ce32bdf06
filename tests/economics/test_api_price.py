from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import economics
from steelyard.errors import UnknownError
from steelyard.records.usage import Usage
from steelyard.records.workload import Lengths

TOKENS = st.floats(0, 1e12)


def price(p_in: float, p_out: float, cached: float | None = None) -> economics.ApiPrice:
    return economics.stated_api_price(
        "p/m",
        input_usd_per_token=p_in,
        output_usd_per_token=p_out,
        cached_input_usd_per_token=cached,
        as_of=date(2026, 1, 1),
    )


def test_prices_of_the_table():
    # openai/gpt-6-luna: 0.1 in, 0.5 out, 0.01 cached, USD per million tokens
    luna = economics.api_price("OpenAI/GPT-6-Luna")
    values = (luna.input_usd_per_token, luna.output_usd_per_token, luna.cached_input_usd_per_token)
    assert values == pytest.approx((1e-7, 5e-7, 1e-8))
    assert (luna.provider, luna.model) == ("openai", "gpt-6-luna")


def test_model_names_may_hold_slashes():
    assert economics.api_price("deepinfra/openai/gpt-oss-120b").model == "openai/gpt-oss-120b"


def test_cached_input_without_a_price_is_charged_as_input_and_says_so():
    nemo = economics.api_price("deepinfra/mistralai/Mistral-Nemo-Instruct-2407")
    assert nemo.cached_input_usd_per_token == nemo.input_usd_per_token
    assert any("cached input" in text for text in nemo.warnings())


def test_retirement_and_peak_hours_are_warnings():
    assert any("2026-12-11" in text for text in economics.api_price("openai/gpt-5").warnings())
    assert any("was to retire" in text for text in economics.api_price("openai/gpt-4").warnings())
    assert any("peak" in text for text in economics.api_price("deepseek/deepseek-v4-pro").warnings())
    assert economics.api_price("openai/gpt-6-astra").warnings() == ()


def test_unknown_model_gets_the_nearest_names():
    with pytest.raises(UnknownError, match=r"openai/gpt-6-luna.*prices\.api"):
        economics.api_price("gpt-6-luna")


def test_cost_by_hand():
    usage = Usage(input_tokens=1e6, cached_input_tokens=2e6, output_tokens=3e6, requests=10)
    # 1 * 2 + 2 * 0.5 + 3 * 10 USD
    assert economics.api_cost_usd(usage, price(2e-6, 1e-5, 0.5e-6)) == pytest.approx(33.0)


@given(TOKENS, TOKENS, TOKENS, st.floats(0, 1e-3), st.floats(0, 1e-3), st.floats(0, 100))
@settings(max_examples=40, deadline=None)
def test_cost_is_linear_in_price_and_in_tokens(n_in, n_cached, n_out, p_in, p_out, factor):
    usage = Usage(input_tokens=n_in, cached_input_tokens=n_cached, output_tokens=n_out)
    scaled = Usage(input_tokens=n_in * factor, cached_input_tokens=n_cached * factor, output_tokens=n_out * factor)
    base = economics.api_cost_usd(usage, price(p_in, p_out))
    assert economics.api_cost_usd(usage, price(p_in * factor, p_out * factor)) == pytest.approx(base * factor)
    assert economics.api_cost_usd(scaled, price(p_in, p_out)) == pytest.approx(base * factor)
    assert economics.api_cost_usd(usage, price(p_in, p_out), price_ratio=factor) == pytest.approx(base * factor)


def test_months_and_draws_broadcast():
    months = Usage(input_tokens=np.full(12, 1e6), output_tokens=np.full(12, 1e6))
    ratio = economics.price_ratio_ahead(np.array([[1.0], [0.5]]), np.arange(12))
    cost = economics.api_cost_usd(months, price(1e-6, 1e-6), price_ratio=ratio)
    assert np.shape(cost) == (2, 12)
    assert cost[0] == pytest.approx(np.full(12, 2.0))
    assert cost[1, 6] == pytest.approx(2.0 * 0.5**0.5)


def test_each_request_has_its_price():
    lengths = Lengths(isl_tokens=np.array([1000.0, 2000.0]), osl_tokens=np.array([100.0, 0.0]), cached_input_ratio=0.5)
    # 500 * 2 + 500 * 1 + 100 * 10 = 2500; 1000 * 2 + 1000 * 1 = 3000, in millionths of a USD
    costs = economics.request_costs_usd(lengths, price(2e-6, 1e-5, 1e-6))
    assert costs == pytest.approx([2.5e-3, 3e-3])
