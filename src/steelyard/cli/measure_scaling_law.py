"""`steelyard measure scaling-law`: how loss falls with size and text, on the user's own text."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steelyard.cli.output import complain, deliver, output_option, screen, write_atomically
from steelyard.cli.run_options import needs_training_extra
from steelyard.errors import InputError

if TYPE_CHECKING:
    from steelyard.measure.scaling_law import ScalingLaw

_SMALL_VOCABULARY = 512  # the usual one would be most of so small a model


@click.command("scaling-law")
@click.argument("job", required=False, type=click.Path(path_type=Path))
@click.option("--out", metavar="FOLDER", help="Where the runs go; the same folder goes on.")
@click.option("--data", metavar="PATH", help="Text, JSON lines or Parquet: a file, folder or glob.")
@click.option("--sizes", default="50k,100k,200k,400k", show_default=True, help="Models, by parameters.")
@click.option("--tokens", default="100k,200k,400k", show_default=True, help="Tokens to train each of them on.")
@click.option("--tokenizer", metavar="SIZE|PATH", help="Size of one to train (512 otherwise), or a given one.")
@click.option("--expect", metavar="SIZE:TOKENS", multiple=True, help="Loss to expect of such a model, as '1B:20B'.")
@click.option("--save", metavar="FOLDER", type=click.Path(path_type=Path), help="Add the law to this STEELYARD_DATA.")
@click.option("--as", "name", default="measured", show_default=True, help="The law's name there.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@output_option
def command(
    job: Path | None,
    sizes: str,
    tokens: str,
    save: Path | None,
    name: str,
    as_json: bool,
    output: Path | None,
    **given: Any,
) -> None:
    """How does loss fall with a model's size and its training text, on this text?

    Trains a ladder of small models, each on its own number of tokens to the end, and fits L = E + A/N^alpha + B/D^beta
    to their held-out losses, with ranges. JOB (YAML) says what is the same for all. Done again, only what is missing
    is trained.

    \b
    Example:
      steelyard measure scaling-law --out runs/ladder --data my-texts --tokenizer 1024
      steelyard measure scaling-law --out runs/ladder --data my-texts --expect 100M:2B --save my-data
    """
    needs_training_extra()
    from steelyard.measure.scaling_law import fit_scaling_law, ladder
    from steelyard.report.scaling_law import law_json, law_table
    from steelyard.runtime.train import load_job

    expect = given.pop("expect")
    asked = [_asked(pair) for pair in expect]
    changes = {key: int(value) if value.isdecimal() else value for key, value in given.items() if value is not None}
    stated = load_job(job, changes)
    if stated.tokenizer is None:
        stated = load_job(job, changes | {"tokenizer": _SMALL_VOCABULARY})
    budgets = [int(_count("--tokens", part)) for part in tokens.split(",")]
    runs = ladder(stated, [part.strip() for part in sizes.split(",")], budgets, on_run=_tell)
    law = fit_scaling_law(list(runs))
    text = str(stated.data) if stated.data else "the source text of Python's standard library"
    if save is not None:
        _save(law, save, name, text)
    if as_json:
        deliver(law_json(law, inputs={"data": text, "sizes": sizes, "tokens": tokens}, asked=asked), output)
    else:
        deliver(law_table(law, asked, width=None if output else screen()[0]), output)


def _tell(run: str) -> None:
    import sys

    if sys.stderr.isatty():
        complain("training", run)


def _asked(pair: str) -> tuple[float, float]:
    size, colon, tokens = pair.partition(":")
    if not colon:
        raise InputError(f"--expect: {pair!r} is not SIZE:TOKENS; allowed: for example 1B:20B")
    return _count("--expect", size), _count("--expect", tokens)


def _count(option: str, text: str) -> float:
    from steelyard.runtime.train.model import count_of

    count = count_of(text.strip())
    if not count:
        raise InputError(f"{option}: {text!r} is not a number above 0; allowed: for example 400k or 2M")
    return count


def _save(law: ScalingLaw, folder: Path, name: str, text: str) -> None:
    from steelyard.report.scaling_law import law_row, law_source, with_row

    table = folder.joinpath("tables", "scaling_laws.csv")
    source = folder.joinpath("sources.d", f"{name}.toml")
    try:
        old = table.read_text(encoding="utf-8") if table.exists() else ""
        for path in (table, source):
            path.parent.mkdir(parents=True, exist_ok=True)
        today = date.today()  # noqa: DTZ011 - the user's day
        write_atomically(source, law_source(name, text))
        write_atomically(table, with_row(old, law_row(law, name, text=text, day=today)))
    except OSError as error:
        raise InputError(f"--save {folder}: cannot be written: {error.strerror or error}") from None
