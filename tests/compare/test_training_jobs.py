"""One training job predicted and planned: it agrees with its parts, its front is a front, and it says why not."""

import dataclasses

import numpy as np
import pytest

from steelyard import training
from steelyard.compare.jobs import TrainingJob, plan_training, predict_training
from steelyard.compare.jobs.layouts import layout_dict, layout_text
from steelyard.errors import DoesNotFitError, InputError, UnknownError
from steelyard.records.estimate import estimate
from steelyard.training import Layout, Space

DAY = 86_400.0


def _job(**changes):
    usual = {"model_ref": "llama-3.1-8b", "device_ref": "h100", "tokens": 1e12, "seq_tokens": 8192.0, "draws": 200}
    return TrainingJob(**(usual | changes))


@pytest.fixture(scope="module")
def plan():
    return plan_training(_job(), [64, 96, 128])


@pytest.fixture(scope="module")
def prediction():
    return predict_training(_job(), Layout(dp=64, global_batch=512, zero_stage=1, recompute="selective"))


def test_money_and_energy_follow_from_the_run(prediction):
    run, bill = prediction.run, prediction.bill
    prices = bill.rental.provider_usd_per_device_s
    usd_per_device_s = bill.rented_usd / run.device_s
    assert prices.min() * (1 - 1e-9) <= usd_per_device_s.min() <= usd_per_device_s.max() <= prices.max() * (1 + 1e-9)
    # 64 devices of at most 700 W with half as much for the host, from start to end.
    assert np.all(bill.energy_j < run.wall_s * 64 * 1.05 * 700 * 1.5 * 2)
    assert np.all(bill.bought_usd > 64 * 20_000)
    assert estimate(bill.amortised_usd).p50 < estimate(bill.rented_usd).p50
    assert run.wall_s.size == bill.rented_usd.size == 200


def test_headline_and_whole_job_efficiency_are_both_told(prediction):
    labels = {item.label: item.value for item in prediction.quantities()}
    step, job = labels["MFU of a step (the headline)"], labels["MFU of the whole job"]
    assert job.p50 < step.p50
    assert job.p90 / job.p10 > step.p90 / step.p10 > 1


def test_draws_are_seeded(prediction):
    again = predict_training(prediction.job, prediction.layout)
    other = predict_training(dataclasses.replace(prediction.job, seed=1), prediction.layout)
    assert np.array_equal(again.run.wall_s, prediction.run.wall_s)
    assert not np.array_equal(other.run.wall_s, prediction.run.wall_s)
    assert estimate(other.run.wall_s).p50 == pytest.approx(estimate(prediction.run.wall_s).p50, rel=0.1)


def test_a_layout_that_does_not_fit_is_predicted_all_the_same():
    found = predict_training(_job(), Layout(dp=8, global_batch=512, zero_stage=0))
    assert not found.fits
    assert found.memory.total_bytes > found.memory.usable_bytes
    assert found.to_dict()["fits"] is False


def test_without_a_layout_the_fastest_on_the_fewest_devices_is_taken():
    tuning = _job(kind="lora", tokens=15e6)
    found = predict_training(tuning)
    assert found.fits
    assert found.searched.num_devices == training.least_devices(
        tuning.model, tuning.device, seq_tokens=8192, method="lora"
    )
    assert found.quality is None  # no law here predicts a fine-tuning's loss


def test_loss_is_that_of_the_default_law_between_those_of_all(prediction):
    loss = prediction.quality.loss_nats_per_token
    params = 8030261248  # llama-3.1-8b, counted in tests/arch
    assert loss.p50 == pytest.approx(training.loss_nats_per_token(params, 1e12))
    of_each = [training.loss_nats_per_token(params, 1e12, law=name) for name in training.laws()]
    assert (loss.p10, loss.p90) == (pytest.approx(min(of_each)), pytest.approx(max(of_each)))
    repeated = predict_training(_job(unique_tokens=1e11, bytes_per_token=4.0), prediction.layout).quality
    assert repeated.loss_nats_per_token.p50 > loss.p50
    assert repeated.effective_tokens == pytest.approx(training.effective_tokens(1e12, 1e11))
    assert repeated.bits_per_byte.p50 == pytest.approx(repeated.loss_nats_per_token.p50 / np.log(2) / 4)


