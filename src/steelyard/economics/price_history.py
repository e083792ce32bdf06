"""How the price of a fixed capability fell: dated API prices, their running minimum, and a log-linear decay.

A level is "a public API model that scores at least so much on one benchmark". The price of a level is the
cheapest eligible model so far. It falls because buyers change models: the list price of one model is mostly
flat.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import numpy.typing as npt

from steelyard import catalog
from steelyard.catalog import Row
from steelyard.errors import InputError, UnknownError, unknown
from steelyard.records.estimate import Z90
from steelyard.records.term import term
from steelyard.units import DAYS_PER_YEAR, Array

GPT4_LEVEL = "gpt4_class_mmlu86"
GPT35_LEVEL = "gpt35_class_mmlu65"
INPUT_SHARE = 3 / 4  # the usual blend of list prices: three input tokens to one output token
RECENT_YEARS = 2.0
NO_DECLINE_RATIO = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PricePoint:
    """The cheapest eligible model of a level from `day` on."""

    day: date
    ref: str  # "provider/model"
    usd_per_token: float  # 3:1 blend of input and output
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A log-linear fit: price after a year over price before, with p10 and p90 of the fitted slope."""

    annual_ratio: float
    low_ratio: float
    high_ratio: float
    num_points: int
    first: date
    last: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Decline:
    """Fall of the price of a capability level; `forward_*` is what a forecast should use.

    `annual_ratio` fits all points, `recent` those of the last two years before the newest. Forward: median =
    the recent fit, p10 (fast fall) = the whole history's, p90 = no fall at all. The recent window leads
    because prices near marginal cost fell more slowly than before; the history and a standstill both remain
    possible: the range is wide.
    """

    annual_ratio: float = term(
        "price after a year over price before, whole history",
        "ratio",
        "exp(slope of ln(running minimum of blended price) over years)",
        "least squares on the running minimum; p10 and p90 by leaving out one point at a time",
        ("low_ratio", "high_ratio", "recent_ratio"),
    )
    low_ratio: float = term("p10 of the fit", "ratio")
    high_ratio: float = term("p90 of the fit", "ratio")
    recent_ratio: float = term("the same over the last two years", "ratio")
    forward_low_ratio: float = term("forecast, p10: the whole history goes on", "ratio")
    forward_ratio: float = term("forecast, median: the last two years go on", "ratio")
    forward_high_ratio: float = term("forecast, p90: prices stand still", "ratio")
    level: str
    history: Fit
    recent: Fit
    points: tuple[PricePoint, ...]  # the running minimum

    def price_at(self, day: date) -> float:
        """Return the lowest price of the level on a day [USD/token]: the newest point not later than it."""
        return price_at(self.points, day)

    def fall_ratio(self, start: date, end: date) -> float:
        """Return by how much the price fell between two days, as a share of the first (0.99 = by 99%)."""
        return 1 - self.price_at(end) / self.price_at(start)

    def forward_draws(self, rng: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
        """Return draws [count] of the yearly price ratio ahead, log-normal on either side of the median."""
        z = rng.standard_normal(count) / Z90
        middle = np.log(self.forward_ratio)
        below, above = middle - np.log(self.forward_low_ratio), np.log(self.forward_high_ratio) - middle
        drawn: npt.NDArray[np.float64] = np.exp(middle + z * np.where(z < 0, below, above))
        return drawn


def levels() -> tuple[str, ...]:
    """Return the capability levels with a price history (those that hold an eligible row)."""
    return tuple(sorted({row["level"] for row in catalog.table("api_price_history").rows if _eligible(row)}))


def running_minimum(level: str = GPT4_LEVEL) -> tuple[PricePoint, ...]:
    """Return the days on which a level became cheaper, oldest first, with the model that did it.

    Raises:
        UnknownError: No such level.

    Example:
        >>> path = running_minimum("gpt4_class_mmlu86")
        >>> all(a.usd_per_token > b.usd_per_token for a, b in zip(path, path[1:]))
        True
    """
    rows = [row for row in catalog.table("api_price_history").where(level=level) if _eligible(row)]
    if not rows:
        raise UnknownError(unknown("capability level", level, levels()))
    path: list[PricePoint] = []
    for row in sorted(rows, key=lambda row: (_day(row), blended_usd_per_token(row))):
        price = blended_usd_per_token(row)
        if not path or price < path[-1].usd_per_token:
            ref = f"{row['provider']}/{row['model']}"
            path.append(PricePoint(day=_day(row), ref=ref, usd_per_token=price, source=row.source))
    return tuple(path)


def price_at(points: tuple[PricePoint, ...], day: date) -> float:
    """Return the price of the newest point not later than `day` [USD/token]."""
    until = [point for point in points if point.day <= day]
    if not until:
        raise InputError(f"no price before {points[0].day} is known, asked for {day}")
    return until[-1].usd_per_token


@catalog.remembered
def price_decline(level: str = GPT4_LEVEL) -> Decline:
    """Return how the price of a capability level fell: fits over the whole history and the last two years.

    Args:
        level: A level of the price history.

    Returns:
        `Decline`; ratios are price after a year over price before.

    Raises:
        UnknownError: No such level.

    Source:
        Prices: the dated rows of the table. The same fall published elsewhere: AI Index 2025 (280x in 2
        years at MMLU 65), a16z (1000x in 3 years at MMLU 42), Epoch AI (9x to 900x a year).

    Example:
        >>> from datetime import date
        >>> round(price_decline("gpt4_class_mmlu86").fall_ratio(date(2023, 3, 14), date(2025, 12, 31)), 3)
        0.996
    """
    points = running_minimum(level)
    history = fit_decline(points)
    recent = fit_decline(_window(points))
    return Decline(
        annual_ratio=history.annual_ratio,
        low_ratio=history.low_ratio,
        high_ratio=history.high_ratio,
        recent_ratio=recent.annual_ratio,
        forward_low_ratio=min(history.annual_ratio, recent.annual_ratio),
        forward_ratio=min(recent.annual_ratio, NO_DECLINE_RATIO),
        forward_high_ratio=NO_DECLINE_RATIO,
        level=level,
        history=history,
        recent=recent,
        points=points,
    )


def fit_decline(points: tuple[PricePoint, ...]) -> Fit:
    """Return the log-linear fit of prices over years; p10 and p90 from the jackknife of the slope.

    ln(price) = a + b * years; annual ratio = exp(b)

    Source:
        Jackknife: Efron, Tibshirani, "An Introduction to the Bootstrap", chapter 11.
    """
    if len(points) < 2:
        raise InputError("a fall of prices needs at least two dated prices")
    years = np.array([point.day.toordinal() for point in points]) / DAYS_PER_YEAR
    logs = np.log([point.usd_per_token for point in points])
    slope = _slope(years, logs)
    count = len(points)
    spread = 0.0
    if count > 2:
        left_out = np.array([_slope(np.delete(years, i), np.delete(logs, i)) for i in range(count)])
        spread = float(np.sqrt((count - 1) / count * ((left_out - left_out.mean()) ** 2).sum()))
    return Fit(
        annual_ratio=float(np.exp(slope)),
        low_ratio=float(np.exp(slope - Z90 * spread)),
        high_ratio=float(np.exp(slope + Z90 * spread)),
        num_points=count,
        first=points[0].day,
        last=points[-1].day,
    )


def price_ratio_ahead(annual_ratio: Array, months: Array) -> Array:
    """Return the price so many months ahead over today's; arrays broadcast (draws [D, 1] against months
    [M]).
    """
    return annual_ratio ** (np.asarray(months, dtype=np.float64) / 12)


def blended_usd_per_token(row: Row) -> float:
    """Return the blend of a row's prices [USD/token]: three input tokens to one output token."""
    return float(blend(row.value("input"), row.value("output")))


def blend(input_usd_per_token: Array, output_usd_per_token: Array) -> Array:
    """Return the usual blend of list prices [USD/token]: three input tokens to one output token.

    Example:
        >>> round(blend(30e-6, 60e-6) * 1e6, 6)
        37.5
    """
    return INPUT_SHARE * input_usd_per_token + (1 - INPUT_SHARE) * output_usd_per_token


def _window(points: tuple[PricePoint, ...]) -> tuple[PricePoint, ...]:
    """Return the last years of a running minimum, from the price in force on their first day."""
    start = date.fromordinal(points[-1].day.toordinal() - round(RECENT_YEARS * DAYS_PER_YEAR))
    before = [point for point in points if point.day <= start]
    after = tuple(point for point in points if point.day > start)
    return (replace(before[-1], day=start), *after) if before else points


def _slope(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    dx = x - x.mean()
    return float((dx * (y - y.mean())).sum() / (dx * dx).sum())


def _eligible(row: Row) -> bool:
    return row["eligible"] == "yes"


def _day(row: Row) -> date:
    text = row["date"]
    return date.fromisoformat(text if len(text) == 10 else f"{text}-01")
