"""What a reader of the figures must know about how they came about."""

from __future__ import annotations

from steelyard.measure.load.client import Endpoint
from steelyard.records.serving_metrics import ServingMetrics

_LATE_S, _LATE_RATIO, _FEW_REQUESTS = 0.02, 0.05, 100


def load_warnings(endpoint: Endpoint, found: ServingMetrics) -> tuple[str, ...]:
    """Return warnings: the client was the limit, lengths are not as asked, too few requests for p99."""
    told = []
    late = found.send_delay.percentiles_s[99.0]
    if late > max(_LATE_S, _LATE_RATIO * found.e2e.percentiles_s[50.0]):
        told.append(
            f"this client sent 1% of the requests {late * 1e3:.0f} ms or more after they were due; their wait is "
            "counted, but the client, not the server, was the limit: lower the rate, or give the client a free core"
        )
    if "ignore_eos" not in endpoint.extra:
        told.append("the server does not know `ignore_eos`: answers end where the model ends them")
    if found.num_answered < _FEW_REQUESTS:
        told.append(f"{found.num_answered} answers are too few for a p99; ask for more with --requests and --duration")
    return tuple(told)
