"""Capacity surfaces: what they say of fleets, and that they are kept by what they depend on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard import arch, catalog, device, inference
from steelyard.inference import simulator, surface
from steelyard.inference.surface import CapacitySurface, capacity_surface
from steelyard.records.workload import Objective

ASKED = Objective(ttft_s=2.0, tpot_s=0.05)


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setattr(surface, "user_cache", lambda: tmp_path)
    lengths = inference.lengths_from_workload(catalog.workload("chat"))
    model, on = arch.load("llama-3.1-8b"), device.load("h100")

    def make(cv=1.0, **stream):
        return capacity_surface(model, on, inference.Deployment(), lengths, ASKED, arrival_cv_ratio=cv, **stream)

    return make


def test_at_most_64_simulations_and_none_the_second_time(made, monkeypatch):
    simulate, runs = simulator.simulate, []

    def counted(*args, **kwargs):
        runs.append(args)
        return simulate(*args, **kwargs)

    monkeypatch.setattr(simulator, "simulate", counted)
    first = made()
    simulated = len(runs)
    assert 0 < simulated <= 64 + 1  # one more where the event loop was compiled
    again = made()
    assert len(runs) == simulated
    assert np.array_equal(first.ttft_s, again.ttft_s)
    made(cv=3.0)  # other arrivals are another surface
    assert len(runs) > simulated


def test_a_broken_file_in_the_cache_is_made_again(made, tmp_path, monkeypatch):
    monkeypatch.setattr(surface, "LEVELS", surface.LEVELS[:2])
    first = made()
    [file] = (tmp_path / "surfaces").iterdir()
    file.write_bytes(b"not an archive")
    assert np.array_equal(made().ttft_s, first.ttft_s)


def test_capacity_is_near_the_closed_form_and_falls_with_slower_steps(made):
    ratio = np.array([0.7, 1.0, 1.5, 3.0])
    found = made().capacity(ASKED, ratio)
    lengths = inference.lengths_from_workload(catalog.workload("chat"))
    model, on = arch.load("llama-3.1-8b"), device.load("h100")
    steady = inference.steady(model, on, inference.Deployment(), lengths, ASKED)
    assert 0.5 < found[1, -1] / float(steady.request_rate_per_s) < 1.5  # percentiles of runs against queueing formulas
    assert np.all(np.diff(found, axis=0) <= 0)
    assert np.all(np.diff(found, axis=1) >= 0)


def plain(replicas):
    count = len(replicas)
    return CapacitySurface(
        replicas=np.array(replicas),
        request_rate_per_s=np.array([1.0]),
        ttft_s=np.zeros((count, 1)),
        tpot_s=np.zeros((count, 1)),
        request_overhead_s=0.0,
    )


def test_a_fleet_carries_its_load_and_one_less_would_not():
    """By hand: one carries 2 / s, four 3 / s each, and without bursts 4 / s each.

    So one loses 2 and four lose 4, as sqrt(n) does: n of them carry 4 n - 2 sqrt(n).
    """
    fleets, each = plain([1.0, 4.0, np.inf]), np.array([[2.0, 3.0, 4.0]])
    assert fleets.carries(np.array([[0.0, 0.5, 1.0, 2.5, 4.0, 16.0, 100.0]]), each).tolist() == [
        [0.0, 1.0, 2.0, 7.0, 12.0, 56.0, 380.0]
    ]
    peaks = np.array([[0.0, 0.5, 2.0, 2.1, 12.0, 56.0, 56.1, 380.0]])
    assert fleets.fleet_size(peaks, each).tolist() == [[0.0, 1.0, 1.0, 2.0, 4.0, 16.0, 17.0, 100.0]]
    assert fleets.fleet_size(np.array([[1.0]]), np.zeros((1, 3))).tolist() == [[np.inf]]


def test_a_loss_that_does_not_grow_with_the_fleet_stays():
    """By hand: two and four both carry 4 / s less than without bursts, as do more."""
    fleets, each = plain([2.0, 4.0, np.inf]), np.array([[2.0, 3.0, 4.0]])
    assert fleets.carries(np.array([[8.0, 25.0]]), each).tolist() == [[28.0, 96.0]]
    assert fleets.fleet_size(np.array([[28.0, 28.1]]), each).tolist() == [[8.0, 9.0]]


@given(
    rates=st.lists(st.floats(0.0, 10.0), min_size=6, max_size=6).filter(lambda rates: max(rates) > 0.01),
    peak=st.floats(1e-3, 1e5),
)
def test_the_fleet_for_a_load_is_the_least_that_carries_it(rates, peak):
    fleets, each = plain(surface.REPLICAS), np.sort(np.array([rates]))
    count = fleets.fleet_size(np.array([[peak]]), each)
    assert fleets.carries(count, each)[0, 0] >= peak * (1 - 1e-6)
    assert fleets.carries(count - 1, each)[0, 0] <= peak * (1 + 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("count", [32, 64])
@pytest.mark.parametrize(
    ("preset", "limits"),
    [
        ("code", Objective(ttft_s=2.0, tpot_s=0.05)),
        ("code", Objective(ttft_s=0.5, tpot_s=0.1)),
        ("chat", Objective(ttft_s=0.5, tpot_s=0.03)),
    ],
)
def test_large_fleets_carry_what_a_longer_simulation_of_them_says(tmp_path, monkeypatch, preset, limits, count):
    """Those between and beyond the fleets simulated, at other seeds; 15% (20% upwards) is taken for noise of bursts."""
    monkeypatch.setattr(surface, "user_cache", lambda: tmp_path)
    workload = catalog.workload(preset)
    lengths = inference.lengths_from_workload(workload)
    model, on = arch.load("llama-3.1-8b"), device.load("h100")
    replica = simulator.replica_for(model, on, inference.Deployment(), lengths)
    arrivals = {
        "arrival_cv_ratio": workload.arrival_cv_ratio,
        "stream_request_rate_per_s": workload.request_rate_per_s,
    }
    made = capacity_surface(model, on, inference.Deployment(), lengths, limits, **arrivals)
    told = float(made.carries(np.array([[float(count)]]), made.capacity(limits)[None])[0, 0])

    def worst(rate, seed):
        load = simulator.streams_load(lengths, rate, max(60_000, int(40 * rate)), seed=seed, **arrivals)
        fleet = simulator.Fleet(replica=replica, num_replicas=count)
        run = simulator.simulate(fleet, load, warm_up_requests=load.num_requests // 5, seed=seed)
        reached = [run.percentiles_s(metric, (95,))["p95"] for metric in ("ttft", "tpot")]
        return max(reached[0] / limits.ttft_s, reached[1] / limits.tpot_s)

    assert np.median([worst(0.85 * told, seed) for seed in (11, 12, 13)]) <= 1.0
    assert np.median([worst(1.2 * told, seed) for seed in (11, 12, 13)]) >= 1.0


def test_fleets_under_bursts_are_within_twice_those_of_the_square_root_rule(tmp_path, monkeypatch):
    """Gaps of CV 13: the closed form knows the bursts by their variance only, the simulation one by one."""
    monkeypatch.setattr(surface, "user_cache", lambda: tmp_path)
    workload = catalog.workload("code")
    lengths = inference.lengths_from_workload(workload)
    model, on, cv = arch.load("llama-3.1-8b"), device.load("h100"), workload.arrival_cv_ratio
    one = inference.Deployment()
    made = capacity_surface(
        model, on, one, lengths, ASKED, arrival_cv_ratio=cv, stream_request_rate_per_s=workload.request_rate_per_s
    )
    each = made.capacity(ASKED)
    assert each[-1] > each[-2] > each[-3]  # bursts pool, and still cost something at the largest size simulated
    peaks = np.array([[240.0, 1000.0, 4000.0]])
    steady = inference.steady(model, on, one, lengths, ASKED)
    rule = inference.fleet_size(steady.request_rate_per_s, peaks, arrival_cv_ratio=cv, batch=steady.batch)
    ratio = made.fleet_size(peaks, each[None]) / rule
    assert np.all((ratio > 0.5) & (ratio < 2.0))
