"""Training steps and peak memory against published runs: how far they miss, and the fit of the corrections."""

from steelyard.validation.training.result import calibrate, validate

__all__ = ["calibrate", "validate"]
