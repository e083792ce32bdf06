"""A layout as a line that people write and read, and as plain values."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from steelyard.errors import InputError, unknown
from steelyard.training import RECOMPUTE, SCHEDULES, Layout

_COUNTS = ("tp", "pp", "vpp", "dp", "cp", "ep", "zero", "replicas", "micro-batch", "global-batch")
_FIELDS = {"zero": "zero_stage", "micro-batch": "micro_batch", "global-batch": "global_batch"}


def layout_dict(layout: Layout) -> dict[str, int | str]:
    """Return one layout as plain values, its devices first."""
    values = {item.name: np.asarray(getattr(layout, item.name)).item() for item in dataclasses.fields(layout)}
    return {"num_devices": int(np.asarray(layout.num_devices))} | values


def layout_text(layout: Layout) -> str:
    """Return one layout in a line, as `parse_layout` takes it.

    Example:
        >>> layout_text(Layout(tp=8, dp=4, global_batch=32, zero_stage=1))
        'tp=8,dp=4,zero=1,micro-batch=1,recompute=none'
    """
    values = layout_dict(layout)
    parts = [f"{name}={values[name]}" for name in ("tp", "pp", "vpp", "cp", "ep", "dp") if values[name] != 1]
    parts += [
        f"zero={values['zero_stage']}",
        f"micro-batch={values['micro_batch']}",
        f"recompute={values['recompute']}",
    ]
    usual = dataclasses.asdict(Layout())
    return ",".join(
        parts + [f"{name}={values[name]}" for name in ("replicas", "schedule") if values[name] != usual[name]]
    )


def parse_layout(text: str, num_devices: int | None, batch_sequences: int) -> Layout:
    """Return the layout that a line states; what it leaves out is 1, ZeRO-1, no recomputation, the batch asked for.

    dp follows from the devices where it is not stated.

    Raises:
        InputError: A part that cannot be read, or a product that is not the number of devices.
    """
    words = {"recompute": RECOMPUTE, "schedule": SCHEDULES}
    known = (*_COUNTS, *words)
    values: dict[str, Any] = {}
    for part in text.split(","):
        name, separator, value = (piece.strip() for piece in part.partition("="))
        if not separator or name not in known:
            raise InputError(f"layout: {unknown('part', part.strip() or text, known)}; for example tp=8,pp=4,zero=1")
        if name in words and value not in words[name]:
            raise InputError(f"layout: {unknown(name, value, words[name])}")
        if name not in words and not (value.isascii() and value.isdecimal() and len(value) <= 9):
            raise InputError(f"layout: {name} is {value[:20]!r}; allowed: a whole number")
        values[_FIELDS.get(name, name)] = value if name in words else int(value)
    if "dp" not in values:
        values["dp"] = _data_parallel(values, num_devices)
    layout = Layout(**({"global_batch": batch_sequences} | values))
    if num_devices is not None and layout.num_devices != num_devices:
        raise InputError(
            f"layout: tp x pp x cp x dp is {layout.num_devices}, for {num_devices} devices; they must be equal"
        )
    return layout


def _data_parallel(values: dict[str, int], num_devices: int | None) -> int:
    """Return the replicas that fill the devices."""
    one = max(values.get("tp", 1) * values.get("pp", 1) * values.get("cp", 1), 1)
    if num_devices is None:
        return 1
    if num_devices % one:
        raise InputError(f"layout: {num_devices} devices are no multiple of tp x pp x cp = {one}")
    return num_devices // one
