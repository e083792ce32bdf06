"""The parts every kind of validation shares: rows, families, errors, baselines, the fit, families left out."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard import catalog
from steelyard.cli.main import run
from steelyard.errors import InputError
from steelyard.validation.baselines import constant_share, nearest_row
from steelyard.validation.errors import Predicted, groups
from steelyard.validation.fit import MAX_FREE_PARAMETERS, Parameter, fit, robust_log_sigma
from steelyard.validation.folds import leave_family_out
from steelyard.validation.inference import points as inference_points
from steelyard.validation.operators import points as operators_points
from steelyard.validation.points import Point, Refusal, by_run, equal_weights

HEADER = "source,model,gpu,n_gpus,metric,value"


@pytest.mark.parametrize("name", ["training", "inference", "operators"])
def test_every_shipped_row_has_source_metric_and_a_value_above_zero(name):
    rows = catalog.published(name).rows
    assert len(rows) > 1000
    assert all(row["source"] and row["metric"] and float(row["value"]) > 0 for row in rows)


def test_every_family_is_of_a_shipped_source():
    for row in catalog.published("families").rows:
        if row["file"] == "training":
            assert any(row["source"] == found["source"] for found in catalog.published("training").rows)


def test_own_file_may_leave_columns_out(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(f"{HEADER},site\nlab,llama,h100,8,step_time_s,1.5,here\n", encoding="utf-8")
    read = catalog.read_published(path, "training")
    assert read.rows[0]["tp"] == ""
    assert read.rows[0]["value"] == "1.5"
    assert "site" in read.warnings[0]


@pytest.mark.parametrize(
    ("kind", "text", "reasons"),
    [
        (
            "training",
            "id,source,model,gpu,n_gpus,metric,value\n"
            "a,lab,llama-3.1-8b,h100,8,step_time_s,2\nb,lab,llama-3.1-8b,h100,8,step_time_s,3\nc,lab,llama-3.1-8b,h100,8,loss,1\n",
            ["the sequence length is not stated (2); metric 'loss' is not one of "],
        ),
        (
            "inference",
            f"{HEADER}\nlab,nobody-7b,h100,1,tpot_ms,10\nlab,llama-3.1-8b,h100,1,smiles,4\nlab,nobody-7b,h100,1,e2e_s,3\n",
            ["model 'nobody-7b' is not in the catalogue (2); metric 'smiles' is not predicted (1)"],
        ),
        (
            "operators",
            "source,gpu,op,shape_size,metric,value\nlab,h100,sort,8,us,3\nlab,h100,sort,9,us,3\nlab,none,gemm,1x1x1,us,3\n",
            ["operator 'sort' is not predicted alone (2); device 'none' is not in the catalogue (1)"],
        ),
    ],
)
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_file_of_which_nothing_can_be_predicted_is_no_success(tmp_path, capsys, kind, text, reasons, form):
    path = tmp_path / "mine.csv"
    path.write_text(text, encoding="utf-8")
    assert run(["validate", kind, "--data", str(path), *form]) == 3
    out, err = capsys.readouterr()
    told = [line for line in err.splitlines() if not line.startswith("steelyard: warning: ")]
    assert len(told) == 1
    assert f"{path}: none of its 3 measurements can be predicted: " in told[0]
    assert all(reason in told[0] for reason in reasons)
    assert "refused" in out


@pytest.mark.parametrize("kind", ["training", "inference", "operators"])
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("no toml = = 1\n", "is not valid TOML"),
        ("[figures]\nmatmul_ratio = { value = 'fast', unit = '1' }\n", "matmul_ratio: has no source"),
    ],
)
def test_a_calibration_that_cannot_be_read_is_told_by_name_and_not_taken_for_unknown_devices(
    tmp_path, monkeypatch, capsys, kind, text, says
):
    """Nothing read before this counts: a user's folder is read when it is first named."""
    (tmp_path / "calibration").mkdir()
    path = tmp_path / "calibration" / "device.toml"
    path.write_text(text, encoding="utf-8")
    monkeypatch.setenv("STEELYARD_DATA", str(tmp_path))
    inference_points._load_device.cache_clear()
    operators_points._load.cache_clear()
    assert run(["validate", kind, "--no-refit"]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    assert f"{path}: {says}" in err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        (HEADER + "\n", "no rows"),
        ("source,model,gpu,n_gpus,metric\na,b,c,1,step_time_s\n", "no column value"),
        (HEADER + "\na,b,c,1,step_time_s,fast\n", "line 2: value is 'fast'"),
        (HEADER + "\na,b,c,-1,step_time_s,3\n", "line 2: n_gpus is '-1'"),
        (HEADER + "\na,b,c,1,step_time_s,nan\n", "line 2: value is 'nan'"),
        (HEADER + "\na,b,c,1,step_time_s,1e99\n", "line 2: value is '1e99'"),
        (HEADER + "\na,b,c,1,step_time_s\n", "5 cells"),
        (HEADER + "\n,b,c,1,step_time_s,3\n", "no source"),
    ],
)
def test_a_wrong_file_is_one_clear_line(tmp_path, text, says):
    path = tmp_path / "mine.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=says) as caught:
        catalog.read_published(path, "training")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_clear_line(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        catalog.read_published(tmp_path / "none.csv", "training")


def test_figures_of_one_run_share_their_id_before_the_metric():
    pairs = [("a-1-step_time_s", "step_time_s"), ("a-1-mfu_pct", "mfu_pct"), ("a-2", "mfu_pct"), ("", "mfu_pct")]
    runs = by_run([{"id": name, "metric": metric} for name, metric in pairs])
    assert [len(rows) for rows in runs.values()] == [2, 1, 1]


def test_families_weigh_alike():
    weights = equal_weights(["a", "a", "a", "b"])
    assert weights.sum() == pytest.approx(4)
    assert weights[:3].sum() == pytest.approx(weights[3])


def _points(values, families, metric="speed"):
    return [
        Point(id=str(i), family=f, metric=metric, value=v, row={})
        for i, (v, f) in enumerate(zip(values, families, strict=True))
    ]


def test_errors_by_family_and_their_median():
    points = _points([100.0, 100.0, 100.0], ["a", "a", "b"])
    predicted = Predicted(
        p50=np.array([110.0, 130.0, 95.0]),
        p10=np.array([99.0, 101.0, 80.0]),
        p90=np.array([121.0, 202.0, 120.0]),
        baselines={"constant": np.array([150.0, 150.0, 100.0])},
    )
    refused = [Refusal(id="x", family="c", metric="speed", reason="why")]
    overall, a, b, c = groups(points, predicted, refused, metric="speed")
    assert (a.group, a.num_points, a.median_abs_error_ratio) == ("a", 2, pytest.approx(0.2))
    assert a.bias_ratio == pytest.approx(0.2)
    assert a.coverage_80_ratio == pytest.approx(0.5)
    assert b.median_abs_error_ratio == pytest.approx(0.05)
    assert b.width_80_ratio == pytest.approx(1.5)
    assert (c.num_points, c.num_refused, c.median_abs_error_ratio) == (0, 1, None)
    assert overall.median_abs_error_ratio == pytest.approx((0.2 + 0.05) / 2)
    assert overall.num_points == 3
    assert overall.num_refused == 1
    assert overall.baseline_median_abs_error_ratio == pytest.approx(0.25)


@given(measured=st.lists(st.floats(0.5, 2.0), min_size=1, max_size=12), sigma=st.floats(0.0, 0.5))
def test_covered_is_what_lies_between_both_ends(measured, sigma):
    ones = np.ones(len(measured))
    predicted = Predicted.around(ones, sigma * ones, {})
    end = math.exp(1.2815515655446004 * sigma)  # p90 of the standard normal
    _, found = groups(_points(measured, ["a"] * len(measured)), predicted, [], metric="speed")
    within = [1 / end <= value <= end for value in measured]
    assert found.coverage_80_ratio == pytest.approx(sum(within) / len(measured))
    assert found.width_80_ratio == pytest.approx(end**2)
    assert found.bias_ratio == pytest.approx(1 / np.median(measured) - 1, abs=1e-9) or len(measured) % 2 == 0
    assert found.p90_abs_error_ratio >= found.median_abs_error_ratio - 1e-12


def test_both_ends_of_a_range_belong_to_it():
    predicted = Predicted(p50=np.ones(2), p10=np.array([0.5, 0.5]), p90=np.array([2.0, 2.0]), baselines={})
    _, found = groups(_points([0.5, 2.0], ["a", "a"]), predicted, [], metric="speed")
    assert found.coverage_80_ratio == 1.0


def test_parts_joined_keep_their_order_and_nothing_is_joined_of_nothing():
    parts = [Predicted.around(np.full(n, float(n)), np.zeros(n), {"constant": np.full(n, -1.0)}) for n in (1, 2)]
    joined = Predicted.joined(parts)
    assert joined.p50.tolist() == joined.p10.tolist() == joined.p90.tolist() == [1.0, 2.0, 2.0]
    assert joined.baselines["constant"].tolist() == [-1.0] * 3
    assert len(Predicted.joined([]).p50) == 0


def test_the_spread_of_a_normal_is_its_standard_deviation():
    misses = np.random.default_rng(0).normal(0.0, 0.3, 20_000)
    assert robust_log_sigma(misses, np.ones(len(misses))) == pytest.approx(0.3, rel=0.03)


def test_a_prior_holds_what_no_point_tells():
    parameters = [
        Parameter(name="seen", value=1.0, log_sd_ratio=1.0),
        Parameter(name="unseen", value=0.5, log_sd_ratio=0.2),
    ]
    found = fit(lambda p: np.full(20, np.log(p["seen"])), parameters, np.full(20, np.log(3.0)), np.ones(20))
    assert found.values["seen"] == pytest.approx(3.0, rel=0.01)
    assert found.values["unseen"] == pytest.approx(0.5, rel=0.01)
    assert found.log_errors["unseen"] > 10 * found.log_errors["seen"]


def test_the_standard_error_of_a_factor_is_that_of_a_mean():
    misses = np.tile([0.01, -0.01], 50)  # far below the scale of a usual miss, where the loss is the square
    free = [Parameter(name="factor", value=1.0, log_sd_ratio=100.0)]
    found = fit(lambda p: np.full(100, np.log(p["factor"])), free, misses, np.ones(100))
    assert found.log_errors["factor"] == pytest.approx(0.01 / 10, rel=0.02)  # sd / sqrt(n)


def test_too_many_parameters_are_refused():
    many = [Parameter(name=str(i), value=1.0, log_sd_ratio=1.0) for i in range(MAX_FREE_PARAMETERS + 1)]
    with pytest.raises(InputError, match="free parameters"):
        fit(lambda _: np.zeros(1), many, np.zeros(1), np.ones(1))


def test_a_family_is_predicted_by_a_fit_that_did_not_see_it():
    truth = np.log(np.array([2.0] * 30 + [2.0] * 30 + [2.6] * 30))
    families = ["a"] * 30 + ["b"] * 30 + ["c"] * 30
    found = leave_family_out(
        lambda p: np.full(90, np.log(p["factor"])),
        [Parameter(name="factor", value=2.0, log_sd_ratio=3.0)],
        truth,
        families,
    )
    assert np.exp(found.log_predicted[-1]) == pytest.approx(2.0, rel=0.02)
    assert np.exp(found.log_predicted[0]) > 2.02  # pulled by c
    assert set(found.without) == {"a", "b", "c"}


def test_the_range_of_a_family_is_the_spread_of_misses_in_the_others():
    misses, families = np.repeat([0.1, -0.2, 0.4], 10), np.repeat(["a", "b", "c"], 10)
    free = [Parameter(name="unused", value=1.0, log_sd_ratio=1.0)]
    found = leave_family_out(lambda _: np.full(30, 5.0), free, 5.0 + misses, families.tolist())
    spread = found.log_sigma[::10] * 1.2815515655446004
    assert spread == pytest.approx([0.4, 0.4, 0.2])  # what holds 80% of the two others


def test_the_nearest_row_lends_its_share_of_the_scale():
    measured, scale, families = np.array([4.0, 10.0, 9.0]), np.array([8.0, 40.0, 10.0]), np.array(["a", "b", "b"])
    features = np.array([[4.0], [1.0], [5.0]])
    # b's nearer row reached 9 of 10: a gets as large a part of 8; a reached 4 of 8: b's rows get half of theirs
    assert nearest_row(measured, scale, families, features).tolist() == pytest.approx([7.2, 20.0, 5.0])
    assert constant_share(measured, scale, families).tolist() == pytest.approx([8.0 * (0.25 + 0.9) / 2, 20.0, 5.0])
