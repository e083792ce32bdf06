"""A fit as figures of `calibration/<kind>.toml`: in a user's own folder, or in place in the shipped file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from steelyard.validation.errors import OVERALL, Group
from steelyard.validation.result import Calibration

_UNITS = {"_s": "s", "_bytes": "B"}  # ends of names; anything else is a ratio
_ALIKE = "a family of sources counts as its effective rows, with an offset that no prediction uses"
_WEIGHTS = {"inference": "a family of sources counts by the root of its rows, up to 300"}
_LINE = re.compile(r'^"?(?P<name>[a-z0-9_]+(?:\.[a-z0-9.-]+)?)"? = \{')


def user_file(fitted: Calibration) -> str:
    """Return a file for a folder of `STEELYARD_DATA`: the fitted figures alone, all others stay the shipped ones."""
    lines = [
        *_heading(fitted),
        "",
        "[defaults]",
        f'source = "steelyard-{fitted.kind}-fit"',
        f"as_of = {datetime.now(UTC).date().isoformat()}",
        'basis = "derived"',
        "",
        "[figures]",
        *_figures(fitted).values(),
    ]
    return "\n".join(lines) + "\n"


def shipped_file(text: str, fitted: Calibration) -> str:
    """Return the shipped file with the fitted figures and their opening note in place of the old ones."""
    new = _figures(fitted)
    kept = text.splitlines()
    while kept and kept[0].startswith("#"):
        kept.pop(0)
    lines = []
    for line in kept:
        found = _LINE.match(line)
        lines.append(new.pop(found["name"], line) if found else line)
    return "\n".join([*_heading(fitted), *lines, *new.values()]) + "\n"


def _figures(fitted: Calibration) -> dict[str, str]:
    """Return one line for each figure, by its name."""
    lines = {}
    for fit in fitted.fits:
        for name, value in fit.values.items():
            low, high = fit.spans[name]
            note = f"standard error {fit.log_errors[name]:.0%}; range: fits without one family of sources"
            lines[name] = (
                f"{_key(name)} = {{ value = {value:.4g}, low = {min(low, value):.4g}, high = {max(high, value):.4g}, "
                f'unit = "{_unit(name)}", note = "{note}" }}'
            )
    for name, sigma in fitted.residual_sigmas.items():
        note = "standard deviation of ln(measured / predicted) of families left out of the fit, each weighted alike"
        lines[name] = f'{_key(name)} = {{ value = {sigma:.3g}, unit = "1", note = "{note}" }}'
    return lines


def _key(name: str) -> str:
    return f'"{name}"' if "." in name else name


def _unit(name: str) -> str:
    return next((unit for end, unit in _UNITS.items() if name.partition(".")[0].endswith(end)), "1")


def _heading(fitted: Calibration) -> Iterator[str]:
    """Yield the comment that opens the file: how the figures were found and how far they miss."""
    points = {group.metric: group.num_points for group in fitted.groups if group.group == OVERALL}
    yield f"# Corrections of {fitted.kind}, fitted to published measurements by `steelyard calibrate {fitted.kind}`."
    yield "#"
    yield f"# {fitted.num_parameters} free parameters, none for a device, a model or a table of measurements. Robust"
    yield f"# loss on logarithms; {_WEIGHTS.get(fitted.kind, _ALIKE)}."
    yield f"# Points: {', '.join(f'{count} of {metric}' for metric, count in points.items())}."
    yield "# Errors of families that the fit has not seen: |predicted - measured| / measured; bias positive: predicted"
    yield "# too large; cover and width of the 80% range; then one share of the printed peak, and the nearest row:"
    yield "#"
    yield "#   family           metric                    rows  median    p90   bias  cover  width  share  nearest"
    for group in fitted.groups:
        if group.num_points:
            yield f"#   {_row(group)}"


def _row(group: Group) -> str:
    def cell(value: float | None, form: str = "6.2f") -> str:
        return "     -" if value is None else f"{value:{form}}"

    return (
        f"{group.group:<16} {group.metric:<24} {group.num_points:>5}  {cell(group.median_abs_error_ratio)} "
        f"{cell(group.p90_abs_error_ratio)} {cell(group.bias_ratio, '+6.2f')} {cell(group.coverage_80_ratio)} "
        f"{cell(group.width_80_ratio)} {cell(group.baseline_median_abs_error_ratio)} "
        f"{cell(group.nearest_median_abs_error_ratio)}"
    )
