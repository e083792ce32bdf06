"""`steelyard doctor`: what is installed, what is possible here, how old the data is."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from steelyard.cli.output import deliver, form_of, form_options, screen


@click.command("doctor")
@form_options
def command(form: str | None, output: Path | None) -> int:
    """What is installed, what is possible here, and how old is the data?

    Each thing that is not possible comes with the command that makes it so. Exit code 1 when something is broken.

    \b
    Example:
      steelyard doctor
      steelyard doctor --json
    """
    from steelyard.measure.health import examine
    from steelyard.report.health import render

    form, (width, _) = form_of(form, output), screen()
    found = examine(datetime.now(tz=UTC).date())
    deliver(render(found, form=form, width=None if output else width), output)
    return 1 if found.problems else 0
