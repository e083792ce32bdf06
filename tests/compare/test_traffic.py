"""A serving fleet under traffic: a trace at a level of load."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from steelyard.compare.serving.traffic import simulate_serving
from steelyard.compare.serving.traffic_case import case_of
from steelyard.compare.serving.traffic_question import TrafficQuestion
from steelyard.errors import InputError
from steelyard.inference import simulator


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


@pytest.mark.parametrize("asked", [
    {"isl_tokens": 500, "osl_tokens": 20}, {"arrival_cv_ratio": 3.0}, {"gaps": "weibull"}, {"daily": True},
])  # fmt: skip
def test_what_a_trace_has_of_its_own_is_not_asked_for(tmp_path, asked):
    with pytest.raises(InputError, match="trace"):
        load_of(load=trace_of(tmp_path, np.arange(3.0)), **asked)


@pytest.mark.parametrize("fleet", [
    {}, {"max_sequences": 4}, {"max_sequences": 16, "dp": 2}, {"token_budget": 512, "max_sequences": 128},
    {"static": True, "max_sequences": 32}, {"engine": "transformers"}, {"replicas": 2, "max_sequences": 8},
    {"replicas": 3, "decode_replicas": 1}, {"replicas": 1, "decode_replicas": 2, "decode_layout": "tp=2"},
])  # fmt: skip
def test_a_level_is_a_share_of_what_this_fleet_answers(fleet):
    asked = TrafficQuestion(
        model="llama-3.1-8b", device="h100-sxm", isl_tokens=500, osl_tokens=100, level_ratio=0.5, **fleet
    )
    case = case_of(asked)
    run = simulator.simulate(case.fleet, simulator.burst_load(case.load.lengths, 4000))
    assert run.num_requests / run.duration_s == pytest.approx(2.0 * case.load.request_rate_per_s, rel=0.2)


def test_a_daily_shape_says_which_part_of_the_day_it_is():
    label = load_of(load="classification", request_rate_per_s=10.0, daily=True, num_requests=864_000).label
    assert "daily shape over 24 h from midnight" in label


def test_the_step_that_is_explained_is_of_what_decodes():
    asked = {"model": "llama-3.1-8b", "device": "h100-sxm", "num_requests": 200, "draws": 0, "replicas": 1}
    same, wide = (
        simulate_serving(TrafficQuestion(**asked, decode_replicas=1, decode_layout=layout)).breakdown["step"]
        for layout in ("tp=1", "tp=4")
    )
    collectives_s = [next(part.value for part in step.walk() if part.label == "collectives") for step in (same, wide)]
    assert collectives_s[0] == 0.0 < collectives_s[1]
