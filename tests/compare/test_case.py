"""A scenario made concrete: demand by month, its daily shape, its growth."""

import numpy as np
import pytest

from steelyard.compare.case import build_case, sharpened
from steelyard.compare.scenario import Scenario

from .conftest import example


@pytest.mark.parametrize("peak", [1.0, 1.5, 3.0, 10.0])
def test_a_daily_shape_has_the_peak_asked_for_and_mean_one(peak):
    shape = sharpened(np.exp(np.sin(np.arange(24) / 4)), peak)
    assert np.isclose(shape.mean(), 1.0)
    assert np.isclose(shape.max(), peak, rtol=1e-6)
    assert (shape >= 0).all()


def test_demand_grows_month_by_month():
    case = build_case(
        Scenario.model_validate(example(demand__growth_per_month="10%", demand__growth_range=None, horizon=3))
    )
    # 100,000 a day over 365.25 / 12 days, then 1.1 and 1.21 times that
    np.testing.assert_allclose(case.requests[0], [3_043_750, 3_348_125, 3_682_937.5])


def test_loads_take_the_place_of_draws():
    case = build_case(Scenario.model_validate(example()))
    at = case.at_loads(np.array([1.0, 10.0]))
    assert at.requests.shape == (2, 24)
    np.testing.assert_allclose(at.requests[1], 10 * at.requests[0])
