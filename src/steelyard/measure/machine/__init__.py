"""What this machine really does: bandwidth, matrix products, attention, launches, collectives, power."""

from steelyard.measure.machine.machine import Machine, measure_machine
from steelyard.measure.machine.record import record_files

__all__ = ["Machine", "measure_machine", "record_files"]
