"""`steelyard catalog`: what the facts are, where they come from, how old they are."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click

from steelyard.cli.catalog_import import command as import_model
from steelyard.cli.group import Group
from steelyard.cli.output import deliver, output_option, screen
from steelyard.errors import InputError

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document.")


@click.group("catalog", cls=Group, invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Which facts stand behind the numbers, and how old are they?

    \b
    Example:
      steelyard catalog list                    the kinds of records
      steelyard catalog list accelerators
      steelyard catalog show h100               every figure with source, date and basis
      steelyard catalog import config.json      what a model's configuration says
      steelyard catalog check                   errors, old figures, disagreements, assumptions

    A folder named by STEELYARD_DATA adds records or replaces shipped ones.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


command.add_command(import_model)


@command.command("list")
@click.argument("kind", required=False)
@json_option
@output_option
def list_records(kind: str | None, as_json: bool, output: Path | None) -> None:
    """What does the catalogue hold? Without KIND, the kinds.

    \b
    Example:
      steelyard catalog list models
    """
    from steelyard import catalog
    from steelyard.report import listing

    width, _ = screen()
    if kind is None:
        rows = [{"kind": name, "records": str(len(catalog.listing(name)))} for name in catalog.kinds()]
    else:
        rows = catalog.listing(kind)
    deliver(listing.as_json("list", kind, rows) if as_json else listing.table(rows, width=width), output)


@command.command("show")
@click.argument("name")
@click.option("--kind", help="Look among this kind only.")
@json_option
@output_option
def show(name: str, kind: str | None, as_json: bool, output: Path | None) -> None:
    """What is known of NAME, from where, of when? Of a model also its parameters and bytes.

    \b
    Example:
      steelyard catalog show h100
      steelyard catalog show gpt-oss-120b --json
    """
    from steelyard import catalog
    from steelyard.report import listing

    width, _ = screen()
    found = catalog.describe(name, kind)
    if found.kind == "models":
        from steelyard import arch
        from steelyard.report import model as report

        model = arch.load(found.id)
        if as_json:
            deliver(listing.as_json("show", name, {**found.to_dict(), **report.facts(model)}), output)
        else:
            deliver(listing.description(found, width=width) + "\n" + report.render(model, width=width), output)
    elif as_json:
        deliver(listing.as_json("show", name, found.to_dict()), output)
    else:
        deliver(listing.description(found, width=width), output)


@command.command("check")
@click.option("--today", metavar="DATE", help="Count ages from this day (YYYY-MM-DD) instead of today.")
@json_option
@output_option
def check(today: str | None, as_json: bool, output: Path | None) -> int:
    """Which facts are broken, old, disputed or assumed? Exit code 1 when any is broken.

    \b
    Example:
      steelyard catalog check --today 2026-11-22
    """
    try:
        day = date.fromisoformat(today) if today is not None else date.today()  # noqa: DTZ011 - the user's day
    except ValueError:
        raise InputError(f"--today: {str(today)[:40]!r} is not a day; allowed: YYYY-MM-DD") from None
    from steelyard import catalog
    from steelyard.report import listing

    width, _ = screen()
    issues = catalog.check(day)
    rows = [listing.issue_row(issue) for issue in issues]
    if as_json:
        deliver(listing.as_json("check", day.isoformat(), rows), output)
    else:
        deliver(listing.issues(rows, width=width), output)
    return int(any(issue.level == "error" for issue in issues))
