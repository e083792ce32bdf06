"""Units as text at the edges, plain SI floats inside: parsing for the loader, formatting for people.

One unit per dimension inside the program: s, bytes, flop, w, j, usd, token, kgco2e, litre, ratio. A field's name
ends in its unit (`hbm_bytes_per_s`, `usd_per_token`); `parse_unit` gives that suffix for a unit as printed.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:  # the catalogue and the command line stay light
    import numpy as np
    import numpy.typing as npt

Array: TypeAlias = "npt.NDArray[np.float64] | float"
"""A scalar or an array: every formula takes either and broadcasts."""

SECONDS_PER_HOUR = 3600.0
SECONDS_PER_DAY = 86_400.0
DAYS_PER_YEAR = 365.25
SECONDS_PER_YEAR = DAYS_PER_YEAR * SECONDS_PER_DAY
SECONDS_PER_MONTH = SECONDS_PER_YEAR / 12
DAYS_PER_MONTH = DAYS_PER_YEAR / 12
JOULES_PER_KWH = 3.6e6

_PREFIXES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
_PREFIXED = {  # unit -> (SI name, factor); these take a prefix
    "B": ("bytes", 1.0),
    "bit": ("bytes", 1 / 8),
    "FLOP": ("flop", 1.0),
    "OP": ("flop", 1.0),
    "W": ("w", 1.0),
    "J": ("j", 1.0),
    "Wh": ("j", 3600.0),
    "USD": ("usd", 1.0),
    "token": ("token", 1.0),
    "tok": ("token", 1.0),
    "param": ("param", 1.0),
    "request": ("request", 1.0),
    "gCO2e": ("kgco2e", 1e-3),
    "Hz": ("per_s", 1.0),
    "s": ("s", 1.0),
    "L": ("litre", 1.0),
}
_PLAIN = {  # these do not
    "tCO2e": ("kgco2e", 1e3),
    "min": ("s", 60.0),
    "h": ("s", SECONDS_PER_HOUR),
    "hour": ("s", SECONDS_PER_HOUR),
    "day": ("s", SECONDS_PER_DAY),
    "week": ("s", 7 * SECONDS_PER_DAY),
    "month": ("s", SECONDS_PER_MONTH),
    "year": ("s", SECONDS_PER_YEAR),
    "1": ("ratio", 1.0),
    "ratio": ("ratio", 1.0),
    "%": ("ratio", 0.01),
    "device": ("device", 1.0),
    "count": ("count", 1.0),
    "person": ("person", 1.0),
    "failure": ("failure", 1.0),
    "nat": ("nat", 1.0),
    "Elo": ("elo", 1.0),
    "point": ("point", 1.0),
    "date": ("date", 1.0),
    "rps": ("request_per_s", 1.0),
    "qps": ("request_per_s", 1.0),
    "rpm": ("request_per_s", 1 / 60.0),
}
_COUNTS = ("token", "param", "request")  # prefixed as they are said, `M requests`, and a G is also a B
_PLURAL = ("tokens", "days", "weeks", "months", "years", "hours", "requests", "devices", "params", "bits", "persons")


def _base(text: str, whole: str) -> tuple[str, float]:
    counted = text.endswith(tuple(f"{name}s" for name in _COUNTS))
    name = text[:-1] if text in _PLURAL or counted else text
    if name in _PLAIN:
        return _PLAIN[name]
    for unit, (suffix, factor) in _PREFIXED.items():
        if name.endswith(unit):
            prefix = name[: len(name) - len(unit)].rstrip()
            if unit in _COUNTS and prefix == "B":
                prefix = "G"
            scale = _PREFIXES.get(prefix, _BINARY.get(prefix))
            if scale is not None:
                return suffix, factor * scale
    raise ValueError(f"unknown unit {text!r} in {whole!r}")


def parse_unit(text: str) -> tuple[str, float]:
    """Return the suffix of a unit as printed and its factor to SI.

    Raises:
        ValueError: A part of the unit is unknown.

    Example:
        >>> parse_unit("TB/s"), parse_unit("USD/device/h")[0]
        (('bytes_per_s', 1000000000000.0), 'usd_per_device_s')
        >>> suffix, factor = parse_unit("kgCO2e/kWh"); (suffix, f"{factor:.4g}")
        ('kgco2e_per_j', '2.778e-07')
    """
    top, *below = text.strip().split("/")
    suffix, factor = _base(top.strip(), text)
    under = []
    for part in below:
        name, scale = _base(part.strip(), text)
        factor /= scale
        under.append(name)
    if not under:
        return suffix, factor
    if suffix == "ratio":
        return "per_" + "_".join(under), factor
    return f"{suffix}_per_{'_'.join(under)}", factor


_QUANTITY = re.compile(r"\s*([-+]?(?:\d[\d_,]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(\S.*)?$")


def parse_quantity(text: str | float, suffix: str) -> float:
    """Return a friendly quantity (`"200 ms"`, `"5%"`, `80`) in the SI unit named by `suffix`.

    A bare number is taken to be in SI already.

    Raises:
        ValueError: Not a finite number, an unknown unit, or a unit of another dimension.

    Example:
        >>> parse_quantity("200ms", "s"), parse_quantity("5%", "ratio"), parse_quantity(80, "bytes")
        (0.2, 0.05, 80.0)
        >>> parse_quantity("2.5M requests/s", "request_per_s"), parse_quantity("1.2B requests", "request")
        (2500000.0, 1200000000.0)
    """
    if isinstance(text, bool):
        raise ValueError(f"{text!r} is not a quantity")  # noqa: TRY004 - callers handle one kind of error
    if isinstance(text, (int, float)):
        value, unit = float(text), None
    else:
        match = _QUANTITY.match(text[:200])
        if not match:
            raise ValueError(f"{text[:40]!r} is not a number with a unit")
        value, unit = float(match[1].replace(",", "").replace("_", "")), match[2]
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not a finite number")
    if unit is None:
        return value
    got, factor = parse_unit(unit.strip())
    if got != suffix:
        raise ValueError(f"{unit.strip()!r} is a unit of {got}, not of {suffix}")
    return value * factor


_LADDERS: dict[str, list[tuple[float, float, str]]] = {  # from this size on: divide by, print
    "s": [
        (0, 1e-6, "us"),
        (1e-3, 1e-3, "ms"),
        (1, 1, "s"),
        (120, 60, "min"),
        (7200, 3600, "h"),
        (2 * SECONDS_PER_DAY, SECONDS_PER_DAY, "days"),
        (120 * SECONDS_PER_DAY, SECONDS_PER_MONTH, "months"),
        (3 * SECONDS_PER_YEAR, SECONDS_PER_YEAR, "years"),
    ],
    "device_s": [
        (0, 1, "device-s"),
        (3600, 3600, "device-h"),
        (3.6e9, 3.6e9, "M device-h"),
        (3.6e12, 3.6e12, "G device-h"),
    ],
    "j": [(0, 1, "J"), (1e3, 1e3, "kJ"), (3.6e6, 3.6e6, "kWh"), (3.6e9, 3.6e9, "MWh"), (3.6e12, 3.6e12, "GWh")],
    "w": [(0, 1, "W"), (1e3, 1e3, "kW"), (1e6, 1e6, "MW")],
    "per_s": [(0, 1, "/s"), (1e6, 1e6, "MHz"), (1e9, 1e9, "GHz")],
    "kgco2e": [(0, 1e-3, "g CO2e"), (1, 1, "kg CO2e"), (1e3, 1e3, "t CO2e")],
}
_PREFIXES_SHOWN = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_MEASURED = {"bytes": "B", "flop": "FLOP"}  # take an SI prefix: 890 GB
_COUNTED = {"token": "tokens", "param": "params", "request": "requests"}  # are counted: 1.2M requests
_RATES = {
    "usd_per_token": (1e6, "USD/Mtoken"),
    "usd_per_device_s": (3600.0, "USD/device-h"),
    "usd_per_s": (SECONDS_PER_MONTH, "USD/month"),
    "usd_per_person_s": (SECONDS_PER_YEAR, "USD/person/year"),
    "usd_per_j": (JOULES_PER_KWH, "USD/kWh"),
    "kgco2e_per_j": (1e3 * JOULES_PER_KWH, "g CO2e/kWh"),
    "request_per_s": (1.0, "requests/s"),
    "token_per_s": (1.0, "tokens/s"),
    "j_per_token": (1.0, "J/token"),
}


def rounded(value: float, digits: int) -> float:
    """Return a value at so many significant digits.

    Example:
        >>> rounded(999.6, 3), rounded(0.0123, 2)
        (1000.0, 0.012)
    """
    if value == 0 or not math.isfinite(value):
        return value
    return round(value, digits - 1 - math.floor(math.log10(abs(value))))


def format_number(value: float, digits: int = 3) -> str:
    """Return a number for people: `digits` significant figures, thousands grouped, no exponent in the usual range.

    Example:
        >>> format_number(1234567.0), format_number(0.000123456), format_number(2.5e13)
        ('1,230,000', '0.000123', '2.5e+13')
    """
    if not math.isfinite(value):
        return "unlimited" if value > 0 else "none"
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if not -7 <= magnitude < 12:
        return f"{value:.{digits - 1}e}".replace(".00e", "e").replace("0e", "e")
    rounded = round(value, digits - 1 - magnitude)
    decimals = max(0, digits - 1 - magnitude)
    text = f"{rounded:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_quantity(value: float, suffix: str, digits: int = 3) -> str:
    """Return an SI value for people, in the unit they say aloud, to so many significant digits of that unit.

    Example:
        >>> format_quantity(0.2, "s"), format_quantity(3.35e12, "bytes_per_s"), format_quantity(6e-7, "usd_per_token")
        ('200 ms', '3.35 TB/s', '0.6 USD/Mtoken')
        >>> format_quantity(0.051, "ratio"), format_quantity(1234.5, "usd")
        ('5.1%', '1,230 USD')
        >>> format_quantity(2.9 / 3600, "usd_per_device_s", 2), format_quantity(100.0, "s", 2)
        ('2.9 USD/device-h', '100 s')
    """
    if not math.isfinite(value):
        return format_number(value)
    if suffix == "ratio":
        return f"{format_number(value * 100, digits)}%"
    if suffix in _RATES:
        factor, name = _RATES[suffix]
        return f"{format_number(value * factor, digits)} {name}"
    if suffix in _LADDERS:
        size = abs(rounded(value, digits))  # so that 999.9 ms are 1 s
        _, divisor, name = next(step for step in reversed(_LADDERS[suffix]) if size >= step[0])
        return f"{format_number(value / divisor, digits)} {name}"
    return _with_prefix(value, suffix, digits)


def _with_prefix(value: float, suffix: str, digits: int) -> str:
    """Return a measured or counted value with its SI prefix, or a plain number with its unit."""
    base, _, per = suffix.partition("_per_")
    end = f"/{per.replace('_', '-')}" if per else ""
    if base in _MEASURED or base in _COUNTED:
        size = abs(rounded(value, digits))
        scale, prefix = next((step for step in _PREFIXES_SHOWN if size >= step[0]), (1.0, ""))
        shown = format_number(value / scale, digits)
        if base in _MEASURED:
            return f"{shown} {prefix}{_MEASURED[base]}{end}"
        if not per or prefix:
            prefix = {"G": "B"}.get(prefix, prefix)  # people count in billions
            return f"{shown}{prefix} {_COUNTED[base]}{end}"
    name = {"usd": "USD", "device": "devices", "elo": "Elo", "1": "", "count": "", "nat": "nats"}.get(base)
    return f"{format_number(value, digits)} {base.replace('_', ' ') if name is None else name}".rstrip() + end
