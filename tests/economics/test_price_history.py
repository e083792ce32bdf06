from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import economics
from steelyard.economics.price_history import PricePoint, fit_decline
from steelyard.errors import InputError, UnknownError
from steelyard.units import DAYS_PER_YEAR

GPT4, GPT35 = "gpt4_class_mmlu86", "gpt35_class_mmlu65"
END_OF_2025 = date(2025, 12, 31)


def points(*pairs: tuple[float, float]) -> tuple[PricePoint, ...]:
    start = date(2023, 1, 1).toordinal()
    return tuple(
        PricePoint(
            day=date.fromordinal(start + round(years * DAYS_PER_YEAR)),
            ref="p/m",
            usd_per_token=price,
            source="s",
        )
        for years, price in pairs
    )


def test_gpt4_level_fell_by_over_99_percent():
    # factors.md of the project's facts: 37.50 (Mar 2023) -> 0.145 USD per million (Dec 2025) = -99.6%
    decline = economics.price_decline(GPT4)
    assert decline.price_at(date(2023, 3, 14)) == pytest.approx(37.5e-6)
    assert decline.price_at(END_OF_2025) == pytest.approx(0.145e-6)
    assert decline.fall_ratio(date(2023, 3, 14), END_OF_2025) == pytest.approx(0.996, abs=5e-4)


def test_gpt35_level_fell_by_over_98_percent():
    # 2.00 (Mar 2023) -> 0.025 (Dec 2025) = -98.75%
    decline = economics.price_decline(GPT35)
    assert decline.fall_ratio(date(2023, 3, 1), END_OF_2025) == pytest.approx(0.9875, abs=1e-4)


def test_running_minimum_only_falls_and_leaves_promotions_out():
    for level in economics.levels():
        path = economics.running_minimum(level)
        prices = [point.usd_per_token for point in path]
        assert prices == sorted(prices, reverse=True)
        assert len(set(prices)) == len(prices)
        assert [point.day for point in path] == sorted(point.day for point in path)
    assert not any("promo" in point.ref for point in economics.running_minimum(GPT4))


def test_fit_finds_a_known_decay():
    fit = fit_decline(points((0, 1.0), (1, 0.25), (2, 0.0625), (3, 0.015625)))
    assert fit.annual_ratio == pytest.approx(0.25, rel=1e-3)  # days are whole
    assert fit.low_ratio == pytest.approx(fit.high_ratio, rel=1e-2)


@given(st.floats(0.01, 0.99), st.floats(1e-8, 1e-3))
@settings(max_examples=20, deadline=None)
def test_fit_does_not_hang_on_the_level(ratio, level):
    path = points(*((year, level * ratio**year * noise) for year, noise in enumerate((1.0, 1.2, 0.9, 1.1))))
    scaled = points(*((year, 7 * level * ratio**year * noise) for year, noise in enumerate((1.0, 1.2, 0.9, 1.1))))
    assert fit_decline(path).annual_ratio == pytest.approx(fit_decline(scaled).annual_ratio)
    assert fit_decline(path).low_ratio <= fit_decline(path).annual_ratio <= fit_decline(path).high_ratio


def test_forward_range_is_between_history_and_standstill():
    decline = economics.price_decline(GPT4)
    assert decline.forward_low_ratio == min(decline.annual_ratio, decline.recent_ratio)
    assert decline.forward_low_ratio <= decline.forward_ratio <= decline.forward_high_ratio == 1.0
    drawn = decline.forward_draws(np.random.default_rng(0), 20_000)
    p10, p50, p90 = np.quantile(drawn, [0.1, 0.5, 0.9])
    assert p10 == pytest.approx(decline.forward_low_ratio, rel=0.05)
    assert p50 == pytest.approx(decline.forward_ratio, rel=0.02)
    assert p90 == pytest.approx(1.0, rel=0.02)


def test_recent_window_falls_more_slowly_than_the_whole_history():
    # Prices near marginal cost: the last two years are slower for both levels.
    for level in (GPT4, GPT35):
        decline = economics.price_decline(level)
        assert decline.annual_ratio < decline.recent_ratio < 1


def test_recent_window_starts_with_the_price_in_force():
    # GPT-4 level on 2024-11-22: 0.64 (since July); 0.0703 two years later. A straight line through both ends
    # would fall by sqrt(0.0703 / 0.64) = 0.33 a year; the points between bend it a little.
    recent = economics.price_decline(GPT4).recent
    assert recent.first == date(2024, 11, 22)
    assert 0.28 < recent.annual_ratio < 0.40


def test_before_the_first_price_nothing_is_known():
    with pytest.raises(InputError, match="no price before 2023-03-14"):
        economics.price_decline(GPT4).price_at(date(2022, 1, 1))


def test_unknown_level_gets_the_nearest():
    with pytest.raises(UnknownError, match=GPT4):
        economics.price_decline("gpt4_class")


def test_levels_without_an_eligible_row_are_not_levels():
    assert "same_model_control" not in economics.levels()
    assert {GPT4, GPT35} <= set(economics.levels())
