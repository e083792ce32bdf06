"""Time of collectives: by hand on round numbers, and the laws between them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import device
from steelyard.device import collective_time, fused_all_reduce_time, links_of
from steelyard.errors import UnknownError

quick = settings(max_examples=50, deadline=None)
payloads = st.floats(0, 1e12)
groups = st.integers(1, 4096)


@pytest.mark.parametrize(
    ("kind", "share"),
    [
        ("all_reduce", 2 * 7 / 8),
        ("all_gather", 7 / 8),
        ("reduce_scatter", 7 / 8),
        ("all_to_all", 7 / 8),
        ("point_to_point", 1),
    ],
)
def test_bytes_within_a_domain(make_device, kind, share):
    # 1 GB at 500 GB/s is 2 ms.
    assert collective_time(kind, 1e9, 8, make_device()) == pytest.approx(2e-3 * share)


def test_steps_pay_latency(make_device):
    slow = make_device(link_latency_s=1e-6)
    expected = {"all_reduce": 6, "all_gather": 3, "reduce_scatter": 3, "all_to_all": 2, "point_to_point": 1}
    for kind, steps in expected.items():  # log2(8) = 3
        assert collective_time(kind, 0.0, 8, slow) == pytest.approx(steps * 1e-6)


def test_a_group_across_domains_works_by_tier(make_device):
    # 32 ranks in 4 domains of 8. Inside: 7/8 of 1 GB at 500 GB/s = 1.75 ms. Between: a shard of 1/8, of
    # which 3/4 at 50 GB/s = 1.875 ms. They flow at once: the slower one counts.
    assert collective_time("all_gather", 1e9, 32, make_device()) == pytest.approx(1.875e-3)
    fast_nic = make_device(scale_out_bytes_per_s=500e9)
    assert collective_time("all_gather", 1e9, 32, fast_nic) == pytest.approx(1.75e-3)
    # all_to_all: 24 of 32 destinations lie outside, 3/4 GB at 50 GB/s = 15 ms.
    assert collective_time("all_to_all", 1e9, 32, make_device()) == pytest.approx(15e-3)


def test_span_decides_the_links(make_device):
    # Data-parallel ranks 8 apart share no domain: 3/4 of 1 GB at 50 GB/s.
    apart = collective_time("all_gather", 1e9, 4, make_device(), span=32)
    assert apart == pytest.approx(15e-3)
    # Ranks 4 apart meet in pairs within a domain of 8: 1/2 GB at 500 GB/s, then a half, of which 1/2, at
    # 50 GB/s = 5 ms.
    assert collective_time("all_gather", 1e9, 4, make_device(), span=16) == pytest.approx(5e-3)
    # Two pipeline stages 4 apart are neighbours in the domain, 8 apart are not.
    near, far = collective_time("point_to_point", 1e9, 2, make_device(), span=np.array([8, 16]))
    assert (near, far) == pytest.approx((2e-3, 20e-3))


def test_without_scale_up_links_devices_of_a_node_share_pcie(make_device):
    plain = make_device(scale_up_bytes_per_s=0.0, scale_up_devices=1, pcie_bytes_per_s=25e9)
    assert collective_time("all_gather", 1e9, 8, plain) == pytest.approx(35e-3)  # 7/8 of 1 GB at 25 GB/s
    bridged = make_device(scale_up_devices=2, pcie_bytes_per_s=25e9)
    # A pair over its bridge: 1/2 GB at 500 GB/s = 1 ms; beyond it, one ring of all whose PCIe hops carry 7/8 of 1 GB.
    assert collective_time("all_gather", 1e9, 2, bridged) == pytest.approx(1e-3)
    assert collective_time("all_gather", 1e9, 8, bridged) == pytest.approx(35e-3)


def test_devices_that_cannot_reach_each_other_share_the_host(make_device):
    apart = {"scale_up_bytes_per_s": 0.0, "scale_up_devices": 1, "pcie_bytes_per_s": 25e9}
    two, four, eight = (
        collective_time("all_reduce", 1e9, ranks, make_device(**apart, pcie_full_rate_count=2.0)) for ranks in (2, 4, 8)
    )
    # 2 (n-1)/n of 1 GB at 25 GB/s, at a half of that for 4 and a quarter for 8.
    assert (two, four, eight) == pytest.approx((40e-3, 120e-3, 280e-3))
    bridged = make_device(**apart | {"scale_up_bytes_per_s": 500e9, "scale_up_devices": 2}, pcie_full_rate_count=2.0)
    assert collective_time("all_reduce", 1e9, 4, bridged) == pytest.approx(60e-3)  # two pairs, two that send


def test_a_missing_link_is_an_error_only_where_it_is_needed(make_device):
    island = make_device(scale_out_bytes_per_s=0.0)
    assert collective_time("all_gather", 1e9, 8, island) > 0
    with pytest.raises(UnknownError, match="no scale-out bandwidth, which more than 8 together need"):
        collective_time("all_gather", 1e9, 16, island)
    with pytest.raises(UnknownError, match=r"nearest: .*all_reduce"):
        collective_time("allreduce", 1e9, 8, island)


def test_ranks_payloads_and_draws_broadcast(make_device):
    draws = make_device(link_ratio=np.array([0.5, 1.0]))
    spent = collective_time("all_reduce", 1e9, np.array([[1], [2], [8]]), draws)
    assert spent.shape == (3, 2)
    assert (spent[0] == 0).all()
    assert spent[2, 0] == pytest.approx(2 * spent[2, 1])


@quick
@given(payload=payloads, ranks=groups, spread=st.integers(1, 64))
def test_all_reduce_is_reduce_scatter_and_all_gather(payload, ranks, spread):
    h100 = device.load("h100")
    whole, scatter, gather = (
        collective_time(kind, payload, ranks, h100, span=ranks * spread)
        for kind in ("all_reduce", "reduce_scatter", "all_gather")
    )
    assert whole == pytest.approx(scatter + gather)


@quick
@given(payload=payloads, kind=st.sampled_from(device.COLLECTIVES), spread=st.integers(1, 64))
def test_one_rank_costs_nothing(payload, kind, spread):
    assert collective_time(kind, payload, 1, device.load("h100"), span=spread) == 0.0


@quick
@given(payload=st.floats(1, 1e12), kind=st.sampled_from(device.COLLECTIVES), ranks=st.integers(2, 8))
def test_never_faster_than_the_wire_and_twice_the_bytes_at_most_twice_the_time(payload, kind, ranks):
    h100 = device.load("h100")
    one, two = (collective_time(kind, size, ranks, h100) for size in (payload, 2 * payload))
    sent = 1.0 if kind == "point_to_point" else (ranks - 1) / ranks * (2 if kind == "all_reduce" else 1)
    assert one >= sent * payload / h100.accelerator.scale_up_bytes_per_s
    assert one <= two <= 2 * one * (1 + 1e-12)


@quick
@given(payload=payloads, ranks=st.integers(2, 4096), kind=st.sampled_from(["all_gather", "all_to_all"]))
def test_spreading_a_group_out_never_makes_it_faster(payload, ranks, kind):
    h100 = device.load("h100")
    spans = ranks * 2.0 ** np.arange(6)
    spent = collective_time(kind, payload, ranks, h100, span=spans)
    assert (np.diff(spent) >= -1e-12 * spent[:-1]).all()


def fused_s(one, payload, ranks):
    return fused_all_reduce_time(payload, ranks, links_of(one), one.efficiency)


def test_an_engine_reads_small_messages_at_once_and_shares_out_larger_ones(make_device):
    # 500 GB/s, 5 us. 10 kB of 7 others: 0.14 us more. 1 MB: not 14 us, but twice 5 us and 2 x 7/8 of 2 us.
    one = make_device(fused_latency_s=5e-6)
    assert fused_s(one, 1e4, 8) == pytest.approx(5.14e-6)
    assert fused_s(one, 1e6, 8) == pytest.approx(13.5e-6)
    assert fused_s(one, 0.0, np.array([1, 2, 4, 8])) == pytest.approx([0.0, 5e-6, 5e-6, 5e-6])


def test_what_the_kernels_of_an_engine_have_no_room_or_no_link_for_is_left_to_the_library(make_device):
    assert np.isfinite(fused_s(make_device(fused_most_bytes=8e6), 8e6, 8))
    assert np.isinf(fused_s(make_device(fused_most_bytes=8e6), 8.1e6, 8))
    assert np.isinf(fused_s(make_device(), 1e3, 16))


# Kernels of vLLM 0.20 in a captured graph, by device and ranks: 64 KiB, 1 MiB, 4 MiB [us]
MEASURED_US = {
    ("h100", 2): (4.54, 8.41, 20.2),
    ("h100", 4): (5.26, 12.7, 30.4),
    ("h100", 8): (6.32, 15.0, 30.7),
    ("b200", 2): (7.31, 13.5, 34.0),
    ("b200", 4): (7.75, 18.5, 29.8),
    ("b200", 8): (8.64, 16.6, 26.1),
}


def test_all_reduces_of_engines_take_about_as_long_as_measured():
    sizes = np.array([2.0**16, 2.0**20, 2.0**22])
    found = [fused_s(device.load(ref), sizes, ranks) * 1e6 for ref, ranks in MEASURED_US]
    miss = np.abs(np.log(np.array(found) / np.array(list(MEASURED_US.values()))))
    assert np.median(miss) < np.log(1.3)
    assert miss.max() < np.log(3.0)
