"""What comes out: the models that reach the loss, side by side, and the load that a model's own size implies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from steelyard.decide.lifetime.prices import ServingOffer, TrainingOffer
from steelyard.decide.lifetime.question import ModelQuestion
from steelyard.records.estimate import Estimate
from steelyard.records.term import Term

STATED = "as stated"
COMPUTE_OPTIMAL = "least training FLOP (Chinchilla)"
LEAST_FLOP = "least FLOP, serving included (Sardana)"
LEAST_MONEY = "least money"
FLAT_RATIO = 0.05  # sizes this close to the least money are as good, for all that the prediction knows


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One model that reaches the loss: its size and tokens, and what it takes in FLOP and in money."""

    name: str
    params: float
    tokens: float
    training_flop: float
    serving_flop: float
    training_usd: Estimate
    serving_usd: Estimate
    total_usd: Estimate
    saved_flop_ratio: float  # of the baseline's; below 0 it takes more
    saved_usd: Estimate  # against the baseline, draw by draw
    saved_usd_ratio: float
    training: TrainingOffer  # of the size nearest to it that was predicted
    serving: ServingOffer

    @property
    def tokens_per_param(self) -> float:
        return self.tokens / self.params

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "params": self.params,
            "tokens": self.tokens,
            "tokens_per_param": self.tokens_per_param,
            "training_flop": self.training_flop,
            "serving_flop": self.serving_flop,
            "training_usd": self.training_usd.to_dict(),
            "serving_usd": self.serving_usd.to_dict(),
            "total_usd": self.total_usd.to_dict(),
            "saved_flop_ratio": self.saved_flop_ratio,
            "saved_usd": self.saved_usd.to_dict(),
            "saved_usd_ratio": self.saved_usd_ratio,
            "trained_on": {"device": self.training.device_id, "num_devices": self.training.num_devices},
            "served_on": {"device": self.serving.device_id, "num_devices": self.serving.deployment.num_devices,
                          "weight_dtype": self.serving.deployment.weight_dtype},
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Where the cheapest size lies; over the few published laws the ends are extremes, not percentiles."""

    over_draws: Estimate  # of prices and prediction errors
    over_laws: Estimate
    least_flop_over_laws: Estimate  # the same of the model with least FLOP
    flat_params: tuple[float, float]  # sizes that cost within `FLAT_RATIO` of the least

    def to_dict(self) -> dict[str, Any]:
        return {
            "over_draws": self.over_draws.to_dict(),
            "over_laws": self.over_laws.to_dict(),
            "least_flop_over_laws": self.least_flop_over_laws.to_dict(),
            "as_cheap": list(self.flat_params),
        }


@dataclass(frozen=True, kw_only=True)
class ImpliedLoad:
    """The lifetime tokens at which a model of the target's own size and tokens is itself the best.

    p10 and p90 are the ends over all laws of the loads at which it is, p50 is the middle of the default law's; 0 where
    the model is larger than the best even without any serving, infinity where no load makes it the best.
    """

    least_flop_tokens: Estimate
    least_money_tokens: Estimate

    def to_dict(self) -> dict[str, Any]:
        return {"least_flop": self.least_flop_tokens.to_dict(), "least_money": self.least_money_tokens.to_dict()}


@dataclass(frozen=True, kw_only=True)
class ModelPlan:
    """The answer; candidates are empty where no lifetime of serving was stated."""

    question: ModelQuestion
    law: str
    loss_nats: float
    candidates: tuple[Candidate, ...]
    spread: Spread | None
    implied: ImpliedLoad | None  # None: only a loss was stated
    reasons: tuple[str, ...]  # why money and FLOP disagree
    tree: Term
    sources: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def best(self) -> Candidate | None:
        return next((one for one in self.candidates if one.name == LEAST_MONEY), None)

    def trees(self) -> dict[str, Term]:
        return {"model": self.tree}

    def to_dict(self) -> dict[str, Any]:
        return {
            "law": self.law,
            "loss_nats_per_token": self.loss_nats,
            "candidates": [one.to_dict() for one in self.candidates],
            "params": None if self.spread is None else self.spread.to_dict(),
            "implied_served_tokens": None if self.implied is None else self.implied.to_dict(),
            "reasons": list(self.reasons),
        }
