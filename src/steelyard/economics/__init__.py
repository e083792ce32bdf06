"""Prices usage: rental, ownership, API tokens, energy, carbon. Knows no model."""
