"""The job: goodput, checkpoints, energy, reported runs; and scaling and fine-tuning, which are made of it."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import training
from steelyard.errors import InputError
from steelyard.records.term import explain
from steelyard.training import Layout, Reliability

HOUR = 3600.0


def _reliability(**changes):
    usual = {"device_mtbf_s": 50_000 * HOUR, "restart_s": 600.0, "checkpoint_bytes_per_s": 1e8}
    return Reliability(**(usual | changes))


@given(interval=st.floats(1, 1e6), write=st.floats(0, 1e4), restart=st.floats(0, 1e4), mtbf=st.floats(1e3, 1e9))
@settings(max_examples=50, deadline=None)
def test_goodput_is_a_share_and_grows_with_reliability(interval, write, restart, mtbf):
    ratio = training.goodput_ratio(interval, write, restart, mtbf)
    assert 0 <= ratio <= 1
    assert training.goodput_ratio(interval, write, restart, 2 * mtbf) >= ratio


def test_goodput_by_hand():
    # Rare failures: overhead is write/interval + (interval/2 + restart)/mtbf = 0.01 + (3000 + 600)/1e6 = 1.36%.
    assert training.goodput_ratio(6000.0, 60.0, 600.0, 1e6) == pytest.approx(1 / 1.0136, rel=1e-3)
    assert training.goodput_ratio(6000.0, 0.0, 0.0, 1e15) == pytest.approx(1.0, rel=1e-6)


@given(write=st.floats(1, 600), mtbf=st.floats(2e4, 1e7), factor=st.floats(0.3, 3))
@settings(max_examples=50, deadline=None)
def test_the_interval_is_near_the_best(write, mtbf, factor):
    best = training.checkpoint_interval(write, mtbf)
    at_best = training.goodput_ratio(best, write, 0.0, mtbf)
    assert training.goodput_ratio(best * factor, write, 0.0, mtbf) <= at_best * (1 + 1e-3)


def test_young_interval():
    # sqrt(2 * 40 s * 168 h) = 6,956 s for BLOOM's checkpoints and failures; the higher order takes about 26 s off.
    assert training.checkpoint_interval(40.0, 168 * HOUR) == pytest.approx(6956, rel=0.01)


def test_llama_405b_cluster_keeps_over_nine_tenths(dense, h100):
    # Llama 3 paper: 16,384 H100, a failure every 3.1 h, effective training time above 90%. 405e9 x 14 B checkpoints.
    step = training.step(dense(), h100, Layout(dp=16_384, global_batch=16_384), seq_tokens=1024)
    job = training.run(
        step, tokens=1e12, device=h100, checkpoint_bytes=405e9 * 14,
        reliability=_reliability(device_mtbf_s=50_677 * HOUR, checkpoint_bytes_per_s=2e12 / 16_384),
    )  # fmt: skip
    assert job.job_mtbf_s == pytest.approx(3.09 * HOUR, rel=0.01)
    assert 0.85 < job.goodput_ratio < 0.97


def test_a_run_adds_up(dense, h100):
    step = training.step(dense(), h100, Layout(dp=8, global_batch=64), seq_tokens=1024)
    job = training.run(
        step, tokens=1e9, device=h100, reliability=_reliability(spare_ratio=0.1), checkpoint_bytes=1e10,
        job_time_ratio=1.25,
    )  # fmt: skip
    assert job.step_count == np.ceil(1e9 / (64 * 1024))
    assert job.wall_s * job.goodput_ratio == pytest.approx(1.25 * float(job.step_count * step.step_s))
    assert job.device_s == pytest.approx(float(job.wall_s) * 8 * 1.1)
    assert job.whole_job_mfu_ratio == pytest.approx(float(step.mfu_ratio * job.goodput_ratio) / 1.1 / 1.25)
    assert job.whole_job_mfu_ratio < job.mfu_ratio
    # Between eight idle and eight fully drawing devices, hosts in.
    assert 8 * 60 * job.wall_s < job.it_energy_j < 8 * 1.1 * 2 * 700 * job.wall_s
    assert job.usage.device_s == job.device_s
    assert explain(job, "goodput_ratio").children


def test_whole_jobs_reach_what_reported_ones_did(dense, h100):
    # Whole-job efficiency of reported runs: 0.14 to 0.54 of peak; Llama 3.1 405B on 16,384 H100: headline 0.38-0.43,
    # 30.8 M device-hours for 15.6e12 tokens, which is 0.35 over the whole job.
    shape = {
        "hidden_size": 16_384, "intermediate_size": 53_248, "vocab_size": 128_256, "num_hidden_layers": 126,
        "num_attention_heads": 128, "num_key_value_heads": 8,
    }  # fmt: skip
    model = dense(**shape)
    plan = training.best_layout(model, h100, 16_384, seq_tokens=8192, global_batch_tokens=2048 * 8192)
    job = training.run(
        plan.step, tokens=15.6e12, device=h100, reliability=training.reliability(),
        checkpoint_bytes=training.checkpoint_bytes(model),
    )  # fmt: skip
    assert 0.36 < job.mfu_ratio < 0.5
    assert 0.14 < job.whole_job_mfu_ratio < 0.54
    assert 30.8e6 / 1.5 < job.device_s / HOUR < 30.8e6 * 1.5


def test_draws_of_failures_and_of_time(dense, h100):
    step = training.step(dense(), h100, Layout(dp=64, global_batch=64), seq_tokens=1024)
    rng = np.random.default_rng(1)
    mtbf, ratio = training.draw_mtbf(rng, 200), np.exp(rng.normal(0, 0.2, 200))
    job = training.run(
        step, tokens=1e10, device=h100, reliability=_reliability(device_mtbf_s=mtbf), checkpoint_bytes=1e10,
        time_ratio=ratio,
    )  # fmt: skip
    assert job.wall_s.shape == job.goodput_ratio.shape == job.it_energy_j.shape == (200,)
    assert np.all((job.goodput_ratio > 0) & (job.goodput_ratio <= 1))
    # Counted clusters: 14,800 to 66,500 hours.
    assert 14_000 < np.median(mtbf) / HOUR < 67_000


def test_reported_efficiency_to_device_hours():
    # GPT-4 as reported: 2.1e25 FLOP on A100 (312e12 dense bf16) at 0.34 is 55 M device-hours; Epoch says about 57 M.
    assert training.device_s_for_flop(2.1e25, peak_flop_per_s=312e12, mfu_ratio=0.34) / HOUR == pytest.approx(
        57e6, rel=0.05
    )


def test_what_is_refused(dense, h100):
    step = training.step(dense(), h100, Layout(), seq_tokens=1024)
    with pytest.raises(InputError, match="tokens"):
        training.run(step, tokens=0, device=h100, reliability=_reliability(), checkpoint_bytes=0.0)
    with pytest.raises(InputError):
        training.device_s_for_flop(1e20, peak_flop_per_s=0.0, mfu_ratio=0.3)
    with pytest.raises(InputError):
        training.reliability(device_mtbf_s=-1.0)


def test_strong_scaling_loses_and_weak_scaling_loses_less(dense, h100):
    counts = [8, 64, 512]
    options = {"seq_tokens": 2048, "global_batch_tokens": 2048 * 512}
    strong = training.scaling(dense(), h100, counts, **options)
    weak = training.scaling(dense(), h100, counts, mode="weak", **options)
    assert strong.efficiency_ratio[0] == 1
    assert np.all(np.diff(strong.efficiency_ratio) < 0)
    assert np.all(weak.efficiency_ratio[1:] > strong.efficiency_ratio[1:])
    assert strong.diminishing_devices(worth_ratio=2.0) == 8  # everything is worth less than twice the first
    assert strong.diminishing_devices(worth_ratio=0.0) is None
    with pytest.raises(InputError, match="ascending"):
        training.scaling(dense(), h100, [64, 8], **options)
    with pytest.raises(InputError, match="strong, weak"):
        training.scaling(dense(), h100, counts, mode="linear", **options)


def test_fine_tuning_takes_minutes_not_days(dense, h100):
    # 8 B parameters x 15 M tokens x 6 = 7.2e17 FLOP full: 4 minutes of 8 H100 at 40% of peak; LoRA two thirds of it.
    eight = {
        "hidden_size": 4096, "intermediate_size": 14_336, "vocab_size": 128_256, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8,
    }  # fmt: skip
    model, job = dense(**eight), {"tokens": 15e6, "seq_tokens": 1024, "global_batch_tokens": 65_536}
    full = training.finetune(model, h100, method="full", num_devices=8, **job)
    lora = training.finetune(model, h100, method="lora", num_devices=8, **job)
    assert 100 < full.run.wall_s < 600
    assert 0.5 < lora.run.wall_s / full.run.wall_s < 0.9
    alone = training.finetune(model, h100, method="lora", **job)
    assert alone.plan.layout.num_devices == 1
    assert dataclasses.is_dataclass(alone.run)
