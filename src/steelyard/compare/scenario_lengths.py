"""The lengths of prompts and answers in a scenario: a preset, a distribution or a trace."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_serializer, model_validator

from steelyard.compare import scenario_fields as fields
from steelyard.records.joint_shares import JointShares, joint_shares_of, share_edges, share_rows
from steelyard.records.spec import Spec, at_key, no_such_key, shown
from steelyard.records.spec_fields import text

_QUANTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?)$")
_Edges = Annotated[list[float], BeforeValidator(lambda value: share_edges(value).tolist())]


class LengthStats(Spec):
    """Prompt or answer lengths as a user knows them: any of `mean`, `p50`, `p99`, `max`."""

    mean_tokens: float | None = None
    quantile_tokens: dict[float, float] = Field(default_factory=dict)  # 0.5 -> tokens; 1.0 is the maximum

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        allowed = ["mean", "p50", "p90", "p95", "p99", "max"]
        if isinstance(data, cls):
            return data
        if not isinstance(data, Mapping) or not data:
            raise ValueError(f"{shown(data)} stands where lengths belong; allowed: {', '.join(allowed)}")
        mean, quantiles = None, {}
        for key, value in data.items():
            try:
                tokens = fields.length(value)
            except ValueError as error:
                raise at_key(str(key), str(error)) from None
            if key == "mean":
                mean = tokens
            elif key == "max":
                quantiles[1.0] = tokens
            elif (match := _QUANTILE.match(str(key))) and float(match[1]) > 0:
                quantiles[float(match[1]) / 100] = tokens
            else:
                raise no_such_key(str(key), allowed)
        ordered = [quantiles[share] for share in sorted(quantiles)]
        if ordered != sorted(ordered):
            raise ValueError("the quantiles fall; allowed: each at least as large as the one before")
        if mean is not None and 1.0 in quantiles and mean > quantiles[1.0]:
            raise at_key("mean", "larger than max; allowed: a mean up to max")
        return {"mean_tokens": mean, "quantile_tokens": quantiles}

    @model_serializer
    def _as_written(self) -> dict[str, float]:
        named = {"max" if share == 1.0 else f"p{100 * share:g}": n for share, n in self.quantile_tokens.items()}
        return named if self.mean_tokens is None else {"mean": self.mean_tokens, **named}


class JointShareTable(Spec):
    """Which prompt and answer lengths go together: shares of all requests by bins of both."""

    values: Annotated[list[list[float]], BeforeValidator(lambda value: share_rows(value).tolist())]
    isl_edges: _Edges | None = None
    osl_edges: _Edges | None = None

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        self.joint_shares()
        return self

    def joint_shares(self) -> JointShares:
        """Return the table as lengths are drawn from it."""
        return joint_shares_of(self.values, self.isl_edges, self.osl_edges)


class StatedLengths(Spec):
    """Input and output lengths stated by their distribution."""

    isl: LengthStats
    osl: LengthStats
    joint_shares: JointShareTable | None = None


class TraceLengths(Spec):
    """Input and output lengths from a file of requests (CSV or JSON lines)."""

    trace: Annotated[Path, BeforeValidator(lambda value: Path(text(value)))]


def _preset(value: Any) -> str:
    if not isinstance(value, str):
        allowed = "the name of a preset, {isl: ..., osl: ...} or {trace: FILE}"
        raise ValueError(f"{shown(value)} is not lengths; allowed: {allowed}")  # noqa: TRY004 - one kind of error
    return text(value)


def _lengths_form(value: Any) -> str:
    if isinstance(value, TraceLengths) or (isinstance(value, Mapping) and "trace" in value):
        return "<trace>"
    return "<stated>" if isinstance(value, (Mapping, StatedLengths)) else "<preset>"


RequestLengths = Annotated[
    Annotated[str, BeforeValidator(_preset), Tag("<preset>")]
    | Annotated[StatedLengths, Tag("<stated>")]
    | Annotated[TraceLengths, Tag("<trace>")],
    Discriminator(_lengths_form),
]
