"""`steelyard measure machine`: what this machine really does, kept as a device of the catalogue."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click

from steelyard.cli.output import complain, deliver, output_option, screen, warn


@click.command("machine")
@click.option("--dry-run", is_flag=True, help="Measure and print; write no records.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@output_option
def command(dry_run: bool, as_json: bool, output: Path | None) -> None:
    """How fast is this machine: memory, matrix products, attention, launches, collectives, power?

    Takes about a minute; use it on an idle machine. The result becomes the device `this-machine` of the catalogue (one
    process with all cores) and `this-machine-share` (one of as many processes as there are cores, all at work), for
    every prediction. PyTorch is used where it is installed, and its GPU; NumPy otherwise.

    \b
    Example:
      steelyard measure machine
      steelyard catalog show this-machine
    """
    from steelyard import catalog
    from steelyard.measure.machine import measure_machine, record_files
    from steelyard.report.machine import machine_json, machine_text

    machine = measure_machine(lambda line: complain("measure", line))
    files = record_files(machine, date.today())  # noqa: DTZ011 - the user's day
    folder = catalog.measured_folder()
    written = []
    if not dry_run:
        # The device comes last: what it cites and what corrects it is there before it can be asked for.
        for name in sorted(files, key=lambda name: name.startswith("accelerators")):
            path = folder.joinpath(name)
            _make(path.parent)
            deliver(files[name], path)
            written.append(str(path))
        catalog.refresh()
    width, _ = screen()
    warn(machine.warnings)
    text = machine_json(machine, files) if as_json else machine_text(machine, written, width=None if output else width)
    deliver(text, output)


def _make(folder: Path) -> None:
    from steelyard.errors import InputError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be made: {error.strerror}; set XDG_DATA_HOME to a folder you can write to"
        ) from None
