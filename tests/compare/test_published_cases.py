"""Published cases of training cost and of prices lie inside the ranges that are predicted for them."""

import pytest

from steelyard import catalog, economics
from steelyard.compare.jobs import TrainingJob, predict_training
from steelyard.compare.jobs.layouts import parse_layout
from steelyard.economics.price_history import fit_decline, running_minimum
from steelyard.records.estimate import Estimate
from steelyard.units import DAYS_PER_YEAR, JOULES_PER_KWH, SECONDS_PER_HOUR


def predicted(name, model, *, seq_tokens, sequences, layout=None, **job):
    """Return the row of a published run and what is predicted for it, by label."""
    (row,) = catalog.table("trained_models").where(model=name)
    count = int(row.value("n_chips"))
    asked = TrainingJob(
        model_ref=model, device_ref=row["device"], tokens=row.value("tokens"), seq_tokens=seq_tokens,
        global_batch_tokens=seq_tokens * sequences, **job,
    )  # fmt: skip
    stated = None if layout is None else parse_layout(layout, count, sequences)
    found = predict_training(asked, stated, num_devices=count)
    return row, {item.label.split(" (")[0]: item.value for item in found.quantities()}


def holds(estimate: Estimate, value: float) -> bool:
    return estimate.p10 <= value <= estimate.p90


def test_deepseek_v3_at_two_dollars_an_hour():
    """arXiv 2412.19437: 2.788M H800-hours, at 2 USD 5.576M USD; layout and software of its section 3."""
    row, found = predicted(
        "DeepSeek-V3 671B", "deepseek-v3", seq_tokens=4096.0, sequences=15_360, compute_dtype="fp8",
        software={"ep_overlap_ratio": 1.0, "dispatch_bytes": 1.0, "moment_bytes": 4.0},
        usd_per_device_s=2.0 / SECONDS_PER_HOUR,
        layout="pp=16,ep=64,dp=128,zero=1,micro-batch=1,recompute=selective,schedule=zero_bubble",
    )  # fmt: skip
    assert holds(found["device time, spares included"], row.value("gpu_hours"))
    assert holds(found["rented"], row.value("reported_cost"))
    assert row.value("reported_cost") == pytest.approx(2.0 * row.value("gpu_hours") / SECONDS_PER_HOUR)


def test_olmo_3_32b_hours_money_and_energy():
    """1.05M H100-hours, 681 MWh, 2.1 to 3.2M USD at 2 to 3 USD an hour."""
    row, found = predicted("OLMo 3 32B", "olmo-3-32b", seq_tokens=8192.0, sequences=1024)
    assert holds(found["device time, spares included"], row.value("gpu_hours"))
    assert holds(found["energy at the meter"], row.value("energy"))
    assert row.value("energy") == pytest.approx(681e3 * JOULES_PER_KWH)
    for end in ("estimated_cost_low", "estimated_cost_high"):
        assert holds(found["rented"], row.value(end))


def test_gpt4_by_three_accountings_is_what_epoch_counts():
    """Epoch AI: 40.6M USD amortised, 78.6M at cloud prices, 778M to buy the cluster.

    A factor of 2 is the width of its own range of the FLOP (0.8 to 4.4e25 around 2.1e25); the three differ 20-fold.
    """
    (row,) = catalog.table("trained_models").where(model="GPT-4")
    hours_s = row.value("gpu_hours")
    bill = economics.training_accountings(
        hours_s, hours_s * 400.0, row["device"], num_devices=row.value("n_chips"), as_of=row.as_of
    )
    published = {"amortised_usd": 40.6e6, "rented_usd": 78.6e6, "bought_usd": 778e6}
    for name, usd in published.items():
        assert usd / 2 <= getattr(bill, name) <= 2 * usd, name


FEWEST_PRICES = 4  # a line through two or three is no history


def expected(known, later):
    """Tell whether a later price lies between the fall so far going on (p10) and a standstill (p90)."""
    years = (later.day - known[-1].day).days / DAYS_PER_YEAR
    paid_ratio = later.usd_per_token / known[-1].usd_per_token
    return fit_decline(known).annual_ratio ** years <= paid_ratio <= 1.0


def test_the_price_path_to_the_end_of_2025_lies_in_what_was_to_be_expected():
    """Stand at each price of both levels from the fourth on and look ahead: an 80% range holds 80% of what came."""
    inside = [
        expected(path[:place], later)
        for path in (running_minimum("gpt4_class_mmlu86"), running_minimum("gpt35_class_mmlu65"))
        for place in range(FEWEST_PRICES, len(path))
        for later in path[place:]
        if later.day.year <= 2025
    ]
    assert len(inside) >= 8
    assert sum(inside) / len(inside) >= 0.8, inside


def test_three_prices_of_gpt4_did_not_tell_what_open_weights_would_do():
    """What the range is worth: in July 2024 the first open model of the level cost a twelfth of the price before.

    docs/explain/prices.md says so.
    """
    path = running_minimum("gpt4_class_mmlu86")
    assert not expected(path[:3], path[3])
    assert path[2].usd_per_token / path[3].usd_per_token == pytest.approx(11.7, rel=0.01)
