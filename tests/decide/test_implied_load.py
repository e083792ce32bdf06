"""The loads at which a size is the cheapest: all of a plateau, the crossing of a size that never is, and the ends."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.decide.lifetime.implied import cheapest_loads

COSTS = st.lists(st.tuples(st.floats(1.0, 100.0), st.floats(1.0, 100.0)), min_size=2, max_size=8)


@given(costs=COSTS, share=st.floats(0.01, 0.99))
@settings(max_examples=100, deadline=None)
def test_a_size_costs_least_more_than_the_cheapest_at_all_its_loads_and_more_at_all_others(costs, share):
    trained, served = np.array(costs).T
    least, most = cheapest_loads(trained, served, 0)

    def above_the_cheapest(load):
        total = trained + load * served
        return total[0] - total.min()

    inside = least + share * (min(most, 1e4) - least) if least < 1e4 else least
    nothing = above_the_cheapest(inside)
    slack = 1e-4 * (1.0 + inside) * (trained[0] + served[0])
    others = [*np.linspace(0.0, 200.0, 201), *np.geomspace(1e-3, 1e5, 201)]
    assert nothing <= min(map(above_the_cheapest, others)) + slack
    beyond = [load for load in (least / 1.1, most * 1.1) if not least <= load <= most]
    assert all(above_the_cheapest(load) >= nothing - slack for load in beyond)


def test_a_plateau_is_told_whole():
    """To train 10, 6, 5; to serve 1, 2, 4 a token: the middle one is the cheapest from 1/2 to 4."""
    assert cheapest_loads(np.array([10.0, 6.0, 5.0]), np.array([1.0, 2.0, 4.0]), 1) == (0.5, 4.0)


def test_the_ends_have_no_load_too_small_and_none_too_large():
    trained, served = np.array([10.0, 6.0, 5.0]), np.array([1.0, 2.0, 4.0])
    assert cheapest_loads(trained, served, 0) == (4.0, math.inf)
    assert cheapest_loads(trained, served, 2) == (0.0, 0.5)
    assert cheapest_loads(np.array([10.0, 6.0, 7.0]), served, 2) == (0.0, 0.0)  # dearer in both


def test_a_size_that_is_never_the_cheapest_has_the_load_at_which_it_costs_least_more():
    """Between 10 + T and 5 + 4T, which cross at 5/3, lies 9 + 3T: at 5/3 it costs 14, they 11.67."""
    found = cheapest_loads(np.array([10.0, 9.0, 5.0]), np.array([1.0, 3.0, 4.0]), 1)
    assert found == pytest.approx((5 / 3, 5 / 3), rel=1e-4)
