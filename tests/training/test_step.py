"""The step: published runs, known formulas, and laws that any step time must keep."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import arch, device, training
from steelyard.errors import InputError
from steelyard.records.term import explain
from steelyard.training import Layout, Recipe
from steelyard.training.calibration import shipped
from steelyard.training.communication import traffic
from steelyard.training.layout import slot_layers
from steelyard.training.passes import forward_backward
from steelyard.training.unfused import unfused

POWERS = st.sampled_from([1, 2, 4])
PARTS = (
    "forward_s", "backward_s", "recompute_s", "ends_s", "exposed_comm_s", "bubble_s", "optimizer_s", "straggler_s",
)  # fmt: skip


def _faster(one, factor, what):
    card = one.accelerator
    if what == "peak":
        changes = {"peak_flop_per_s": {dtype: rate * factor for dtype, rate in card.peak_flop_per_s.items()}}
    else:
        changes = {what: getattr(card, what) * factor}
    return dataclasses.replace(one, accelerator=dataclasses.replace(card, **changes))


# Measured, wide limits: the residual spread of the calibration is a fifth, two of them 1.5.
# BLOOM-176B: BigScience tr11 chronicles, 384 A100, tp 4, pp 12, dp 8, micro-batch 2, 104-105 s an iteration.
# GPT 175B: NVIDIA NeMo 24.05, 512 H100 in fp8, tp 4, pp 8, vpp 12, batch 2,048 x 2,048: 741 tokens/s a device.
@pytest.mark.parametrize(
    ("name", "layout", "shape", "dtype", "seq_tokens", "tokens_per_s"),
    [
        (
            "a100", Layout(tp=4, pp=12, dp=8, micro_batch=2, global_batch=2048, recompute="full"),
            (70, 14336, 112, 250_880), "bf16", 2048, 2048 * 2048 / 104.5,
        ),
        (
            "h100", Layout(tp=4, pp=8, vpp=12, dp=16, global_batch=2048),
            (96, 12288, 96, 51_200), "fp8", 2048, 741 * 512,
        ),
    ],
)  # fmt: skip
def test_published_runs(gpt, name, layout, shape, dtype, seq_tokens, tokens_per_s):
    # The A100 run is of early 2022: before flash attention and sequence parallelism.
    old = {"attention": "unfused", "sequence_parallel": False, "tp_overlap_ratio": 0.0, "tuned_ratio": 0.0}
    recipe = Recipe(compute_dtype=dtype, **(old if name == "a100" else {}))
    one = training.step(gpt(*shape), device.load(name), layout, seq_tokens=seq_tokens, recipe=recipe)
    assert tokens_per_s / 1.5 < one.tokens_per_s < tokens_per_s * 1.5


@given(
    tp=POWERS, pp=POWERS, cp=st.sampled_from([1, 2]), zero=st.integers(0, 3), factor=st.floats(1.01, 4),
    what=st.sampled_from(["peak", "hbm_bytes_per_s", "scale_up_bytes_per_s", "scale_out_bytes_per_s", "tdp_w"]),
    hidden=st.sampled_from([512, 1024]), throttle=st.floats(0.0, 1.0), name=st.sampled_from(["h100", "l40s"]),
)  # fmt: skip
@settings(max_examples=50, deadline=None)
def test_a_faster_device_is_never_slower(dense, tp, pp, cp, zero, factor, what, hidden, throttle, name):
    layout, card = Layout(tp=tp, pp=pp, cp=cp, dp=4, zero_stage=zero, global_batch=16), device.load(name)
    any_fit = dataclasses.replace(shipped(card.accelerator), throttle_exponent_ratio=throttle)

    def spent(one):
        return training.step(dense(hidden_size=hidden), one, layout, seq_tokens=2048, parameters=any_fit).step_s

    assert spent(_faster(card, factor, what)) <= spent(card) * (1 + 1e-12)


@given(
    tp=POWERS, pp=POWERS, dp=st.sampled_from([1, 2]), ep=POWERS,
    recompute=st.sampled_from(["none", "selective", "full"]), zero=st.integers(0, 3),
)  # fmt: skip
@settings(max_examples=50, deadline=None)
def test_parts_add_up_and_utilisation_is_below_one(mixture, h100, tp, pp, dp, ep, recompute, zero):
    layout = Layout(tp=tp, pp=pp, dp=dp * 4, ep=ep, zero_stage=zero, global_batch=32, recompute=recompute)
    one = training.step(mixture(), h100, layout, seq_tokens=2048)
    assert sum(getattr(one, name) for name in PARTS) == pytest.approx(float(one.step_s))
    assert all(getattr(one, name) >= 0 for name in PARTS)
    assert 0 < one.mfu_ratio <= one.hfu_ratio < 1
    assert explain(one).value == pytest.approx(float(one.step_s))


def test_one_device_communicates_nothing_and_idles_nowhere(dense, h100):
    one = training.step(dense(), h100, Layout(zero_stage=3, micro_batch=2, global_batch=8), seq_tokens=2048)
    assert one.exposed_comm_s == 0
    assert one.bubble_s == 0
    assert one.straggler_s == 0


@given(batch=st.sampled_from([1, 2, 4, 8]))
@settings(max_examples=10, deadline=None)
def test_time_of_twice_the_micro_batch_is_between_once_and_twice(dense, h100, batch):
    def spent(size):
        layout = Layout(micro_batch=size, global_batch=size)
        return training.step(dense(), h100, layout, seq_tokens=1024).step_s

    assert spent(batch) < spent(2 * batch) <= 2 * spent(batch) * (1 + 1e-9)


def test_bubble_is_pp_minus_one_over_vpp_m_of_the_ideal_time(dense, h100):
    # 8 layers, pp 4, m 16: 3/16 of the time of all micro-batches; vpp 2 halves it.
    for vpp, expected in ((1, 3 / 16), (2, 3 / 32)):
        one = training.step(dense(), h100, Layout(pp=4, vpp=vpp, global_batch=16), seq_tokens=1024)
        ideal = one.forward_s + one.backward_s + one.ends_s + one.tp_s + one.ep_s
        assert one.bubble_s / ideal == pytest.approx(expected)


def test_gradients_hide_under_a_long_backward_pass_and_not_under_a_short_one(dense, h100):
    unhindered = dataclasses.replace(shipped(h100.accelerator), host_layer_s=0.0)  # launches would hide them too

    def exposed(micro_batch, **changes):
        layout = Layout(dp=64, micro_batch=micro_batch, global_batch=64 * micro_batch, **changes)
        return float(training.step(dense(), h100, layout, seq_tokens=512, parameters=unhindered).dp_s)

    # 0.11 B parameters in fp32 over 50 GB/s NICs take milliseconds; so does 1 x 512 tokens, 64 x 512 take a second.
    assert exposed(1) > 0
    assert exposed(64) == 0
    assert exposed(1, zero_stage=3) > exposed(1, zero_stage=1)  # weights are gathered twice


def test_stragglers_cost_the_same_share_for_each_doubling_of_the_nodes(dense, h100):
    def share(dp):
        one = training.step(dense(), h100, Layout(dp=dp, global_batch=dp), seq_tokens=1024)
        return float(one.straggler_s / (one.step_s - one.straggler_s))

    assert share(8) == 0  # one node
    assert share(16) > 0
    assert share(512) == pytest.approx(6 * share(16))  # 64 nodes


def test_mfu_is_model_flop_over_time_and_peak(dense, h100):
    one = training.step(dense(), h100, Layout(dp=4, global_batch=16), seq_tokens=1024)
    flop = arch.flop_per_token(dense(), 1024, training=True) * 16 * 1024
    assert one.mfu_ratio == pytest.approx(flop / (one.step_s * 4 * 989e12), rel=0.001)  # printed dense bf16 peak


def test_full_recompute_adds_about_a_forward_pass(dense, h100):
    plain = training.step(dense(), h100, Layout(global_batch=4), seq_tokens=1024)
    again = training.step(dense(), h100, Layout(global_batch=4, recompute="full"), seq_tokens=1024)
    assert again.recompute_s == pytest.approx(float(plain.forward_s))
    assert again.mfu_ratio < plain.mfu_ratio
    # Executed FLOP: forward 1, backward 2 and a little more; with recompute 4/3 of that, or a little less.
    assert again.hfu_ratio / again.mfu_ratio == pytest.approx(4 / 3, rel=0.03)


def test_lora_step_saves_the_weight_gradients(dense, h100):
    layout = Layout(micro_batch=64, global_batch=256)
    updates_alone = dataclasses.replace(shipped(h100.accelerator), step_overhead_s=0.0)
    full = training.step(dense(), h100, layout, seq_tokens=1024, parameters=updates_alone)
    lora = training.step(dense(), h100, layout, seq_tokens=1024, method="lora", parameters=updates_alone)
    # 4 N against 6 N; attention and norms, which weigh more in so narrow a model, as before.
    assert 0.5 < lora.step_s / full.step_s < 0.85
    assert lora.optimizer_s < 0.1 * full.optimizer_s


def test_many_layouts_in_one_call_equal_one_at_a_time(mixture, h100):
    layouts = Layout(
        tp=np.array([1, 2, 4]), pp=np.array([2, 1, 8]), dp=np.array([2, 4, 1]), ep=np.array([2, 8, 1]),
        zero_stage=np.array([0, 3, 1]), global_batch=np.array([8, 8, 8]),
        recompute=np.array(["none", "selective", "full"]),
    )  # fmt: skip
    together = training.step(mixture(), h100, layouts, seq_tokens=2048)
    for index in range(3):
        one = Layout(**{name: np.broadcast_to(getattr(layouts, name), 3)[index].item() for name in Layout.__slots__})
        alone = training.step(mixture(), h100, one, seq_tokens=2048)
        for name in (*PARTS, "step_s", "mfu_ratio"):
            assert np.broadcast_to(getattr(together, name), 3)[index] == pytest.approx(float(getattr(alone, name)))


def test_draws_of_the_time_ratio_become_draws_of_the_step(dense, h100):
    ratios = np.array([0.8, 1.0, 1.3])
    one = training.step(dense(), h100, Layout(), seq_tokens=1024)
    many = training.step(dense(), h100, Layout(), seq_tokens=1024, time_ratio=ratios)
    assert many.step_s == pytest.approx(one.step_s * ratios)


@pytest.mark.parametrize(
    ("layout", "rule"),
    [
        (Layout(tp=3), "tp must divide the 16 attention heads"),
        (Layout(pp=9), "pp must not exceed the 8 layers"),
        (Layout(dp=4, global_batch=6), "global_batch must be a multiple"),
        (Layout(ep=3, dp=3, global_batch=3), "ep must divide the 8 experts"),
        (Layout(ep=8), "ep must divide dp x cp x tp"),
        (Layout(tp=0), "tp must be at least 1"),
        (Layout(vpp=2), "vpp above 1 needs pp above 1"),
        (Layout(zero_stage=4), "zero_stage must be"),
        (Layout(recompute="some"), "recompute must be one of none, selective, full"),
        (Layout(dp=20_000_000, global_batch=20_000_000), "num_devices must not exceed"),
    ],
)
def test_impossible_layouts_name_their_rule(mixture, h100, layout, rule):
    with pytest.raises(InputError, match=rule) as caught:
        training.step(mixture(), h100, layout, seq_tokens=1024)
    assert "\n" not in str(caught.value)


def test_unknown_method(dense, h100):
    with pytest.raises(InputError, match="full, lora"):
        training.step(dense(), h100, Layout(), seq_tokens=1024, method="qlora")


@given(tp=POWERS, pp=POWERS, dp=POWERS, what=st.sampled_from(["eager_ratio", "tuned_ratio", "attention", "sequence"]))
@settings(max_examples=30, deadline=None)
def test_better_software_is_never_slower(dense, h100, tp, pp, dp, what):
    worse, better = {
        "eager_ratio": (Recipe(eager_ratio=1.0), Recipe(eager_ratio=0.0)),
        "tuned_ratio": (Recipe(tuned_ratio=0.0), Recipe(tuned_ratio=1.0)),
        "attention": (Recipe(attention="unfused"), Recipe()),
        "sequence": (Recipe(sequence_parallel=False), Recipe()),
    }[what]
    layout = Layout(tp=tp, pp=pp, dp=dp, global_batch=4 * dp)
    slow = training.step(dense(), h100, layout, seq_tokens=2048, recipe=worse).step_s
    assert training.step(dense(), h100, layout, seq_tokens=2048, recipe=better).step_s <= slow * (1 + 1e-12)


def test_a_zero_bubble_schedule_idles_a_third(dense, h100):
    plain = training.step(dense(), h100, Layout(pp=4, global_batch=16), seq_tokens=1024)
    filled = training.step(dense(), h100, Layout(pp=4, global_batch=16, schedule="zero_bubble"), seq_tokens=1024)
    assert filled.bubble_s == pytest.approx(float(plain.bubble_s) / 3)  # ZB-H1: (p - 1)(F + B - W), each a third


def test_a_small_step_waits_for_its_launches(dense, h100):
    # 8 layers, forward and backward: three times the launches of a forward pass, whatever the tokens.
    parameters = dataclasses.replace(shipped(h100.accelerator), host_layer_s=1.0, host_eager_ratio=1.0)
    one = training.step(dense(), h100, Layout(), seq_tokens=128, parameters=parameters)
    assert one.forward_s + one.backward_s == pytest.approx(24.0, rel=0.01)
    captured = training.step(
        dense(), h100, Layout(), seq_tokens=128, parameters=parameters, recipe=Recipe(captured_ratio=1.0)
    )
    assert captured.forward_s + captured.backward_s < 0.1


def test_copies_of_the_shards_send_less_across(dense, h100):
    layout = {"dp": 64, "zero_stage": 3, "global_batch": 64 * 16}
    whole = training.step(dense(), h100, Layout(**layout), seq_tokens=64, parameters=_exposed(h100))
    copied = training.step(dense(), h100, Layout(**layout, replicas=8), seq_tokens=64, parameters=_exposed(h100))
    assert 0 < copied.dp_s < whole.dp_s  # weights are gathered within a node 32 times, and leave it no more


def _exposed(device):
    return dataclasses.replace(shipped(device.accelerator), dp_overlap_ratio=0.0)


@pytest.mark.parametrize(
    ("layout", "rule"),
    [
        (Layout(dp=4, replicas=3, global_batch=4), "replicas must divide dp"),
        (Layout(schedule="zb"), "schedule must be one of 1f1b, zero_bubble"),
    ],
)
def test_new_rules_are_named(dense, h100, layout, rule):
    with pytest.raises(InputError, match=rule):
        training.step(dense(), h100, layout, seq_tokens=1024)


def test_uneven_virtual_stages_wait_in_the_bubble():
    # 126 layers on 16 stages: 64 virtual ones of at most 2 layers, 128 (the ends apart) of 1.
    model = arch.load("llama-3.1-405b")
    assert [float(slot_layers(model, Layout(pp=16, vpp=vpp))) for vpp in (1, 2, 4, 8)] == [8, 8, 8, 8]
    assert float(slot_layers(model, Layout(pp=16, vpp=7))) == 14
    assert float(slot_layers(model, Layout(pp=9, vpp=7))) == 14  # divides: 126 = 9 x 7 x 2
    h100 = device.load("h100")

    def bubble(vpp):
        layout = Layout(tp=8, pp=16, dp=1, vpp=vpp, global_batch=16, recompute="full")
        return float(training.step(model, h100, layout, seq_tokens=8192).bubble_s)

    assert bubble(7) == pytest.approx(bubble(4), rel=0.02)  # both wait for virtual stages of two layers
    assert bubble(8) == pytest.approx(bubble(4) / 2, rel=0.02)


def test_context_parallelism_passes_the_keys_of_every_head_of_latent_attention():
    latent, grouped = arch.load("deepseek-v3"), arch.load("llama-3.1-405b")
    assert arch.ring(latent, 4096.0).passed_bytes == 61 * 128 * (128 + 64 + 128) * 2 * 4096
    assert arch.ring(grouped, 4096.0).passed_bytes == arch.cache_bytes(grouped, 4096.0)
    assert arch.ring(grouped, 1.0, tp=8).passed_bytes == arch.ring(grouped, 1.0).passed_bytes / 8


def test_more_context_parallel_ranks_put_more_parts_together(dense, h100):
    def moved(cp):
        forward, _, _ = forward_backward(dense(), h100, Layout(cp=cp), Recipe(), seq_tokens=65_536)
        return float(forward.elementwise_s) * cp  # of all ranks

    one = moved(1)
    assert moved(4) - one == pytest.approx(3 * (moved(2) - one), rel=1e-6)
    assert moved(2) > one


def _anywhere(block):
    """The block, with experts that may lie on any node."""
    return dataclasses.replace(block, top_groups=0) if isinstance(block, arch.Moe) else block


def test_tokens_cross_to_a_node_once(h100):
    model = arch.load("deepseek-v3")
    layout = Layout(dp=64, ep=64, global_batch=64)

    def exchange(device=h100, model=model, **changes):
        return float(traffic(model, device, layout, Recipe(**changes), seq_tokens=4096).ep_s)

    assert exchange(node_dispatch_ratio=1.0) < exchange(node_dispatch_ratio=0.0)
    assert exchange(dispatch_bytes=1.0) == pytest.approx(0.75 * exchange(), rel=0.05)  # there in 8 bits, back in 16
    rack = device.load("gb200")  # one domain: nothing to save
    assert exchange(rack, node_dispatch_ratio=1.0) == exchange(rack, node_dispatch_ratio=0.0)
    layers = tuple(
        (dataclasses.replace(layer, blocks=tuple(map(_anywhere, layer.blocks))), count) for layer, count in model.layers
    )
    assert exchange() < exchange(model=dataclasses.replace(model, layers=layers))  # its router keeps to 4 nodes of 8


def test_hooks_cost_the_processor_and_hide_under_long_sequences(dense, h100):
    def slower(seq_tokens):
        layout = Layout(dp=8, zero_stage=3, global_batch=64)
        times = [
            training.step(dense(), h100, layout, seq_tokens=seq_tokens, recipe=Recipe(hooked_ratio=hooked)).step_s
            for hooked in (0.0, 1.0)
        ]
        return float(times[1] / times[0])

    # 1.8B parameters on an A100: 2.1 to 2.3 s a step for 256 to 2048 tokens, 5.6 s for 8192 (Qwen's table)
    assert slower(256) > 2
    assert slower(65_536) == pytest.approx(1.0, abs=0.02)


def test_kernels_of_before_cost_where_matrix_units_run_apart(dense):
    def slower(name):
        times = [
            training.step(
                dense(), device.load(name), Layout(), seq_tokens=32_768, recipe=Recipe(attention=kernel)
            ).forward_s
            for kernel in ("flash", "flash2")
        ]  # fmt: skip
        return float(times[1] / times[0])

    assert slower("h100") > 1.2  # 329 of 631 TFLOP/s (pytorch issue 142132), and attention is most of such a pass
    assert [slower(name) for name in ("a100", "l40s", "rtx-pro-6000-blackwell-server")] == [1.0, 1.0, 1.0]


def test_eager_software_moves_norms_and_positions_of_gated_models(dense, gpt, h100):
    rows, rate = 4 * 2048, h100.accelerator.hbm_bytes_per_s * h100.efficiency.memory_ratio
    layout, eager = Layout(micro_batch=4, global_batch=4), Recipe(eager_ratio=1.0, logit_bytes=14.0)
    moved = unfused(dense(), h100, layout, eager, seq_tokens=2048)
    # 8 layers of 2 norms on 1,024 columns (36 bytes, not 4), 16 + 8 heads of 64 rotated (20 bytes, not 4)
    assert moved.plain_s * rate / rows == pytest.approx(8 * (2 * 1024 * 32 + 24 * 64 * 16))
    assert moved.logit_s * rate / rows == pytest.approx(16_000 * 8 * 2)  # two copies of 4 bytes, written and read
    before = unfused(gpt(8, 1024, 16, 16_000), h100, layout, eager, seq_tokens=2048)
    assert before.plain_s == 0  # LayerNorm is one kernel
    assert unfused(dense(), h100, layout, Recipe(), seq_tokens=2048).plain_s == 0


@pytest.mark.parametrize("name", ["h100", "a100", "rtx-3090", "rtx-3060", "rtx-4090", "rtx-5090", "mi300x", "l40s"])
def test_no_matrix_product_is_faster_than_what_is_printed(name):
    """However many watts would feed more: cards of few operations for each watt run at their printed rate at most."""
    card = device.load(name)
    took = training.step(
        arch.load("llama-3.1-8b"), card, Layout(micro_batch=8, global_batch=8), seq_tokens=4096,
        recipe=Recipe(tuned_ratio=1.0),
        parameters=dataclasses.replace(shipped(card.accelerator), throttle_exponent_ratio=1.0),
    )  # fmt: skip
    assert float(np.max(took.mfu_ratio)) <= 1.0
