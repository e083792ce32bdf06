"""Measuring a machine, and the records that are made of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from made_machine import DAY, MACHINE, write_machine
from steelyard import catalog, device
from steelyard.cli.main import run
from steelyard.measure.machine.kernels import NumpyKernels
from steelyard.measure.machine.power import mean_power_w
from steelyard.measure.machine.timing import Reading, timed
from steelyard.records.operator import Operator


def test_a_measured_machine_is_a_device_of_the_catalogue(measured_home: Path) -> None:
    write_machine()
    found = catalog.accelerator("this-machine")
    assert found.peak_flop_per_s == {"fp32": 110e9}  # the best repeats: p90 of the best shape
    assert found.hbm_bytes_per_s == 22e9  # the better of reading and copying, from memory, not from a cache
    assert found.figures["hbm_bytes_per_s"].basis == "measured"
    assert found.figures["hbm_bytes_per_s"].low == 20e9
    assert not [issue for issue in catalog.check(DAY) if issue.level == "error"]


def test_a_share_knows_the_others_and_the_link_between_them(measured_home: Path) -> None:
    write_machine()
    found = catalog.accelerator("this-machine-share")
    assert (found.devices_per_node, found.scale_up_devices, found.hbm_bytes) == (4, 4, 16e9)
    # 2 * 3/4 of 32 MiB in 0.1 s
    assert found.scale_up_bytes_per_s == pytest.approx(1.5 * 32 * 2**20 / 0.1, rel=1e-3)
    # 4 KiB in 2 * log2(4) = 4 steps
    assert device.load("this-machine-share").efficiency.link_latency_s == pytest.approx(80e-6 / 4)


def test_predictions_on_it_come_back_to_what_was_measured(measured_home: Path) -> None:
    write_machine()
    this = device.load("this-machine")
    m, n, k = 4096.0, 1024.0, 1024.0
    product = Operator(name="p", kind="gemm", place="layer", count=1, flop=2 * m * n * k, weight_bytes=4 * n * k,
                       activation_bytes=4 * m * (n + k), m=m, n=n, k=k, compute_dtype="fp32")  # fmt: skip
    assert float(device.operator_time(product, this)) == pytest.approx(2 * m * n * k / 100e9, rel=0.1)
    reading = Operator(name="r", kind="elementwise", place="layer", count=1, flop=0.0, weight_bytes=1e9,
                       activation_bytes=0.0, compute_dtype="fp32")  # fmt: skip
    assert float(device.operator_time(reading, this)) == pytest.approx(1e9 / 20e9, rel=0.01)
    drawn = device.draw_efficiency(this, np.random.default_rng(0), 50)
    assert np.isfinite(device.operator_time(product, drawn)).all()


def test_processors_widen_nothing_that_they_multiply_as_integers(measured_home: Path) -> None:
    figures = catalog.calibration("device")
    write_machine()
    for record in ("this-machine", "this-machine-core", "this-machine-share"):
        widening = device.load(record).efficiency.expand_flop_count
        assert widening == figures["expand_flop_count.processor"].value < figures["expand_flop_count"].value / 3


def test_the_cache_is_seen_by_reading_again(measured_home: Path) -> None:
    write_machine()
    found = catalog.accelerator("this-machine")
    assert found.l2_bytes_per_s == 220e9
    assert found.l2_bytes == pytest.approx(8 * 2**20, rel=1e-3)


def test_a_core_alone_has_more_than_its_share(measured_home: Path) -> None:
    write_machine()
    alone, shared = device.load("this-machine-core"), device.load("this-machine-share")
    assert alone.accelerator.hbm_bytes_per_s > shared.accelerator.hbm_bytes_per_s
    assert (alone.accelerator.devices_per_node, shared.accelerator.devices_per_node) == (1, 4)


def test_power_is_measured_or_marked_as_assumed(measured_home: Path) -> None:
    write_machine()
    assumed = catalog.accelerator("this-machine").figures["tdp_w"]
    assert (assumed.basis, assumed.source) == ("assumed", "hardware-assumptions")
    assert "not measurable here" in assumed.note
    write_machine(replace(MACHINE, idle_w=20.0, busy_w=60.0))
    measured = catalog.accelerator("this-machine")
    assert (measured.idle_w, measured.tdp_w, measured.figures["tdp_w"].basis) == (20.0, 60.0, "measured")


def test_a_busy_machine_and_a_missing_counter_are_said() -> None:
    busy, power = replace(MACHINE, load_average=3.0).warnings
    assert "busy" in busy
    assert "not measurable here" in power
    assert replace(MACHINE, idle_w=1.0, busy_w=2.0).warnings == ()


def test_power_is_energy_over_time() -> None:
    joules = iter([100.0, 104.0])
    import time

    found = mean_power_w(lambda: next(joules), lambda: time.sleep(0.05))
    assert 4.0 / 1.0 < found <= 4.0 / 0.05


def test_numpy_kernels_do_their_work() -> None:
    work = NumpyKernels()
    for call in (work.matmul("fp32", 8, 8, 8), work.read(2**16), work.copy(2**16), work.tiny()):
        found = timed(call, work.synchronise, budget_s=0.02)
        assert 0 < found.low <= found.value <= found.high
    assert work.attention(1, 8, 8, 8) is None


def test_a_core_that_others_had_meanwhile_does_not_count() -> None:
    import time

    def busy() -> None:
        end = time.process_time() + 0.01
        while time.process_time() < end:
            pass
        time.sleep(0.03)  # as long as another program has the core

    by_clock = timed(busy, lambda: None, budget_s=0.1)
    of_thread = timed(busy, lambda: None, budget_s=0.1, threads=1)
    assert by_clock.low >= 0.04
    assert of_thread.value < 0.03


def test_a_rate_keeps_the_order_of_its_spread() -> None:
    rate = Reading(value=2.0, low=1.0, high=4.0).over(8.0)
    assert (rate.low, rate.value, rate.high) == (2.0, 4.0, 8.0)


def test_a_folder_that_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("steelyard.measure.machine.measure_machine", lambda _told: MACHINE)
    assert run(["measure", "machine"]) == 2
    assert "XDG_DATA_HOME" in capsys.readouterr().err


@pytest.mark.slow
def test_this_machine_really(measured_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["measure", "machine", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "steelyard/measure-machine/1"
    assert document["result"]["whole"]["launch_s"]["value"] > 0
    found = device.load("this-machine")
    assert found.accelerator.peak_flop_per_s["fp32"] > 1e8
    assert not [issue for issue in catalog.check(DAY) if issue.level == "error"]
