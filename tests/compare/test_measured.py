"""A trial of both activities beside its predictions, on a made-up machine."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from made_machine import write_machine
from steelyard import arch, device
from steelyard.compare.factors import FACTORS
from steelyard.compare.measured import compare_measured, load_rows, machine_record, training_rows
from steelyard.errors import UnknownError
from steelyard.measure.training import TrainingMeasures, measure_training
from steelyard.records.requests import RequestEvents
from steelyard.records.serving_metrics import serving_metrics
from steelyard.records.training import Ended, Evaluated, Started, Stepped
from steelyard.records.trial import Pretrained, ServingTrial, TrainingTrial, Trial
from steelyard.report.measured import measured_json, measured_markdown, measured_text
from steelyard.runtime.train.model import config_keys

CONFIG = config_keys("1M", vocab=1024, context_tokens=128)


def _run(ranks: int, threads: int, step_s: float, together: int = 1) -> TrainingTrial:
    return TrainingTrial(
        ranks=ranks, threads=threads, together=together, sequence_tokens=128, batch=8 * ranks, micro_batch=8,
        dtype="fp32", step_s=step_s, tokens_per_s=8 * ranks * 128 / step_s, peak_memory_bytes=5e8,
    )  # fmt: skip


def _load(replicas: int, users: int, request_s: float) -> ServingTrial:
    """Users who each get 32 tokens in `request_s`, ten times, one after the other."""
    begin = np.repeat(np.arange(10) * request_s, users)
    events = RequestEvents(
        arrival_s=begin, sent_s=begin, first_token_s=begin + 0.2 * request_s, end_s=begin + request_s,
        isl_tokens=np.full(len(begin), 60), osl_tokens=np.full(len(begin), 32), error=("",) * len(begin),
        gaps_s=np.empty(0),
    )  # fmt: skip
    return ServingTrial(
        replicas=replicas, threads=1, slots=8, users=users, isl_tokens=60.0, osl_tokens=32.0,
        metrics=serving_metrics(events),
    )  # fmt: skip


TRIAL = Trial(
    config=CONFIG,
    training=_run(1, 4, 0.2),
    scaling={"one": _run(1, 1, 0.6), "apart": _run(1, 1, 0.8, together=4), "ranks": _run(4, 1, 1.0)},
    serving={"alone": _load(1, 1, 0.1), "batch": _load(1, 8, 0.3), "one": _load(1, 16, 0.6), "all": _load(4, 64, 0.75)},
    started_s=3.0,
    serving_bytes=3e8,
    prompt="def ",
    answer="main(self):\n    pass",
)


START = Started(
    step=0, tokens=0, elapsed_s=0.0, unix_s=0.0, params=10**6, devices=1, device="cpu", dtype="fp32",
    sequence_tokens=128, batch_tokens=1024, flop_per_token=6e6, bytes_per_token=3.0, micro_batch=8, threads=4,
)  # fmt: skip


def _worth() -> TrainingMeasures:
    steps = [
        Stepped(step=n, tokens=1024 * n, elapsed_s=0.2 * n, unix_s=0.2 * n, loss_nats=5.0, step_s=0.2,
                peak_memory_bytes=5e8)
        for n in range(1, 11)
    ]  # fmt: skip
    judged = Evaluated(step=10, tokens=10240, elapsed_s=2.0, unix_s=2.0, held_out_loss_nats=4.0, trained_loss_nats=3.9)
    end = Ended(step=10, tokens=10240, elapsed_s=2.0, unix_s=2.0, reason="time", accuracy_ratio={"cloze": 0.4})
    return measure_training([START, *steps, judged, end])


@pytest.fixture
def machine(measured_home: Path) -> None:
    write_machine()


def test_every_factor_is_measured_beside_predicted(machine: None) -> None:
    found = compare_measured(TRIAL, _worth())
    assert list(dict.fromkeys(row.factor for row in found.rows)) == list(FACTORS)
    assert {row.side for row in found.rows} == {"inference", "training"}
    for row in found.rows:
        assert row.measured is not None
        assert np.isfinite(row.measured)
        if row.predicted is None:
            assert row.note  # says why
        else:
            assert 0.0 <= row.predicted.p10 <= row.predicted.p50 <= row.predicted.p90 < np.inf


def test_efficiencies_and_the_share_of_communication_are_those_of_the_runs(machine: None) -> None:
    rows = {row.label: row for row in compare_measured(TRIAL, _worth()).rows}
    # 64 users in 0.75 s against 16 in 0.6 s; four ranks in 1.0 s against one in 0.6 s; 0.8 s without talking
    assert rows["efficiency of 4 replicas"].measured == pytest.approx(64 / 0.75 / (16 / 0.6) / 4)
    assert rows["efficiency of 4 ranks"].measured == pytest.approx(0.6)
    assert rows["share of a step that is communication"].measured == pytest.approx(0.2)
    for label in ("efficiency of 4 replicas", "efficiency of 4 ranks"):
        # A share has 25/30 of what a core alone has, and some time of a step is the host's, alone or not.
        assert 0.5 < rows[label].predicted.p50 < 1.0


def test_a_pretrained_model_stands_beside_without_a_prediction(machine: None) -> None:
    serving = {"alone": _load(1, 1, 0.5), "one": _load(1, 8, 2.0), "all": _load(4, 32, 2.5)}
    other = Pretrained(name="another", serving=serving, prompt="The capital", answer=" of France")
    found = compare_measured(dataclasses.replace(TRIAL, pretrained=other), _worth())
    rows = {row.label: row for row in found.rows if row.label.startswith("another: ")}
    assert rows["another: efficiency of 4 replicas"].measured == pytest.approx(2.0 / 2.5)
    assert all(row.predicted is None for row in rows.values())
    assert "'of France'" in measured_text(found, "made up")
    assert list(dict.fromkeys(row.factor for row in found.rows)) == list(FACTORS)


def test_money_needs_a_price_and_follows_it(machine: None) -> None:
    def cost(usd_per_device_s: float | None):
        rows = compare_measured(TRIAL, _worth(), usd_per_device_s=usd_per_device_s).rows
        return next(row for row in rows if row.label == "the run")

    assert (cost(None).unit, cost(0.5).unit) == ("device_s", "usd")
    assert cost(0.5).measured == pytest.approx(0.5 * cost(None).measured)
    assert cost(0.5).predicted.p50 == pytest.approx(0.5 * cost(None).predicted.p50)


def test_forms_hold_the_same_rows(machine: None) -> None:
    found = compare_measured(TRIAL, _worth())
    document = json.loads(measured_json(found, "made up", inputs={}))
    assert document["schema"] == "steelyard/compare-measured/1"
    assert len(document["result"]["factors"]) == len(found.rows)
    text, markdown = measured_text(found, "made up"), measured_markdown(found, "made up")
    for row in found.rows:
        assert row.label in text
        assert row.label in markdown
    assert "def main(self):" in text
    assert "def main(self):" in markdown


def test_a_machine_that_was_not_measured_is_said(measured_home: Path) -> None:
    assert machine_record(processes=2) is None
    with pytest.raises(UnknownError, match="this-machine"):
        _ = compare_measured(TRIAL, _worth()).rows


def test_a_run_and_a_load_stand_beside_their_prediction(machine: None) -> None:
    model = arch.from_config(CONFIG, id="made up")
    rows = training_rows(model, START, _worth())
    assert [row.unit for row in rows] == ["s", "token_per_s", "bytes"]
    assert rows[0].measured == pytest.approx(0.2)
    assert rows[0].predicted.p50 * rows[1].predicted.p50 == pytest.approx(1024, rel=1e-3)
    # One thread is predicted as one core, several processes as shares.
    one = training_rows(model, dataclasses.replace(START, threads=1), _worth())
    assert one[0].predicted.p50 > rows[0].predicted.p50
    assert training_rows(model, dataclasses.replace(START, micro_batch=None), _worth()) == ()

    load = TRIAL.serving["all"]
    common = {
        "on": "this-machine-share", "isl_tokens": 60.0, "osl_tokens": 32.0, "request_rate_per_s": None, "slots": 8,
        "engine": "llama.cpp", "weight_dtype": "fp16",
    }  # fmt: skip
    four = load_rows(model, load.metrics, users=64.0, replicas=4, **common)
    one = load_rows(model, load.metrics, users=16.0, replicas=1, **common)
    assert four[0].predicted == one[0].predicted
    assert four[-1].predicted.p50 == pytest.approx(4 * one[-1].predicted.p50)
    assert four[-1].measured == load.metrics.output_tokens_per_s


def test_no_record_means_no_prediction(measured_home: Path) -> None:
    assert training_rows(arch.from_config(CONFIG, id="made up"), START, _worth()) == ()
    assert device.load("h100")  # the catalogue itself is there
