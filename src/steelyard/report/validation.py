"""Predictions against measurements, for people and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from steelyard.report.json_document import document, dump
from steelyard.report.listing import table
from steelyard.validation.errors import Group
from steelyard.validation.result import Calibration, Validation

_COLUMNS = {
    "median": "median_abs_error_ratio",
    "p90": "p90_abs_error_ratio",
    "bias": "bias_ratio",
    "80% range holds": "coverage_80_ratio",
    "constant share": "baseline_median_abs_error_ratio",
    "nearest row": "nearest_median_abs_error_ratio",
}
_MOST_REASONS = 12
_FEW_REASONS = 3


def render(found: Validation, *, form: str | None = None, inputs: Mapping[str, Any], width: int | None = None) -> str:
    """Return a validation as a table for the terminal, or as "json": one document with a list `groups`."""
    if form == "json":
        result = found.to_dict()
        content = document(
            "steelyard/validate/1", inputs=inputs, result=result, breakdown={}, sources=(), warnings=found.warnings
        )
        return dump({**content, "groups": result["groups"]})
    head = f"{found.kind}: {found.basis}\n\n"
    legend = (
        "\nmedian, p90: |predicted - measured| / measured; bias: median of predicted / measured - 1; width: p90 / p10 "
        "of the 80% range;\nconstant share, nearest row: median error of simple rules that learn from other families.\n"
    )
    return (
        head
        + table([_row(group) for group in (*found.groups, *found.parts)], width=width)
        + legend
        + _ordering(found)
        + _refusals(found)
    )


def _row(group: Group) -> dict[str, str]:
    cells = {"group": group.group, "metric": group.metric, "points": str(group.num_points)}
    cells["refused"] = str(group.num_refused)
    for title, name in _COLUMNS.items():
        value = getattr(group, name)
        cells[title] = "" if value is None else f"{value:+.0%}" if title == "bias" else f"{value:.0%}"
    cells["width"] = "" if group.width_80_ratio is None else f"{group.width_80_ratio:.2f}"
    return cells


def _ordering(found: Validation) -> str:
    if not found.ordering:
        return ""
    of = found.ordering
    return (
        f"\nlayouts at equal load per device ordered right: {of['right_ratio']:.0%} of {of['num_pairs']:,.0f} pairs, "
        f"{of['right_apart_ratio']:.0%} of the {of['num_pairs_apart']:,.0f} that measurements tell apart\n"
    )


def _refusals(found: Validation) -> str:
    if not found.refusals:
        return ""
    counts = Counter(refusal.reason for refusal in found.refusals)
    lines = [f"  {count:>5}  {reason}" for reason, count in counts.most_common(_MOST_REASONS)]
    rest = sum(counts.values()) - sum(count for _, count in counts.most_common(_MOST_REASONS))
    more = [f"  {rest:>5}  other reasons (all of them: --json)"] if rest else []
    return "\n".join(["", f"not predicted: {len(found.refusals)}", *lines, *more]) + "\n"


def none_predicted(found: Validation, *, label: str) -> str:
    """Return the line that says that nothing of a file was predicted, with the most frequent reasons."""
    counts = Counter(refusal.reason for refusal in found.refusals).most_common(_FEW_REASONS)
    reasons = "; ".join(f"{reason} ({count})" for reason, count in counts)
    return f"{label}: none of its {len(found.refusals):,} measurements can be predicted: {reasons}"


def parameters(found: Calibration, *, width: int | None = None) -> str:
    """Return the fitted parameters as a table: value, standard error, range over families left out."""
    rows = []
    for fit in found.fits:
        for name, value in fit.values.items():
            low, high = fit.spans[name]
            error = f"{fit.log_errors[name]:.0%}"
            rows.append(
                {
                    "parameter": name,
                    "value": f"{value:.4g}",
                    "standard error": error,
                    "range": f"{low:.3g} to {high:.3g}",
                }
            )
    rows += [{"parameter": name, "value": f"{sigma:.3g}"} for name, sigma in found.residual_sigmas.items()]
    return f"{found.num_parameters} free parameters\n\n" + table(rows, width=width)
