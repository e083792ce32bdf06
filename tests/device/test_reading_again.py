"""What is read over and over comes from the cache as far as it fits."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard import device

H100 = device.load("h100")
CACHED = dataclasses.replace(
    H100, accelerator=dataclasses.replace(H100.accelerator, l2_bytes=50e6, l2_bytes_per_s=20e12)
)


@given(small=st.floats(1e3, 1e12), more=st.floats(1.0, 1e3))
def test_more_bytes_are_never_read_faster_and_always_between_cache_and_memory(small: float, more: float) -> None:
    fast, slow = (device.reading_again(CACHED, size).accelerator.hbm_bytes_per_s for size in (small, small * more))
    assert slow <= fast * (1 + 1e-12)
    assert H100.accelerator.hbm_bytes_per_s <= slow * (1 + 1e-12)
    assert fast <= 20e12 * (1 + 1e-12)


def test_the_ends() -> None:
    assert device.reading_again(CACHED, 50e6).accelerator.hbm_bytes_per_s == pytest.approx(20e12)
    huge = device.reading_again(CACHED, 50e12).accelerator.hbm_bytes_per_s
    assert huge == pytest.approx(H100.accelerator.hbm_bytes_per_s, rel=1e-5)
    assert device.reading_again(H100, 50e6) is H100  # its cache's rate is not stated
