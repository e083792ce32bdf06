"""`steelyard predict serve`: one deployment under one load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from steelyard.cli.output import deliver, form_of, form_options, screen, warn
from steelyard.cli.quantities import DAY, DEVICE_PRICE, RATE, TOKENS
from steelyard.cli.serve_options import engine_options


@click.command("serve")
@click.option("--model", "model_ref", required=True, metavar="MODEL", help="Catalogue name, or a config.json.")
@click.option("--on", "device_ref", required=True, metavar="DEVICE", help="Accelerator of the catalogue.")
@click.option("--isl", "isl_tokens", type=TOKENS, required=True, help="Prompt tokens of a request, mean.")
@click.option("--osl", "osl_tokens", type=TOKENS, required=True, help="Generated tokens of a request, mean.")
@click.option("--concurrency", "users", type=click.IntRange(1), help="Users who each send again when answered.")
@click.option("--rate", "request_rate_per_s", type=RATE, help="Requests per second, instead of users.")
@click.option("--tp", type=click.IntRange(1), default=1, show_default=True, help="Tensor-parallel ways.")
@click.option("--pp", type=click.IntRange(1), default=1, show_default=True, help="Pipeline stages.")
@click.option("--dp", type=click.IntRange(1), default=1, show_default=True, help="Data-parallel attention ranks.")
@click.option("--ep", type=click.IntRange(1), default=1, show_default=True, help="Ranks experts are spread over.")
@click.option("--dtype", "weight_dtype", metavar="DTYPE", help="Of the weights; as stored unless given.")
@click.option("--kv-dtype", metavar="DTYPE", help="Of the KV cache; bf16 unless given.")
@engine_options
@click.option(
    "--pricing", default="on_demand", show_default=True, help="Rental: on_demand, contract, reserved_1y, spot, ..."
)
@click.option("--price", "usd_per_device_s", type=DEVICE_PRICE, help="Your own, in place of the catalogue's.")
@click.option("--as-of", type=DAY, help="Prices of this day (YYYY-MM-DD); the newest unless stated.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the draws behind ranges.")
@click.option("--explain", is_flag=True, help="Print the trees of terms: value, formula and source of each.")
@form_options
def command(form: str | None, explain: bool, output: Path | None, **options: Any) -> int:
    """Does a deployment fit, how fast is it under a load, and what does a token cost in money and energy?

    TTFT, TPOT and end-to-end latency in the mean, throughput, memory by item, energy with the share of
    hosts and of cooling apart, rent per token. Exit code 1 when it does not fit.

    \b
    Example:
      steelyard predict serve --model llama-3.1-8b --on h100 --isl 1000 --osl 200 --concurrency 64
      steelyard predict serve --model deepseek-r1 --on b200 --tp 8 --ep 8 --isl 8k --osl 1k --rate '2 requests/s'
    """
    form = form_of(form, output, explain=explain)

    from steelyard.compare.serving.predict import predict_serving
    from steelyard.compare.serving.question import ServingQuestion
    from steelyard.report import serving_prediction

    found = predict_serving(ServingQuestion(**options))
    width, _ = screen()
    warn(found.warnings)
    deliver(serving_prediction.render(found, form=form, explain=explain, width=None if output else width), output)
    return 0 if found.fits else 1
