"""Time of operators and passes: by hand on round numbers, and the laws that must hold on any device."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import device
from steelyard.records.operator import Operator
from steelyard.records.term import explain

KINDS = ("gemm", "grouped_gemm", "attention", "scan", "elementwise", "dispatch", "embedding")
sizes = st.floats(1, 1e5)
amounts = st.floats(0, 1e15)
quick = settings(max_examples=50, deadline=None)


@st.composite
def operators(draw):
    m = draw(sizes)
    return Operator(
        name="any",
        kind=draw(st.sampled_from(KINDS)),
        place="layer",
        count=1,
        flop=draw(amounts),
        weight_bytes=draw(amounts),
        activation_bytes=draw(amounts),
        cache_bytes=draw(amounts),
        m=m,
        n=draw(sizes),
        k=draw(sizes),
        groups=draw(st.floats(0, 1)) * m,
        compute_dtype=draw(st.sampled_from(["bf16", "fp8", "fp32", "mxfp4"])),
    )


def all_bytes(op):
    return op.weight_bytes + op.activation_bytes + op.cache_bytes


def test_large_product_takes_its_flop_and_bytes(make_device, make_gemm):
    # 2 * 4096^3 = 1.374e11 FLOP at 1e15 is 137.4 us; 3 matrices of 33.55 MB at 4 TB/s are 25.17 us; with
    # p = 1 they add up.
    spent = device.operator_time(make_gemm(4096.0, 4096.0, 4096.0), make_device())
    assert spent == pytest.approx(137.44e-6 + 25.17e-6, rel=1e-3)


def test_overlap_exponent_two_is_pythagoras(make_device):
    # 3e15 FLOP at 1e15 are 3 s, 16e12 bytes at 4e12 are 4 s: 5 s together.
    op = Operator(name="x", kind="gemm", place="layer", count=1, flop=3e15, weight_bytes=16e12, activation_bytes=0)
    assert device.operator_time(op, make_device(overlap_exponent_ratio=2.0)) == pytest.approx(5.0)


def test_padding_costs_rows_columns_and_groups(make_device):
    # 100 idle rows beside 100 double the work, 100 idle columns beside 400 add a quarter: 1 s becomes 2.5 s.
    op = Operator(
        name="x", kind="gemm", place="layer", count=1, flop=1e15, weight_bytes=0.0, activation_bytes=0.0,
        m=100.0, n=400.0, k=1.0,
    )  # fmt: skip
    padded = make_device(matmul_pad_count=100.0)
    assert device.operator_time(op, padded) == pytest.approx(2.5)
    # The 100 rows split over 4 experts pay the idle rows four times: (1 + 4) * 1.25.
    grouped = dataclasses.replace(op, kind="grouped_gemm", groups=4.0)
    assert device.operator_time(grouped, padded) == pytest.approx(6.25)


def test_few_rows_take_at_most_the_time_of_dot_products_where_there_are_such_kernels(make_device):
    # One row beside 999 idle ones costs 1,000 s on tiles at 1e15; dot products at 50e12 fp32 take 20 s.
    op = Operator(
        name="x", kind="gemm", place="layer", count=1, flop=1e15, weight_bytes=0.0, activation_bytes=0.0,
        m=1.0, n=1e9, k=1.0, compute_dtype="int4",
    )  # fmt: skip
    padded = make_device(matmul_pad_count=999.0)
    assert device.operator_time(op, padded) == pytest.approx(20.0)
    many = dataclasses.replace(op, m=99_900.0)  # idle rows add a hundredth
    assert device.operator_time(many, padded) == pytest.approx(1.01)
    plain = dataclasses.replace(op, compute_dtype="bf16")  # nothing is widened: for the matrix units alone
    assert device.operator_time(plain, padded) == pytest.approx(1000.0)
    none = make_device(matmul_pad_count=999.0, peak_flop_per_s={"fp32": 250e12, "bf16": 500e12, "int8": 1000e12})
    assert device.operator_time(plain, none) == pytest.approx(4.0)  # two numbers packed into one: no matrix units


def test_narrow_formats_pay_once_per_halving(make_device):
    op = Operator(name="x", kind="gemm", place="layer", count=1, flop=4e15, weight_bytes=0.0, activation_bytes=0.0)
    narrow = make_device(narrow_matmul_ratio=0.5, peak_flop_per_s={"bf16": 1e15, "fp8": 2e15, "fp4": 4e15})
    times = {
        dtype: float(device.operator_time(dataclasses.replace(op, compute_dtype=dtype), narrow))
        for dtype in ("bf16", "fp8", "nvfp4")
    }
    assert times == pytest.approx({"bf16": 4.0, "fp8": 4.0, "nvfp4": 4.0})  # 4/1, 4/2/0.5, 4/4/0.25


def test_each_weight_is_widened_once_whatever_the_rows(make_device):
    # 1e12 weights at 100 FLOP each are 1e14 at 50e12: 2 s, for one row (2e12 FLOP at 1e15: 2 ms) or a thousand (2 s).
    slow = make_device(expand_flop_count=100.0)
    one = Operator(
        name="x", kind="gemm", place="layer", count=1, flop=2e12, weight_bytes=0.0, activation_bytes=0.0,
        m=1.0, n=1e6, k=1e6, compute_dtype="int4",
    )  # fmt: skip
    assert device.operator_time(one, slow) == pytest.approx(2.002)
    assert device.operator_time(dataclasses.replace(one, m=1e3, flop=2e15), slow) == pytest.approx(4.0)
    experts = dataclasses.replace(one, kind="grouped_gemm", groups=3.0)  # weights of three experts
    assert device.operator_time(experts, slow) == pytest.approx(6.002)
    for native in ("bf16", "fp8"):  # nothing is widened: fp8 at 2e15
        assert device.operator_time(dataclasses.replace(one, compute_dtype=native), slow) <= 0.002


@quick
@given(op=operators(), more=st.floats(1.1, 4.0))
def test_bandwidth_gains_nothing_where_widening_takes_longer(op, more):
    """A card that only reads faster is never slower, and at most faster by the time it reads."""
    h100 = device.load("h100")
    one = dataclasses.replace(op, kind="gemm", groups=1.0, compute_dtype="int4")
    reads_faster = dataclasses.replace(
        h100,
        accelerator=dataclasses.replace(h100.accelerator, hbm_bytes_per_s=h100.accelerator.hbm_bytes_per_s * more),
    )
    slow, fast = (float(device.operator_time(one, card)) for card in (h100, reads_faster))
    widened = one.n * one.k * h100.efficiency.expand_flop_count / h100.accelerator.peak_flop_per_s["fp32"]
    assert widened <= fast <= slow * (1 + 1e-12)


def test_attention_adds_vector_work_to_its_products(make_device):
    # 1e15 FLOP at half of 1e15 are 2 s; 1e12 bytes at 100 FLOP/B are 1e14 at 50e12: 2 s; moving them 0.25 s.
    op = Operator(
        name="x", kind="attention", place="layer", count=1, flop=1e15, weight_bytes=0.0, activation_bytes=1e12
    )
    slow = make_device(attention_ratio=0.5, attention_flop_per_byte=100.0)
    assert device.operator_time(op, slow) == pytest.approx(4.25)
    assert device.operator_time(dataclasses.replace(op, kind="scan"), slow) == pytest.approx(2.25)


def test_vector_rate_without_printed_fp32_is_a_share_of_16_bit(make_device):
    op = Operator(
        name="x",
        kind="elementwise",
        place="layer",
        count=1,
        flop=1e15,
        weight_bytes=0.0,
        activation_bytes=0.0,
    )
    assert device.operator_time(op, make_device()) == pytest.approx(20.0)  # 1e15 / 50e12
    plain = make_device(peak_flop_per_s={"bf16": 1e15}, vector_ratio=0.1)
    assert device.operator_time(op, plain) == pytest.approx(10.0)


def test_nothing_to_do_takes_no_time(make_device, make_gemm):
    assert device.operator_time(make_gemm(0.0, 0.0, 0.0), make_device(matmul_pad_count=60.0)) == 0.0


def test_pass_sums_counts_kinds_and_launches(make_device, make_gemm):
    cache = Operator(
        name="a", kind="attention", place="layer", count=2, flop=0.0, weight_bytes=0.0, activation_bytes=0.0,
        cache_bytes=4e12,
    )  # fmt: skip
    table = Operator(
        name="e",
        kind="embedding",
        place="embedding",
        count=1,
        flop=0.0,
        weight_bytes=2e12,
        activation_bytes=0.0,
    )
    product = Operator(name="g", kind="gemm", place="layer", count=3, flop=1e15, weight_bytes=0.0, activation_bytes=0.0)
    slow = make_device(kernel_launch_s=0.1, attention_kernels_count=3.0)
    spent = device.pass_time([cache, table, product], slow)
    # 3 products of 1 s, 2 caches of 1 s, a table of 0.5 s; 3 + 2 * 3 + 1 = 10 launches of 0.1 s.
    assert (spent.gemm_s, spent.attention_s, spent.other_s) == (3.0, 2.0, 0.5)
    assert spent.launch_s == pytest.approx(1.0)
    assert spent.total_s == pytest.approx(6.5)
    assert device.pass_time([cache, table, product], slow, launch=False).total_s == pytest.approx(5.5)
    assert next(child.label for child in explain(spent).children) == "matrix products"


def test_batches_and_draws_broadcast(make_device, make_gemm):
    draws = make_device(matmul_ratio=np.array([0.5, 0.6, 0.7]))
    op = make_gemm(np.array([[1.0], [64.0], [4096.0], [8192.0]]), 4096.0, 4096.0)
    together = device.operator_time(op, draws)
    assert together.shape == (4, 3)
    alone = device.operator_time(make_gemm(64.0, 4096.0, 4096.0), make_device(matmul_ratio=0.6))
    assert together[1, 1] == pytest.approx(float(alone))


@quick
@given(op=operators())
def test_never_below_either_roof(op):
    for name in ("h100", "a100-sxm4-80gb", "mi300x", "tpu-v5e"):
        one = device.load(name)
        dtype = op.compute_dtype if "fp32" in one.accelerator.peak_flop_per_s else "bf16"
        op_here = dataclasses.replace(op, compute_dtype=dtype)
        peak = device.peak_flop_per_s(one, device.effective_compute_dtype(one, dtype))
        roof = max(op.flop / peak, all_bytes(op) / one.accelerator.hbm_bytes_per_s)
        assert device.operator_time(op_here, one) >= roof * (1 - 1e-12)


@quick
@given(op=operators(), faster=st.floats(1, 100), what=st.sampled_from(["compute", "memory"]))
def test_a_faster_device_is_never_slower(op, faster, what):
    one = device.load("h100")
    card = one.accelerator
    if what == "compute":
        better = dataclasses.replace(
            card, peak_flop_per_s={name: rate * faster for name, rate in card.peak_flop_per_s.items()}
        )
    else:
        better = dataclasses.replace(card, hbm_bytes_per_s=card.hbm_bytes_per_s * faster)
    other = dataclasses.replace(one, accelerator=better)
    assert device.operator_time(op, other) <= device.operator_time(op, one) * (1 + 1e-12)


@quick
@given(m=st.floats(1, 1e6), n=sizes, k=sizes, groups=st.floats(1, 256), hit=st.floats(1, 2))
def test_two_batches_take_between_once_and_twice_the_time_of_one(m, n, k, groups, hit):
    one = device.load("h100")

    def spent(rows, experts):
        op = Operator(
            name="x", kind="grouped_gemm", place="layer", count=4, flop=2 * rows * n * k, m=rows, n=n, k=k,
            groups=experts, weight_bytes=2 * experts * n * k, activation_bytes=2 * rows * (n + k),
        )  # fmt: skip
        return float(device.pass_time([op], one).total_s)

    single = spent(m, groups)
    double = spent(2 * m, groups * hit)  # twice the tokens hit at most twice the experts
    assert single * (1 - 1e-12) <= double <= 2 * single * (1 + 1e-12)


@quick
@given(batch=st.floats(1, 1e3), new=st.floats(1, 1e4), context=st.floats(0, 1e5))
def test_two_batches_of_attention_too(batch, new, context):
    one = device.load("b200")

    def spent(sequences):
        op = Operator(
            name="x", kind="attention", place="layer", count=1, weight_bytes=0.0,
            flop=sequences * 4 * 4096 * new * (context + new / 2),
            activation_bytes=sequences * new * 20480.0, cache_bytes=sequences * 4096 * context,
        )  # fmt: skip
        return float(device.operator_time(op, one))

    assert spent(batch) <= spent(2 * batch) <= 2 * spent(batch) * (1 + 1e-12)


def test_tokens_on_their_way_to_experts_move_at_a_rate_of_their_own(make_device):
    def took(kind):  # 4 GB at 4 TB/s
        op = Operator(name="x", kind=kind, place="layer", count=1, flop=0.0, weight_bytes=0.0, activation_bytes=4e9)
        return device.operator_time(op, make_device(dispatch_memory_ratio=0.5))

    assert (took("elementwise"), took("dispatch")) == pytest.approx((1e-3, 2e-3))
