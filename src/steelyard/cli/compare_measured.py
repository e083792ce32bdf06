"""`steelyard compare --measured`: both activities for real on this machine, beside what is predicted for them."""

from __future__ import annotations

import shutil
import tempfile
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from steelyard.cli.output import complain, deliver, screen, warn
from steelyard.errors import InputError, OutsideProgramError

if TYPE_CHECKING:
    from steelyard.compare.measured import MeasuredComparison


def compare_for_real(
    form: str | None, output: Path | None, *, usd_per_device_s: float | None, keep: Path | None
) -> None:
    """Measure the machine where that is due, train and serve a small model, and print both beside their predictions."""
    if form == "html":
        raise InputError("--html: what is measured comes as text, --json or --markdown")
    _check_engines()
    from steelyard import catalog
    from steelyard.compare.measured import compare_measured
    from steelyard.measure.trial import TrialPlan, run_trial

    warnings = _measured_machine()
    folder = Path(tempfile.mkdtemp(prefix="steelyard-"))
    try:
        plan = TrialPlan()
        trial, worth = run_trial(plan, folder, lambda line: complain("compare", line))
        found = compare_measured(trial, worth, usd_per_device_s=usd_per_device_s)
        text = _rendered(found, catalog.accelerator("this-machine").name, form, warnings, to_file=output is not None)
        if keep is not None:
            shutil.move(folder.joinpath("kept", "model"), keep)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    warn(warnings)
    deliver(text, output)


def _rendered(
    found: MeasuredComparison, machine: str, form: str | None, warnings: tuple[str, ...], *, to_file: bool
) -> str:
    from steelyard.report.measured import measured_json, measured_markdown, measured_text

    if form == "json":
        inputs = {"usd_per_device_s": found.usd_per_device_s}
        return measured_json(found, machine, inputs=inputs, warnings=warnings)
    if form == "markdown":
        return measured_markdown(found, machine)
    return measured_text(found, machine, width=None if to_file else screen()[0])


def _measured_machine() -> tuple[str, ...]:
    """Measure this machine unless that was done lately; return what there is to say about it."""
    from steelyard.cli.machine_record import write_record
    from steelyard.compare.measured import was_measured_lately

    if was_measured_lately(date.today()):  # noqa: DTZ011 - the user's day
        return ()
    from steelyard.measure.machine import measure_machine

    machine = measure_machine(lambda line: complain("measure", line))
    write_record(machine)
    return machine.warnings


def _check_engines() -> None:
    from steelyard.measure.machine.probes import can_probe

    if not can_probe():
        raise OutsideProgramError("PyTorch or llama.cpp is not installed; pip install 'steelyard[run]'")
