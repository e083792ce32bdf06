"""Who wins, and where the lines cross; all expected values by hand."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.compare.break_even import crossing, describe, find_break_even, smooth
from steelyard.compare.result import TIE, TOO_CLOSE, Segment
from steelyard.compare.verdict import best_of


def test_the_best_in_most_worlds_wins():
    cheap = np.array([1.0] * 9 + [3.0]).reshape(-1, 1)
    verdict = best_of({"a": cheap, "b": np.full((10, 1), 2.0)}, criterion="less")
    assert verdict.winner == "a"
    assert verdict.probability == 0.9


def test_even_odds_are_too_close_to_call():
    a = np.array([1.0, 3.0]).reshape(-1, 1)
    verdict = best_of({"a": a, "b": np.full((2, 1), 2.0)}, criterion="less")
    assert verdict.winner == TOO_CLOSE
    assert "a or b" in verdict.because


def test_nobody_in_the_running_is_said():
    assert best_of({}, criterion="less").winner == ""


def test_equals_tie():
    same = np.ones((10, 1))
    verdict = best_of({"a": same, "b": same, "c": same * 2}, criterion="less")
    assert verdict.winner == TIE
    assert verdict.because == "a and b alike"


def test_more_can_be_better():
    verdict = best_of({"a": np.full((5, 1), 2.0), "b": np.ones((5, 1))}, criterion="more", lower_is_better=False)
    assert verdict.winner == "a"


@settings(max_examples=40, deadline=None)
@given(
    per_request=st.floats(min_value=1e-5, max_value=0.1),
    fixed=st.floats(min_value=10.0, max_value=1e6),
    share=st.floats(min_value=0.0, max_value=0.9),
)
def test_costs_are_equal_on_both_sides_of_a_break_even(per_request, fixed, share):
    # api = p x load, serve = fixed + share p x load: they cross at fixed / (p (1 - share))
    expected = fixed / (per_request * (1 - share))

    def curves(loads, routes=("api", "serve")):
        both = {"api": per_request * loads, "serve": fixed + share * per_request * loads}
        return {route: both[route] for route in routes}

    even = find_break_even(curves, stated_requests_per_month=expected / 30)
    assert [segment.route for segment in even.segments] == ["api", "serve"]
    load = even.segments[0].to_requests_per_month
    assert np.isclose(load, expected, rtol=1e-4)
    at = curves(np.array([load]))
    assert np.isclose(at["api"][0], at["serve"][0], rtol=1e-4)


def test_whole_devices_do_not_make_a_lead_change_at_every_step():
    assert smooth(np.array([0, 0, 0, 0, 1, 0, 1, 1, 1, 1, 1])).tolist() == [0] * 6 + [1] * 5


def test_a_crossing_outside_is_the_edge():
    def curves(loads, routes=()):
        return {"a": loads, "b": loads * 2}

    assert crossing(curves, "a", "b", 1.0, 10.0) == 10.0


def test_the_line_names_every_segment():
    segments = (
        Segment(route="api", from_requests_per_month=0.0, to_requests_per_month=2e6),
        Segment(route="serve", from_requests_per_month=2e6, to_requests_per_month=float("inf")),
    )
    assert describe(segments, 6e5, 6e1, 6e9) == (
        "Cheapest at the median: api below 2M requests a month, serve above 2M requests (60 requests to 6B requests a "
        "month looked at). You start at 600k requests a month."
    )


def test_a_lead_that_is_never_worse_wins():
    # b equals a in six of ten worlds and is worse in four: a is best in all of them.
    other = np.array([1.0] * 6 + [2.0] * 4).reshape(-1, 1)
    verdict = best_of({"a": np.ones((10, 1)), "b": other}, criterion="less")
    assert (verdict.winner, verdict.probability) == ("a", 1.0)


def test_single_values_have_no_share_of_draws():
    assert best_of({"a": np.ones(1), "b": np.full(1, 2.0)}, criterion="less").probability is None
