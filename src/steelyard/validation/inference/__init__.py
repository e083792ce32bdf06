"""Serving against published measurements: TTFT, TPOT, throughput and energy, how far they miss, and the fit."""

from steelyard.validation.inference.result import calibrate, validate

__all__ = ["calibrate", "validate"]
