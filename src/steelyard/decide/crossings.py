"""Break-even on the other axes: the date, the prices of API and device, and how busy one's own fleet must be."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from steelyard.compare.case import Case
from steelyard.compare.draws import Draw
from steelyard.compare.routes.outcome import Outcome, median
from steelyard.decide import calendar
from steelyard.decide.options import rows_of
from steelyard.decide.result import Crossing
from steelyard.records.estimate import estimate
from steelyard.units import SECONDS_PER_MONTH, format_number, format_quantity

API = "api"


def payback(case: Case, found: Mapping[str, Outcome], one: str, other: str) -> Crossing:
    """Return the month from which the route that starts dearer has cost less in all, and stays so.

    Where both start alike, `one` is the one that is to pay back.
    """
    count, months = case.draws.count, case.months
    spent = {route: rows_of(found[route].through_usd, count) for route in (one, other)}
    left, right = sorted(spent, key=lambda route: (float(f"{np.median(spent[route][:, 0]):.6g}"), route == one))
    cheaper = spent[right] <= spent[left]
    last_dearer = months - 1 - np.argmin(cheaper[:, ::-1], axis=1)
    month = np.where(cheaper.all(axis=1), 0, last_dearer + 1).astype(np.float64)
    month = np.where(month >= months, np.inf, month)
    pays = np.isfinite(month)
    at = estimate(month)
    when = f"from {_when(case, at.p50)} (p10 to p90: {_when(case, at.p10)} to {_when(case, at.p90)}); "
    return Crossing(
        axis="date", left=left, right=right, at=at, unit="month", now=0.0, probability=float(pays.mean()),
        sentence=f"{right} has cost less in all than {left} {when if np.isfinite(at.p10) else ''}"
        f"within {months} months in {pays.mean():.0%} of draws",
    )  # fmt: skip


def _when(case: Case, month: float) -> str:
    if not np.isfinite(month):
        return "later than the horizon"
    return calendar.in_words(calendar.month_date(case.today, round(month)))


def api_price(case: Case, found: Mapping[str, Outcome], other: str) -> Crossing:
    """Return the API price over today's at which another route costs the same: API cost is linear in it."""
    times = found[other].total_usd / np.maximum(found[API].total_usd, 1e-300)
    times = np.broadcast_to(times[:, 0], (case.draws.count,))
    at = estimate(times)
    low, high = format_number(at.p10, 2), format_number(at.p90, 2)
    cheap, dear = (API, other) if at.p50 > 1 else (other, API)
    return Crossing(
        axis="price", left=API, right=other, at=at, unit="1", now=1.0, probability=float((times > 1).mean()),
        sentence=f"{cheap} is cheaper than {dear} at today's API price; they cost the same at "
        f"{format_number(at.p50, 2)} times it ({low} to {high})",
        quantity="API price, over today's",
    )  # fmt: skip


def utilisation(case: Case, found: Mapping[str, Outcome], other: str) -> tuple[Crossing, ...]:
    """Return how busy a fleet must be to cost no more a request than the API, by two ways of counting.

    Against reserved cost, every hour held is charged, busy or not, with people and power: what one pays. Against busy
    cost, only the seconds in which a device works are charged: what is often quoted, and holds for a full fleet only.
    """
    fleet, api = found[other], found[API]
    if fleet.per_device is None:
        return ()
    carried = fleet.devices * fleet.per_device.request_rate_per_s * SECONDS_PER_MONTH  # requests a full fleet answers
    held = carried.sum(axis=1)
    per_request = api.monthly_usd.sum(axis=1) / case.requests.sum(axis=1)
    now = median((case.requests * np.ones_like(carried)).sum(axis=1) / np.maximum(held, 1e-300))
    reserved = fleet.total_usd[:, 0] / np.maximum(held * per_request, 1e-300)
    devices = fleet.monthly_usd - fleet.people_usd - fleet.training.refresh_usd / case.months
    busy = devices.sum(axis=1) / np.maximum(held * per_request, 1e-300)
    return (
        _busy(case, other, reserved, now, "reserved cost", "every hour held, people and training charged"),
        _busy(case, other, busy, now, "busy cost", "only busy device time charged, no people"),
    )


def _busy(case: Case, other: str, share: Draw, now: float, cost: str, means: str) -> Crossing:
    values = np.broadcast_to(share, (case.draws.count,))
    at = estimate(values)
    reach = f"must be {at.p50:.0%} busy ({at.p10:.0%} to {at.p90:.0%})"
    if at.p50 > 1:
        reach = f"cannot be busy enough ({at.p50:.0%} would be needed)"
    return Crossing(
        axis=f"utilisation, {cost}", left=API, right=other, at=at, unit="ratio", now=now,
        probability=float((values <= now).mean()),
        sentence=f"against {cost} ({means}) the fleet of {other} {reach} to cost no more a request than the API; "
        f"it is {now:.0%} busy at your load",
        quantity=f"busy share of the fleet, {means}",
    )  # fmt: skip


def device_rent(case: Case, found: Mapping[str, Outcome], other: str) -> tuple[Crossing, ...]:
    """Return what a device may cost an hour, power included, for a fleet to cost what the API does; people apart.

    busy cost:      API price of a request x requests that a full device answers in an hour, whatever the load
    reserved cost:  cost of the API / hours held: the same x the share of them that is busy at this load
    """
    fleet, api = found[other], found[API]
    if fleet.per_device is None:
        return ()
    held_s = np.maximum((fleet.devices * SECONDS_PER_MONTH).sum(axis=1), 1e-300)
    per_request = api.monthly_usd.sum(axis=1) / case.requests.sum(axis=1)
    full = per_request * fleet.per_device.request_rate_per_s[:, 0]
    held = per_request * case.requests.sum(axis=1) / held_s
    paid = fleet.serving_usd[:, 0] / held_s
    return (
        _rent(case, other, held, paid, "reserved cost", "every hour held charged, as busy as at your load"),
        _rent(case, other, full, paid, "busy cost", "only busy hours charged, whatever the load"),
    )


def _rent(case: Case, other: str, allowed: Draw, paid: Draw, cost: str, means: str) -> Crossing:
    values, now = (np.broadcast_to(one, (case.draws.count,)) for one in (allowed, paid))
    at, stands = estimate(values), median(now)
    low, most, high, here = (format_quantity(one, "usd_per_device_s") for one in (at.p10, at.p50, at.p90, stands))
    return Crossing(
        axis=f"device rent, {cost}", left=other, right=API, at=at, unit="usd_per_device_s", now=stands,
        probability=float((values >= now).mean()),
        sentence=f"against {cost} ({means}) a device at {most} or less ({low} to {high}), power included and people "
        f"apart, makes {other} cheaper than the API; an hour held costs {here} here",
        quantity=f"rent of a device, power included, no people, {means}",
    )  # fmt: skip
