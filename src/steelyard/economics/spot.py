"""Terms of spot capacity: how often it is taken back, with how much notice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from steelyard import catalog
from steelyard.catalog import Row
from steelyard.economics.hardware import accelerator_of
from steelyard.records.figure import Figure

_INTERRUPTION = "interruption-band"
_NOTICE = "notice"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotTerms:
    """What is known of spot capacity of one device; None = no source found."""

    device_id: str
    interruption: Figure | None  # share of instances taken back a second, from bands a month
    notice: Figure | None  # warning before it is taken back
    rows: tuple[Row, ...]

    @property
    def interruption_per_s(self) -> float | None:
        """Return how often one instance is taken back, spread evenly over time [1/s]; real ones cluster."""
        return None if self.interruption is None else self.interruption.value


def spot_terms(device: Any, provider: str | None = None) -> SpotTerms:
    """Return published terms of spot capacity of a device; the shortest notice of the providers asked for.

    Args:
        device: Catalogue id or device record.
        provider: Only this provider.

    Raises:
        UnknownError: The device is unknown.
    """
    device_id = accelerator_of(device).id
    rows = [
        row
        for row in catalog.table("spot").rows
        if (provider is None or row["provider"].casefold() == provider.casefold())
        and row.get("device") in ("", device_id)
    ]
    bands = [row for row in rows if row["fact"] == _INTERRUPTION and row.get("device") == device_id]
    notices = [row for row in rows if row["fact"] == _NOTICE]
    return SpotTerms(
        device_id=device_id,
        interruption=max(bands, key=lambda row: row.value("value")).figures["value"] if bands else None,
        notice=min(notices, key=lambda row: row.value("value")).figures["value"] if notices else None,
        rows=tuple(bands + notices),
    )


def interruption(device: Any) -> Figure:
    """Return how often spot capacity of a device is taken back [1/s]: its published band, else the worst published.

    Example:
        >>> from steelyard.units import SECONDS_PER_MONTH
        >>> round(interruption("h100-sxm5-80gb").value * SECONDS_PER_MONTH, 3)
        0.15
    """
    known = spot_terms(device).interruption
    if known is not None:
        return known
    bands = [row for row in catalog.table("spot").rows if row["fact"] == _INTERRUPTION]
    worst = max(bands, key=lambda row: row.value("value"))
    note = f"none published for {accelerator_of(device).id}: the worst published, of {worst['device_as_listed']}"
    return replace(worst.figures["value"], basis="assumed", note=note)
