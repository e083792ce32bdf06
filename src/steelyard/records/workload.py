"""What is asked of a serving system: lengths, demand, objective."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from steelyard.records.figure import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Request lengths as equally likely samples: `isl_tokens[i]` and `osl_tokens[i]` belong to one request.

    A preset, a stated distribution and a trace all become this, so that nothing downstream knows the difference.
    """

    isl_tokens: npt.NDArray[np.float64]  # [S], prompt tokens
    osl_tokens: npt.NDArray[np.float64]  # [S], generated tokens, reasoning included
    cached_input_ratio: float = 0.0  # share of prompt tokens served from a prefix cache or billed as cached
    label: str = ""
    figures: Mapping[str, Figure] = field(default_factory=dict)

    @property
    def mean_isl_tokens(self) -> float:
        return float(self.isl_tokens.mean())

    @property
    def mean_osl_tokens(self) -> float:
        return float(self.osl_tokens.mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """Latency limits at percentiles of requests; infinity where nothing is asked."""

    ttft_s: float = float("inf")
    ttft_percentile: float = 95.0
    tpot_s: float = float("inf")
    tpot_percentile: float = 95.0
