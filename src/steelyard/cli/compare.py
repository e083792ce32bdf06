"""`steelyard compare`: the main job."""

from __future__ import annotations

from pathlib import Path

import click

from steelyard.cli.output import deliver, form_of, form_options, screen, warn
from steelyard.cli.quantities import DEVICE_PRICE
from steelyard.errors import InputError


@click.command("compare")
@click.argument("scenario", required=False, type=click.Path(path_type=Path))
@click.option("--explain", metavar="FACTOR", help="Print the tree of terms behind a factor, for example compute_cost.")
@click.option("--measured", is_flag=True, help="Train and serve a small model here instead, beside its prediction.")
@click.option(
    "--price", type=DEVICE_PRICE, metavar="RATE", help="Of this machine, with --measured: '0.10 USD/device/h'."
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Keep the model of --measured in this new folder.",
)
@click.option("--example", is_flag=True, help="Print the built-in scenario, to copy and change.")
@form_options
def command(
    scenario: Path | None,
    form: str | None,
    explain: str | None,
    measured: bool,
    price: float | None,
    keep: Path | None,
    example: bool,
    output: Path | None,
) -> None:
    """Call an API, serve a model, fine-tune or pretrain: which, and from which load on?

    Weighs inference against training, and the routes of SCENARIO (a YAML file, - for standard input; without
    one, a built-in example) against each other: cost, time, hardware, scale, quality, with ranges and sources.

    With --measured it is done for real, in some minutes: this machine is measured, a small model trained on Python's
    own source text and served on one replica and on several, and the seven factors stand beside their predictions.

    \b
    Example:
      steelyard compare --example > mine.yaml
      steelyard compare mine.yaml
      steelyard compare mine.yaml --html -o comparison.html
      steelyard compare mine.yaml --explain compute_cost
      steelyard compare --measured
    """
    if sum(choice is not None for choice in (form, explain)) + example > 1:
        raise click.UsageError("--json, --markdown, --html, --explain and --example exclude each other; give one")
    if example:
        from steelyard.compare.scenario_file import example_path

        deliver(example_path().read_text(encoding="utf-8"), output)
        return
    if scenario is not None and str(scenario) == "":
        raise InputError("the scenario has no name; give a YAML file, or nothing for the built-in example")
    form = form_of(form, output, explain=explain is not None)

    if measured:
        if scenario is not None or explain is not None:
            raise click.UsageError("--measured has a model and a load of its own; give no scenario and no --explain")
        from steelyard.cli.compare_measured import compare_for_real

        compare_for_real(form, output, usd_per_device_s=price, keep=keep)
        return

    from steelyard.compare import compare
    from steelyard.compare.scenario_file import load_scenario
    from steelyard.report import render

    comparison = compare(load_scenario(scenario))
    width, colour = screen()
    text = render(comparison, form=form, explain=explain, width=None if output else width, colour=colour and not output)
    warn(comparison.warnings)
    deliver(text, output)
