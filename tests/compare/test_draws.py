"""Draws reproduce the three points they are given, independently and repeatably."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.compare.draws import Draws

POSITIVE = st.floats(min_value=0.1, max_value=10.0)


@settings(max_examples=30, deadline=None)
@given(st.tuples(POSITIVE, POSITIVE, POSITIVE).map(sorted))
def test_quantiles_are_the_points_given(points):
    low, mid, high = points
    drawn = Draws(999, 1).between("x", low, mid, high)
    assert drawn.shape == (999, 1)
    np.testing.assert_allclose(np.quantile(drawn, [0.1, 0.5, 0.9]), points, rtol=0.02)


def test_the_median_case_is_the_middle_value():
    assert Draws(3, None).between("x", 1.0, 2.0, 9.0).tolist() == [[2.0], [2.0], [2.0]]


def test_inputs_are_independent_and_repeatable():
    one, two = Draws(400, 7).normal("price"), Draws(400, 7).normal("growth")
    assert abs(np.corrcoef(one[:, 0], two[:, 0])[0, 1]) < 0.15
    assert (one == Draws(400, 7).normal("price")).all()
    assert (one != Draws(400, 8).normal("price")).any()


def test_observed_prices_keep_their_order_statistics():
    prices = np.array([1.0, 2.0, 4.0])
    drawn = Draws(999, 3).from_sorted("rental", prices)
    assert drawn.min() >= 1.0
    assert drawn.max() <= 4.0
    assert np.isclose(np.median(drawn), 2.0, rtol=0.01)


def test_a_range_out_of_order_is_refused():
    with pytest.raises(ValueError, match="low <= mid <= high"):
        Draws(3, 0).between("x", 2.0, 1.0, 3.0)
