from __future__ import annotations

from typing import Any

import pytest

from steelyard.records.joint_shares import joint_shares_of

HALVES = [[0.5, 0.0], [0.0, 0.5]]


def test_bins_are_of_equal_width_where_no_edges_are_stated() -> None:
    table = joint_shares_of([[0.2, 0.1, 0.2], [0.1333, 0.2333, 0.1333]])
    assert table.isl_edge_ratio.tolist() == [0.0, 0.5, 1.0]
    assert table.osl_edge_ratio == pytest.approx([0.0, 1 / 3, 2 / 3, 1.0])


def test_edges_that_are_stated_make_bins_of_other_widths() -> None:
    table = joint_shares_of([[0.1, 0.0], [0.1, 0.8]], [0, 0.1, 1], [0, 0.2, 1])
    assert table.request_ratio.sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("values", "edges", "told"),
    [
        (None, None, "is no table of shares; allowed: 2 to 100 rows"),
        ([[1.0]], None, "is no table of shares"),
        ([[0.5, 0.0], [0.5]], None, "is no table of shares"),
        ([0.5, 0.5], None, "is no table of shares"),
        ([[0.005] * 2] * 200, None, "is no table of shares"),
        ([[0.5, -0.1], [0.0, 0.5]], None, "hold '-0.1', which is no share"),
        ([[0.5, float("nan")], [0.0, 0.5]], None, "hold 'nan', which is no share"),
        ([[0.5, True], [0.0, 0.5]], None, "hold 'True', which is no share"),
        ([[0.5, "much"], [0.0, 0.5]], None, "hold 'much', which is no share"),
        ([[0.5, 0.2], [0.2, 0.5]], None, "the shares sum to 1.4; allowed: 1, all requests"),
        ([[0.4, 0.2], [0.0, 0.4]], None, "row 1 sums to 0.6; allowed: 0.5"),
        ([[0.3, 0.2], [0.3, 0.2]], None, "column 1 sums to 0.6; allowed: 0.5"),
        (HALVES, [0, 0.2, 1], "row 1 sums to 0.5; allowed: 0.2"),
        ([[0.0, 0.0], [0.5, 0.5]], [0, 0.001, 1], "row 1 sums to 0; allowed: 0.001"),
        (HALVES, [0, 0.5], "isl_edges are no edges of bins; allowed: a list of shares"),
        (HALVES, [0, 0.2, 0.4, 1], "isl_edges: 4 edges; allowed: 3, for the table has 2 bins"),
        (HALVES, [0.1, 0.5, 1], "isl_edges are no edges of bins"),
        (HALVES, [0, 50, 100], "isl_edges hold '50', which is no share"),
        (HALVES, 0.5, "isl_edges are no edges of bins"),
    ],
)
def test_what_is_no_joint_distribution_is_refused_in_one_line(values: Any, edges: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        joint_shares_of(values, edges)
    assert "\n" not in str(caught.value)
    assert "allowed: " in str(caught.value)
