"""Corrections of a machine come back from probes that were made with known ones."""

from __future__ import annotations

import dataclasses
import functools
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from made_machine import write, write_machine
from steelyard import arch, catalog, device, inference
from steelyard.compare.measured import predicted_load, predicted_training
from steelyard.records.requests import RequestEvents
from steelyard.records.serving_metrics import serving_metrics
from steelyard.records.trial import Probe, ServingTrial, TrainingTrial
from steelyard.runtime.train.model import config_keys
from steelyard.training.calibration import shipped
from steelyard.validation.machine import machine_calibration

DAY = date(2026, 11, 26)
SHAPES = (("400k", 512, 64, 32), ("5M", 2048, 256, 4))
TRUTH = {"gemm_time_ratio": 1.6, "attention_time_ratio": 1.6, "elementwise_time_ratio": 3.0, "step_overhead_s": 0.01}
ALIKE = {
    "untuned_time_ratio": 1.0, "ragged_time_ratio": 1.0, "eager_time_ratio": 1.0, "older_attention_time_ratio": 1.0,
    "throttle_exponent_ratio": 0.0, "straggler_ratio": 0.0, "dp_overlap_ratio": 0.0,
}  # fmt: skip


def _training(
    config: dict, record: str, ranks: int, threads: int, together: int, sequence: int, batch: int
) -> TrainingTrial:
    model = arch.from_config(config, id="probe")
    true = dataclasses.replace(shipped(device.load(record).accelerator), **TRUTH, **ALIKE)
    step, _ = predicted_training(model, record, ranks=ranks, sequence_tokens=sequence, batch=batch * ranks,
                                 micro_batch=batch, dtype="fp32", parameters=true)  # fmt: skip
    step_s = float(np.median(step.step_s))
    return TrainingTrial(ranks=ranks, threads=threads, together=together, sequence_tokens=sequence, batch=batch * ranks,
                         micro_batch=batch, dtype="fp32", step_s=step_s,
                         tokens_per_s=batch * ranks * sequence / step_s, peak_memory_bytes=4e8)  # fmt: skip


def _serving(params: float, replicas: int, users: int) -> ServingTrial:
    """A machine that takes 0.5 ms, 1 ns a parameter and 0.4 ns more for each user of a replica to a step."""
    here = users / replicas
    step_s = 0.5e-3 + (1e-9 + 0.4e-9 * here) * params
    first_s = 2e-3 + 30 * 0.4e-9 * params + step_s
    request_s = first_s + 31 * step_s + (here - 1) * 30 * 0.4e-9 * params
    begin = np.repeat(np.arange(10) * request_s, users)
    events = RequestEvents(
        arrival_s=begin, sent_s=begin, first_token_s=begin + request_s - 31 * step_s, end_s=begin + request_s,
        isl_tokens=np.full(len(begin), 30), osl_tokens=np.full(len(begin), 32), error=("",) * len(begin),
        gaps_s=np.empty(0),
    )  # fmt: skip
    return ServingTrial(replicas=replicas, threads=1, slots=8, users=users, isl_tokens=30.0, osl_tokens=32.0,
                        metrics=serving_metrics(events))  # fmt: skip


def _probes() -> list[Probe]:
    probes = []
    for params, vocab, sequence, batch in SHAPES:
        config = config_keys(params, vocab=vocab, context_tokens=sequence)
        shape = (sequence, batch)
        training = (
            _training(config, "this-machine", 1, 4, 1, *shape),
            _training(config, "this-machine-core", 1, 1, 1, *shape),
            _training(config, "this-machine-share", 1, 1, 4, *shape),
            _training(config, "this-machine-share", 4, 1, 1, *shape),
        )
        size = float(arch.count_params(arch.from_config(config, id="probe")).total_params)
        serving = tuple(_serving(size, replicas, users) for replicas, users in ((1, 1), (1, 8), (4, 4), (4, 32)))
        probes.append(Probe(config=config, training=training, serving=serving, serving_bytes=3e8 + 2 * size))
    return probes


@pytest.fixture
def fitted(measured_home: Path) -> None:
    write_machine()
    write(_calibration())


@functools.cache  # one fit for all tests: the probes are those of one made machine
def _calibration() -> dict[str, str]:
    return machine_calibration(_probes(), DAY)


def test_a_model_that_no_probe_was_trains_and_serves_as_predicted(fitted: None) -> None:
    config = config_keys("1.5M", vocab=1024, context_tokens=128)
    model = arch.from_config(config, id="another")
    for record, ranks, threads, together in (("this-machine", 1, 4, 1), ("this-machine-share", 4, 1, 1)):
        truth = _training(config, record, ranks, threads, together, 128, 16)
        step, _ = predicted_training(model, record, ranks=ranks, sequence_tokens=128, batch=16 * ranks, micro_batch=16,
                                     dtype="fp32")  # fmt: skip
        assert float(np.median(step.step_s)) == pytest.approx(truth.step_s, rel=0.1)

    size = float(arch.count_params(model).total_params)
    for users in (1, 8):
        seen = _serving(size, 1, users).metrics
        load = predicted_load(model, "this-machine-core", isl_tokens=30, osl_tokens=32, users=users, slots=8)
        assert float(np.median(load.e2e_s)) == pytest.approx(seen.e2e.mean_s, rel=0.15)


def test_programs_hold_what_the_probes_held(fitted: None) -> None:
    model = arch.from_config(config_keys("1.5M", vocab=1024, context_tokens=128), id="another")
    load = predicted_load(model, "this-machine-core", isl_tokens=30, osl_tokens=32, users=1, slots=8)
    assert load.memory.framework_bytes == pytest.approx(3e8, rel=1e-3)
    _, held = predicted_training(model, "this-machine", ranks=1, sequence_tokens=128, batch=16, micro_batch=16,
                                 dtype="fp32")  # fmt: skip
    assert float(np.max(held.total_bytes)) == pytest.approx(4e8, rel=0.2)  # what every probe held


def test_what_was_fitted_is_a_part_of_the_catalogue_with_its_source(fitted: None) -> None:
    for name in ("training", "inference"):
        figures = catalog.calibration(name)
        own = {key: figure for key, figure in figures.items() if key.endswith(".this-machine-core")}
        assert own
        assert {figure.source for figure in own.values()} == {"steelyard-measure-machine"}
    assert not [issue for issue in catalog.check(DAY) if issue.level == "error"]
    # Other devices are as they were.
    assert inference.engine_for(device.load("h100"), "llama.cpp").step_overhead_s == pytest.approx(
        catalog.calibration("inference")["step_overhead_s.llama.cpp"].value
    )
