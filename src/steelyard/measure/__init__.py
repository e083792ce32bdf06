"""Measures machines, endpoints and runs. Empty until there is something to measure with."""
