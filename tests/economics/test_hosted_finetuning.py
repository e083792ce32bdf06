from __future__ import annotations

import pytest

from steelyard import economics
from steelyard.errors import UnknownError


def per_million(value: float) -> float:
    return round(value * 1e6, 6)


def test_price_of_a_size_class():
    # Fireworks, LoRA SFT, 2026-10-07: 0.50 up to 16B, 3.00 up to 80B, 6.00 up to 300B, 10.00 above
    prices = [
        economics.hosted_finetuning("fireworks", params).training_usd_per_token for params in (8e9, 70e9, 117e9, 671e9)
    ]
    assert [per_million(price) for price in prices] == [0.5, 3.0, 6.0, 10.0]


def test_gap_between_classes_belongs_to_the_larger():
    # "up to 16B", then "16.1B-80B"
    assert per_million(economics.hosted_finetuning("fireworks", 16.05e9).training_usd_per_token) == 3.0


def test_full_tuning_has_its_own_price():
    assert per_million(economics.hosted_finetuning("fireworks", 8e9, "full").training_usd_per_token) == 1.0


def test_offer_that_names_the_model_wins():
    offer = economics.hosted_finetuning("crusoe", base_model=("openai/gpt-oss-120b", "gpt-oss-120b"))
    assert per_million(offer.training_usd_per_token) == 6.0
    assert offer.dedicated_usd_per_device_s * 3600 == pytest.approx(5.5)
    assert offer.dedicated_device == "h100-sxm5-80gb"


def test_what_is_not_stated_stops():
    offer = economics.hosted_finetuning("openai", base_model="gpt-4o-2024-08-06")
    with pytest.raises(UnknownError, match=r"unpriced.*dedicated"):
        _ = offer.dedicated_usd_per_device_s
    assert per_million(offer.serve_output.value) == 15.0


def test_assumed_prices_and_retirement_are_warnings():
    texts = economics.hosted_finetuning("openai", base_model="gpt-4.1-2025-04-14").warnings()
    assert any("2027-01-14" in text for text in texts)
    assert any("not read" in text for text in texts)


def test_training_cost_and_job_minimum():
    offer = economics.hosted_finetuning("mistral", base_model="Mistral Small")  # 3 USD per million, at least 4 a job
    assert economics.training_cost_usd(10e6, offer) == pytest.approx(30.0)
    assert economics.training_cost_usd(1e5, offer) == pytest.approx(4.0)


def test_unknown_provider_and_missing_size_say_what_there_is():
    with pytest.raises(UnknownError, match="fireworks"):
        economics.hosted_finetuning("firework", 8e9)
    with pytest.raises(UnknownError, match=r"unpriced: together.*it offers"):
        economics.hosted_finetuning("together", 671e9)
