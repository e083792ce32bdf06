"""What a provider charges to tune a model and to serve the result."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import numpy as np

from steelyard import catalog
from steelyard.catalog import Row
from steelyard.errors import UnknownError, unknown
from steelyard.records.figure import Figure
from steelyard.units import Array

_TECHNIQUES = frozenset({"lora", "full"})


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedFinetuning:
    """One offer: to train, and to serve the tuned model per token or on dedicated devices; None = not
    stated.
    """

    provider: str
    base_model: str  # a model, or a size class in the provider's words
    method: str
    training: Figure | None  # USD/token trained on, epochs counted
    serve_input: Figure | None
    serve_output: Figure | None
    dedicated: Figure | None  # USD/device-s of a deployment of its own
    dedicated_device: str  # accelerator id of that price
    job_minimum: Figure | None
    retires: date | None
    source: str
    as_of: date
    note: str

    @property
    def training_usd_per_token(self) -> float:
        """Return the training price.

        Raises:
            UnknownError: The provider does not state one per token.
        """
        return _stated(self, "training", self.training)

    @property
    def dedicated_usd_per_device_s(self) -> float:
        """Return the price of a dedicated deployment.

        Raises:
            UnknownError: The provider does not state one.
        """
        return _stated(self, "dedicated", self.dedicated)

    def warnings(self) -> tuple[str, ...]:
        """Return what a user of this offer should know."""
        found = []
        if self.retires is not None:
            found.append(f"{self.provider} {self.base_model}: retires on {self.retires}")
        if self.training is not None and self.training.basis == "assumed":
            found.append(f"{self.provider} {self.base_model}: the training price was not read in a source")
        return tuple(found)


def hosted_finetuning(
    provider: str,
    params: float | None = None,
    method: str = "lora",
    *,
    base_model: str | Iterable[str] = (),
    objective: str = "sft",
) -> HostedFinetuning:
    """Return a provider's offer to tune a model: one that names the model, else one for its size class.

    Args:
        provider: As in the table.
        params: Total parameters, for providers that price by size class.
        method: `lora` or `full`; an offer that does not say which is taken for either.
        base_model: Names of the model; letters and digits of the last part of the name are compared.
        objective: `sft`, `dpo` or `rft`.

    Raises:
        UnknownError: Unknown provider, or unpriced: the message lists what the provider does offer.

    Example:
        >>> offer = hosted_finetuning("fireworks", 117e9, "lora")
        >>> round(offer.training_usd_per_token * 1e6, 2)
        6.0
    """
    table = catalog.table("hosted_finetuning")
    of_provider = table.where(provider=provider)
    if not of_provider:
        known = {row["provider"] for row in table.rows}
        raise UnknownError("unpriced: " + unknown("provider of hosted fine-tuning", provider, known))
    names = (base_model,) if isinstance(base_model, str) else tuple(base_model)
    wanted = {_folded(name) for name in names if name}
    fitting = [row for row in of_provider if _does(row, method, objective) and _priced(row)]
    named = [row for row in fitting if _folded(row["base_model"]) in wanted]
    sized = [] if params is None else sorted((row for row in fitting if _holds(row, params)), key=_largest)
    found = [*named, *sized]
    if not found:
        offers = sorted({f"{row['base_model']} ({row['method']})" for row in of_provider})
        asked = "/".join(sorted(wanted)) or (f"{params:.3g} parameters" if params else "a model without size")
        raise UnknownError(
            f"unpriced: {provider} has no {method} {objective} of {asked}; it offers {'; '.join(offers)}"
        )
    return _offer(found[0])


def training_cost_usd(tokens: Array, offer: HostedFinetuning) -> Array:
    """Return the cost [USD] of training on `tokens`, epochs counted, not below the job's minimum."""
    cost = tokens * offer.training_usd_per_token
    if offer.job_minimum is None:
        return cost
    least: Array = np.maximum(cost, offer.job_minimum.value)
    return least


def _stated(offer: HostedFinetuning, what: str, figure: Figure | None) -> float:
    if figure is None:
        raise UnknownError(f"unpriced: {offer.provider} states no {what} price for {offer.base_model} ({offer.method})")
    return figure.value


def _does(row: Row, method: str, objective: str) -> bool:
    words = set(re.split(r"[^a-z0-9]+", row["method"].casefold()))
    return objective.casefold() in words and (method.casefold() in words or not words & _TECHNIQUES)


def _priced(row: Row) -> bool:
    return any(row.figure(name) is not None for name in ("training", "training_hour", "prefill", "sample"))


def _holds(row: Row, params: float) -> bool:
    low, high = row.figure("min_params"), row.figure("max_params")
    if low is None and high is None:
        return False
    # Classes are printed with gaps ("up to 16B", "16.1B to 80B"): a model in one belongs to the larger class.
    return (low is None or params >= 0.9 * low.value) and (high is None or params <= high.value)


def _largest(row: Row) -> float:
    high = row.figure("max_params")
    return math.inf if high is None else high.value


def _folded(name: str) -> str:
    plain = name.partition("(")[0].rsplit("/", maxsplit=1)[-1].casefold()
    return re.sub(r"[^a-z0-9]", "", plain)


def _offer(row: Row) -> HostedFinetuning:
    retires = row.get("retires")
    notes = [row.get(column) for column in ("training_note", "serving_note", "note")]
    return HostedFinetuning(
        provider=row["provider"],
        base_model=row["base_model"],
        method=row["method"],
        training=row.figure("training"),
        serve_input=row.figure("serve_input"),
        serve_output=row.figure("serve_output"),
        dedicated=row.figure("dedicated"),
        dedicated_device=row.get("dedicated_device"),
        job_minimum=row.figure("job_minimum"),
        retires=date.fromisoformat(retires) if retires else None,
        source=row.source,
        as_of=row.as_of,
        note="; ".join(note for note in notes if note),
    )
