from __future__ import annotations

import pytest

from steelyard import economics
from steelyard.units import SECONDS_PER_MONTH


def test_interruption_band_of_a_device():
    # AWS, H100: 10 to 20% of instances a month, middle 15% (2025-05)
    terms = economics.spot_terms("h100")
    assert terms.interruption_per_s * SECONDS_PER_MONTH == pytest.approx(0.15)
    assert terms.interruption.high * SECONDS_PER_MONTH == pytest.approx(0.20)


def test_shortest_notice_unless_a_provider_is_named():
    assert economics.spot_terms("h100").notice.value == 30.0
    assert economics.spot_terms("h100", "AWS").notice.value == 120.0


def test_what_is_not_published_is_none():
    terms = economics.spot_terms("b200-sxm-180gb")
    assert terms.interruption is None
    assert terms.interruption_per_s is None
