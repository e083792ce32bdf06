"""`steelyard decide`: what to do over the months ahead."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from steelyard.cli.output import deliver, form_of, form_options, screen, warn


@click.command("decide")
@click.argument("scenario", required=False, type=click.Path(path_type=Path))
@click.option(
    "--as-of", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE",
    help="Day whose prices count and on which the horizon begins, YYYY-MM-DD; the newest prices' when left out.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 4_294_967_295), metavar="N", help="Seed of the draws; 0 when left out.")
@click.option("--draws", type=click.IntRange(1, 5000), metavar="N", help="Draws of every uncertain input; 1000.")
@click.option("--explain", is_flag=True, help="Print the tree of terms behind the cost of each route.")
@form_options
def command(
    scenario: Path | None,
    as_of: datetime | None,
    seed: int | None,
    draws: int | None,
    form: str | None,
    explain: bool,
    output: Path | None,
) -> int:
    """Which route, from when, how sure, and what would change it?

    Follows the routes of SCENARIO month by month: cost, energy and carbon with ranges, the plan in words, where the
    routes cross, what matters most and which fact to get next. SCENARIO is a YAML file as for `steelyard compare`
    (- for standard input), or what `--json` wrote, which gives the same bytes again; without one, a built-in example.

    \b
    Example:
      steelyard decide mine.yaml
      steelyard decide mine.yaml --json -o decision.json
      steelyard decide decision.json
      steelyard decide mine.yaml --html -o decision.html
    """
    form = form_of(form, output, explain=explain)
    from steelyard.decide.saved import load_question, recheck
    from steelyard.report.decision import render

    question = load_question(scenario)
    decision = question.decide(as_of=as_of.date() if as_of else None, seed=seed, draws=draws)
    width, colour = screen()
    text = render(decision, form=form, explain=explain, width=None if output else width, colour=colour and not output)
    warn([*recheck(question, decision), *decision.warnings])
    deliver(text, output)
    return 0 if decision.plan.steps else 1
