"""Time of a step: above its roofs, and growing the way batches do."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import arch, catalog, device
from steelyard.inference import Deployment, engine_for, step, step_time
from steelyard.inference.engine import served
from steelyard.records.term import explain

BATCH = st.floats(1.0, 512.0)


def test_a_step_is_above_its_memory_roof(llama_8b, h100):
    # decode of one sequence reads all matrices but the embedding table: 15 GB at 3.35 TB/s
    table = llama_8b.vocab * llama_8b.hidden * 2
    roof = (arch.weight_bytes(llama_8b) - table) / h100.accelerator.hbm_bytes_per_s
    taken = step_time(llama_8b, h100, Deployment(), decode_sequences=1.0, context_tokens=100.0)
    assert roof < taken < 2 * roof


def test_parts_add_up_and_explain(llama_70b, h100):
    done = step(llama_70b, h100, Deployment(tp=4), decode_sequences=32.0, context_tokens=1000.0, prefill_tokens=512.0)
    assert done.total_s == pytest.approx(
        done.matrix_s
        + done.attention_s
        + done.other_s
        + done.collective_s
        + done.engine_s
        + done.host_s
        + done.server_s
    )
    assert {child.label for child in explain(done).children} >= {"attention", "collectives", "engine"}


def test_engine_overhead_by_hand(tiny, h100):
    between, beside = (engine_for(h100, "vllm", version) for version in ("0.8", "0.14"))

    def took(engine, decode_sequences=10.0):
        return step(tiny, h100, Deployment(), decode_sequences=decode_sequences, context_tokens=10.0,
                    prefill_tokens=100.0, engine=engine)  # fmt: skip

    of_tokens = 11 * between.sequence_overhead_s + between.prompt_overhead_s  # 10 and a first one, of one prompt
    assert took(between).engine_s == pytest.approx(between.step_overhead_s + of_tokens)
    done = took(beside)
    on_device = done.matrix_s + done.attention_s + done.other_s + done.collective_s + done.host_s
    assert done.engine_s == pytest.approx(max(beside.step_overhead_s - on_device, 0.0) + of_tokens)
    assert took(dataclasses.replace(beside, step_overhead_s=1.0)).engine_s > 0.9  # longer than what it hides behind
    assert done.collective_s == 0.0


@settings(max_examples=30, deadline=None)
@given(batch=BATCH, context=st.floats(1, 20_000), prefill=st.floats(0, 4000))
def test_two_batches_cost_between_once_and_twice(tiny, h100, batch, context, prefill):
    once, twice = step_time(
        tiny, h100, Deployment(tp=2),
        decode_sequences=np.array([batch, 2 * batch]),
        context_tokens=context,
        prefill_tokens=prefill,
    )  # fmt: skip
    assert once <= twice <= 2 * once * (1 + 1e-9)


@settings(max_examples=20, deadline=None)
@given(batch=BATCH, context=st.floats(1, 20_000), factor=st.floats(1.0, 10.0))
def test_a_faster_device_is_never_slower(tiny, h100, faster, batch, context, factor):
    slow, fast = (
        step_time(tiny, card, Deployment(tp=2), decode_sequences=batch, context_tokens=context, prefill_tokens=100.0)
        for card in (h100, faster(h100, factor))
    )
    assert fast <= slow * (1 + 1e-9)


def test_more_of_anything_takes_longer(tiny, h100):
    waits = engine_for(h100, "vllm", "0.8")  # an engine that schedules beside a step hides how short that is

    def time(decode=10.0, context=1000.0, prefill=100.0):
        return step_time(
            tiny, h100, Deployment(), decode_sequences=decode, context_tokens=context, prefill_tokens=prefill,
            engine=waits,
        )  # fmt: skip

    assert time() < min(time(decode=100.0), time(context=10_000.0), time(prefill=2000.0))


def test_arrays_agree_with_single_values(llama_8b, h100):
    batch, context = np.array([[1.0], [64.0]]), np.array([[100.0, 5000.0, 1e5]])
    grid = step_time(
        llama_8b, h100, Deployment(tp=2), decode_sequences=batch, context_tokens=context, prefill_tokens=300.0
    )
    assert grid.shape == (2, 3)
    single = step_time(
        llama_8b, h100, Deployment(tp=2), decode_sequences=64.0, context_tokens=5000.0, prefill_tokens=300.0
    )
    assert grid[1, 1] == pytest.approx(float(single), rel=1e-12)


def test_small_all_reduces_cost_latency_not_bandwidth(llama_70b, h100):
    one, two = (
        step(llama_70b, h100, Deployment(tp=8), decode_sequences=batch, context_tokens=100.0).collective_s
        for batch in (1.0, 2.0)
    )
    # 160 all-reduces; the message of a token is 16 kB: under a microsecond at any link rate
    assert one / 160 >= served(h100).efficiency.fused_latency_s
    assert two < 1.25 * one  # twice the bytes


def test_outside_captured_graphs_the_processor_sets_the_pace(llama_8b, h100):
    graphs = dataclasses.replace(engine_for(h100, "SGLang"), eager_prompts=0.0, host_layer_s=1e-2)
    eager = dataclasses.replace(graphs, eager_prompts=1.0)

    def took(engine, prefill_tokens):
        return step(llama_8b, h100, Deployment(), decode_sequences=4.0, context_tokens=100.0,
                    prefill_tokens=prefill_tokens, engine=engine)  # fmt: skip

    assert took(eager, 0.0).total_s == took(graphs, 0.0).total_s  # decoding alone runs in its graph
    slow = took(eager, 100.0)
    assert slow.host_s > 0
    on_device = slow.matrix_s + slow.attention_s + slow.other_s + slow.collective_s
    assert on_device + slow.host_s == pytest.approx(llama_8b.num_layers * 1e-2)
    assert took(dataclasses.replace(graphs, eager_steps=1.0), 0.0).host_s > 0
    assert took(dataclasses.replace(eager, host_layer_s=1e-9), 100.0).host_s == 0


def test_launches_that_were_counted_set_the_pace(llama_8b, h100):
    engine = dataclasses.replace(engine_for(h100, "transformers"), layer_launches_count=50.0, host_launch_s=2e-4)
    one = step(llama_8b, h100, Deployment(), decode_sequences=1.0, context_tokens=100.0, engine=engine)
    on_device = one.matrix_s + one.attention_s + one.other_s + one.collective_s
    assert on_device + one.host_s == pytest.approx(llama_8b.num_layers * 50 * 2e-4)


def test_a_cache_that_is_written_anew_is_moved_twice_more(llama_8b, h100):
    copied = engine_for(h100, "transformers")
    kept = dataclasses.replace(copied, copies_cache=0.0)
    more, less = (
        step(llama_8b, h100, Deployment(), decode_sequences=64.0, context_tokens=2000.0, engine=engine).other_s
        for engine in (copied, kept)
    )
    # 32 layers, 8 heads of 128, keys and values in 2 bytes, of 64 sequences; read and written
    moved_bytes = 2 * 64 * 2000 * 32 * 2 * 8 * 128 * 2
    assert more - less > moved_bytes / h100.accelerator.hbm_bytes_per_s * copied.time_ratio
    assert more - less < 4 * moved_bytes / h100.accelerator.hbm_bytes_per_s * copied.time_ratio


def test_unfused_kernels_move_more_in_a_prompt(llama_8b, h100):
    unfused = engine_for(h100, "transformers")
    fused = dataclasses.replace(unfused, elementwise_ratio=1.0)
    more, less = (
        step(llama_8b, h100, Deployment(), decode_sequences=0.0, context_tokens=0.0, prefill_tokens=4000.0,
             engine=engine)
        for engine in (unfused, fused)
    )  # fmt: skip
    assert more.other_s > 2 * less.other_s
    assert more.matrix_s == less.matrix_s


@pytest.mark.parametrize(("stated", "held"), [(0.9, 0.9), (1.3, 1.0)])
def test_a_users_share_of_the_vendor_is_that_of_all_its_cards(tmp_path, monkeypatch, stated, held):
    """The RTX 4090's own share is of `nvidia-half-rate`, the H100's of `nvidia`: both give way alike, never above 1."""
    (tmp_path / "calibration").mkdir()
    (tmp_path / "calibration" / "inference.toml").write_text(
        f'[figures]\n"matmul_ratio.nvidia" = {{ value = {stated}, unit = "1", source = "steelyard-assumptions", '
        'as_of = 2026-10-01, basis = "assumed", note = "a test" }\n'
    )
    monkeypatch.setenv("STEELYARD_DATA", str(tmp_path))
    catalog.refresh()
    try:
        for ref in ("rtx-4090", "h100"):
            assert served(device.load(ref)).efficiency.matmul_ratio == pytest.approx(held)
    finally:
        monkeypatch.undo()
        catalog.refresh()
