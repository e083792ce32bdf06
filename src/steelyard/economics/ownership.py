"""What an owned device costs per second: server, network, capital, upkeep and its place in a data centre.

Power is apart (see `energy`): it depends on the load, ownership does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from steelyard.economics.hardware import accelerator_of
from steelyard.economics.ownership_figures import ownership_inputs, residual_curve_ratio
from steelyard.economics.provenance import source_ids
from steelyard.errors import InputError
from steelyard.records.figure import Figure
from steelyard.records.term import Term, figure_term, term
from steelyard.units import SECONDS_PER_YEAR, Array

Site = Literal["colocation", "building"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ownership:
    """Cost of owning one device per second of its life, used or not; arrays broadcast over drawn inputs."""

    usd_per_device_s: Array = term(
        "owned device, without power",
        "usd_per_device_s",
        "capital + maintenance + site",
        parts=("capital_usd_per_device_s", "maintenance_usd_per_device_s", "site_usd_per_device_s"),
    )
    capital_usd_per_device_s: Array = term(
        "capital",
        "usd_per_device_s",
        "((capex - residual) * annuity + residual * rate) / year",
        "annuity with a salvage value, any engineering-economics text",
        ("capex_usd_per_device", "residual_usd_per_device", "annuity_ratio", "rate_ratio", "life_s"),
    )
    capex_usd_per_device: Array = term(
        "to buy one device with its share of server and network",
        "usd",
        "server share / (1 - network share)",
        parts=("server_usd_per_device", "network_usd_per_device"),
    )
    server_usd_per_device: Array = term("its share of a server", "usd", parts=("inputs",))
    network_usd_per_device: Array = term("its share of the cluster network", "usd")
    residual_usd_per_device: Array = term(
        "resale value at the end of its life", "usd", "server share * residual share; the network has none"
    )
    annuity_ratio: Array = term("yearly payment over capital", "ratio", "rate / (1 - (1 + rate)^-years)")
    rate_ratio: Array = term("cost of capital per year", "ratio")
    life_s: Array = term("economic life", "s")
    maintenance_usd_per_device_s: Array = term(
        "maintenance and support", "usd_per_device_s", "capex * share per year / year"
    )
    site_usd_per_device_s: Array = term(
        "place in a data centre",
        "usd_per_device_s",
        "colocation price * power, or annuity of the building * power",
    )
    power_w: Array = term("power reserved for it, with its share of the server", "w")
    device_id: str
    site: Site
    figures: Mapping[str, Figure]

    @property
    def inputs(self) -> Term:
        """Return the catalogue figures behind the record as one node of an explanation."""
        children = tuple(figure_term(name, figure) for name, figure in self.figures.items())
        return Term(label="catalogue figures", value=float(len(children)), unit="figure", children=children)

    @property
    def sources(self) -> tuple[str, ...]:
        return source_ids(figure.source for figure in self.figures.values())


def annuity_ratio(rate: Array, years: Array) -> Array:
    """Return the yearly payment that repays a capital of 1 with interest over `years`, paid at each year's
    end.

    a = rate / (1 - (1 + rate)^-years), and 1 / years at a rate of zero

    Raises:
        InputError: A life of zero or less, or a rate of -100% or less.

    Example:
        >>> annuity_ratio(0.0, 5.0)
        0.2
        >>> round(annuity_ratio(0.08, 5.0), 4)
        0.2505
    """
    rates, lives = np.broadcast_arrays(np.asarray(rate, dtype=np.float64), np.asarray(years, dtype=np.float64))
    if not (np.all(lives > 0) and np.all(rates > -1)):
        raise InputError("an annuity needs a life above 0 years and a rate above -100%")
    zero = np.abs(rates) < 1e-12  # below, 1 - (1 + rate)^-years loses all digits
    safe = np.where(zero, 1.0, rates)
    ratio = np.where(zero, 1 / lives, safe / -np.expm1(-lives * np.log1p(safe)))
    return float(ratio) if ratio.ndim == 0 else ratio


def ownership(
    device: Any,
    *,
    site: Site = "colocation",
    rate_ratio: Array | None = None,
    life_s: Array | None = None,
    server_usd_per_device: Array | None = None,
    network_ratio: Array | None = None,
    maintenance_per_s: Array | None = None,
    residual_ratio: Array | None = None,
    power_w: Array | None = None,
    site_usd_per_w_s: Array | None = None,
) -> Ownership:
    """Return the cost of owning one device [USD/device-s], power apart.

    capital = ((capex - residual) * annuity(rate, life) + residual * rate) / year, with
    capex = server share / (1 - network share); then maintenance on the capex, and the site per W reserved.

    Args:
        device: Catalogue id or device record.
        site: `colocation` rents the place per W and month; `building` repays a building per W over its own
        life.
        rate_ratio .. site_usd_per_w_s: In place of the catalogue's figures (see `ownership_inputs`); arrays
            broadcast.

    Returns:
        `Ownership`, per second of life: divide by the share of time used to get the cost of a used second.

    Raises:
        UnknownError: No server price and no purchase price for the device.
        InputError: A share outside 0 to 1, or a life of zero.

    Assumes:
        The resale curve of one device type holds for all; the network has no resale value; taxes and staff
        are apart.

    Example:
        >>> own = ownership("h100-sxm5-80gb")
        >>> 0.5 < own.usd_per_device_s * 3600 < 3
        True
    """
    figures = ownership_inputs(device)

    def given(value: Array | None, name: str) -> Array:
        return figures[name].value if value is None else value

    rate, life = given(rate_ratio, "rate_ratio"), given(life_s, "life_s")
    server, power = given(server_usd_per_device, "server_usd_per_device"), given(power_w, "power_w")
    share = given(network_ratio, "network_ratio")
    if not (np.all(np.asarray(share) >= 0) and np.all(np.asarray(share) < 1)):
        raise InputError("the network's share of a cluster's price must lie between 0 and 1")
    years = life / SECONDS_PER_YEAR
    network = server * share / (1 - share)
    capex = server + network
    residual = server * (residual_curve_ratio(years, device) if residual_ratio is None else residual_ratio)
    annuity = annuity_ratio(rate, years)
    capital = ((capex - residual) * annuity + residual * rate) / SECONDS_PER_YEAR
    upkeep = capex * given(maintenance_per_s, "maintenance_per_s")
    place = power * (_site_usd_per_w_s(site, rate, figures) if site_usd_per_w_s is None else site_usd_per_w_s)
    return Ownership(
        usd_per_device_s=capital + upkeep + place,
        capital_usd_per_device_s=capital,
        capex_usd_per_device=capex,
        server_usd_per_device=server,
        network_usd_per_device=network,
        residual_usd_per_device=residual,
        annuity_ratio=annuity,
        rate_ratio=rate,
        life_s=life,
        maintenance_usd_per_device_s=upkeep,
        site_usd_per_device_s=place,
        power_w=power,
        device_id=accelerator_of(device).id,
        site=site,
        figures=figures,
    )


def _site_usd_per_w_s(site: Site, rate: Array, figures: Mapping[str, Figure]) -> Array:
    if site == "colocation":
        return figures["colocation_usd_per_w_s"].value
    years = figures["building_life_s"].value / SECONDS_PER_YEAR
    return figures["building_usd_per_w"].value * annuity_ratio(rate, years) / SECONDS_PER_YEAR
