"""A hybrid is as slow as the API it sends answers to, once that is more of them than the objective leaves out."""

import numpy as np
import pytest

from steelyard.compare.case import build_case
from steelyard.compare.routes.hybrid import Split, _overflow_misses
from steelyard.compare.routes.overflow import from_api
from steelyard.compare.scenario import Scenario

from .conftest import example

API = "openai/gpt-6-luna"


def misses(ttft, over, percentile=95):
    """Return what stands against sending a share of the answers to an API (published TTFT: 0.3 to 4 s, mostly)."""
    limit = {"percentile": percentile, "limit": ttft}
    case = build_case(Scenario.model_validate(example(objective__ttft=limit, objective__tpot=None)))
    months = np.full((1, case.months), over)
    split = Split(replicas=months, over_ratio=months, energy_j=months, parts={})
    return _overflow_misses(case, from_api(case, API), split)


@pytest.mark.parametrize(
    ("ttft", "over", "percentile", "out"),
    [
        ("100 ms", 0.20, 95, True),
        ("100 ms", 0.03, 95, False),  # within the 5% that a p95 leaves out
        ("100 ms", 0.03, 99, True),
        ("30 s", 0.90, 95, False),  # the API keeps the limit
    ],
)
def test_a_slow_api_counts_where_more_go_to_it_than_the_objective_leaves_out(ttft, over, percentile, out):
    assert bool(misses(ttft, over, percentile)) == out
