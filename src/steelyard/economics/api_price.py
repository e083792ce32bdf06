"""What an API charges for tokens, and what a workload costs at that price."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

from steelyard import catalog
from steelyard.catalog import Row
from steelyard.errors import UnknownError, unknown
from steelyard.records.figure import Figure
from steelyard.records.usage import Usage
from steelyard.records.workload import Lengths
from steelyard.units import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiPrice:
    """List price of one model at one provider: base tier, no batch or priority discount."""

    ref: str  # "provider/model"
    input: Figure
    output: Figure
    cached_input: Figure
    retires: date | None = None  # day from which the provider announced it gone
    note: str = ""

    @property
    def provider(self) -> str:
        return self.ref.partition("/")[0]

    @property
    def model(self) -> str:
        return self.ref.partition("/")[2]

    @property
    def input_usd_per_token(self) -> float:
        return self.input.value

    @property
    def output_usd_per_token(self) -> float:
        return self.output.value

    @property
    def cached_input_usd_per_token(self) -> float:
        return self.cached_input.value

    def warnings(self, today: date | None = None) -> tuple[str, ...]:
        """Return what a user of this price should know: announced retirement and the row's own notes."""
        day = today or self.input.as_of
        found = []
        if self.retires is not None:
            tense = "was to retire" if self.retires <= day else "retires"
            found.append(f"{self.ref} {tense} on {self.retires}")
        if self.note:
            found.append(f"{self.ref}: {self.note}")
        return tuple(found)


def api_prices() -> tuple[str, ...]:
    """Return all priced "provider/model" names."""
    return tuple(f"{row['provider']}/{row['model']}" for row in catalog.table("api_prices").rows)


@catalog.remembered
def api_price(ref: str) -> ApiPrice:
    """Return the token prices of "provider/model" [USD/token].

    A model without a price for cached input is charged its full input price for cached tokens.

    Args:
        ref: Provider and model as in the price table, upper or lower case; the model may hold slashes.

    Raises:
        UnknownError: No such row; the nearest names are given.

    Assumes:
        The base tier: surcharges for long prompts, batch and priority prices and peak hours are not modelled.

    Example:
        >>> price = api_price("openai/gpt-4o")
        >>> round(price.input_usd_per_token * 1e6, 6), round(price.output_usd_per_token * 1e6, 6)
        (2.5, 10.0)
    """
    wanted = ref.strip().casefold()
    for row in catalog.table("api_prices").rows:
        if f"{row['provider']}/{row['model']}".casefold() == wanted:
            return _from_row(row)
    step = "state its price under prices.api, or see `steelyard catalog list api_prices`"
    raise UnknownError("unpriced: " + unknown("API model", ref, api_prices(), next_step=step))


def stated_api_price(
    ref: str,
    *,
    input_usd_per_token: float,
    output_usd_per_token: float,
    cached_input_usd_per_token: float | None,
    as_of: date,
) -> ApiPrice:
    """Return a user's own contract price as an `ApiPrice`."""

    def figure(value: float) -> Figure:
        return Figure(
            value=value,
            unit="usd_per_token",
            source="stated by the user",
            as_of=as_of,
            basis="published",
            note="stated",
        )

    cached = input_usd_per_token if cached_input_usd_per_token is None else cached_input_usd_per_token
    return ApiPrice(
        ref=ref,
        input=figure(input_usd_per_token),
        output=figure(output_usd_per_token),
        cached_input=figure(cached),
    )


def api_cost_usd(usage: Usage, price: ApiPrice, *, price_ratio: Array = 1.0) -> Array:
    """Return the cost [USD] of the tokens of a usage; linear in the price and in each count of tokens.

    cost = (input * p_in + cached_input * p_cached + output * p_out) * price_ratio

    Args:
        usage: Tokens as arrays of any shape that broadcast (draws, months).
        price: Prices per token.
        price_ratio: Price over today's, for a dated forecast; broadcasts with the tokens.

    Example:
        >>> million = Usage(input_tokens=1e6, output_tokens=1e6)
        >>> float(round(api_cost_usd(million, api_price("openai/gpt-4o")), 6))
        12.5
    """
    tokens_usd = (
        usage.input_tokens * price.input_usd_per_token
        + usage.cached_input_tokens * price.cached_input_usd_per_token
        + usage.output_tokens * price.output_usd_per_token
    )
    return tokens_usd * price_ratio


def request_costs_usd(lengths: Lengths, price: ApiPrice) -> npt.NDArray[np.float64]:
    """Return the price [USD] of each sampled request [S], with the cached share of its prompt at the cached
    price.
    """
    cached_tokens = lengths.isl_tokens * lengths.cached_input_ratio
    usage = Usage(
        input_tokens=lengths.isl_tokens - cached_tokens,
        cached_input_tokens=cached_tokens,
        output_tokens=lengths.osl_tokens,
    )
    return np.asarray(api_cost_usd(usage, price), dtype=np.float64)


def _from_row(row: Row) -> ApiPrice:
    cached = row.figure("cached_input")
    note = row.get("note")
    if cached is None:
        cached = row.figures["input"]
        note = "; ".join(part for part in (note, "no price for cached input: charged as input") if part)
    retires = row.get("retires")
    return ApiPrice(
        ref=f"{row['provider']}/{row['model']}",
        input=row.figures["input"],
        output=row.figures["output"],
        cached_input=cached,
        retires=date.fromisoformat(retires) if retires else None,
        note=note,
    )
