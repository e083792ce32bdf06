"""The events of single requests as a file: CSV, or JSON lines."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from typing import Any

from steelyard.records.requests import RequestEvents

COLUMNS = (
    "arrival_s", "sent_s", "first_token_s", "end_s", "ttft_s", "tpot_s", "e2e_s", "isl_tokens", "osl_tokens", "error",
)  # fmt: skip


def as_text(events: RequestEvents, *, form: str) -> str:
    """Return the events as "csv" or "jsonl", one request a line; what never happened is left empty or null."""
    if form == "jsonl":
        return "".join(f"{json.dumps(row)}\n" for row in rows(events))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows(events))
    return stream.getvalue()


def rows(events: RequestEvents) -> Iterator[dict[str, Any]]:
    """Yield a request at a time, in the order of arrival."""
    columns = {name: getattr(events, name) for name in COLUMNS}
    for place in range(len(events)):
        yield {name: _plain(values[place]) for name, values in columns.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value
    number = float(value)
    if math.isnan(number):
        return None
    return int(number) if number.is_integer() else round(number, 6)
