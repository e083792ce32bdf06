"""The catalogue figures behind ownership: server prices, power, resale curve, brought to one device."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from steelyard import catalog
from steelyard.economics.hardware import accelerator_of
from steelyard.errors import UnknownError
from steelyard.records.figure import Figure
from steelyard.records.system import Accelerator
from steelyard.units import Array

_REFERENCE = "h100-sxm5-80gb"  # whose server power and resale curve stand in for a device without its own
_IN_SERVER = "in a whole server"  # so says the note of a purchase price that holds its share of the server


OWNERSHIP_DRAWN = (
    "server_usd_per_device",
    "network_ratio",
    "rate_ratio",
    "life_s",
    "maintenance_per_s",
)  # inputs that are uncertain


def ownership_inputs(device: Any) -> Mapping[str, Figure]:
    """Return the catalogue figures behind `ownership`, by name; their low and high are what a range is
    drawn from.

    Raises:
        UnknownError: The catalogue has neither a server price nor a purchase price of the device.
    """
    return _inputs(accelerator_of(device))


@catalog.remembered
def _inputs(accelerator: Accelerator) -> Mapping[str, Figure]:
    calibration = catalog.calibration("economics")
    return {
        "server_usd_per_device": _server_figure(accelerator),
        "network_ratio": _item("network-share-cluster"),
        "rate_ratio": calibration["cost_of_capital"],
        "life_s": calibration["owned_life"],
        "maintenance_per_s": _item("maintenance"),
        "colocation_usd_per_w_s": _item("colocation"),
        "building_usd_per_w": _item("building-capex"),
        "building_life_s": calibration["building_life"],
        "power_w": _power_figure(accelerator),
    }


def residual_curve_ratio(years: Array, device: Any = _REFERENCE) -> Array:
    """Return the resale value after `years` over the price when new [ratio]: log-linear between the table's
    points.

    A device without two points of its own takes the curve of the H100.

    Example:
        >>> residual_curve_ratio(0.0)
        1.0
    """
    known = _residuals(accelerator_of(device))
    if len(known) < 2:
        known = _residuals(accelerator_of(_REFERENCE))
    known = {**known, 0.0: 1.0}
    ages = np.array(sorted(known))
    logs = np.log([known[age] for age in ages])
    last = (logs[-1] - logs[-2]) / (ages[-1] - ages[-2])  # beyond the last point its slope goes on
    age = np.asarray(years, dtype=np.float64)
    ratio = np.exp(np.interp(age, ages, logs) + last * np.maximum(age - ages[-1], 0.0))
    return float(ratio) if ratio.ndim == 0 else ratio


@catalog.remembered
def _items() -> Mapping[str, Figure]:
    return {row["item"]: row.figures["value"] for row in catalog.table("ownership").rows if "value" in row.figures}


def _item(name: str) -> Figure:
    return _items()[name]


def _names(accelerator: Accelerator) -> tuple[str, ...]:
    return (accelerator.id, *accelerator.aliases)


def _of_machine(accelerator: Accelerator, kind: str) -> Figure | None:
    """Return one device's share of a figure of its server or rack (`kind` is "" or "power-")."""
    items = _items()
    for name in _names(accelerator):
        for item, count in (
            (f"{kind}server-{name}-{accelerator.devices_per_node}", accelerator.devices_per_node),
            (f"{kind}rack-{name}", accelerator.scale_up_devices),
        ):
            if item in items:
                return _scaled(items[item], 1 / count, f"one of {count} devices of {item}")
    return None


def _server_figure(accelerator: Accelerator) -> Figure:
    shared = _of_machine(accelerator, "")
    if shared is not None:
        return shared
    bought = accelerator.figures.get("purchase_price")
    if bought is None:
        raise UnknownError(
            f"unpriced: {accelerator.id} has no purchase price in the catalogue; "
            "rent it, or state its price under prices.devices"
        )
    if _IN_SERVER in bought.note:
        return bought
    ratio = _item("server-over-gpus")
    told = f"purchase price times server over GPUs, {ratio.value:g}; {bought.note}".rstrip("; ")
    return _scaled(bought, ratio.value, told)


def _power_figure(accelerator: Accelerator) -> Figure:
    shared = _of_machine(accelerator, "power-")
    if shared is not None:
        return shared
    reference = accelerator_of(_REFERENCE)
    of_reference = _of_machine(reference, "power-")
    if of_reference is None:
        raise UnknownError("the ownership table has no power of the reference server")
    ratio = of_reference.value / reference.tdp_w
    return _scaled(
        of_reference,
        accelerator.tdp_w / reference.tdp_w,
        f"design power times {ratio:.3g}, as for {reference.id}",
    )


def _scaled(figure: Figure, factor: float, note: str) -> Figure:
    return replace(
        figure,
        value=figure.value * factor,
        low=None if figure.low is None else figure.low * factor,
        high=None if figure.high is None else figure.high * factor,
        basis="derived" if figure.basis == "published" else figure.basis,
        note=note,
    )


@catalog.remembered
def _residuals(accelerator: Accelerator) -> Mapping[float, float]:
    found: dict[float, float] = {}
    for name in _names(accelerator):
        pattern = re.compile(rf"residual-{re.escape(name)}-(\d+)y")
        for item, figure in _items().items():
            if match := pattern.fullmatch(item):
                found[float(match[1])] = figure.value
    return found
