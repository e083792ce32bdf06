"""The search: it is exhaustive, its best is that of brute force, it fits, and it says clearly when there is nothing."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import training
from steelyard.errors import DoesNotFitError, InputError
from steelyard.training import Layout, Space
from steelyard.training.front import Front, undominated
from steelyard.training.grid import blocks, layout_at, pick
from steelyard.training.layout import RECOMPUTE, broken_rules
from steelyard.training.search import Job, search

LLAMA_70B = {
    "hidden_size": 8192, "intermediate_size": 28672, "vocab_size": 128_256, "num_hidden_layers": 80,
    "num_attention_heads": 64, "num_key_value_heads": 8,
}  # fmt: skip
ALL = Space()


def _brute_force(model, count, seq_tokens, batch):
    """Every layout of a count, one at a time, straight from the rules."""
    whole = range(1, count + 1)
    for tp, pp, cp in itertools.product(whole, whole, whole):
        if count % (tp * pp * cp) or (cp > 1 and seq_tokens % (2 * cp)):
            continue
        dp = count // (tp * pp * cp)
        rank = max(round(batch / dp), 1)
        if abs(rank * dp - batch) > 0.1 * batch:
            continue
        for ep, vpp, micro, zero, recompute in itertools.product(
            range(1, max(model.num_experts, 1) + 1), range(1, model.num_layers + 1), range(1, rank + 1),
            range(4), RECOMPUTE,
        ):  # fmt: skip
            layout = Layout(
                tp=tp, pp=pp, vpp=vpp, dp=dp, cp=cp, ep=ep, zero_stage=zero, micro_batch=micro,
                global_batch=rank * dp, recompute=recompute,
            )  # fmt: skip
            if zero and dp * cp == 1:
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
    seen = []
    for block, valid in blocks(mixture(), 12, seq_tokens=2048, batch=24, space=ALL):
        layouts = pick(block, np.flatnonzero(valid), valid.shape)
        seen += [layout_at(layouts, place) for place in range(layouts.tp.size)]
    assert len(seen) == len(set(seen)) > 1000


def test_depths_and_micro_batches_that_are_no_powers_of_two_are_found(dense):
    # 126 layers on 36 devices: 9 and 18 stages of 14 and 7 layers, micro-batches of 3 and 5
    found = set()
    for block, valid in blocks(dense(num_hidden_layers=126), 36, seq_tokens=2048, batch=180, space=ALL):
        layouts = pick(block, np.flatnonzero(valid), valid.shape)
        found |= set(zip(layouts.pp.tolist(), layouts.vpp.tolist(), layouts.micro_batch.tolist(), strict=True))
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

    with pytest.raises(InputError, match="no layout divides"):
        plan(count=7919, tokens=1024 * 100)  # a prime beyond the layers, with a batch smaller than it
    for wrong in ({"count": 0}, {"seq_tokens": 0.5}, {"seq_tokens": float("nan")}, {"tokens": float("nan")}):
        with pytest.raises(InputError, match="allowed"):
            plan(**wrong)


def test_the_batch_is_rounded_to_whole_sequences_of_each_rank_by_at_most_a_tenth(dense, h100):
    for asked in (100, 250, 1000):
        plan = training.best_layout(dense(), h100, 48, seq_tokens=1024, global_batch_tokens=1024 * asked)
        assert abs(plan.layout.global_batch - asked) <= asked / 10
        assert plan.layout.global_batch % (plan.layout.dp * plan.layout.micro_batch) == 0
