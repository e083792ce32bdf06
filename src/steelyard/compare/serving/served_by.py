"""What the questions about serving state alike: the engine, what its prefix cache holds, what a draft proposes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from steelyard import inference
from steelyard.device import Device
from steelyard.errors import InputError
from steelyard.inference.simulator import Load
from steelyard.records.workload import Lengths


@dataclass(frozen=True, kw_only=True)
class ServedBy:
    """An engine as it is started."""

    engine: str = inference.DEFAULT_ENGINE
    engine_version: str = ""  # the newest when empty
    cached_input_ratio: float | None = None  # share of prompt tokens found in a prefix cache; the load's own when None
    speculative_tokens: int = 0
    acceptance_ratio: float | None = None  # 0.7 when None

    def __post_init__(self) -> None:
        """Refuse what no engine can do.

        Raises:
            InputError: The first field that is out of its range; says which range.
        """
        if self.acceptance_ratio is not None and not self.speculative_tokens:
            raise InputError("acceptance: no draft proposes tokens; say how many in a step (--speculative-tokens)")
        if self.cached_input_ratio is not None and not 0.0 <= self.cached_input_ratio <= 1.0:
            raise InputError(f"cached_input_ratio is {self.cached_input_ratio:g}; allowed: 0 to 1")

    def engine_on(self, device: Device) -> inference.Engine:
        """Return the engine with its defaults for a device.

        Raises:
            InputError: It does not run there, or its version has no number.
            UnknownError: The catalogue has no such engine.
        """
        return inference.engine_for(device, self.engine, self.engine_version)

    @property
    def speculation(self) -> inference.Speculation:
        draft = inference.Speculation(tokens=self.speculative_tokens)
        return draft if self.acceptance_ratio is None else replace(draft, acceptance_ratio=self.acceptance_ratio)

    @property
    def told(self) -> tuple[str, ...]:
        """What is said of all this beside a load: whatever is not usual."""
        draft, parts = self.speculation, []
        if self.engine != inference.DEFAULT_ENGINE or self.engine_version:
            parts.append(f"engine: {self.engine} {self.engine_version}".strip())
        if self.cached_input_ratio is not None:
            parts.append(f"{self.cached_input_ratio:.3g} of the prompt tokens cached")
        if draft.tokens:
            parts.append(
                f"a draft proposes {draft.tokens} tokens, each accepted at {draft.acceptance_ratio:.3g}: "
                f"{draft.accepted_tokens_per_step:.3g} tokens a step; its memory is not counted"
            )
        return ("; ".join(parts),) if parts else ()

    def lengths_of(self, lengths: Lengths) -> Lengths:
        """Return lengths of which as much is cached as is stated, or as they say themselves."""
        return (
            lengths if self.cached_input_ratio is None else replace(lengths, cached_input_ratio=self.cached_input_ratio)
        )

    def trace_of(self, trace: Load) -> Load:
        """Return a trace of whose prompts as much is cached as is stated.

        Raises:
            InputError: It names the blocks of its prompts, so that what is cached follows from them.
        """
        if self.cached_input_ratio is not None and len(trace.hashes):
            raise InputError(
                f"cached: {trace.label} names the blocks that its prompts share, and the cache is simulated with them; "
                "leave --cached out"
            )
        return replace(trace, lengths=self.lengths_of(trace.lengths))
