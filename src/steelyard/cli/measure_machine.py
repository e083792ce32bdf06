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
    """How fast is this machine: memory, matrix products, attention, launches, collectives, power, small models?

    Takes a minute, and with PyTorch and llama.cpp a few more; use it on an idle machine. The result becomes the device
    `this-machine` of the catalogue (one process with all cores), `this-machine-core` (one process with one thread) and
    `this-machine-share` (one of as many processes as there are cores, all at work), for every prediction. PyTorch is
    used where it is installed, and its GPU; NumPy otherwise.

    \b
    Example:
      steelyard measure machine
      steelyard catalog show this-machine
    """
    from steelyard.cli.machine_record import write_record
    from steelyard.measure.machine import measure_machine, record_files
    from steelyard.report.machine import machine_json, machine_text

    machine = measure_machine(lambda line: complain("measure", line))
    if dry_run:
        files, written = record_files(machine, date.today()), list[str]()  # noqa: DTZ011 - the user's day
    else:
        files, written = write_record(machine)
    width, _ = screen()
    warn(machine.warnings)
    text = machine_json(machine, files) if as_json else machine_text(machine, written, width=None if output else width)
    deliver(text, output)
