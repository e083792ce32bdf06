"""Streams of requests together: their mean rate, their bursts, and how these pool."""

import numpy as np
import pytest

from steelyard.errors import InputError
from steelyard.inference import simulator
from steelyard.records.workload import Lengths

LENGTHS = Lengths(isl_tokens=np.array([100.0]), osl_tokens=np.array([10.0]))


def times(rate, stream, cv=5.0, seed=0, count=200_000):
    load = simulator.streams_load(
        LENGTHS, rate, count, arrival_cv_ratio=cv, stream_request_rate_per_s=stream, seed=seed
    )
    return load.trace_times


def cv_of(arrivals):
    gaps = np.diff(arrivals)
    return gaps.std() / gaps.mean()


def dispersion(arrivals, window_s):
    """Return the variance of the counts in windows over their mean."""
    counts = np.bincount((arrivals / window_s).astype(int))[:-1]
    return counts.var() / counts.mean()


def test_one_stream_has_the_gaps_asked_for():
    assert cv_of(times(10.0, 10.0)) == pytest.approx(5.0, rel=0.1)
    assert cv_of(times(1.0, 10.0)) == pytest.approx(5.0, rel=0.1)  # less than one stream is one, slowed down
    assert cv_of(times(10.0, 10.0, cv=0.0)) == pytest.approx(0.0, abs=1e-9)


def test_streams_together_are_smooth_in_a_short_time_and_keep_their_bursts_in_a_long_one():
    """Whitt 1982: the counts of a superposition vary as one stream's in the long run, cv^2 times Poisson's."""
    together = times(1000.0, 10.0, cv=3.0, count=2_000_000)
    one = times(1000.0, 1000.0, cv=3.0, count=2_000_000)
    assert dispersion(together, 20.0) == pytest.approx(9.0, rel=0.35)
    assert dispersion(one, 0.05) == pytest.approx(9.0, rel=0.2)
    assert dispersion(together, 0.05) < 0.6 * dispersion(one, 0.05)


def test_the_mean_rate_is_the_one_asked_for_and_the_seed_decides():
    for rate in (3.0, 80.0):
        arrivals = times(rate, 10.0, cv=13.0, count=5000)
        assert len(arrivals) / arrivals[-1] == pytest.approx(rate)
        assert np.all(np.diff(arrivals) >= 0)
    assert np.array_equal(times(50.0, 10.0, seed=1, count=1000), times(50.0, 10.0, seed=1, count=1000))
    assert not np.array_equal(times(50.0, 10.0, seed=1, count=1000)[:9], times(50.0, 10.0, seed=2, count=1000)[:9])


def test_a_rate_that_is_none_is_refused():
    with pytest.raises(InputError, match="request rate"):
        times(0.0, 10.0)
