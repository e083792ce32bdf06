"""Lengths: samples that agree with what was stated, the same ones every time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import catalog
from steelyard.errors import InputError
from steelyard.inference import lengths_from_stated, lengths_from_workload
from steelyard.inference.lengths import normal_score

PRESETS = ["chat", "code", "long-context", "reasoning", "classification"]


@pytest.mark.parametrize("preset", PRESETS)
def test_preset_keeps_its_means_and_quantiles(preset):
    workload = catalog.workload(preset)
    drawn = lengths_from_workload(workload)
    assert drawn.mean_isl_tokens == pytest.approx(workload.isl_mean_tokens, rel=0.01)
    assert drawn.mean_osl_tokens == pytest.approx(workload.osl_mean_tokens, rel=0.01)
    for share in (0.5, 0.9):
        assert np.quantile(drawn.isl_tokens, share) == pytest.approx(workload.isl_quantile_tokens[share], rel=0.05)
        assert np.quantile(drawn.osl_tokens, share) == pytest.approx(
            workload.osl_quantile_tokens[share], rel=0.05, abs=1
        )


def test_presets_agree_with_the_traces_they_were_read_off():
    # Azure 2023 conversation: prompts mean 1155, p50 1020, p90 2735; answers mean 211, p50 129, p90 424.
    chat = lengths_from_workload(catalog.workload("chat"))
    assert chat.mean_isl_tokens == pytest.approx(1155, rel=0.01)
    assert np.quantile(chat.isl_tokens, [0.5, 0.9]) == pytest.approx([1020, 2735], rel=0.02)
    assert chat.mean_osl_tokens == pytest.approx(211, rel=0.01)
    assert np.quantile(chat.osl_tokens, [0.5, 0.9]) == pytest.approx([129, 424], rel=0.02)


def _ranks(values):
    return np.argsort(np.argsort(values, kind="stable"), kind="stable")


@pytest.mark.parametrize("wanted", [-0.8, 0.0, 0.4, 0.9])
def test_rank_correlation_is_the_one_asked_for(wanted):
    drawn = lengths_from_stated({"p50": 100, "p90": 900}, {"p50": 50, "p90": 300}, rank_correlation=wanted)
    got = np.corrcoef(_ranks(drawn.isl_tokens), _ranks(drawn.osl_tokens))[0, 1]
    assert got == pytest.approx(wanted, abs=0.03)


def test_same_input_same_samples():
    first, second = (lengths_from_stated({"mean": 500}, {"mean": 50}, rank_correlation=0.3) for _ in range(2))
    assert np.array_equal(first.isl_tokens, second.isl_tokens)
    assert np.array_equal(first.osl_tokens, second.osl_tokens)


def test_percentiles_are_interpolated_log_normally():
    # p50 100 and p90 1000: at the normal score of p75 (0.6745 of 1.2816) the length is 100 * 10^0.5263 = 336.
    drawn = lengths_from_stated({"p50": 100, "p90": 1000}, {"fixed": 1}, num_samples=2000)
    assert np.quantile(drawn.isl_tokens, [0.5, 0.75, 0.9]) == pytest.approx([100, 336, 1000], rel=0.02)


def test_mean_alone_is_spread_and_says_so():
    drawn = lengths_from_stated({"mean": 1000}, {"fixed": 10})
    assert drawn.mean_isl_tokens == pytest.approx(1000)
    assert drawn.isl_tokens.max() > 3000
    assert "assumed" in drawn.label.partition("answer")[0]
    assert "assumed" not in drawn.label.partition("answer")[2]


@settings(max_examples=40, deadline=None)
@given(
    median=st.floats(10, 1e4),
    rise=st.floats(1.2, 6.0),
    tilt=st.floats(0.0, 1.0),
)
def test_mean_and_percentiles_hold_together(median, rise, tilt):
    free = lengths_from_stated({"p50": median, "p90": median * rise}, {"fixed": 1})
    mean = free.mean_isl_tokens * (0.95 + 0.2 * tilt)
    try:
        drawn = lengths_from_stated({"p50": median, "p90": median * rise, "mean": mean}, {"fixed": 1})
    except InputError:
        return  # a mean that the percentiles do not allow is refused, never bent silently
    assert drawn.mean_isl_tokens == pytest.approx(mean, rel=0.051)
    assert np.quantile(drawn.isl_tokens, 0.9) == pytest.approx(median * rise, rel=0.05)
    assert (drawn.isl_tokens >= 1).all()


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ({}, "at least one"),
        ({"mean": -1}, "between"),
        ({"mean": float("nan")}, "not a number"),
        ({"mean": 1e12}, "between"),
        ({"mean": "many"}, "not a number"),
        ({"p50": 100, "p90": 50}, "must not fall"),
        ({"p500": 100}, "unknown key"),
        ({"median": 100}, "unknown key"),
        ({"fixed": 10, "p90": 20}, "stands alone"),
        ({"p50": 100, "p90": 120, "mean": 5000}, "does not go with"),
    ],
)
def test_wrong_statements_get_one_clear_line(stated, told):
    with pytest.raises(InputError, match=told) as caught:
        lengths_from_stated(stated, {"mean": 10})
    assert "isl" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_normal_score_of_known_shares():
    assert normal_score([0.5, 0.9, 0.975]) == pytest.approx([0.0, 1.2816, 1.95996], abs=1e-4)
