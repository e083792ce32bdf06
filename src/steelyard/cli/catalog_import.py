"""`steelyard catalog import`: what a model's config.json says, and a record of it in the user's data."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click

from steelyard.cli.output import deliver, output_option, screen, write_atomically
from steelyard.errors import InputError


@click.command("import")
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--save", "name", metavar="NAME", help="Keep it as a model NAME in the folder of STEELYARD_DATA.")
@click.option("--replace", is_flag=True, help="With --save: NAME may replace a model of that name.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@output_option
def command(config: Path, name: str | None, replace: bool, as_json: bool, output: Path | None) -> None:
    """What does this config.json describe? CONFIG is the file, or the folder that holds it.

    Prints what was understood, layer by layer, with parameters and bytes, and which keys change neither time nor
    memory. A key that is not understood is refused by its name; a model is never read halfway.

    \b
    Example:
      steelyard catalog import my-model/config.json
      steelyard catalog import my-model/ --json
      steelyard catalog import my-model/ --save my-model   then `my-model` is a name everywhere
    """
    if replace and name is None:
        raise InputError("--replace goes with --save NAME")
    from steelyard import arch
    from steelyard.report import listing
    from steelyard.report import model as report

    model = arch.load(config if config.name.endswith(".json") else config.joinpath("config.json"))
    saved = None if name is None else _save(config, name, replace)
    if as_json:
        deliver(listing.as_json("import", str(config), {**report.facts(model), "saved": saved and str(saved)}), output)
    else:
        width, _ = screen()
        where = f"{name} in {saved}" if saved else ""
        deliver(report.imported(model, saved=where, width=width), output)


def _save(config: Path, name: str, replace: bool) -> Path:
    """Write the record of a configuration that was understood: the whole of it or nothing."""
    from steelyard import arch, catalog

    file = catalog.user_model_file(name, replace=replace)
    stated = arch.read_config(config)
    text = catalog.model_text(file, stated, name=name, as_of=date.today(), note=f"from {config}")  # noqa: DTZ011
    arch.from_config(catalog.parsed_model(file, text).config, id=name)
    try:
        file.parent.mkdir(exist_ok=True)
        write_atomically(file, text)
    except OSError as error:
        raise InputError(f"{file}: cannot be written: {error.strerror or error}") from None
    return file
