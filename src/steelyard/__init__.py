"""steelyard weighs AI inference against AI training: cost, time, hardware, scale and quality, with evidence."""

__version__ = "0.1.0"
