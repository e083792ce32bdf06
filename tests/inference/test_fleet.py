"""Fleets: replicas for a load, what spreading costs, how long a start takes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import catalog
from steelyard.errors import InputError
from steelyard.inference import cold_start, fleet_size, prefix_hit_ratio, replica_scaling

RATE = st.floats(1e-3, 1e6)


def test_whole_replicas():
    assert fleet_size(10.0, np.array([0.0, 0.001, 10.0, 10.01, 95.0])).tolist() == [0, 1, 1, 2, 10]
    assert fleet_size(np.array([10.0, 20.0]), 40.0).tolist() == [4, 2]
    assert np.isinf(fleet_size(0.0, 1.0))
    assert fleet_size(0.0, 0.0) == 0


def test_bursts_need_more():
    # 2.5 replicas of 100 places; cv 3 adds 1.645 sqrt(2.5 * (9 - 1) / 2 / 100) = 0.52
    assert fleet_size(10.0, 25.0, arrival_cv_ratio=3.0, batch=100.0) == 4
    assert fleet_size(10.0, 25.0, arrival_cv_ratio=1.0, batch=100.0) == 3
    assert fleet_size(10.0, 25.0, arrival_cv_ratio=0.5, batch=100.0) == 3  # smoother than Poisson saves nothing


@settings(max_examples=50, deadline=None)
@given(capacity=RATE, peak=RATE, more=st.floats(1.0, 100.0), cv=st.floats(0.0, 15.0), batch=st.floats(1.0, 1000.0))
def test_fleet_laws(capacity, peak, more, cv, batch):
    size = float(fleet_size(capacity, peak, arrival_cv_ratio=cv, batch=batch))
    assert size >= max(1.0, peak / capacity * (1 - 1e-9) - 1e-6)
    assert size == np.ceil(size)
    assert fleet_size(capacity, peak * more, arrival_cv_ratio=cv, batch=batch) >= size
    assert fleet_size(capacity * more, peak, arrival_cv_ratio=cv, batch=batch) <= size
    assert fleet_size(capacity, peak, arrival_cv_ratio=cv * more, batch=batch) >= size
    assert fleet_size(capacity, peak, arrival_cv_ratio=cv, batch=batch * more) <= size


@pytest.mark.parametrize(("capacity", "peak"), [(-1.0, 1.0), (1.0, -1.0), (float("nan"), 1.0), (1.0, float("nan"))])
def test_wrong_rates_are_refused(capacity, peak):
    with pytest.raises(InputError, match="from 0 on"):
        fleet_size(capacity, peak)


def test_spreading_over_caches_loses_hits_as_computed_from_the_trace():
    # Mooncake conversation, unbounded caches: 36.6% of blocks with one; 19.2, 9.9, 6.1% dealt in turn to 4, 16, 64.
    workload = catalog.workload("long-context")
    hits = prefix_hit_ratio(workload, np.array([1.0, 4.0, 16.0, 64.0]))
    assert hits / hits[0] == pytest.approx([1.0, 19.2 / 36.6, 9.9 / 36.6, 6.1 / 36.6], rel=1e-6)
    assert workload.prefix_hit_ratio == pytest.approx(0.366, abs=0.02)


def test_replica_efficiency_by_hand():
    workload = catalog.workload("long-context")
    # all work is prefill: (1 - 0.366) / (1 - 0.366 * 19.2 / 36.6)
    hit = workload.prefix_hit_ratio
    expected = (1 - hit) / (1 - hit * 19.2 / 36.6)
    assert replica_scaling(workload, 4.0, prefill_time_ratio=1.0) == pytest.approx(expected)
    assert replica_scaling(workload, 64.0, prefill_time_ratio=0.0) == 1.0
    falling = replica_scaling(workload, np.array([1.0, 2.0, 8.0, 100.0, 1e4]))
    assert falling[0] == 1.0
    assert (np.diff(falling) <= 0).all()
    assert falling[-1] == falling[-2]  # beyond what was computed nothing is extrapolated


def test_without_shared_prefixes_nothing_is_lost():
    assert (replica_scaling(catalog.workload("classification"), np.array([1.0, 100.0])) == 1.0).all()


def test_cold_start_grows_with_the_weights(llama_8b, llama_70b):
    small, large = cold_start(llama_8b).range_s, cold_start(llama_70b).range_s
    assert small.p10 < large.p10
    assert small.p90 < large.p90
    # Measured: 8B on an L40S 82 s with caches and 294 s without (61 s of it download); 70B about 80 s from local disk.
    assert 5 < small.p10 < small.p90 < 300
    assert 30 < large.p10 < large.p90 < 900
    assert cold_start(llama_70b, weight_dtype="fp8").range_s.p50 < large.p50
