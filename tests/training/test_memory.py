"""Memory: the shards of all devices add up to the whole, and items follow the papers' byte counts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import arch, device, training
from steelyard.errors import UnknownError
from steelyard.training import Layout, Recipe
from steelyard.training.pipeline import bubble_count, in_flight
from steelyard.training.sharding import shard, whole

POWERS = st.sampled_from([1, 2, 4, 8])


@given(tp=POWERS, pp=POWERS, ep=POWERS)
@settings(max_examples=50, deadline=None)
def test_shards_of_all_devices_are_the_whole_model(tp, pp, ep, dense, mixture):
    for model in (dense(), mixture()):
        experts = ep if model.num_experts else 1
        if experts > 1 and experts % tp and tp % experts:
            continue
        layout = Layout(tp=tp, pp=pp, ep=experts, dp=8)
        held, parts = shard(model, layout), whole(model)
        # tp x pp devices hold the dense layers once; ep x expert_tp x pp devices hold the experts once.
        assert held.dense_params * tp * pp == pytest.approx(parts.dense_params)
        assert held.expert_params * experts * layout.expert_tp * pp == pytest.approx(parts.expert_params)
        assert (held.first_params + held.last_params) * tp == pytest.approx(parts.embedding_params + parts.head_params)
        assert parts.dense_params + parts.expert_params + parts.embedding_params + parts.head_params == pytest.approx(
            arch.count_params(model).total_params
        )


@given(tp=POWERS, dp=POWERS, cp=POWERS, zero=st.integers(0, 3))
@settings(max_examples=50, deadline=None)
def test_states_of_all_devices_are_the_whole_or_whole_copies(tp, dp, cp, zero, dense, h100):
    model = dense()
    params = arch.count_params(model).total_params
    sizes = training.memory(model, h100, Layout(tp=tp, dp=dp, cp=cp, zero_stage=zero, global_batch=dp), seq_tokens=4096)
    devices = tp * dp * cp
    for name, size, from_stage in (("weights", 2, 3), ("gradients", 4, 2), ("optimizer", 12, 1)):
        copies = 1 if zero >= from_stage else dp * cp
        assert getattr(sizes, f"{name}_bytes") * devices == pytest.approx(size * params * copies)


def test_experts_are_split_over_the_ranks_that_hold_copies_of_them(dense, mixture, h100):
    model = mixture()
    one = training.memory(model, h100, Layout(dp=8, ep=8, zero_stage=1, global_batch=8), seq_tokens=1024)
    parts = whole(model)
    rest = arch.count_params(model).total_params - parts.expert_params
    # Adam: 12 bytes; dense states over 8 ranks; each device has 1/8 of the experts and no other rank has them too.
    assert one.optimizer_bytes == pytest.approx(12 * (rest / 8 + parts.expert_params / 8))


def test_bytes_per_parameter_of_mixed_precision_adam(dense, h100):
    # ZeRO paper: 16 bytes with 16-bit gradients; 18 with fp32 gradients.
    sizes = training.memory(dense(), h100, Layout(zero_stage=0), seq_tokens=1)
    states = sizes.weights_bytes + sizes.gradients_bytes + sizes.optimizer_bytes
    assert states / arch.count_params(dense()).total_params == pytest.approx(18.0)


def test_activations_of_a_gpt3_layer(gpt, h100):
    # Korthikanti et al.: 34 s b h bytes a layer without the attention scores; 32 s b h without its dropout masks;
    # all of it over tp with sequence parallelism. Micro-batch 1, no pipeline: one in flight.
    model = gpt(96, 12288, 96, 51200)
    sizes = training.memory(model, h100, Layout(tp=8), seq_tokens=2048)
    assert sizes.activations_bytes == pytest.approx(32 * 2048 * 12288 * 96 / 8, rel=0.05)


def test_full_recompute_keeps_layer_inputs_and_one_layer(gpt, h100):
    model = gpt(96, 12288, 96, 51200)
    sizes = training.memory(model, h100, Layout(tp=8, recompute="full"), seq_tokens=2048)
    # 2 s b h a layer, and 32 s b h of the layer being recomputed, over tp; the logits, 6 s b V, are gone by then.
    layer, logits = 32 * 2048 * 12288 / 8, 6 * 2048 * 51200 / 8
    assert sizes.logits_bytes == pytest.approx(logits)
    together = 2 * 96 * 2048 * 12288 / 8 + max(layer, logits)
    assert sizes.activations_bytes + sizes.logits_bytes == pytest.approx(together, rel=0.02)


def test_a_pipeline_holds_as_many_activations_on_its_first_stage_as_no_pipeline(gpt, h100):
    # 1F1B: pp micro-batches in flight over 1/pp of the layers; fewer micro-batches, fewer in flight.
    model = gpt(96, 12288, 96, 51200)
    whole_model = training.memory(model, h100, Layout(tp=8), seq_tokens=2048).activations_bytes
    for pp, m, expected in ((8, 64, 1.0), (8, 2, 2 / 8), (1, 64, 1.0)):
        sizes = training.memory(model, h100, Layout(tp=8, pp=pp, global_batch=m), seq_tokens=2048)
        assert sizes.activations_bytes == pytest.approx(float(whole_model) * expected)


def test_schedule_counts():
    # 1F1B: the first stage holds pp micro-batches; interleaving 1 + (p-1)/(p v) times that; never more than there are.
    assert in_flight(Layout(pp=8, global_batch=64)) == 8
    assert in_flight(Layout(pp=8, vpp=2, global_batch=64)) == pytest.approx(8 * (1 + 7 / 16))
    assert in_flight(Layout(pp=8, global_batch=4)) == 4
    assert bubble_count(Layout(pp=8)) == 7
    assert bubble_count(Layout(pp=8, vpp=7)) == 1
    assert bubble_count(Layout()) == 0


def test_lora_needs_far_less_than_full_tuning(dense, h100):
    full = training.memory(dense(), h100, Layout(), seq_tokens=1024)
    lora = training.memory(dense(), h100, Layout(), seq_tokens=1024, method="lora")
    assert lora.weights_bytes == full.weights_bytes
    assert lora.optimizer_bytes < 0.1 * full.optimizer_bytes
    assert lora.gradients_bytes < 0.1 * full.gradients_bytes


def test_many_layouts_in_one_call_equal_one_at_a_time(dense, h100):
    layouts = Layout(
        tp=np.array([1, 2, 4]), pp=np.array([2, 1, 8]), dp=np.array([2, 4, 1]), zero_stage=np.array([0, 3, 1]),
        global_batch=np.array([8, 8, 8]), recompute=np.array(["none", "selective", "full"]),
    )  # fmt: skip
    together = training.memory(dense(), h100, layouts, seq_tokens=2048)
    for index in range(3):
        one = Layout(**{name: np.broadcast_to(getattr(layouts, name), 3)[index].item() for name in Layout.__slots__})
        alone = training.memory(dense(), h100, one, seq_tokens=2048)
        assert together.total_bytes[index] == pytest.approx(float(alone.total_bytes))


def test_what_does_not_fit_says_what_is_biggest(gpt, h100):
    sizes = training.memory(gpt(96, 12288, 96, 51200), h100, Layout(), seq_tokens=2048)
    assert not sizes.fits
    assert sizes.biggest()[0][0] == "optimizer"
    assert "optimizer" in sizes.describe()


def test_bloom_peak_memory(gpt):
    # BigScience chronicles: 59 GiB (nvidia-smi) a device on 384 A100, tp 4, pp 12, micro-batch 2. Allocator caches and
    # activations without sequence parallelism are in the measurement and not in the items: it is the upper end.
    layout = Layout(tp=4, pp=12, dp=8, micro_batch=2, global_batch=2048, recompute="full")
    sizes = training.memory(gpt(70, 14336, 112, 250_880), device.load("a100"), layout, seq_tokens=2048)
    assert 0.5 * 59 * 2**30 < sizes.total_bytes < 59 * 2**30


def test_bloom_peak_memory_with_the_copies_its_software_makes(gpt):
    # The same, as Megatron-DeepSpeed's bf16 optimizer keeps it: 2-byte gradients and their fp32 sum, 2 + 4 bytes of
    # copies of the partition that is updated, buckets of 5e8 elements.
    layout = Layout(tp=4, pp=12, dp=8, micro_batch=2, global_batch=2048, recompute="full")
    software = Recipe(
        attention="unfused", sequence_parallel=False, gradient_bytes=6.0, update_bytes=6.0, bucket_bytes=2e9,
        logit_bytes=10.0,
    )  # fmt: skip
    sizes = training.memory(gpt(70, 14336, 112, 250_880), device.load("a100"), layout, seq_tokens=2048, recipe=software)
    assert sizes.total_bytes == pytest.approx(59 * 2**30, rel=0.2)


def test_copies_for_the_update_follow_the_stage_of_zero(dense, h100):
    model = dense()
    params = arch.count_params(model).total_params

    def update(**layout):
        sizes = training.memory(model, h100, Layout(**layout), seq_tokens=1, recipe=Recipe(update_bytes=6.0))
        return float(sizes.update_bytes)

    assert update(zero_stage=0) == pytest.approx(6 * params)
    assert update(zero_stage=1, dp=8, global_batch=8) == pytest.approx(6 * params / 8)
    assert update(zero_stage=3, dp=2, global_batch=2) == pytest.approx(6 * min(params / 2, 1e9))


def test_every_kind_of_group_has_buffers(dense, h100):
    one = training.memory(dense(), h100, Layout(), seq_tokens=1).overhead_bytes
    more = [
        training.memory(dense(), h100, Layout(**split), seq_tokens=1).overhead_bytes - one
        for split in ({"tp": 2}, {"tp": 2, "pp": 2}, {"tp": 2, "pp": 2, "dp": 8, "global_batch": 8})
    ]
    assert more == pytest.approx([more[0], 2 * more[0], 3 * more[0]])
    assert more[0] > 0


@given(dp=POWERS, replicas=POWERS, zero=st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_with_copies_of_the_shards_all_devices_hold_that_many_models(dp, replicas, zero, dense, h100):
    model = dense()
    params = arch.count_params(model).total_params
    layout = Layout(dp=dp * replicas, replicas=replicas, zero_stage=zero, global_batch=dp * replicas)
    sizes = training.memory(model, h100, layout, seq_tokens=1024)
    for name, size, from_stage in (("weights", 2, 3), ("gradients", 4, 2), ("optimizer", 12, 1)):
        copies = replicas if zero >= from_stage else dp * replicas
        assert getattr(sizes, f"{name}_bytes") * dp * replicas == pytest.approx(size * params * copies)


def test_recipes_change_what_a_parameter_takes(dense, h100):
    def per_param(**changes):
        sizes = training.memory(dense(), h100, Layout(zero_stage=0), seq_tokens=1, recipe=Recipe(**changes))
        states = sizes.weights_bytes + sizes.gradients_bytes + sizes.optimizer_bytes
        return float(states) / arch.count_params(dense()).total_params

    assert per_param(moment_bytes=4.0) == pytest.approx(14.0)  # 16-bit moments: 2 + 4 + 4 + 4
    assert per_param(moment_bytes=2.0) == pytest.approx(12.0)  # 8-bit moments
    assert per_param(gradient_bytes=2.0, master_bytes=0.0, moment_bytes=4.0) == pytest.approx(8.0)  # all in bf16
    assert per_param(state_offload_ratio=1.0) == pytest.approx(6.0)  # states are the host's


def test_scores_through_memory_grow_with_the_square_of_the_sequence(dense, h100):
    def kept(seq, attention):
        recipe = Recipe(attention=attention)
        return float(training.memory(dense(), h100, Layout(), seq_tokens=seq, recipe=recipe).activations_bytes)

    # Korthikanti et al.: 5 a s^2 b bytes a layer more; 8 layers of 16 heads.
    assert kept(2048, "unfused") - kept(2048, "flash") == pytest.approx(8 * 5 * 16 * 2048**2)


def _kept(model, device, *modules, **changes):
    recipe = Recipe(recomputed=modules, **changes)
    layout = Layout(recompute="selective" if modules else "none")
    return float(training.memory(model, device, layout, seq_tokens=1.0, recipe=recipe).activations_bytes)


def test_selective_recomputation_drops_what_its_modules_make(h100):
    # DeepSeek-V3 report, section 3.2.3: norms and up-projections are computed again, and what they make is not kept.
    model = arch.load("deepseek-v3")
    everything = _kept(model, h100)
    up = everything - _kept(model, h100, "mla_up_proj")
    assert up == pytest.approx(2 * 61 * 128 * (192 + 192 + 128))  # queries, keys, values of 128 heads in 16 bits
    norms = everything - _kept(model, h100, "layernorm")
    assert norms == pytest.approx(2 * 61 * (2 * 7168 + 1536 + 512))
    activations = everything - _kept(model, h100, "moe_act")
    assert activations == pytest.approx(2 * (3 * 18432 + 58 * (8 + 1) * 2048))
    together = everything - _kept(model, h100, "mla_up_proj", "layernorm", "moe_act")
    assert together == pytest.approx(up + norms + activations)
    assert _kept(model, h100, "core_attn") == everything  # flash attention keeps no scores


def test_narrow_inputs_are_kept_narrow_where_the_software_says_so(dense, h100):
    model = dense()
    wide, narrow = _kept(model, h100), _kept(model, h100, compute_dtype="fp8")
    assert _kept(model, h100, compute_dtype="fp8", narrow_kept_ratio=0.0) == wide
    norms_and_activations = wide - _kept(model, h100, "norm", "activation")
    assert wide - narrow == pytest.approx(norms_and_activations / 2)


def test_a_module_that_is_not_known_is_refused(dense, h100):
    with pytest.raises(UnknownError, match="recomputed module"):
        _kept(dense(), h100, "everything")
