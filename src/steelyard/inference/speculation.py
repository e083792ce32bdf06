"""Speculative decoding: several tokens a step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from steelyard.errors import InputError
from steelyard.units import Array

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Speculation:
    """A draft proposes, the model accepts a first part of what was proposed.

    Assumes: a pass of the draft costs a share of the model's pass over all proposals, although it is over one token of
    each sequence: too much where passes are long for their arithmetic. Its weights and its cache take no memory.

    Source: Leviathan, Kalman, Matias, "Fast Inference from Transformers via Speculative Decoding", ICML 2023.
    """

    tokens: int = 0  # proposed in one step
    acceptance_ratio: float = 0.7  # chance that a proposed token is accepted, given that those before it were
    draft_time_ratio: float = 0.05  # time of a pass of the draft over that of the model's over the same tokens

    def __post_init__(self) -> None:
        """Refuse what no draft can do.

        Raises:
            InputError: A value out of its range.
        """
        if not 0 <= self.tokens <= 64:
            raise InputError(f"speculative tokens: {self.tokens} is not between 0 and 64")
        for name in ("acceptance_ratio", "draft_time_ratio"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise InputError(f"{name}: {getattr(self, name):g} is not between 0 and 1")

    @property
    def accepted_tokens_per_step(self) -> float:
        """Tokens that a step yields, mean: (1 - a^(k+1)) / (1 - a).

        Example:
            >>> Speculation(tokens=2, acceptance_ratio=0.5).accepted_tokens_per_step
            1.75
        """
        return (1.0 - self.acceptance_ratio ** (self.tokens + 1)) / (1.0 - self.acceptance_ratio)

    def step_s(self, whole_s: Vector, plain_s: Vector) -> Vector:
        """Return the time of a step with its draft, which passes once for each proposal, and once over prompts [s].

        Args:
            whole_s: Of the model's pass over proposals and prompts.
            plain_s: Of that pass without the prompts.
        """
        if not self.tokens:
            return whole_s
        return whole_s + self.draft_time_ratio * (self.tokens * plain_s + (whole_s - plain_s))

    def token_s(self, plain_s: Vector) -> Vector:
        """Return the time of one token of each sequence, mean, where a step has no prompts [s]."""
        return self.step_s(plain_s, plain_s) / self.accepted_tokens_per_step

    def token_step_s(self, whole_s: Vector, plain_s: Vector, prompts_ratio: Array = 1.0) -> Vector:
        """Return the time of a step's share of one token of each sequence, mean, and of all that its prompts add [s].

        Args:
            whole_s, plain_s: As for `step_s`.
            prompts_ratio: Share of what prompts add that the others wait for.
        """
        added_s = np.maximum(self.step_s(whole_s, plain_s) - self.step_s(plain_s, plain_s), 0.0)
        return self.token_s(plain_s) + added_s * prompts_ratio
