"""What people repeat about inference and training, recomputed from the catalogue and judged by one stated rule."""

from __future__ import annotations

from collections.abc import Callable

from steelyard.compare.claim import Claim
from steelyard.compare.claims_price import cent_per_request, price_fall, price_per_request
from steelyard.compare.claims_scaling import scaling
from steelyard.compare.claims_share import compute_share, enterprise_interactions, response_time
from steelyard.compare.claims_training import devices_needed, gpt4_training, time_to_value

CLAIMS: tuple[Callable[[], Claim], ...] = (
    price_per_request,
    cent_per_request,
    gpt4_training,
    time_to_value,
    devices_needed,
    scaling,
    price_fall,
    compute_share,
    response_time,
    enterprise_interactions,
)


def claims() -> tuple[Claim, ...]:
    """Return all claims, judged (see `claim.RULE`).

    Example:
        >>> found = {claim.id: claim.verdict for claim in claims()}
        >>> found["enterprise_interactions"]
        'no source'
    """
    return tuple(claim() for claim in CLAIMS)
