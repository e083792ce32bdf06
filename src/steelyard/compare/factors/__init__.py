"""The seven factors, one file each: its name is the factor's id, `PLACE` its place in the tables, `weigh` what it says.

A new factor is one more file here.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from importlib import import_module

from steelyard.compare.result import FactorResult
from steelyard.compare.view import View

_NAMES = sorted(found.name for found in pkgutil.iter_modules(__path__))
_MODULES = sorted((import_module(f"{__name__}.{name}") for name in _NAMES), key=lambda module: module.PLACE)

FACTORS: Mapping[str, Callable[[View], FactorResult]] = {
    module.__name__.rpartition(".")[2]: module.weigh for module in _MODULES
}
