"""The search: it is exhaustive, its best is that of brute force, it fits, and it says clearly when there is nothing."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import arch, device, training
from steelyard.errors import DoesNotFitError, InputError
from steelyard.training import Layout, Space
from steelyard.training.front import Front, undominated
from steelyard.training.grid import grid, layout_at, pick
from steelyard.training.job import Job
from steelyard.training.layout import RECOMPUTE, broken_rules
from steelyard.training.search import NOISE_RATIO, search

LLAMA_70B = {
    "hidden_size": 8192, "intermediate_size": 28672, "vocab_size": 128_256, "num_hidden_layers": 80,
    "num_attention_heads": 64, "num_key_value_heads": 8,
}  # fmt: skip
ALL = Space()


def _all_layouts(model, count, *, batch, space=ALL):
    """Every layout of the grid, one at a time."""
    found = []
    for block in grid(model, count, seq_tokens=2048, batch=batch, space=space).blocks():
        layouts = pick(block.layout, np.flatnonzero(block.valid), block.valid.shape)
        found += [layout_at(layouts, place) for place in range(layouts.tp.size)]
    return found


def _brute_force(model, count, seq_tokens, batch):
    """Every layout of a count, one at a time, straight from the rules."""
    whole = range(1, count + 1)
    for tp, pp, cp in itertools.product(whole, whole, whole):
        if count % (tp * pp * cp) or (cp > 1 and (seq_tokens % (2 * cp) or seq_tokens / (2 * cp) < 128)):
            continue
        dp = count // (tp * pp * cp)
        rank = max(round(batch / dp), 1)
        if abs(rank * dp - batch) > 0.1 * batch:
            continue
        for ep, vpp, micro, (zero, replicas), recompute in itertools.product(
            range(1, max(model.num_experts, 1) + 1), range(1, model.num_layers + 1), range(1, rank + 1),
            [(0, 1), *((stage, copies) for stage in (1, 2, 3) for copies in range(1, dp + 1))], RECOMPUTE,
        ):  # fmt: skip
            layout = Layout(
                tp=tp, pp=pp, vpp=vpp, dp=dp, cp=cp, ep=ep, zero_stage=zero, micro_batch=micro,
                global_batch=rank * dp, recompute=recompute, replicas=replicas,
            )  # fmt: skip
            if zero and dp * cp <= replicas:  # nothing left to split the states over
                continue
            if not any(np.any(broken) for broken in broken_rules(model, layout).values()):
                yield layout


@pytest.mark.parametrize(("kind", "count", "batch"), [("dense", 6, 6), ("mixture", 4, 4)])
def test_the_search_finds_what_brute_force_finds(kind, count, batch, dense, mixture, h100):
    shape = {"num_hidden_layers": 3, "num_attention_heads": 12, "num_key_value_heads": 4, "hidden_size": 768}
    model = {"dense": dense, "mixture": mixture}[kind](**shape)
    job = Job(model=model, device=h100, seq_tokens=256, global_batch_tokens=256 * batch)
    found, all_of_them = search(job, count), list(_brute_force(model, count, 256, batch))
    assert found.num_layouts == len(all_of_them)
    rates = [float(job.step(layout).tokens_per_s) for layout in all_of_them if job.memory(layout).fits]
    assert found.num_fitting == len(rates)
    assert float(job.step(layout_at(found.front, 0)).tokens_per_s) == pytest.approx(max(rates))


def test_layouts_are_distinct(mixture):
    seen = _all_layouts(mixture(), 12, batch=24)
    assert len(seen) == len(set(seen)) > 1000


def test_depths_and_micro_batches_that_are_no_powers_of_two_are_found(dense):
    # 126 layers on 36 devices: 9 and 18 stages of 14 and 7 layers, micro-batches of 3 and 5
    layouts = _all_layouts(dense(num_hidden_layers=126), 36, batch=180)
    found = {(layout.pp, layout.vpp, layout.micro_batch) for layout in layouts}
    assert {(9, 1, 3), (9, 14, 1), (18, 7, 1), (1, 1, 5)} <= found


def test_the_plan_fits_uses_all_devices_and_keeps_every_rule(dense, h100):
    plan = training.best_layout(dense(), h100, 32, seq_tokens=2048, global_batch_tokens=2048 * 256)
    assert plan.layout.num_devices == 32
    assert plan.memory.fits
    assert plan.layout.global_batch == 256
    assert not any(np.any(broken) for broken in broken_rules(dense(), plan.layout).values())
    assert 0 < plan.num_fitting <= plan.num_layouts


def test_a_limit_is_kept_and_the_best_of_what_is_left_is_found(dense, h100):
    job = Job(model=dense(), device=h100, seq_tokens=2048, global_batch_tokens=2048 * 256)
    space = Space(only={"tp": (4,), "recompute": ("selective", "full")}, at_most={"pp": 2})
    limited, free = search(job, 32, space=space), search(job, 32)
    best = layout_at(limited.front, 0)
    assert best.tp == 4
    assert best.pp <= 2
    assert best.recompute in {"selective", "full"}
    assert limited.num_layouts < free.num_layouts
    rate = float(job.step(best).tokens_per_s)
    better = search(job, 32, faster_than_token_per_s=rate)
    assert better.num_faster > 0
    assert search(job, 32, space=space, faster_than_token_per_s=rate * (1 + 1e-12)).num_faster == 0


def test_other_schedules_are_looked_at_when_asked_for(dense, h100):
    usual = _all_layouts(dense(), 8, batch=16)
    both = _all_layouts(dense(), 8, batch=16, space=Space(only={"schedule": ("1f1b", "zero_bubble")}))
    assert {layout.schedule for layout in usual} == {"1f1b"}
    pipelined = [layout for layout in usual if layout.pp > 1]
    assert len(both) == len(set(both)) == len(usual) + len(pipelined)


def test_the_search_times_layouts_as_the_step_does(mixture, h100):
    job = Job(model=mixture(), device=h100, seq_tokens=2048, global_batch_tokens=2048 * 64)
    found = search(job, 16)
    rates = np.ravel(job.step(found.front).tokens_per_s)
    assert np.all(np.diff(rates) < 0)
    for place in (0, rates.size // 2, rates.size - 1):
        better = search(job, 16, faster_than_token_per_s=rates[place] * (1 + 1e-12)).num_faster
        assert (better == 0) == (place == 0)


def test_the_simplest_is_as_fast_but_for_noise_and_split_in_the_fewest_ways(mixture, h100):
    def ways(layout):
        return sum(getattr(layout, name) > 1 for name in ("tp", "pp", "vpp", "cp", "ep", "replicas"))

    job = Job(model=mixture(), device=h100, seq_tokens=2048, global_batch_tokens=2048 * 32)
    found = search(job, 8)
    best = float(job.step(layout_at(found.front, 0)).tokens_per_s)
    enough = (1 - NOISE_RATIO) * best
    assert float(job.step(found.simplest).tokens_per_s) >= enough
    assert job.memory(found.simplest).fits
    for layout in _all_layouts(mixture(), 8, batch=32)[::7]:
        if ways(layout) < ways(found.simplest) and job.memory(layout).fits:
            assert float(job.step(layout).tokens_per_s) < enough


def test_an_axis_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match="nearest: micro_batch"):
        Space(only={"microbatch": (1,)})


@given(
    points=st.lists(st.tuples(st.floats(1, 100), st.floats(0.1, 80)), min_size=1, max_size=60),
    cut=st.integers(0, 60),
)
@settings(max_examples=50, deadline=None)
def test_the_front_holds_what_nothing_beats(points, cut):
    rate, size = (np.array(column) for column in zip(*points, strict=True))
    block = Layout(dp=np.arange(1, len(points) + 1))
    front = Front(80.0)
    for part in (slice(0, cut), slice(cut, None)):
        places = np.arange(len(points))[part]
        if places.size:
            front.add(rate[part], size[part], block, places, rate.shape)
    kept = front.fastest_first().dp - 1
    assert np.all(np.diff(rate[kept]) < 0)
    assert np.all(np.diff(size[kept]) < 0)
    for r, s in points:
        assert np.any((rate[kept] >= r) & (size[kept] <= s))
    assert set(rate[kept]) == set(rate[undominated(rate, size)])


def test_counts_searched_together_give_the_same_plans_as_apart(mixture, h100):
    together = training.best_layouts(mixture(), h100, [8, 64], seq_tokens=2048, global_batch_tokens=2048 * 512)
    for plan, count in zip(together, (8, 64), strict=True):
        alone = training.best_layout(mixture(), h100, count, seq_tokens=2048, global_batch_tokens=2048 * 512)
        assert plan.layout == alone.layout


def test_what_does_not_fit_says_what_is_missing_and_the_least_count(dense, h100):
    model = dense(**LLAMA_70B)
    least = training.least_devices(model, h100, seq_tokens=4096)
    # 70.6 B parameters x 18 bytes = 1.27 TB over 72 GB usable each is 17.7: at least 18, in whole nodes 24.
    assert 18 <= least <= 32
    with pytest.raises(DoesNotFitError, match=f"the least is {least} devices"):
        training.best_layout(model, h100, 8, seq_tokens=4096, global_batch_tokens=4096 * 64)
    plan = training.best_layout(model, h100, least, seq_tokens=4096, global_batch_tokens=4096 * 24 * 16)
    assert plan.memory.fits


def test_lora_needs_fewer_devices(dense, h100):
    model = dense(**LLAMA_70B)
    full = training.least_devices(model, h100, seq_tokens=4096)
    # Frozen bf16 weights alone are 141 GB: two devices do not hold them with 72 GB each and anything else.
    assert 2 <= training.least_devices(model, h100, seq_tokens=4096, method="lora") <= 4 < full


def test_a_count_that_nothing_divides_and_numbers_out_of_range_are_refused(dense, h100):
    def plan(count=8, seq_tokens=1024, tokens=1e6):
        training.best_layout(dense(), h100, count, seq_tokens=seq_tokens, global_batch_tokens=tokens)

    with pytest.raises(InputError, match="nothing divides"):
        plan(count=7919, tokens=1024 * 100)  # a prime beyond the layers, with a batch smaller than it
    for wrong in ({"count": 0}, {"seq_tokens": 0.5}, {"seq_tokens": float("nan")}, {"tokens": float("nan")}):
        with pytest.raises(InputError, match="allowed"):
            plan(**wrong)


def test_the_batch_is_rounded_to_whole_sequences_of_each_rank_by_at_most_a_tenth(dense, h100):
    for asked in (100, 250, 1000):
        plan = training.best_layout(dense(), h100, 48, seq_tokens=1024, global_batch_tokens=1024 * asked)
        assert abs(plan.layout.global_batch - asked) <= asked / 10
        assert plan.layout.global_batch % (plan.layout.dp * plan.layout.micro_batch) == 0


def _slower_than_the_best(job, count, layout):
    """Time of a reported layout over that of the best found, and whether it fits."""
    found = search(job, count)
    assert job.memory(layout).fits
    return float(job.step(layout).step_s / job.step(layout_at(found.front, 0)).step_s)


def test_the_layout_reported_for_llama_405b_is_near_the_best():
    # Llama 3 herd, arXiv 2407.21783: 16,384 H100, tp 8, pp 16, cp 1, dp 128, 16M tokens a batch; interleaved, with a
    # virtual stage for each layer and the ends apart.
    job = Job(
        model=arch.load("llama-3.1-405b"), device=device.load("h100-sxm"), seq_tokens=8192, global_batch_tokens=2**24
    )
    layout = Layout(tp=8, pp=16, vpp=8, dp=128, micro_batch=1, global_batch=2048, recompute="selective", zero_stage=1)
    assert _slower_than_the_best(job, 16_384, layout) < 1.1


@pytest.mark.slow
def test_the_layout_reported_for_deepseek_v3_is_near_the_best():
    # arXiv 2412.19437, section 3: 2,048 H800, pp 16, ep 64, ZeRO-1, no tp; norms and up-projections computed again;
    # DualPipe hides the exchange of experts, FP8 dispatch, 16-bit moments; batch 15,360 sequences of 4,096.
    software = training.Recipe(compute_dtype="fp8", ep_overlap_ratio=1.0, dispatch_bytes=1.0, moment_bytes=4.0)
    job = Job(
        model=arch.load("deepseek-v3"), device=device.load("h800"), seq_tokens=4096, global_batch_tokens=4096 * 15_360,
        recipe=software,
    )  # fmt: skip
    layout = Layout(
        pp=16, ep=64, dp=128, micro_batch=1, global_batch=15_360, recompute="selective", zero_stage=1,
        schedule="zero_bubble",
    )  # fmt: skip
    assert _slower_than_the_best(job, 2048, layout) < 1.1
