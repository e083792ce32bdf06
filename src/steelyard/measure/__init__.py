"""Measures machines, endpoints and runs."""
