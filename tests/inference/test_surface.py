"""Capacity surfaces: what they say of fleets, and that they are kept by what they depend on."""

import numpy as np
import pytest

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

    def make(cv=1.0):
        return capacity_surface(model, on, inference.Deployment(), lengths, ASKED, arrival_cv_ratio=cv)

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


def test_a_broken_file_in_the_cache_is_made_again(made, tmp_path):
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


def test_a_fleet_carries_its_load_and_one_less_would_not():
    """By hand: alone a replica carries 2 / s, of two 3 / s each, of eight 4 / s each."""
    plain = CapacitySurface(
        replicas=np.array([1.0, 2.0, 8.0]),
        request_rate_per_s=np.array([1.0]),
        ttft_s=np.zeros((3, 1)),
        tpot_s=np.zeros((3, 1)),
        request_overhead_s=0.0,
    )
    each = np.array([[2.0, 3.0, 4.0]])
    peaks = np.array([[0.0, 0.5, 2.0, 2.1, 6.0, 32.0, 40.0, 400.0]])
    assert plain.fleet_size(peaks, each).tolist() == [[0.0, 1.0, 1.0, 2.0, 2.0, 8.0, 10.0, 100.0]]
    many = plain.fleet_size(np.linspace(0.01, 100.0, 500)[None], each)[0]
    assert np.all(np.diff(many) >= 0)
    assert plain.fleet_size(np.array([[1.0]]), np.zeros((1, 3))).tolist() == [[np.inf]]
