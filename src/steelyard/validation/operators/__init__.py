"""Kernels timed alone against published timings: matrix products, attention, collectives; and the fit of the device."""

from steelyard.validation.operators.result import calibrate, validate

__all__ = ["calibrate", "validate"]
