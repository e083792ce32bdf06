"""Money over months: dated usage priced by month, totals and present value. Months are the last axis,
`[..., M]`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from steelyard.economics.api_price import ApiPrice, api_cost_usd
from steelyard.economics.energy import energy_cost_usd
from steelyard.economics.ownership import Ownership
from steelyard.economics.rental import RentalPrice, rental_cost_usd
from steelyard.records.term import term
from steelyard.records.usage import Usage
from steelyard.units import SECONDS_PER_MONTH, Array

Monthly = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CashFlow:
    """Payments by month `[..., M]`, their sum and their present value `[...]`."""

    total_usd: Array = term("paid over the horizon", "usd", "sum over months", parts=("monthly_usd",))
    present_value_usd: Array = term(
        "paid over the horizon, in today's money", "usd", "sum of payment / (1 + rate)^((month + 1/2) / 12)"
    )
    monthly_usd: Array = term("paid in a month", "usd")


def cash_flow(monthly_usd: Array, *, discount_ratio: Array = 0.0) -> CashFlow:
    """Return a series of monthly payments `[..., M]` with its total and present value.

    Args:
        monthly_usd: Payment in each month, months last; an upfront payment belongs to month 0.
        discount_ratio: Discount a year; broadcasts against all axes but the last.

    Example:
        >>> float(cash_flow([100.0, 100.0]).total_usd)
        200.0
    """
    payments = np.asarray(monthly_usd, dtype=np.float64)
    middle = (np.arange(payments.shape[-1]) + 0.5) / 12  # in the middle of its month, in years
    rate = np.asarray(discount_ratio, dtype=np.float64)[..., None]
    return CashFlow(
        total_usd=payments.sum(axis=-1),
        present_value_usd=(payments * (1 + rate) ** -middle).sum(axis=-1),
        monthly_usd=payments,
    )


def rented_usd(usage: Usage, price: RentalPrice | Array, *, price_ratio: Array = 1.0) -> Array:
    """Return what renting the device time of each month costs [USD]; power is in the rent."""
    return rental_cost_usd(usage.device_s, price) * price_ratio


def owned_usd(usage: Usage, ownership: Ownership, *, pue: Array, usd_per_j: Array) -> Array:
    """Return what owning the devices of each month costs [USD]: capital and upkeep of all device time, and
    power.
    """
    return usage.device_s * ownership.usd_per_device_s + energy_cost_usd(
        usage.it_energy_j, pue=pue, usd_per_j=usd_per_j
    )


def bought_usd(
    num_devices: Array,
    usage: Usage,
    ownership: Ownership,
    *,
    pue: Array,
    usd_per_j: Array,
    resale: bool = True,
) -> Monthly:
    """Return payments by month [USD] of a fleet that is bought: devices when they are added, upkeep and
    power monthly.

    Args:
        num_devices: Devices needed in each month `[..., M]`; devices once bought are kept.
        usage: Energy of each month; its device time is not used, upkeep is paid for every device owned.
        ownership: Prices per device.
        pue: Facility energy over IT energy.
        usd_per_j: Price of electricity.
        resale: Sell at the residual value of a straight line from price to end of life, in the last month.
    """
    owned = np.maximum.accumulate(np.asarray(num_devices, dtype=np.float64), axis=-1)
    added = np.diff(owned, axis=-1, prepend=0.0)
    upkeep = (ownership.maintenance_usd_per_device_s + ownership.site_usd_per_device_s) * SECONDS_PER_MONTH
    payments = added * ownership.capex_usd_per_device + owned * upkeep
    payments = payments + energy_cost_usd(usage.it_energy_j, pue=pue, usd_per_j=usd_per_j)
    if resale:
        months = owned.shape[-1]
        age_s = (months - np.arange(months)) * SECONDS_PER_MONTH
        used = np.minimum(age_s / ownership.life_s, 1.0)
        worth = ownership.capex_usd_per_device + used * (
            ownership.residual_usd_per_device - ownership.capex_usd_per_device
        )
        payments[..., -1] -= (added * worth).sum(axis=-1)
    return payments


def api_usd(usage: Usage, price: ApiPrice, *, price_ratio: Array = 1.0) -> Array:
    """Return what the tokens of each month cost at an API [USD]; `price_ratio` is the price over today's."""
    return api_cost_usd(usage, price, price_ratio=price_ratio)
