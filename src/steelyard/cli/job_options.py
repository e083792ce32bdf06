"""What `predict train` and `plan train` ask alike: the model, the devices, the data, the price."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from steelyard.cli.quantities import DAY, DEVICE_PRICE, TOKENS, Quantity
from steelyard.errors import InputError

if TYPE_CHECKING:
    from steelyard.compare.jobs import TrainingJob

F = TypeVar("F", bound=Callable[..., Any])
_OPTIONS = (
    click.option("--model", "model_ref", required=True, metavar="MODEL", help="Catalogue name, or a config.json."),
    click.option("--on", "device_ref", required=True, metavar="DEVICE", help="Accelerator of the catalogue."),
    click.option("--tokens", type=TOKENS, required=True, help="Trained on, repetitions included: 15.6T, 1e12."),
    click.option("--seq-len", "seq_tokens", type=TOKENS, default="4096", show_default=True, help="Of a sequence."),
    click.option(
        "--global-batch-tokens", type=TOKENS, default="4194304", show_default=True, help="Of one optimizer step."
    ),
    click.option("--dtype", "compute_dtype", default="bf16", show_default=True, help="Of the matrix products."),
    click.option(
        "--method", "kind", default="pretrain", show_default=True, metavar="METHOD",
        help="pretrain, or a fine-tuning: full, lora, qlora.",
    ),
    click.option("--optimizer", default="adam", show_default=True, help="adam, adam-bf16, adam-8bit, muon."),
    click.option(
        "--software", metavar="NAME=VALUE,...",
        help="What it does otherwise than usual: ep_overlap_ratio=1, eager_ratio=1, attention=flash2, ...",
    ),
    click.option("--unique-tokens", type=TOKENS, help="Distinct ones among --tokens; all unless stated."),
    click.option("--served-tokens", type=TOKENS, help="Over its life: the size best for training and serving."),
    click.option(
        "--target-loss", "target_loss_nats", type=click.FloatRange(0.1, 20), help="In nats a token: tokens to it."
    ),
    click.option(
        "--bytes-per-token", type=Quantity("bytes_per_token", "BYTES", "4.2"), help="Of the tokenizer: bits per byte."
    ),
    click.option(
        "--pricing", default="contract", show_default=True, help="Rental: contract, on_demand, reserved_1y, spot, ..."
    ),
    click.option("--price", "usd_per_device_s", type=DEVICE_PRICE, help="Your own, in place of the catalogue's."),
    click.option("--region", default="United States", show_default=True, help="Of the electricity and the grid."),
    click.option("--as-of", type=DAY, help="Prices of this day (YYYY-MM-DD); the newest unless stated."),
    click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the draws behind ranges."),
)  # fmt: skip
JOB_FIELDS = (
    "model_ref", "device_ref", "tokens", "seq_tokens", "global_batch_tokens", "compute_dtype", "kind", "optimizer",
    "unique_tokens", "served_tokens", "target_loss_nats", "bytes_per_token", "pricing", "usd_per_device_s", "region",
    "seed",
)  # fmt: skip


def job_options(function: F) -> F:
    """Add the options of a training job to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def to_job(options: dict[str, Any]) -> TrainingJob:
    """Return the job that the options state.

    Raises:
        InputError: A value out of its range.
    """
    from steelyard.compare.jobs import TrainingJob

    return TrainingJob(
        as_of=options["as_of"],
        software=to_software(options["software"]),
        **{name: options[name] for name in JOB_FIELDS},
    )


def to_software(text: str | None) -> dict[str, float | str]:
    """Return the parts that `--software` states, numbers as numbers.

    Raises:
        InputError: A part without a value.
    """
    found: dict[str, float | str] = {}
    for part in text.split(",") if text else ():
        name, separator, value = (piece.strip() for piece in part.partition("="))
        if not separator or not value:
            raise InputError(f"--software: {part.strip()[:40]!r} has no value; for example ep_overlap_ratio=1")
        found[name] = float(value) if value.replace(".", "", 1).isdecimal() else value
    return found
