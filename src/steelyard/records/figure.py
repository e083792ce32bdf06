"""A figure from the outside world with its provenance, and the source it came from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal, get_args

Basis = Literal["published", "derived", "measured", "estimated", "assumed"]
BASES: tuple[str, ...] = get_args(Basis)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One source: a datasheet, paper, price page, package or measurement."""

    id: str
    title: str
    publisher: str = ""
    url: str = ""
    kind: str = ""
    retrieved: str = ""
    licence: str = ""  # as the source states it; empty = not stated
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One value in SI with its unit, source, date and basis.

    `unit` is the SI suffix of `units.parse_unit` ("bytes_per_s"). `low` and `high` are the source's own spread.
    """

    value: float
    unit: str
    source: str
    as_of: date
    basis: Basis
    low: float | None = None
    high: float | None = None
    note: str = ""
