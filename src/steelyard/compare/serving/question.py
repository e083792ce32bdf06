"""What is served, on what, for what load, and how it is paid: the inputs of a prediction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from steelyard import inference
from steelyard.compare.asked import Asked
from steelyard.compare.serving.served_by import ServedBy
from steelyard.errors import InputError
from steelyard.units import Array


@dataclass(frozen=True, kw_only=True)
class ServingQuestion(ServedBy, Asked):
    """One replica of a model under one load; with neither `users` nor a rate, at its largest batch.

    Formats are those that the model is stored in, and a 16-bit cache, unless stated.
    """

    isl_tokens: float
    osl_tokens: float
    users: float | None = None
    request_rate_per_s: float | None = None
    tp: int = 1
    pp: int = 1
    dp: int = 1
    ep: int = 1
    weight_dtype: str | None = None
    kv_dtype: str | None = None
    pricing: str = "on_demand"  # as simulations and searches are priced

    def __post_init__(self) -> None:
        """Refuse what no load can have.

        Raises:
            InputError: The first field that is out of its range; says which range.
        """
        if self.users is not None and self.request_rate_per_s is not None:
            raise InputError("a load is either users (a closed loop) or a request rate, not both")
        super().__post_init__()
        self.require(
            {
                "isl_tokens": (1.0, 1e8),
                "osl_tokens": (1.0, 1e8),
                "users": (1.0, 1e7),
                "request_rate_per_s": (1e-6, 1e7),
            }
        )

    @cached_property
    def serving_engine(self) -> inference.Engine:
        return self.engine_on(self.device)

    def met(self, *, users: float | None, request_rate_per_s: float | None, time_ratio: Array) -> inference.UnderLoad:
        """Return what the replica gives under a load, in place of the stated one, at true over predicted step time."""
        return inference.under_load(
            self.model,
            self.device,
            self.deployment,
            isl_tokens=self.isl_tokens,
            osl_tokens=self.osl_tokens,
            users=users,
            request_rate_per_s=request_rate_per_s,
            cached_input_ratio=self.cached_input_ratio or 0.0,
            speculation=self.speculation,
            engine=self.serving_engine,
            time_ratio=time_ratio,
        )

    @cached_property
    def deployment(self) -> inference.Deployment:
        """How the replica is cut.

        Raises:
            InputError: Ways that the model or the engine does not allow.
        """
        stored = inference.deployment_for(self.model, self.tp, weight_dtype=self.weight_dtype, kv_dtype=self.kv_dtype)
        layout = replace(stored, pp=self.pp, dp=self.dp, ep=self.ep)
        inference.require_cut(self.model, layout, self.serving_engine)
        return layout
