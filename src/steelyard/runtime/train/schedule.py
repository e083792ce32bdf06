"""The learning rate over a run."""

from __future__ import annotations

import math

_LAST_RATIO = 0.1  # of the highest rate, at the end


def rate_ratio(step: int, *, warmup: int, total_steps: int | None) -> float:
    """Return the share of the highest learning rate for the step after `step` done ones.

    Linear over the warm-up, then a cosine down to a tenth at the last step; flat where the last step is not known.

    Source: Loshchilov and Hutter, "SGDR", ICLR 2017, as used by Hoffmann et al., arXiv 2203.15556.

    Example:
        >>> [round(rate_ratio(step, warmup=2, total_steps=10), 2) for step in (0, 1, 2, 6, 10)]
        [0.5, 1.0, 1.0, 0.55, 0.1]
    """
    if step < warmup:
        return (step + 1) / warmup
    if total_steps is None:
        return 1.0
    done = min(1.0, (step - warmup) / max(1, total_steps - warmup))
    return _LAST_RATIO + (1 - _LAST_RATIO) * 0.5 * (1 + math.cos(math.pi * done))
