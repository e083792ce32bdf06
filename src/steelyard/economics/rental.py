"""What a rented device costs: the list prices of providers, by kind of contract and date."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from steelyard import catalog
from steelyard.catalog import Row
from steelyard.economics.hardware import accelerator_of
from steelyard.economics.provenance import source_ids
from steelyard.errors import UnknownError, unknown
from steelyard.records.figure import Basis
from steelyard.records.term import Term, figure_term, term
from steelyard.units import DAYS_PER_MONTH, Array

STALE = timedelta(days=18 * DAYS_PER_MONTH)
ENOUGH_PROVIDERS = 3
CONTRACT = "contract"
_STATE_ONE = "state your own (prices.devices in a scenario, --price of a command)"

_KINDS_IN_ROWS = {  # a kind asked for -> the kinds of price rows that answer it
    "reserved_1y": ("reserved_1y", "reserved_1y_3y"),
    "reserved_3y": ("reserved_3y", "reserved_1y_3y", "reserved_5y"),
    CONTRACT: ("on_demand", "reserved_1y", "reserved_1y_3y", "reserved_3y", "reserved_5y"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RentalPrice:
    """Price of one device of one kind of contract; `low` and `high` are p10 and p90 over providers."""

    usd_per_device_s: float = term(
        "rental price of a device",
        "usd_per_device_s",
        "median over providers of each one's newest price",
        parts=("offers",),
    )
    low_usd_per_device_s: float = term("p10 over providers", "usd_per_device_s", parts=("offers",))
    high_usd_per_device_s: float = term("p90 over providers", "usd_per_device_s", parts=("offers",))
    device_id: str
    kind: str
    as_of: date  # of the newest price used
    basis: Basis
    provider_usd_per_device_s: npt.NDArray[np.float64]  # sorted, one per provider
    rows: tuple[Row, ...] = ()  # catalogue rows used, one per provider; empty for a stated price
    note: str = ""

    @property
    def sources(self) -> tuple[str, ...]:
        """Return the ids of the sources of the rows used."""
        return source_ids(row.source for row in self.rows)

    @property
    def offers(self) -> Term:
        """Return the prices used as a leaf list of an explanation."""
        leaves = tuple(figure_term(row["provider"], row.figures["price"]) for row in self.rows)
        return Term(
            label=f"prices of {self.device_id}, {self.kind}",
            value=float(len(self.provider_usd_per_device_s)),
            unit="provider",
            source=self.note,
            children=leaves,
        )

    def draws(self, rng: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
        """Return `count` prices [USD/device-s]: each that of a provider picked at random. A stated price is
        a point.
        """
        return rng.choice(self.provider_usd_per_device_s, size=count)


def rental_price(
    device: Any, kind: str = "on_demand", *, as_of: date | None = None, provider: str | None = None
) -> RentalPrice:
    """Return the price of renting one device [USD/device-s], with its range over providers.

    Rule: of each provider the newest price not later than `as_of`; where it has several of that day, its
    lowest. Prices older than 18 months before `as_of` are left out once three providers have newer ones.

    Args:
        device: Catalogue id or alias, or a device record.
        kind: `on_demand`, `spot`, `reserved_1y`, `reserved_3y` (these two include contracts printed as "1
        to 3
            years"; `reserved_3y` also 5-year ones), any other kind of the table by its own name, or
            `contract`: each provider's lowest price that is not spot, which is what a job of months is
            charged.
        as_of: Price date; the newest date in the table when None.
        provider: Only this provider.

    Returns:
        A `RentalPrice`; host, its memory and local disks are included in all rows, network traffic and
        storage not.

    Raises:
        UnknownError: The device is unknown, or it is unpriced: no row of that kind, provider or date.

    Example:
        >>> price = rental_price("h100-sxm5-80gb")
        >>> 1 < price.usd_per_device_s * 3600 < 12
        True
    """
    return _price_of(accelerator_of(device).id, kind, as_of, provider)


@catalog.remembered
def _price_of(device_id: str, kind: str, as_of: date | None, provider: str | None) -> RentalPrice:
    table = catalog.table("gpu_prices")
    of_device = table.where(device=device_id)
    today = as_of or max(row.as_of for row in table.rows)
    wanted = _KINDS_IN_ROWS.get(kind, (kind,))
    rows = [row for row in of_device if row["kind"] in wanted and row.as_of <= today]
    if provider is not None:
        rows = _of_provider(rows, provider, device_id, kind)
    if not rows:
        raise UnknownError(_unpriced(device_id, kind, of_device, today))
    return _from_rows(device_id, kind, current_rows(rows, today), today)


def stated_price(usd_per_device_s: float, *, device_id: str, kind: str, as_of: date) -> RentalPrice:
    """Return a user's own contract price as a `RentalPrice`: a point, without a range."""
    return RentalPrice(
        usd_per_device_s=usd_per_device_s,
        low_usd_per_device_s=usd_per_device_s,
        high_usd_per_device_s=usd_per_device_s,
        device_id=device_id,
        kind=kind,
        as_of=as_of,
        basis="published",
        provider_usd_per_device_s=np.array([usd_per_device_s]),
        note="stated by the user",
    )


def rental_kinds(device: Any) -> tuple[str, ...]:
    """Return the kinds of contract for which the catalogue has a price of this device."""
    return tuple(sorted({row["kind"] for row in catalog.table("gpu_prices").where(device=accelerator_of(device).id)}))


def rental_cost_usd(device_s: Array, price: RentalPrice | Array) -> Array:
    """Return the cost [USD] of `device_s` of paid device time, idle time included; arrays broadcast."""
    usd_per_device_s = price.usd_per_device_s if isinstance(price, RentalPrice) else price
    return device_s * usd_per_device_s


def current_rows(rows: Iterable[Row], today: date) -> tuple[Row, ...]:
    """Return one row a provider, cheapest first: of each of its kinds the newest, of these the lowest.

    Where a day has several rows of one kind, the lowest counts. Stale rows go once enough are newer.
    """
    newest: dict[tuple[str, str], Row] = {}
    for row in sorted(rows, key=lambda row: (row.as_of, -row.value("price"))):
        newest[row["provider"].casefold(), row["kind"]] = row
    fresh = [row for row in newest.values() if today - row.as_of <= STALE]
    enough = len({row["provider"].casefold() for row in fresh}) >= ENOUGH_PROVIDERS
    kept = sorted(fresh if enough else newest.values(), key=lambda row: row.value("price"))
    lowest: dict[str, Row] = {}
    for row in kept:
        lowest.setdefault(row["provider"].casefold(), row)
    return tuple(lowest.values())


def _from_rows(device_id: str, kind: str, rows: tuple[Row, ...], today: date) -> RentalPrice:
    prices = np.array([row.value("price") for row in rows])
    low, median, high = np.quantile(prices, [0.1, 0.5, 0.9])
    first, last = min(row.as_of for row in rows), max(row.as_of for row in rows)
    bases = {row.figures["price"].basis for row in rows}
    return RentalPrice(
        usd_per_device_s=float(median),
        low_usd_per_device_s=float(low),
        high_usd_per_device_s=float(high),
        device_id=device_id,
        kind=kind,
        as_of=last,
        basis=bases.pop() if len(bases) == 1 else "derived",
        provider_usd_per_device_s=prices,
        rows=rows,
        note=f"{len(rows)} provider{'s' * (len(rows) > 1)}, prices of {first} to {last}, as of {today}",
    )


def _of_provider(rows: list[Row], provider: str, device_id: str, kind: str) -> list[Row]:
    names = {row["provider"] for row in rows}
    found = [row for row in rows if row["provider"].casefold() == provider.casefold()]
    if not found and names:
        raise UnknownError(unknown(f"provider of {device_id} ({kind})", provider, names))
    return found


def _unpriced(device_id: str, kind: str, of_device: Iterable[Row], today: date) -> str:
    earliest: dict[str, date] = {}
    for row in of_device:
        earliest[row["kind"]] = min(row.as_of, earliest.get(row["kind"], row.as_of))
    if not earliest:
        return f"unpriced: {device_id} has no rental price in the catalogue; {_STATE_ONE}"
    known = ", ".join(f"{name} (from {day})" for name, day in sorted(earliest.items()))
    lacks = f"unpriced: {device_id} has no {kind} price as of {today}"
    return f"{lacks}; it has {known}; or {_STATE_ONE}"
