"""The pipeline schedule: what is in flight, and how long stages wait for each other."""

from __future__ import annotations

import numpy as np

from steelyard.training.layout import Layout
from steelyard.units import Array


def in_flight(layout: Layout) -> Array:
    """Return the micro-batches whose activations the first stage holds at once, in whole-stage units.

    min(pp, m) with 1F1B; interleaving holds (1 + (pp - 1) / (pp vpp)) times as many.

    Source:
        Narayanan et al., arXiv 2104.04473, section 2.2; Korthikanti et al., arXiv 2205.05198, section 4.2.3.

    Example:
        >>> float(in_flight(Layout(pp=8, vpp=4, global_batch=64)))
        9.75
    """
    pp = np.asarray(layout.pp, np.float64)
    more = np.where(np.asarray(layout.vpp) > 1, 1.0 + (pp - 1.0) / (pp * layout.vpp), 1.0)
    held: Array = np.minimum(pp * more, layout.num_microbatches)
    return held


def bubble_count(layout: Layout) -> Array:
    """Return the stage passes (forward and backward of one micro-batch) that a device idles per step: (pp - 1) / vpp.

    Over m micro-batches that is the bubble (pp - 1) / (vpp m) of the ideal time. A zero-bubble schedule with the memory
    of 1F1B (ZB-H1) fills two thirds of it with weight gradients.

    Source:
        Narayanan et al., arXiv 2104.04473, section 2.2; Qi et al., "Zero Bubble Pipeline Parallelism", arXiv
        2401.10241, section 2.1: (pp - 1)(F + B - W) with F = B = W each a third of a pass.

    Example:
        >>> float(bubble_count(Layout(pp=8, vpp=2))), float(bubble_count(Layout(pp=4, schedule="zero_bubble")))
        (3.5, 1.0)
    """
    left = np.where(np.asarray(layout.schedule) == "zero_bubble", 1.0 / 3.0, 1.0)
    count: Array = (np.asarray(layout.pp) - 1.0) / layout.vpp * left
    return count


def final_passes(layout: Layout) -> Array:
    """Return the stage passes left when the first gradients of a step are complete: time to reduce them under.

    1 with 1F1B, the last micro-batch itself. Interleaving finishes the virtual stages one after the other, min(pp, m)
    micro-batches apart: min(pp, m) (1 - 1 / vpp), at least 1.

    Example:
        >>> float(final_passes(Layout(pp=8, vpp=4, global_batch=64))), float(final_passes(Layout(pp=8)))
        (6.0, 1.0)
    """
    together = np.minimum(np.asarray(layout.pp, np.float64), layout.num_microbatches)
    return np.maximum(1.0, together * (1.0 - 1.0 / np.asarray(layout.vpp)))
