"""Predictions beside what was measured: of a trial of both activities, of a training run, of a load."""

from steelyard.compare.measured.beside import (
    machine_record,
    predicted_load,
    predicted_training,
    was_measured_lately,
)
from steelyard.compare.measured.factors import MeasuredComparison, compare_measured
from steelyard.compare.measured.row import Row
from steelyard.compare.measured.runs import load_rows, training_rows

__all__ = [
    "MeasuredComparison",
    "Row",
    "compare_measured",
    "load_rows",
    "machine_record",
    "predicted_load",
    "predicted_training",
    "training_rows",
    "was_measured_lately",
]
