"""A serving fleet under traffic: a trace at a level of load."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from steelyard.compare.serving.traffic_case import case_of
from steelyard.compare.serving.traffic_question import TrafficQuestion
from steelyard.errors import InputError


def trace_of(folder: Path, times: np.ndarray) -> str:
    file = folder / "trace.csv"
    rows = "".join(f"{time},500,100\n" for time in times)
    file.write_text(f"arrival_s,isl,osl\n{rows}", encoding="utf-8")
    return str(file)


def load_of(**asked):
    return case_of(TrafficQuestion(model="llama-3.1-8b", device="h100-sxm", **asked)).load


def test_a_level_of_load_is_the_same_rate_for_a_trace_and_for_the_same_lengths_stated(tmp_path):
    times = np.cumsum(np.random.default_rng(1).exponential(1.0, 300))
    traced = load_of(load=trace_of(tmp_path, times), level_ratio=0.5)
    stated = load_of(isl_tokens=500, osl_tokens=100, level_ratio=0.5)
    assert traced.request_rate_per_s == pytest.approx(stated.request_rate_per_s)
    gaps = np.diff(traced.trace_times)
    assert gaps.mean() == pytest.approx(1 / traced.request_rate_per_s)
    assert gaps / gaps.mean() == pytest.approx(np.diff(times) / np.diff(times).mean(), rel=1e-6)  # its shape stays


def test_requests_at_one_moment_have_no_level(tmp_path):
    with pytest.raises(InputError, match="at one moment"):
        load_of(load=trace_of(tmp_path, np.zeros(3)), level_ratio=0.5)


@pytest.mark.parametrize("asked", [{"concurrency": 4}, {"all_at_once": True}])
def test_a_trace_has_times_of_its_own(tmp_path, asked):
    with pytest.raises(InputError, match="a trace with its own times"):
        load_of(load=trace_of(tmp_path, np.arange(3.0)), **asked)
