"""The uncertain inputs in words, and how each gets known: measured, negotiated, or only watched."""

from __future__ import annotations

_WORDS = {  # name of a draw -> what it is, how it gets known
    "growth": ("growth of your demand", "measure it: count your own requests for some weeks"),
    "api_price": ("fall of API prices", "negotiate a price for the whole horizon"),
    "serving_time": ("true against predicted speed of your fleet", "measure it: steelyard measure serve"),
    "rental": ("rent of a device at your provider", "negotiate: ask for an offer"),
    "rental_price_year": ("movement of on-demand rents", "negotiate a term"),
    "training_time": ("true against predicted training step", "measure it: steelyard measure train"),
    "whole_job": ("what training jobs lose beyond failures", "measure it: steelyard train, for some hours"),
    "mtbf": ("failures of the training cluster", "ask the provider for the failure log"),
    "electricity": ("price of electricity", "negotiate: ask for an offer"),
    "pue": ("PUE of the site", "ask the site"),
    "spot_interruption": ("how often spot devices are taken back", "measure it: run some for a week"),
    "spot_return": ("how long spot capacity stays away", "measure it: run some for a week"),
    "owned server_usd_per_device": ("price of a server", "negotiate: ask for an offer"),
    "owned network_ratio": ("share of the network in a cluster's price", "negotiate: ask for an offer"),
    "owned rate_ratio": ("cost of capital", "ask your treasurer"),
    "owned life_s": ("how long a server earns its keep", "watch: decide when you would replace it"),
    "owned maintenance_per_s": ("maintenance of a server", "negotiate: ask for an offer"),
}


def label_of(name: str) -> str:
    """Return what an uncertain input is, in words."""
    return _WORDS[name][0] if name in _WORDS else name.replace("_", " ")


def how_known(name: str) -> str:
    """Return how an uncertain input gets known better."""
    return _WORDS[name][1] if name in _WORDS else "watch it"
