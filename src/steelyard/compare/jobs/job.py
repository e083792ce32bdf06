"""What is to be trained, on what, and how it is paid: the inputs of a prediction and of a plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from steelyard import training
from steelyard.compare.asked import Asked
from steelyard.errors import InputError, unknown

PRETRAIN, QLORA = "pretrain", "qlora"
KINDS = (PRETRAIN, *training.METHODS, QLORA)
OPTIMIZERS = {  # bytes of the moments of a trained parameter
    "adam": 8.0,  # two in fp32
    "adam-bf16": 4.0,
    "adam-8bit": 2.0,
    "muon": 4.0,  # one in fp32
}


@dataclass(frozen=True, kw_only=True)
class TrainingJob(Asked):
    """A training job, whatever its layout.

    `kind` is "pretrain" (all weights, from nothing) or the method of a fine-tuning: "full", "lora", "qlora" (adapters
    on frozen 4-bit weights).
    """

    tokens: float  # trained on, repetitions included
    seq_tokens: float = 4096.0
    global_batch_tokens: float = 4_194_304.0
    compute_dtype: str = "bf16"
    kind: str = PRETRAIN
    optimizer: str = "adam"
    software: Mapping[str, float | str] = field(default_factory=dict)  # fields of `training.Recipe` that differ
    unique_tokens: float | None = None  # distinct ones among `tokens`; all of them when None
    served_tokens: float | None = None  # over the model's life, for the size that is best for both
    target_loss_nats: float | None = None  # for the tokens that reach it
    bytes_per_token: float | None = None  # of the tokenizer on the corpus, for bits per byte
    region: str = "United States"  # of the electricity and the grid

    def __post_init__(self) -> None:
        """Refuse what no job can have.

        Raises:
            InputError: The first field that is out of its range; says which range.
        """
        if self.kind not in KINDS:
            raise InputError(f"method is {self.kind!r}; allowed: {', '.join(KINDS)}")
        if self.optimizer not in OPTIMIZERS:
            raise InputError(unknown("optimizer", self.optimizer, OPTIMIZERS))
        self.require(
            {
                "tokens": (1.0, 1e18),
                "unique_tokens": (1.0, 1e18),
                "served_tokens": (0.0, 1e24),
                "target_loss_nats": (0.1, 20.0),
                "bytes_per_token": (0.1, 100.0),
            }
        )

    @property
    def method(self) -> str:
        """What is trained: all weights ("full") or adapters ("lora")."""
        return {PRETRAIN: "full", QLORA: "lora"}.get(self.kind, self.kind)

    @cached_property
    def step_job(self) -> training.Job:
        """The part of the job that a step and its search need."""
        return training.Job(
            model=self.model,
            device=self.device,
            seq_tokens=self.seq_tokens,
            global_batch_tokens=self.global_batch_tokens,
            recipe=self.recipe,
        )

    @cached_property
    def recipe(self) -> training.Recipe:
        """How the software runs a step.

        Raises:
            InputError: A part of `software` that no recipe has.
        """
        usual = training.Recipe(
            compute_dtype=self.compute_dtype,
            method=self.method,
            base_dtype="int4" if self.kind == QLORA else "bf16",
            moment_bytes=OPTIMIZERS[self.optimizer],
        )
        known = [item.name for item in dataclasses.fields(usual)]
        for name, value in self.software.items():
            if name not in known:
                raise InputError(unknown("part of the software", name, known))
            if isinstance(value, str) != isinstance(getattr(usual, name), str):
                raise InputError(f"software: {name} is {value!r}; allowed: a value like {getattr(usual, name)!r}")
        return dataclasses.replace(usual, **self.software)  # type: ignore[arg-type]

    @property
    def batch_sequences(self) -> int:
        """Sequences of the global batch asked for."""
        return max(round(self.global_batch_tokens / self.seq_tokens), 1)
