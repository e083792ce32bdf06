"""What is asked of a serving system: lengths, demand, objective."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from steelyard.records.figure import Figure
from steelyard.records.joint_shares import JointShares


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A preset of request lengths and arrivals, as read off a real trace.

    The quantiles map a share of requests (0 to 1) to tokens. `length_rank_correlation_ratio` is Spearman's, between
    prompt and answer length; `joint_shares` says more of how the two go together, where it is known, and takes its
    place; `peak_to_mean_ratio` is of the request rate; `prefix_hit_ratio` is the share of prompt tokens that a large
    prefix cache serves (0 where the trace does not tell).
    """

    id: str
    name: str
    isl_quantile_tokens: Mapping[float, float]
    isl_mean_tokens: float
    osl_quantile_tokens: Mapping[float, float]
    osl_mean_tokens: float
    length_rank_correlation_ratio: float
    request_rate_per_s: float
    arrival_cv_ratio: float
    peak_to_mean_ratio: float
    joint_shares: JointShares | None = None
    prefix_hit_ratio: float = 0.0
    hourly_shape_ratio: tuple[float, ...] = ()  # 24 rates relative to their mean, or empty
    figures: Mapping[str, Figure] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    note: str = ""
