"""What `predict train` and `plan train` ask alike: the model, the devices, the data, the price; and `--layout`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Any, TypeVar

import click

from steelyard.cli.quantities import DEVICE_PRICE, TOKENS, Quantity
from steelyard.errors import InputError, unknown

if TYPE_CHECKING:
    from steelyard.compare.jobs import TrainingJob
    from steelyard.training import Layout

F = TypeVar("F", bound=Callable[..., Any])
_COUNTS = ("tp", "pp", "vpp", "dp", "cp", "ep", "zero", "micro-batch", "global-batch")
_FIELDS = {"zero": "zero_stage", "micro-batch": "micro_batch", "global-batch": "global_batch"}
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
        help="pretrain, or a fine-tuning: full, lora, ...",
    ),
    click.option("--unique-tokens", type=TOKENS, help="Distinct ones among --tokens; all unless stated."),
    click.option(
        "--bytes-per-token", type=Quantity("bytes_per_token", "BYTES", "4.2"), help="Of the tokenizer: bits per byte."
    ),
    click.option(
        "--pricing", default="contract", show_default=True, help="Rental: contract, on_demand, reserved_1y, spot, ..."
    ),
    click.option("--price", "usd_per_device_s", type=DEVICE_PRICE, help="Your own, in place of the catalogue's."),
    click.option("--region", default="United States", show_default=True, help="Of the electricity and the grid."),
    click.option("--as-of", metavar="DATE", help="Prices of this day (YYYY-MM-DD); the newest unless stated."),
    click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the draws behind ranges."),
)  # fmt: skip
JOB_FIELDS = (
    "model_ref", "device_ref", "tokens", "seq_tokens", "global_batch_tokens", "compute_dtype", "kind",
    "unique_tokens", "bytes_per_token", "pricing", "usd_per_device_s", "region", "seed",
)  # fmt: skip


def job_options(function: F) -> F:
    """Add the options of a training job to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def one_form(form: str | None, explain: bool) -> None:
    """Refuse two forms of output at once."""
    if form is not None and explain:
        raise click.UsageError("--json and --explain exclude each other; the JSON document has the trees too")


def to_job(options: dict[str, Any]) -> TrainingJob:
    """Return the job that the options state.

    Raises:
        InputError: A value out of its range.
    """
    from steelyard.compare.jobs import TrainingJob

    stated = options["as_of"]
    try:
        day = None if stated is None else date.fromisoformat(stated)
    except ValueError:
        raise InputError(f"--as-of: {str(stated)[:40]!r} is not a day; allowed: YYYY-MM-DD") from None
    return TrainingJob(as_of=day, **{name: options[name] for name in JOB_FIELDS})


def to_layout(text: str, num_devices: int | None, batch_sequences: int) -> Layout:
    """Return the layout that `--layout` states; what it leaves out is 1, ZeRO-1, no recomputation, the batch asked for.

    dp follows from the devices where it is not stated.

    Raises:
        InputError: A part that cannot be read, or a product that is not the number of devices.
    """
    from steelyard.training import RECOMPUTE, Layout

    values: dict[str, Any] = {}
    for part in text.split(","):
        name, separator, value = (piece.strip() for piece in part.partition("="))
        known = (*_COUNTS, "recompute")
        if not separator or name not in known:
            raise InputError(f"--layout: {unknown('part', part.strip() or text, known)}; for example tp=8,pp=4,zero=1")
        if name == "recompute":
            if value not in RECOMPUTE:
                raise InputError(f"--layout: {unknown('recompute', value, RECOMPUTE)}")
            values[name] = value
        elif not (value.isascii() and value.isdecimal() and len(value) <= 9):
            raise InputError(f"--layout: {name} is {value[:20]!r}; allowed: a whole number")
        else:
            values[_FIELDS.get(name, name)] = int(value)
    if "dp" not in values:
        values["dp"] = _data_parallel(values, num_devices)
    layout = Layout(**({"global_batch": batch_sequences} | values))
    if num_devices is not None and layout.num_devices != num_devices:
        raise InputError(
            f"--layout: tp x pp x cp x dp is {layout.num_devices} and --devices is {num_devices}; they must be equal"
        )
    return layout


def _data_parallel(values: dict[str, int], num_devices: int | None) -> int:
    """Return the replicas that fill the devices."""
    one = max(values.get("tp", 1) * values.get("pp", 1) * values.get("cp", 1), 1)
    if num_devices is None:
        return 1
    if num_devices % one:
        raise InputError(f"--layout: --devices {num_devices} is no multiple of tp x pp x cp = {one}")
    return num_devices // one
