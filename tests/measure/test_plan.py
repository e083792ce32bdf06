from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.errors import InputError
from steelyard.measure.load import closed_plan, open_plan, trace_plan
from steelyard.records.workload import Lengths

LENGTHS = Lengths(isl_tokens=np.array([10.0, 20.0]), osl_tokens=np.array([5.0, 6.0]))


@pytest.mark.parametrize("cv", [0.0, 0.5, 1.0, 2.0])
def test_gaps_have_the_mean_and_the_spread_asked_for(cv: float) -> None:
    gaps = np.diff(open_plan(LENGTHS, 4.0, num_requests=40_000, arrival_cv_ratio=cv, seed=3).arrival_s)
    assert gaps.mean() == pytest.approx(0.25, rel=0.05)  # 1 / 4 per s
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.05, abs=1e-9)


@given(seed=st.integers(0, 1000), duration=st.floats(0.01, 100.0))
def test_nothing_is_due_after_the_end_and_a_seed_repeats(seed: int, duration: float) -> None:
    plan, again = (open_plan(LENGTHS, 3.0, num_requests=100, duration_s=duration, seed=seed) for _ in range(2))
    assert (plan.arrival_s < duration).all()
    assert len(plan) == len(plan.arrival_s) == len(plan.osl_tokens) >= 1
    assert (plan.arrival_s == again.arrival_s).all()
    assert (plan.isl_tokens == again.isl_tokens).all()
    assert set(zip(plan.isl_tokens, plan.osl_tokens, strict=True)) <= {(10, 5), (20, 6)}


def test_a_trace_is_replayed_at_its_times() -> None:
    times_s = np.array([0.0, 1.5, 4.0])
    lengths = Lengths(isl_tokens=np.array([10.0, 20.0, 10.0]), osl_tokens=np.array([5.0, 6.0, 5.0]))
    assert trace_plan(lengths, times_s).arrival_s.tolist() == [0.0, 1.5, 4.0]
    twice = trace_plan(lengths, times_s, speed_ratio=2.0, duration_s=1.0)
    assert (twice.arrival_s.tolist(), twice.isl_tokens.tolist()) == ([0.0, 0.75], [10, 20])
    assert len(trace_plan(lengths, times_s, num_requests=1)) == 1
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="speed"):
            trace_plan(lengths, times_s, speed_ratio=wrong)


def test_wrong_loads_are_refused() -> None:
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="rate"):
            open_plan(LENGTHS, wrong, num_requests=1)
    with pytest.raises(InputError, match="concurrency"):
        closed_plan(LENGTHS, 0, num_requests=1)
    with pytest.raises(InputError, match="requests"):
        closed_plan(LENGTHS, 1, num_requests=0)
