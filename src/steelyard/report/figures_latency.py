"""The plot of latency percentiles against load."""

from __future__ import annotations

import math

from steelyard.compare.serving.by_load import LatencyByLoad
from steelyard.report import plot
from steelyard.report.plot import Figure, finite

_METRICS = (("ttft", "TTFT", plot.BLUE), ("tpot", "TPOT", plot.VERMILION))
_LEVELS = ((50.0, "dot"), (95.0, "solid"), (99.0, "dash"))
_MS = 1e3


def latency_against_load(found: LatencyByLoad) -> Figure:
    """Return TTFT and TPOT over the rate of requests: p50, p95 and p99, the range of p95 shaded, limits marked."""
    rates = [answer.run.request_rate_per_s for answer in found.answers]
    data: list[Figure] = []
    layout = plot.layout("requests a second", "", log_y=())
    layout["shapes"] = []
    for place, (metric, name, colour) in enumerate(_METRICS):
        axis = "" if place == 0 else "2"
        common = {"type": "scatter", "mode": "lines", "x": rates, "yaxis": f"y{axis}", "legendgroup": name}
        shown: list[float | None] = []
        for percentile, dash in _LEVELS:
            times = [answer.run.percentiles_s(metric, (percentile,))[f"p{percentile:g}"] for answer in found.answers]
            values = finite([time * _MS for time in times])
            shown += values
            data.append(
                common
                | {"name": f"{name} p{percentile:g}", "y": values}
                | {"line": {"color": colour, "width": 2.5 if percentile == 95.0 else 1.5, "dash": dash}}
                | {"hovertemplate": "%{x:.3r} requests/s: %{y:,.3r} ms"}
            )
        data += _range(found, metric, common, colour)
        limit_s = getattr(found.question.objective, f"{metric}_s")
        if math.isfinite(limit_s):
            layout["shapes"].append(_limit(limit_s * _MS, axis))
            shown.append(limit_s * _MS)
        layout[f"yaxis{axis}"] = {"title": {"text": f"{name}, ms"}, "automargin": True, **plot.logarithmic(shown)}
        layout[f"yaxis{axis}"] |= {"domain": [0.55, 1.0] if place == 0 else [0.0, 0.45]}
    layout["xaxis"] |= {"anchor": "y2"}
    return {"data": data, "layout": layout}


def _range(found: LatencyByLoad, metric: str, common: Figure, colour: str) -> list[Figure]:
    """Return the p10 to p90 of the p95, over draws of the step time."""
    ranges = [answer.ranges.get(f"{metric}_p95_s") for answer in found.answers]
    known = [item for item in ranges if item is not None]
    if len(known) < len(ranges):
        return []
    hidden = common | {"showlegend": False, "hoverinfo": "skip", "line": {"width": 0}}
    return [
        hidden | {"y": finite([item.p90 * _MS for item in known])},
        hidden | {"y": finite([item.p10 * _MS for item in known]), "fill": "tonexty", "fillcolor": colour + "2e"},
    ]


def _limit(limit_ms: float, axis: str) -> Figure:
    return {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "yref": f"y{axis}",
        "y0": limit_ms,
        "y1": limit_ms,
        "line": {"color": plot.OTHER, "width": 1.5, "dash": "dash"},
    }
