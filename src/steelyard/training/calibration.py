"""The room's calibrated parameters: global ones only, each a figure of the catalogue with its source."""

from __future__ import annotations

from steelyard import catalog
from steelyard.errors import CatalogError


def parameter(name: str) -> float:
    """Return one parameter of `calibration/training.toml` (SI).

    Raises:
        CatalogError: The file lacks it.
    """
    figures = catalog.calibration("training")
    if name not in figures:
        raise CatalogError(f"calibration/training.toml: no figure {name!r}")
    return figures[name].value
