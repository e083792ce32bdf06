from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    assert found.send_delay.percentiles_s[50.0] == 0.0
    assert found.send_delay.mean_s == 0.125  # (0 + 0.5 + 0 + 0) / 4


@given(
    ttft_s=st.lists(st.floats(0.01, 10), min_size=1, max_size=20), limit_s=st.floats(0.01, 10),
    tpot_limit_s=st.floats(0.01, 10), data=st.data(),
)  # fmt: skip
def test_good_is_what_keeps_both_limits(
    ttft_s: list[float], limit_s: float, tpot_limit_s: float, data: st.DataObject
) -> None:
    count = len(ttft_s)
    tpot_s = data.draw(st.lists(st.floats(0.01, 10), min_size=count, max_size=count))
    failed = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    events = answers(ttft_s, tpot_s, failed)
    good = sum(
        ttft <= limit_s and tpot <= tpot_limit_s
        for ttft, tpot, gone in zip(events.ttft_s, events.tpot_s, failed, strict=True)
        if not gone
    )
    found = serving_metrics(events, Objective(ttft_s=limit_s, tpot_s=tpot_limit_s))
    assert found.slo_attainment_ratio == pytest.approx(good / count)
    assert found.goodput_request_per_s == pytest.approx(good / found.elapsed_s)
    assert found.goodput_request_per_s <= found.request_rate_per_s * (1 + 1e-9)
    assert found.num_answered + sum(found.errors.values()) == count


def answers(ttft_s: list[float], tpot_s: list[float], failed: list[bool]) -> RequestEvents:
    """Return requests that are due one a second, each with three tokens of answer."""
    due = np.arange(float(len(ttft_s)))
    first = due + np.array(ttft_s)
    return RequestEvents(
        arrival_s=due,
        sent_s=due,
        first_token_s=first,
        end_s=first + 2 * np.array(tpot_s),
        isl_tokens=np.full(len(due), 7),
        osl_tokens=np.full(len(due), 3),
        error=tuple("cut off" if gone else "" for gone in failed),
        gaps_s=np.empty(0),
    )


def test_where_nothing_ended_there_is_no_rate() -> None:
    nothing = replace(
        answers([1.0, 1.0], [1.0, 1.0], [True, True]), first_token_s=np.full(2, NAN), end_s=np.full(2, NAN)
    )
    found = serving_metrics(nothing)
    assert (found.elapsed_s, found.request_rate_per_s, found.slo_attainment_ratio) == (0.0, 0.0, 0.0)
    at_once = replace(answers([0.0], [0.0], [False]), osl_tokens=np.ones(1, dtype=np.int64))
    assert serving_metrics(at_once).request_rate_per_s == 0.0  # all in no time: no rate, and no division by it
