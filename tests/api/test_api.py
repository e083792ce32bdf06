"""The public API: every answer has its table, its plots, its page, and the numbers of the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from steelyard import api
from steelyard.errors import InputError

QUESTIONS: dict[str, Any] = {
    "compare": api.compare,
    "decide": lambda: api.decide(draws=50),
    "predict_training": lambda: api.predict_training(
        api.TrainingJob(model_ref="llama-3.1-8b", device_ref="h100", tokens=1e12, draws=20), "dp=64"
    ),
    "plan_training": lambda: api.plan_training(
        api.TrainingJob(model_ref="llama-3.1-8b", device_ref="h100", tokens=1e12, draws=20), [64]
    ),
    "predict_serving": lambda: api.predict_serving(
        api.ServingQuestion(
            model_ref="llama-3.1-8b", device_ref="h100", isl_tokens=500, osl_tokens=200, users=8, draws=20
        )
    ),
    "simulate_serving": lambda: api.simulate_serving(
        api.TrafficQuestion(model="llama-3.1-8b", device="h100", num_requests=500, request_rate_per_s=2.0, draws=4)
    ),
    "plan_serving": lambda: api.plan_serving(
        api.ServingPlanQuestion(
            model="llama-3.1-8b", devices=("h100",), max_devices=2, isl_tokens=500, osl_tokens=200, draws=0
        )
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=sorted(QUESTIONS))
def answer(request: pytest.FixtureRequest) -> api.Answer[Any]:
    found: api.Answer[Any] = QUESTIONS[request.param]()
    return found


def test_an_answer_is_the_document_of_the_command_line(answer: api.Answer[Any]) -> None:
    found = answer.to_dict()
    assert found["schema"].startswith("steelyard/")
    assert {"inputs", "result", "sources", "warnings", "steelyard_version"} <= set(found)


def test_an_answer_shows_itself_in_a_notebook_without_scripts(answer: api.Answer[Any]) -> None:
    shown = answer._repr_html_()
    assert "<table" in shown
    assert "<script" not in shown


def test_an_answer_has_plots_that_plotly_takes(answer: api.Answer[Any]) -> None:
    assert answer.plots
    for name in answer.plots:
        assert answer.figure(name).data
    with pytest.raises(InputError, match="unknown plot"):
        answer.figure("none such")


def test_an_answer_is_a_table(answer: api.Answer[Any]) -> None:
    pytest.importorskip("pandas")
    table = answer.to_pandas()
    assert len(table) > 0
    assert not table.columns.duplicated().any()


def test_an_answer_is_saved_in_the_form_of_its_name(answer: api.Answer[Any], tmp_path: Path) -> None:
    answer.save(tmp_path / "answer.json")
    assert json.loads((tmp_path / "answer.json").read_text())["result"]
    answer.save(tmp_path / "answer.md")
    assert (tmp_path / "answer.md").read_text().startswith("#")
    with pytest.raises(InputError, match="ends in"):
        answer.save(tmp_path / "answer.pdf")


def test_what_the_result_has_the_answer_has() -> None:
    answer = QUESTIONS["predict_training"]()
    assert answer.fits is answer.result.fits
    with pytest.raises(AttributeError):
        _ = answer.no_such_thing


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, steelyard; print(sorted(set(sys.modules) & {'numpy', 'scipy', 'plotly', 'numba'}))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_a_kind_of_measurement_that_there_is_not() -> None:
    with pytest.raises(InputError, match="unknown kind of measurement"):
        api.validate("trainings")
