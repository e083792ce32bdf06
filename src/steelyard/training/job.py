"""What is trained in a step, whatever the layout."""

from __future__ import annotations

from dataclasses import dataclass, field

from steelyard.arch import Model
from steelyard.device import Device
from steelyard.errors import InputError
from steelyard.training.layout import MAX_DEVICES, Layout
from steelyard.training.memory import Memory, memory
from steelyard.training.recipe import Recipe
from steelyard.training.step import Step, step


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is trained in a step, whatever the layout."""

    model: Model
    device: Device
    seq_tokens: float
    global_batch_tokens: float
    recipe: Recipe = field(default_factory=Recipe)

    @property
    def batch(self) -> int:
        """Sequences of the global batch asked for."""
        return max(round(self.global_batch_tokens / self.seq_tokens), 1)

    def step(self, layout: Layout) -> Step:
        """Return the step of layouts, checked against their rules."""
        return step(self.model, self.device, layout, seq_tokens=self.seq_tokens, recipe=self.recipe)

    def memory(self, layout: Layout) -> Memory:
        """Return the memory that layouts need on their fullest device."""
        return memory(self.model, self.device, layout, seq_tokens=self.seq_tokens, recipe=self.recipe)

    def check(self, count: int) -> None:
        """Refuse a device count, a sequence length or a batch out of range.

        Raises:
            InputError: The first of them; says what is allowed.
        """
        if not 1 <= count <= MAX_DEVICES or count != int(count):
            raise InputError(f"number of devices is {count}; allowed: whole numbers from 1 to {MAX_DEVICES}")
        if not 1 <= self.seq_tokens <= 1e9 or self.seq_tokens != int(self.seq_tokens):
            raise InputError(f"sequence length is {self.seq_tokens:g} tokens; allowed: whole numbers from 1 to 1e9")
        if not 0 < self.global_batch_tokens <= 1e12:
            raise InputError(f"global batch is {self.global_batch_tokens:g} tokens; allowed: above 0, up to 1e12")