def test_tokens_to_a_loss_and_the_size_best_over_a_life(prediction):
    loss = prediction.quality.loss_nats_per_token.p50
    asked = predict_training(_job(target_loss_nats=loss, served_tokens=1e13), prediction.layout).quality
    assert asked.target_tokens.p50 == pytest.approx(1e12)
    assert asked.target_tokens.p10 < 1e12 < asked.target_tokens.p90  # other laws, other floors
    best = training.lifetime_optimal(loss, 1e13)
    assert (asked.lifetime_params, asked.lifetime_tokens) == (pytest.approx(best.params), pytest.approx(best.tokens))


def test_a_user_price_replaces_the_catalogue_s():
    found = predict_training(_job(usd_per_device_s=2 / 3600), Layout(dp=64, global_batch=512, recompute="full"))
    assert found.bill.rented_usd == pytest.approx(found.run.device_s * 2 / 3600)


def test_what_has_no_price_says_so_and_is_predicted():
    found = predict_training(_job(as_of=None, pricing="reserved_5y", device_ref="t4", tokens=1e9), num_devices=64)
    assert found.bill.rented_usd is None
    assert any("unpriced" in warning for warning in found.warnings)


def test_a_model_that_is_assumed_in_part_is_said_to_be():
    for name, told in (("llama-3.1-8b-gptq-int4", 1), ("llama-3.1-8b", 0)):
        job = _job(model_ref=name, kind="qlora", tokens=15e6)
        found = predict_training(job, num_devices=8)
        assert sum("is assumed in part" in warning for warning in found.warnings) == told
        assert list(found.warnings[:told]) == list(job.model.warnings)


def test_nothing_on_the_front_beats_another(plan):
    points = np.array([[o.wall_s, o.device_s, o.num_devices, o.total_bytes] for o in plan.front])
    for point in points:
        assert np.sum(np.all(points <= point, axis=1)) == 1
    assert {option.num_devices for option in plan.front} == {64, 96, 128}


def test_the_fastest_is_on_the_most_devices_and_the_cheapest_takes_the_least_device_time(plan):
    assert plan.fastest.wall_s == min(option.wall_s for option in plan.front)
    assert plan.cheapest.device_s == min(option.device_s for option in plan.front)
    assert plan.num_layouts == sum(found.num_layouts for found in plan.found) > plan.num_fitting > 0
    alone = training.best_layout(
        plan.job.model, plan.job.device, plan.fastest.num_devices, seq_tokens=8192, global_batch_tokens=4_194_304
    )
    assert plan.fastest.layout == alone.layout
    assert plan.fastest.step_s == pytest.approx(float(alone.step.step_s))


def test_of_all_that_meet_a_deadline_the_cheapest_wins(plan):
    days = sorted(option.wall_s for option in plan.front)
    deadline = (days[0] + days[-1]) / 2
    within = plan_training(plan.job, [64, 96, 128], deadline_s=deadline)
    assert within.cheapest.wall_s <= deadline
    assert within.cheapest.device_s == min(o.device_s for o in plan.front if o.wall_s <= deadline)
    assert layout_dict(within.winner.layout) == layout_dict(within.cheapest.layout)
    with pytest.raises(DoesNotFitError, match=r"the fastest takes .+ on 128 devices"):
        plan_training(plan.job, [64, 96, 128], deadline_s=1.0)


