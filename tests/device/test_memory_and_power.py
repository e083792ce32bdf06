"""Usable memory and power."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import device


def test_usable_memory_is_a_share_of_the_printed_capacity(make_device):
    assert device.usable_memory_bytes(make_device()) == pytest.approx(90e9)  # 0.9 of 100 GB


def test_eight_h200_hold_a_671b_model_in_fp8():
    # factors.md: weights, caches and activations within 0.9 of HBM; 8 x 141 GB holds 671e9 bytes.
    assert 8 * device.usable_memory_bytes(device.load("h200")) > 671e9


def test_power_by_hand(make_device):
    one = make_device()  # TDP 1000 W, idle 100 W, host 0.5 of TDP
    assert device.power_w(one, 0.0) == pytest.approx(600.0)  # 100 + 500
    assert device.power_w(one, 1.0) == pytest.approx(1140.0)  # 100 + 900 * 0.6 + 500
    assert device.power_w(one, 0.5, mfu_ratio=0.2) == pytest.approx(960.0)  # 100 + 900 * 0.5 * 0.8 + 500
    assert device.power_w(one, 1.0, mfu_ratio=0.9) == pytest.approx(1500.0)  # the TDP is the limit


def test_power_of_an_h100_lies_within_its_server():
    h100 = device.load("h100")
    serving, training = (device.power_w(h100, 1.0, mfu_ratio=mfu) for mfu in (0.02, 0.4))
    # 8x H100 servers are rated at 10.2 kW: no more than 1275 W a device.
    assert 0.5 * 700 < serving < training < 10_200 / 8


@settings(max_examples=30, deadline=None)
@given(busy=st.floats(0, 1), mfu=st.floats(0, 1))
def test_power_stays_between_idle_and_tdp_and_grows(busy, mfu):
    h100 = device.load("h100")
    card, host_w = h100.accelerator, 700 * h100.efficiency.host_power_ratio
    drawn = device.power_w(h100, busy, mfu_ratio=mfu) - host_w
    assert card.idle_w - 1e-9 <= drawn <= card.tdp_w + 1e-9
    assert drawn <= device.power_w(h100, 1.0, mfu_ratio=mfu) - host_w + 1e-9


def test_power_broadcasts(make_device):
    assert device.power_w(make_device(), np.linspace(0, 1, 5)).shape == (5,)
