"""Months as dates: a horizon starts on the day whose prices count."""

from __future__ import annotations

import calendar
from datetime import date, timedelta

from steelyard.units import SECONDS_PER_DAY


def month_date(start: date, months: int) -> date:
    """Return the day so many months later; the last of the month where it has no such day.

    Example:
        >>> month_date(date(2026, 11, 30), 3).isoformat()
        '2027-02-28'
    """
    place = start.year * 12 + start.month - 1 + months
    year, month = divmod(place, 12)
    return date(year, month + 1, min(start.day, calendar.monthrange(year, month + 1)[1]))


def after(start: date, seconds: float) -> date:
    return start + timedelta(days=round(seconds / SECONDS_PER_DAY))


def in_words(day: date) -> str:
    """Return a month as people write it.

    Example:
        >>> in_words(date(2027, 3, 22))
        'March 2027'
    """
    return f"{calendar.month_name[day.month]} {day.year}"