def test_why_not_a_layout_that_fits_ranks_it_and_says_where_time_is_lost():
    asked = Layout(tp=8, pp=4, dp=2, micro_batch=1, global_batch=512, recompute="full")
    plan = plan_training(_job(), [64], compare_with=asked)
    found = plan.compared
    assert found.rank > 1
    assert found.num_fitting == plan.num_fitting
    mine, best = plan.job.step_job.step(asked), plan.job.step_job.step(plan.fastest.layout)
    assert found.slower_ratio == pytest.approx(float(mine.step_s / best.step_s) - 1, rel=1e-6)
    lost = sum(part.lost_s for part in found.parts)
    assert lost == pytest.approx(float(mine.step_s - best.step_s) / (512 * 8192) * 1e6)
    assert found.parts[0].lost_s == max(part.lost_s for part in found.parts)


def test_the_fastest_layout_itself_has_rank_one(plan):
    assert plan_training(plan.job, [128], compare_with=plan.fastest.layout).compared.rank == 1


def test_why_not_a_layout_that_is_too_large_says_how_much_and_what_helps():
    asked = Layout(dp=64, zero_stage=0, micro_batch=8, global_batch=512)
    found = plan_training(_job(), [64], compare_with=asked).compared
    memory = predict_training(_job(), asked).memory
    assert found.lacking_bytes == pytest.approx(float(memory.total_bytes - memory.usable_bytes))
    assert found.biggest[0][0] in {"activations", "optimizer"}
    less = plan_training(_job(), [64], compare_with=dataclasses.replace(asked, micro_batch=1)).compared
    changes = dict(less.smaller_by)
    assert "zero=3" in changes
    assert changes["zero=3"] <= float(memory.usable_bytes)


def test_why_not_a_layout_that_breaks_a_rule_names_the_rule():
    found = plan_training(_job(), [64], compare_with=Layout(tp=64, global_batch=512)).compared
    assert found.broken_rule == "tp must divide the 32 attention heads"


@pytest.mark.parametrize(
    ("only", "rule"),
    [
        ({"tp": (64,)}, "tp must divide the 32 attention heads"),
        ({"pp": (64,)}, "pp must not exceed the 32 layers"),
        ({"pp": (7,)}, "pp must divide the 64 devices"),
        ({"zero_stage": (4,)}, "zero_stage must be 0, 1, 2 or 3"),
        ({"micro_batch": (5,)}, "fewer limits"),
    ],
)
def test_limits_that_nothing_keeps_are_named(only, rule):
    with pytest.raises(InputError, match=rule) as caught:
        plan_training(_job(), [64], space=Space(only=only))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"kind": "rlhf"}, InputError),
        ({"tokens": -5.0}, InputError),
        ({"tokens": float("nan")}, InputError),
        ({"tokens": 1e40}, InputError),
        ({"draws": 1}, InputError),
        ({"pricing": "gift"}, InputError),
        ({"model_ref": "llama-99"}, UnknownError),
        ({"device_ref": "h1000"}, UnknownError),
        ({"region": "Mars"}, UnknownError),
        ({"compute_dtype": "fp3"}, UnknownError),
    ],
)
def test_bad_input_is_one_line(changes, error):
    with pytest.raises(error) as caught:
        plan_training(_job(**changes), [64])
    assert "\n" not in str(caught.value)


def test_counts_that_do_not_match_the_layout_are_refused():
    with pytest.raises(InputError, match="for tp x pp x cp x dp = 32 devices; searched: 64"):
        plan_training(_job(), [64], compare_with=Layout(dp=32, global_batch=512))
    with pytest.raises(InputError, match="no device count"):
        plan_training(_job(), [])


def test_progress_is_told_of_every_layout():
    seen = []
    plan = plan_training(_job(), [8, 16], progress=lambda count, place, layouts: seen.append((count, place, layouts)))
    assert sum(layouts for *_, layouts in seen) == plan.num_layouts
    assert {(count, place) for count, place, _ in seen} == {(8, 0), (16, 1)}


def test_layout_text_is_what_the_option_takes():
    assert layout_text(Layout(tp=8, pp=4, vpp=2, dp=2, cp=2, ep=4, zero_stage=3, micro_batch=2)) == (
        "tp=8,pp=4,vpp=2,cp=2,ep=4,dp=2,zero=3,micro-batch=2,recompute=none"
    )
