"""Which rate a number format runs at."""

import pytest

from steelyard import device
from steelyard.errors import UnknownError


@pytest.mark.parametrize(
    ("card", "asked", "runs"),
    [
        ("h100", "bf16", "bf16"),
        ("h100", "fp8", "fp8"),
        ("h100", "mxfp4", "bf16"),  # no 4-bit rate: 4-bit weights, 16-bit activations
        ("h100", "nvfp4", "bf16"),
        ("b200", "nvfp4", "fp4"),
        ("a100-sxm4-80gb", "fp8", "bf16"),
        ("a100-sxm4-80gb", "int4", "bf16"),
        ("v100-sxm2-32gb", "bf16", "fp16"),  # no bf16 in hardware
        ("v100-sxm2-32gb", "tf32", "fp32"),
        ("tpu-v5e", "fp16", "bf16"),
    ],
)
def test_what_runs_instead(card, asked, runs):
    assert device.effective_compute_dtype(device.load(card), asked) == runs


def test_fewer_bytes_do_not_make_a_missing_rate_slower(make_gemm):
    # fp8 weights on an A100 read half the bytes of bf16 and run at the same rate.
    a100 = device.load("a100-sxm4-80gb")
    wide = device.operator_time(make_gemm(8.0, 8192.0, 8192.0), a100)
    narrow = device.operator_time(make_gemm(8.0, 8192.0, 8192.0, dtype="fp8", element_bytes=1), a100)
    assert 0.5 <= narrow / wide < 0.6


def test_peak_is_the_printed_rate():
    assert device.peak_flop_per_s(device.load("h100"), "bf16") == pytest.approx(989e12, rel=1e-3)


def test_unknown_formats_and_missing_rates_say_what_there_is(make_device):
    with pytest.raises(UnknownError, match=r"nearest: .*bf16"):
        device.effective_compute_dtype(make_device(), "bf17")
    with pytest.raises(UnknownError, match="round-one has no mxfp4 rate; it has bf16, fp32, fp8"):
        device.peak_flop_per_s(make_device(), "mxfp4")
    with pytest.raises(UnknownError, match="no rate for fp32 or a wider format"):
        device.effective_compute_dtype(make_device(peak_flop_per_s={"bf16": 1e15}), "fp32")
