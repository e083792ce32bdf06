"""Single published timings, far apart in kind and size: the fit must stay near each of them.

Values are from the sources that calibration/device.toml names; so are the spreads of
log(measured / predicted), of which a timing may be three away.
"""

import math

import pytest

from steelyard import device
from steelyard.records.operator import Operator

US = 1e-6
KERNEL_SIGMA = 0.15
COLLECTIVE_SIGMA = 0.25


def assert_near(predicted_s, measured_us, sigma):
    assert abs(math.log(predicted_s / (measured_us * US))) < 3 * sigma


@pytest.mark.parametrize(
    ("card", "rows", "dtype", "element_bytes", "measured_us"),
    [
        ("h100", 1, "bf16", 2, 47.9),
        ("h100", 8192, "bf16", 2, 1500.0),
        ("h100", 4096, "fp8", 1, 546.0),
        ("a100-sxm4-80gb", 1, "bf16", 2, 88.0),
        ("l40s", 1, "bf16", 2, 173.7),
        ("gb200-nvl72", 8192, "bf16", 2, 691.1),
        ("gb200-nvl72", 8192, "nvfp4", 0.5625, 269.8),
    ],
)
def test_matrix_products_of_8192_by_8192(make_gemm, card, rows, dtype, element_bytes, measured_us):
    op = make_gemm(float(rows), 8192.0, 8192.0, dtype=dtype, element_bytes=element_bytes)
    assert_near(device.pass_time([op], device.load(card)).total_s, measured_us, KERNEL_SIGMA)


@pytest.mark.parametrize(
    ("card", "batch", "tokens", "measured_us"),
    [("h100", 4, 16384, 17536.0), ("a100-sxm4-80gb", 1, 4096, 1145.0), ("b200-sxm-180gb", 1, 16384, 2089.0)],
)
def test_prefill_attention(card, batch, tokens, measured_us):
    # 32 query and 8 key-value heads of 128; causal: half of 4 * heads * 128 * tokens^2.
    op = Operator(
        name="attention", kind="attention", place="layer", count=1,
        flop=batch * 2.0 * 32 * 128 * tokens**2, weight_bytes=0.0,
        activation_bytes=batch * tokens * (2 * 32 + 2 * 8) * 128 * 2.0,
    )  # fmt: skip
    assert_near(device.pass_time([op], device.load(card)).total_s, measured_us, KERNEL_SIGMA)


@pytest.mark.parametrize(
    ("kind", "card", "ranks", "payload_bytes", "measured_us"),
    [
        ("all_reduce", "h100", 8, 268435456, 1092.1),
        ("all_reduce", "h100", 2, 8192, 6.77),
        ("all_gather", "h100", 8, 268435456, 728.8),
        ("reduce_scatter", "h100", 8, 33554432, 111.3),
        ("all_to_all", "h100", 8, 268435456, 763.9),
        # 32 B200 in 4 nodes, 1 GiB at a bus bandwidth of 361.99 GB/s: 2 * 31/32 * 2^30 / 361.99e9 s
        ("all_reduce", "b200-sxm-180gb", 32, 2**30, 5747.0),
    ],
)
def test_collectives(kind, card, ranks, payload_bytes, measured_us):
    spent = device.collective_time(kind, float(payload_bytes), ranks, device.load(card))
    assert_near(spent, measured_us, COLLECTIVE_SIGMA)


def test_a_device_whose_clocks_are_unseen_still_gets_a_time(make_gemm):
    best = 668.4e12  # FLOP/s, best matmul published for MI300X, at 10240 x 15360 x 8192
    op = make_gemm(10240.0, 15360.0, 8192.0)
    reached = op.flop / device.pass_time([op], device.load("mi300x")).total_s
    assert reached == pytest.approx(best, rel=0.25)
