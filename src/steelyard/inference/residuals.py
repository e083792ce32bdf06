"""How far step times may be off: wider where less was measured."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from steelyard import arch, catalog
from steelyard.device import Device
from steelyard.inference.engine import DEFAULT_ENGINE
from steelyard.records.figure import Figure

HOME_VENDOR = "nvidia"  # most is measured on its devices, and all general figures are of them
OWN_KERNELS = ("llama.cpp",)  # engines whose kernels are not those of the others


def condition(vendor: str, engine: str) -> str:
    """Return under which name runs have a spread of their own: a vendor, an engine's kernels, or "" for the usual.

    Example:
        >>> condition("nvidia", "vllm"), condition("amd", "vllm"), condition("nvidia", "llama.cpp")
        ('', 'amd', 'llama.cpp')
    """
    if vendor != HOME_VENDOR:
        return vendor
    return engine if engine in OWN_KERNELS else ""


def time_residual_sigma(model: arch.Model, device: Device, engine: str = DEFAULT_ENGINE) -> float:
    """Return how far the time of a step may be off: standard deviation of ln(measured / predicted).

    That of left-out families of sources for the same kind of model, vendor and kernels, where such were measured, and
    at least the usual one, for few families tell the others. A vendor that nothing was fitted to has the usual spread
    and, on top, that of vendors: `unseen_vendor_sigma`; such an engine that of engines: `unseen_engine_sigma`.

    Args:
        model: Dense, or a mixture of experts.
        device: Its vendor counts.
        engine: The one that does the work (`Engine.kernels`).

    Example:
        >>> from steelyard import arch, device
        >>> llama = arch.load("llama-3.1-8b")
        >>> time_residual_sigma(llama, device.load("mi300x")) > time_residual_sigma(llama, device.load("h100"))
        True
        >>> time_residual_sigma(llama, device.load("h100"), "mlc-llm") > time_residual_sigma(llama, device.load("h100"))
        True
    """
    figures = catalog.calibration("inference")
    kind = "moe" if model.num_moe_layers else "dense"
    return _sigma(figures, f"{kind}_time_residual_sigma", device.accelerator.vendor.casefold(), engine)


def _sigma(figures: Mapping[str, Figure], name: str, vendor: str, engine: str) -> float:
    where = condition(vendor, engine)
    usual, own = figures[name].value, figures.get(f"{name}.{where}")
    found = usual if own is None else max(own.value, usual)
    if own is None and vendor != HOME_VENDOR and f"vendor_time_ratio.{vendor}" not in figures:
        found = float(np.hypot(found, unseen_vendor_sigma()))
    return found if is_fitted(engine) else float(np.hypot(found, unseen_engine_sigma()))


def is_fitted(engine: str) -> bool:
    """Return whether an engine has a fitted figure of its own.

    Example:
        >>> is_fitted("sglang"), is_fitted("mlc-llm")
        (True, False)
    """
    return any(name.endswith(f".{engine}") for name in catalog.calibration("inference"))


def unseen_vendor_sigma() -> float:
    """Return how far the time of a step is off on devices of a vendor that nothing was fitted to, beside the usual."""
    return catalog.calibration("inference")["unseen_vendor_sigma"].value


def unseen_engine_sigma() -> float:
    """Return how far the time of a step is off of an engine that nothing was fitted to, beside the usual."""
    return catalog.calibration("inference")["unseen_engine_sigma"].value
