"""Predictions against published points, and the fit. Empty until `steelyard validate` exists."""
