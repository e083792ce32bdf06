"""`steelyard plan model`: which size of model reaches a loss for least money, serving included."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from steelyard.cli.output import deliver, form_of, form_options, screen, warn
from steelyard.cli.quantities import DAY, DEVICE_PRICES, DURATION, LATENCY, TOKENS, by_device
from steelyard.cli.serve_options import take_objective
from steelyard.errors import InputError

if TYPE_CHECKING:
    from steelyard.decide.lifetime import Target


@click.command("model")
@click.option(
    "--loss-of", metavar="PARAMS,TOKENS|MODEL", help="Whose loss is to be reached: 70B,1.4T, or a published model."
)
@click.option("--loss", "loss_nats", type=click.FloatRange(0.1, 20), help="Or the loss itself, of the default law.")
@click.option("--served-tokens", type=TOKENS, help="In and out, over its life: 10T. Without it: what load is implied?")
@click.option("--on", "devices", multiple=True, metavar="DEVICE", help="To train and serve on; repeatable.")
@click.option("--dtype", "weight_dtypes", multiple=True, metavar="DTYPE", help="Of served weights; repeatable.")
@click.option("--load", default="chat", show_default=True, metavar="NAME", help="Preset of the catalogue.")
@click.option("--isl", "isl_tokens", type=TOKENS, help="Prompt tokens of every request, in place of the preset's.")
@click.option("--osl", "osl_tokens", type=TOKENS, help="Answer tokens of every request, in place of the preset's.")
@click.option("--peak-to-mean", "peak_to_mean_ratio", type=float, help="Of the served load; the preset's.")
@click.option("--ttft", type=LATENCY, help="Objective: time to first token, such as 500ms.")
@click.option("--tpot", type=LATENCY, help="Objective: time per output token, such as 30ms.")
@click.option("--percentile", type=click.FloatRange(1, 99.99), default=95.0, show_default=True, help="Of both.")
@click.option("--within", "deadline_s", type=DURATION, default="90 days", show_default=True, help="Of the final run.")
@click.option("--rd-multiplier", type=float, default=1.0, show_default=True, help="Training spend over the final run.")
@click.option("--unique-tokens", type=TOKENS, help="Distinct ones at hand; more are repeats, worth less.")
@click.option("--shape", "shape_ref", default="llama-3.1-8b", show_default=True, help="Scaled to other sizes.")
@click.option(
    "--pricing", default="contract", show_default=True, help="Rental: contract, on_demand, reserved_1y, spot, ..."
)
@click.option("--price", "prices", multiple=True, type=DEVICE_PRICES, help="Your own: 'h100=2.10 USD/device/h'.")
@click.option("--as-of", type=DAY, help="Prices of this day (YYYY-MM-DD); the newest unless stated.")
@click.option("--draws", type=click.IntRange(10, 10_000), default=200, show_default=True, help="Behind the ranges.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same answer.")
@click.option("--explain", is_flag=True, help="Print the tree of terms: law, price of a token at each size, rents.")
@form_options
def command(form: str | None, explain: bool, output: Path | None, **asked: Any) -> None:
    """Which size of model, on how many tokens, reaches a loss for least money, its serving included?

    Beside it: the compute-optimal model (Chinchilla), the one of least FLOP with serving (Sardana 2023), and what
    lifetime load the tokens per parameter of a published model imply.

    \b
    Example:
      steelyard plan model --loss-of 70B,1.4T --served-tokens 10T
      steelyard plan model --loss-of 70B,1.4T --served-tokens 10T --on h100 --ttft 1s --tpot 20ms --peak-to-mean 4
      steelyard plan model --loss-of 'Llama 3.1 8B'
    """
    from steelyard.decide.lifetime import ModelQuestion, plan_model
    from steelyard.report import model_plan

    form = form_of(form, output, explain=explain)
    target = _target(asked.pop("loss_of"), asked.pop("loss_nats"))
    prices = by_device(asked.pop("prices"))
    chosen = {name: asked.pop(name) for name in ("devices", "weight_dtypes")}
    question = ModelQuestion(
        target=target,
        objective=take_objective(asked),
        usd_per_device_s=prices,
        **{name: values for name, values in chosen.items() if values},
        **asked,
    )
    plan = plan_model(question)
    width, _ = screen()
    warn(plan.warnings)
    deliver(model_plan.render(plan, form=form, explain=explain, width=None if output else width), output)


def _target(loss_of: str | None, loss_nats: float | None) -> Target:
    from steelyard.decide.lifetime import Target

    if (loss_of is None) == (loss_nats is None):
        raise InputError("state the loss to reach, once: --loss-of 70B,1.4T, --loss-of MODEL, or --loss 1.97")
    if loss_nats is not None:
        return Target.of_loss(loss_nats)
    assert loss_of is not None
    params, comma, tokens = loss_of.partition(",")
    if not comma:
        return Target.of_model(loss_of)
    pair = [TOKENS.convert(part, None, None) for part in (params, tokens)]
    return Target(params=pair[0], tokens=pair[1], label=loss_of)
