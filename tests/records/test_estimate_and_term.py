"""Ranges are read off draws; terms explain themselves."""

from dataclasses import dataclass

import numpy as np
import pytest

from steelyard.records.estimate import Estimate, estimate
from steelyard.records.term import explain, term
from steelyard.units import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    area_m2: Array = term("area", "m2", "width x height", parts=("width_m", "height_m"))
    width_m: Array = term("width", "m")
    height_m: Array = term("height", "m", source="a ruler")


def test_quantiles_of_eleven_draws_by_hand():
    # 0..10: p10 = 1, p50 = 5, p90 = 9
    assert estimate(np.arange(11.0)) == Estimate(p10=1.0, p50=5.0, p90=9.0)


def test_unlimited_draws_do_not_become_nan():
    found = estimate([1.0, 2.0, np.inf])
    assert found.p90 == np.inf
    assert found.p50 == 2.0


def test_ranges_that_share_a_value_overlap():
    low, high = Estimate(p10=1, p50=2, p90=3), Estimate(p10=3, p50=4, p90=5)
    assert low.overlaps(high)
    assert not low.overlaps(Estimate(p10=3.1, p50=4, p90=5))


def test_a_record_explains_one_configuration():
    area = Area(area_m2=np.array([6.0, 20.0]), width_m=np.array([2.0, 4.0]), height_m=np.array([3.0, 5.0]))
    tree = explain(area, index=(1,))
    assert (tree.label, tree.value) == ("area", 20.0)
    assert [child.value for child in tree.children] == [4.0, 5.0]
    assert [node.source for node in tree.walk()] == ["", "", "a ruler"]


def test_only_records_of_terms_explain_themselves():
    with pytest.raises(TypeError, match="declares no terms"):
        explain(Estimate(p10=1, p50=2, p90=3))
