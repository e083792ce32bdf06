"""`steelyard claims`: what people repeat about inference and training, recomputed."""

from __future__ import annotations

from pathlib import Path

import click

from steelyard.cli.output import FORMATS, deliver, screen


@click.command("claims")
@click.option("--json", "form", flag_value="json", help="One JSON document with a list `claims`.")
@click.option("--markdown", "form", flag_value="markdown", help="One Markdown table.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write to FILE instead of stdout."
)
def command(form: str | None, output: Path | None) -> None:
    """Does what people say about inference and training hold?

    Recomputes each claim from the catalogue and judges it: holds, holds if, does not hold, no source.

    \b
    Example:
      steelyard claims
      steelyard claims --json -o claims.json
    """
    from steelyard.compare.claims import claims
    from steelyard.report.claims import render

    if form is None and output is not None:
        form = FORMATS.get(output.suffix.lower())
    width, _ = screen()
    deliver(render(claims(), form=form, width=None if output else width), output)
