"""Parameters: which entry a vendor gets, and what a draw is."""

import dataclasses
from datetime import date

import numpy as np
import pytest

from steelyard import catalog, device
from steelyard.device.efficiency import Efficiency, draw, from_figures
from steelyard.errors import CatalogError
from steelyard.records.figure import Figure

NAMES = [field.name for field in dataclasses.fields(Efficiency)]


def figure(value, low=None, high=None):
    return Figure(value=value, unit="ratio", source="test", as_of=date(2026, 1, 1), basis="derived", low=low, high=high)


def figures(**changes):
    return {name: figure(0.5) for name in NAMES} | changes


def test_the_closest_kind_with_an_entry_is_used_and_else_the_global_one():
    held = figures() | {"matmul_ratio.amd": figure(0.4), "matmul_ratio.amd-half-rate": figure(0.7)}
    assert from_figures(held, ["amd-half-rate", "amd"]).matmul_ratio == 0.7
    assert from_figures(held, ["amd"]).matmul_ratio == 0.4
    assert from_figures(held, ["nvidia-half-rate", "nvidia"]).matmul_ratio == 0.5


def test_units_held_to_half_their_16_bit_rate_reach_the_printed_one():
    """Users timed square products: GeForce cards reach 0.97 to 1.16 of the printed bf16 rate, others 0.74 to 0.88."""
    held = [device.load(name) for name in ("rtx-3090", "rtx-4090")]
    full = [device.load(name) for name in ("h100", "a100", "l40s")]
    assert {card.efficiency.matmul_ratio for card in held} == {1.0}
    assert all(card.efficiency.matmul_ratio < 0.9 for card in full)
    for card in held:  # sums in fp32, as frameworks do
        assert card.accelerator.peak_flop_per_s["fp16"] == card.accelerator.peak_flop_per_s["bf16"]


def test_every_parameter_needs_a_global_entry():
    held = figures()
    del held["link_ratio"]
    with pytest.raises(CatalogError, match="link_ratio"):
        from_figures(held, ["nvidia"])


def test_draws_have_low_and_high_as_p10_and_p90_and_never_pass_one():
    held = figures(
        matmul_ratio=figure(0.5, 0.4, 0.6),
        memory_ratio=figure(0.95, 0.8, 1.0),
        host_power_ratio=figure(0.9, 0.5, 2.0),
    )
    drawn = draw(held, ["nvidia"], np.random.default_rng(1), 20_000)
    assert np.quantile(drawn.matmul_ratio, [0.1, 0.5, 0.9]) == pytest.approx([0.4, 0.5, 0.6], rel=0.02)
    assert drawn.memory_ratio.max() == 1.0
    assert drawn.host_power_ratio.max() > 2.0  # a share of something else than the figure it stands on
    assert set(drawn.link_ratio) == {0.5}  # no range, no spread


def test_one_seed_gives_one_set_of_draws():
    h100 = device.load("h100")
    first, again = (device.draw_efficiency(h100, np.random.default_rng(7), 10) for _ in range(2))
    assert (first.efficiency.matmul_ratio == again.efficiency.matmul_ratio).all()
    assert first.efficiency.matmul_ratio.std() > 0
    assert first.id == h100.id


def test_shipped_entries_belong_to_a_parameter_and_a_vendor():
    vendors = {card.vendor.casefold() for card in catalog.accelerators().values()}
    vendors.add("processor")  # what a measured machine takes over
    for name, held in catalog.calibration("device").items():
        parameter, _, vendor = name.partition(".")
        assert parameter in NAMES or parameter == "kernel_residual_sigma_ratio"
        assert not vendor or vendor.removesuffix("-half-rate") in vendors
        assert held.low is not None
        assert held.high is not None
        assert held.low <= held.value <= held.high


def test_unseen_vendors_get_a_wider_range_than_seen_ones():
    held = catalog.calibration("device")
    for parameter in ("matmul_ratio", "link_ratio"):
        wide, seen = held[parameter], held[f"{parameter}.nvidia"]
        assert wide.high / wide.low > seen.high / seen.low


def test_shipped_shares_of_printed_figures_are_at_most_one():
    for card in catalog.accelerators().values():
        reached = device.from_accelerator(card).efficiency
        for name in NAMES:
            if name.endswith("_ratio") and name not in ("overlap_exponent_ratio", "compute_power_ratio"):
                assert 0 < getattr(reached, name) <= 1, (card.id, name)
