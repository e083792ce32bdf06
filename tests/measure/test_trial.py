"""A real trial, as short as it can be: trained, served on one replica and two, asked."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

from steelyard.measure.machine.probes import can_probe
from steelyard.measure.trial import TrialPlan, run_trial


@pytest.mark.slow
@pytest.mark.skipif(not can_probe(), reason="needs the engines")
def test_a_small_model_is_trained_served_and_asked(tmp_path: Path) -> None:
    plan = TrialPlan(
        params="200k", vocabulary=512, data=Path(sysconfig.get_path("stdlib")) / "json", sequence_tokens=64, batch=4,
        train_s=600.0, train_steps=8, scaling_s=0.1, load_s=2.0, slots=2, osl_tokens=8, isl_tokens=8, cores=2,
    )  # fmt: skip
    told: list[str] = []
    trial, worth = run_trial(plan, tmp_path, told.append)
    assert len(told) == 4
    assert (tmp_path / "kept" / "model" / "config.json").is_file()
    assert worth.step == 8
    assert worth.accuracy_ratio
    assert trial.answer
    assert {name: (run.ranks, run.together) for name, run in trial.scaling.items()} == {
        "one": (1, 1), "apart": (1, 2), "ranks": (2, 1),
    }  # fmt: skip
    assert {name: (load.replicas, load.users) for name, load in trial.serving.items()} == {
        "alone": (1, 1), "batch": (1, 2), "one": (1, 4), "all": (2, 8),
    }  # fmt: skip
    assert all(load.metrics.num_answered > 0 for load in trial.serving.values())
