"""Prices usage: rental, ownership, API tokens, hosted fine-tuning, energy, carbon. Knows no model.

All functions take floats or arrays and broadcast; months are the last axis where there are any.
"""

from steelyard.economics.accountings import Accountings, training_accountings
from steelyard.economics.api_price import (
    ApiPrice,
    api_cost_usd,
    api_price,
    api_prices,
    request_costs_usd,
    stated_api_price,
)
from steelyard.economics.carbon import carbon_kgco2e, grid_intensity
from steelyard.economics.cash_flow import CashFlow, api_usd, bought_usd, cash_flow, owned_usd, rented_usd
from steelyard.economics.energy import electricity_price, energy_cost_usd, pue
from steelyard.economics.hosted_finetuning import HostedFinetuning, hosted_finetuning, training_cost_usd
from steelyard.economics.ownership import Ownership, annuity_ratio, ownership
from steelyard.economics.ownership_figures import OWNERSHIP_DRAWN, ownership_inputs, residual_curve_ratio
from steelyard.economics.price_history import (
    RECENT_YEARS,
    Decline,
    PricePoint,
    blend,
    blended_usd_per_token,
    levels,
    price_decline,
    price_ratio_ahead,
    running_minimum,
)
from steelyard.economics.rental import CONTRACT, RentalPrice, rental_cost_usd, rental_kinds, rental_price, stated_price
from steelyard.economics.spot import SpotTerms, interruption, spot_terms
from steelyard.economics.staff import engineer_figures, engineer_usd_per_s, staff_usd_per_s

__all__ = [
    "CONTRACT",
    "NOT_MODELLED",
    "OWNERSHIP_DRAWN",
    "RECENT_YEARS",
    "Accountings",
    "ApiPrice",
    "CashFlow",
    "Decline",
    "HostedFinetuning",
    "Ownership",
    "PricePoint",
    "RentalPrice",
    "SpotTerms",
    "annuity_ratio",
    "api_cost_usd",
    "api_price",
    "api_prices",
    "api_usd",
    "blend",
    "blended_usd_per_token",
    "bought_usd",
    "carbon_kgco2e",
    "cash_flow",
    "electricity_price",
    "energy_cost_usd",
    "engineer_figures",
    "engineer_usd_per_s",
    "grid_intensity",
    "hosted_finetuning",
    "interruption",
    "levels",
    "owned_usd",
    "ownership",
    "ownership_inputs",
    "price_decline",
    "price_ratio_ahead",
    "pue",
    "rental_cost_usd",
    "rental_kinds",
    "rental_price",
    "rented_usd",
    "request_costs_usd",
    "residual_curve_ratio",
    "running_minimum",
    "spot_terms",
    "staff_usd_per_s",
    "stated_api_price",
    "stated_price",
    "training_accountings",
    "training_cost_usd",
]

NOT_MODELLED: tuple[str, ...] = (
    "API surcharges for long prompts, batch and priority prices, prices by time of day",
    "cloud network traffic and storage, minimum rental terms, volume discounts beyond the listed contracts",
    "taxes, import duties, land; exchange rates between a price's date and today",
    "embodied carbon and water; market-based carbon accounting; the grid's hourly mix",
    "peak-demand charges and hourly electricity prices",
)
