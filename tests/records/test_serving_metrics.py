from __future__ import annotations

import numpy as np
import pytest

from steelyard.records.requests import RequestEvents
from steelyard.records.serving_metrics import serving_metrics
from steelyard.records.workload import Objective

NAN = float("nan")
EVENTS = RequestEvents(  # the third fails after 4 s, the fourth has one token
    arrival_s=np.array([0.0, 1.0, 2.0, 3.0]),
    sent_s=np.array([0.0, 1.5, 2.0, 3.0]),
    first_token_s=np.array([1.0, 3.0, NAN, 3.5]),
    end_s=np.array([3.0, 8.0, 6.0, 3.5]),
    isl_tokens=np.array([10, 20, 30, 40]),
    osl_tokens=np.array([5, 11, 0, 1]),
    error=("", "", "http 500", ""),
    gaps_s=np.array([0.5, 0.5, 0.5, 0.5]),
)


def test_times_count_from_when_a_request_was_due() -> None:
    assert EVENTS.ttft_s[1] == 2.0  # due at 1, sent at 1.5, first token at 3
    assert EVENTS.e2e_s.tolist() == [3.0, 7.0, 4.0, 0.5]
    assert EVENTS.tpot_s[:2].tolist() == [0.5, 0.5]  # (3 - 1) / 4, (8 - 3) / 10
    assert np.isnan(EVENTS.tpot_s[3])


def test_rates_failures_and_goodput() -> None:
    found = serving_metrics(EVENTS, Objective(ttft_s=1.0, tpot_s=0.5))
    assert (found.num_requests, found.num_answered, found.errors) == (4, 3, {"http 500": 1})
    assert found.elapsed_s == 8.0
    assert found.request_rate_per_s == 3 / 8
    assert found.output_tokens_per_s == 17 / 8
    assert found.goodput_request_per_s == 2 / 8  # the first, and the fourth, which has no TPOT to miss
    assert found.slo_attainment_ratio == 2 / 4
    assert found.mean_in_system_requests == pytest.approx(14.5 / 8)  # Little: (3 + 7 + 4 + 0.5) / 8
    assert found.ttft.percentiles_s[50.0] == 1.0
    assert found.send_delay.count == 4
    assert found.itl.mean_s == 0.5
