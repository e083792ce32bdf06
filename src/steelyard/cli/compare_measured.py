"""`steelyard compare --measured`: both activities for real on this machine, beside what is predicted for them."""

from __future__ import annotations

import shutil
import tempfile
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from steelyard.cli.output import complain, deliver, make_folder, screen, warn
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
    if keep is not None:
        _take(keep)  # before minutes of work
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
        warn(warnings)
        deliver(text, output)
        if keep is not None:
            _put(folder.joinpath("kept", "model"), keep)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _take(keep: Path) -> None:
    """Make the folder of the model.

    Raises:
        InputError: It cannot be made or written, or is not empty.
    """
    make_folder(keep, "give another one by --keep")
    try:
        with tempfile.TemporaryFile(dir=keep):
            pass
        held = next(keep.iterdir(), None)
    except OSError as error:
        raise InputError(f"--keep {keep}: cannot be written: {error.strerror or error}; give another folder") from None
    if held is not None:
        raise InputError(f"--keep {keep}: is not empty (it holds {held.name}); give a new folder")


def _put(model: Path, keep: Path) -> None:
    try:
        shutil.copytree(model, keep, dirs_exist_ok=True)
    except OSError as error:
        raise OutsideProgramError(f"--keep {keep}: the model cannot be written: {error.strerror or error}") from None


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
