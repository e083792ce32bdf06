"""A scaling law measured on the user's text: for the terminal, as JSON, and as records of the user's catalogue."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from steelyard.measure.scaling_law import ScalingLaw
from steelyard.report.json_document import document, dump
from steelyard.report.listing import table
from steelyard.units import format_number, format_quantity

SCHEMA = "steelyard/measure-scaling-law/1"
FORMULA = "L = E + A/N^alpha + B/D^beta"
_UNITS = {"E": "nat/token", "A": "1", "B": "1", "alpha": "1", "beta": "1"}


def law_table(law: ScalingLaw, asked: Iterable[tuple[float, float]] = (), *, width: int | None = None) -> str:
    """Return the runs, the law with its ranges, and the losses it expects of the models asked about."""
    runs = [
        {
            "model": format_quantity(point.params, "param"),
            "trained on": format_quantity(point.tokens, "token"),
            "held-out loss": f"{point.loss_nats:.3f} nats/token",
            "by the law": f"{law.loss_nats(point.params, point.tokens).p50:.3f}",
        }
        for point in law.points
    ]
    constants = [
        {
            "constant": name,
            "best fit": format_number(law.best[name]),
            "range": f"{format_number(found.p10)} to {format_number(found.p90)}",
        }
        for name, found in law.ranges.items()
    ]
    fit = f"{FORMULA}; N parameters, D tokens; the losses lie {law.residual_ratio:.1%} off it (root mean square)\n"
    expected = [
        {
            "model": format_quantity(params, "param"),
            "trained on": format_quantity(tokens, "token"),
            "expected loss": f"{found.p50:.3f} nats/token",
            "range": f"{found.p10:.3f} to {found.p90:.3f}",
        }
        for params, tokens in asked
        for found in [law.loss_nats(params, tokens)]
    ]
    blocks = [table(runs, width=width), fit, table(constants, width=width)]
    return "\n".join(blocks + ([table(expected, width=width)] if expected else []))


def law_json(law: ScalingLaw, *, inputs: Mapping[str, Any], asked: Iterable[tuple[float, float]] = ()) -> str:
    """Return the law as one JSON document."""
    result = {
        "formula": FORMULA,
        "best": dict(law.best),
        "ranges": {name: found.to_dict() for name, found in law.ranges.items()},
        "residual_ratio": law.residual_ratio,
        "points": [
            {"params": point.params, "tokens": point.tokens, "loss_nats": point.loss_nats} for point in law.points
        ],
        "expected": [
            {"params": params, "tokens": tokens, "loss_nats": law.loss_nats(params, tokens).to_dict()}
            for params, tokens in asked
        ],
    }
    return dump(document(SCHEMA, inputs=inputs, result=result, breakdown={}, sources=()))


def law_row(law: ScalingLaw, name: str, *, text: str, day: date) -> dict[str, str]:
    """Return the law as a row of the catalogue's table `scaling_laws`; its source has the same id.

    Args:
        law: The law.
        name: Its id.
        text: What it was measured on, in words.
        day: When.
    """
    sizes = [format_quantity(pick(point.params for point in law.points), "param") for pick in (min, max)]
    tokens = [format_quantity(pick(point.tokens for point in law.points), "token") for pick in (min, max)]
    return {
        "id": name,
        "form": FORMULA,
        "default": "no",
        **{f"{key} [{_UNITS[key]}]": f"{value:.6g}" for key, value in law.best.items()},
        **{f"{key}_se [{_UNITS[key]}]": f"{law.draws[:, at].std():.3g}" for at, key in enumerate(_UNITS)},
        "units": "L nats/token of its own tokenizer; N params; D tokens",
        "fitted_range": f"{' to '.join(sizes)}, {' to '.join(tokens)}",
        "source": name,
        "as_of": day.isoformat(),
        "basis": "measured",
        "note": f"{len(law.points)} runs on {text}",
    }


def with_row(table_text: str, row: Mapping[str, str]) -> str:
    """Return a table (CSV) with a row added, or put where one of the same id stood."""
    rows = [old for old in csv.DictReader(io.StringIO(table_text)) if old["id"] != row["id"]] + [dict(row)]
    held = io.StringIO()
    writer = csv.DictWriter(
        held, fieldnames=list(dict.fromkeys(key for old in rows for key in old)), lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(rows)
    return held.getvalue()


def law_source(name: str, text: str) -> str:
    """Return the source of a law's row (TOML)."""
    title = f"Ladder of small models on {text}".replace("\\", "/").replace('"', "'")
    return f'[[source]]\nid = "{name}"\ntitle = "{title}"\nkind = "measurement"\n'
