"""steelyard weighs AI inference against AI training: cost, time, hardware, scale and quality, with evidence.

What programs and notebooks call is in `steelyard.api`.
"""

__version__ = "0.1.0"
