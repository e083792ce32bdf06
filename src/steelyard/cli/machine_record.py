"""The record of this machine in the user's data folder: written after a measurement."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from steelyard.cli.output import deliver, make_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from steelyard.measure.machine import Machine


def write_record(machine: Machine) -> tuple[dict[str, str], list[str]]:
    """Write the records of a machine and what its probes say; return the files by name, and where they are.

    Raises:
        InputError: The user's data folder cannot be written.
    """
    from steelyard import catalog
    from steelyard.measure.machine import record_files
    from steelyard.validation.machine import machine_calibration

    day = date.today()  # noqa: DTZ011 - the user's day
    files = record_files(machine, day)
    written = _written(files)
    catalog.refresh()
    if machine.probes:
        fitted = machine_calibration(machine.probes, day)
        written += _written(fitted)
        files |= fitted
        catalog.refresh()
    return files, written


def _written(files: Mapping[str, str]) -> list[str]:
    from steelyard import catalog

    folder, written = catalog.measured_folder(), []
    # Devices come last: what they cite and what corrects them is there before they can be asked for.
    for name in sorted(files, key=lambda name: name.startswith("accelerators")):
        path = folder.joinpath(name)
        make_folder(path.parent, "set XDG_DATA_HOME to a folder you can write to")
        deliver(files[name], path)
        written.append(str(path))
    return written
