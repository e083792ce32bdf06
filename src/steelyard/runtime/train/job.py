"""What to train, on what, until when: the job a user states in YAML or by options."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from steelyard.records.spec import Spec
from steelyard.records.spec_fields import Text, quantity, quantity_field, text, whole
from steelyard.records.spec_file import validated
from steelyard.records.yaml_file import read_yaml
from steelyard.units import SECONDS_PER_DAY


def _whole_tokens(value: object) -> int:
    allowed = "1 to 1e15, for example 10 Mtoken"
    return int(quantity(value, "a number of tokens", ("token",), low=1, high=1e15, allowed=allowed))


_Path = Annotated[Path, BeforeValidator(lambda value: Path(text(value)).expanduser())]
_Tokens = Annotated[int, BeforeValidator(_whole_tokens)]
_Time = Annotated[
    float,
    quantity_field("a time", "s", low=0, above=True, high=365 * SECONDS_PER_DAY, allowed="up to 365 days, as 30 min"),
]
_Nats = Annotated[
    float, quantity_field("a loss", "nat", low=0, above=True, high=100, allowed="above 0 to 100 nats, as 3.2")
]
_Usd = Annotated[float, quantity_field("an amount", "usd", low=0, above=True, high=1e9, allowed="above 0 to 1e9 USD")]
_Share = Annotated[float, quantity_field("a share", "ratio", low=0, high=0.9, allowed="0% to 90%, for example 2%")]
_HeldOut = Annotated[
    float, quantity_field("a share", "ratio", low=0, above=True, high=0.5, allowed="above 0% to 50%, for example 2%")
]
_Rate = Annotated[float, quantity_field("a rate", "", low=0, above=True, high=10, allowed="above 0 to 10, as 0.001")]
_Factor = Annotated[float, quantity_field("a number", "", low=0, high=1000, allowed="0 to 1000")]


class Limits(Spec):
    """When to stop; whichever comes first. Without any: one pass over the data."""

    tokens: _Tokens | None = None
    time_s: _Time | None = Field(None, alias="time")
    target_loss_nats: _Nats | None = Field(None, alias="target_loss")  # of the held-out text
    usd: _Usd | None = None

    @property
    def none(self) -> bool:
        """Whether nothing is limited."""
        return self == Limits.model_validate({})


class Evaluation(Spec):
    """How often and on how much held-out text the model is judged on the way, and by what tasks at the end."""

    every: Annotated[int, whole("a number of steps", 1, 10**9)] = 100
    sequences: Annotated[int, whole("a number of sequences", 1, 10**6)] = 64
    questions: Annotated[int, whole("a number of questions", 0, 10**6)] = 200  # of the cloze task
    tasks: tuple[Text, ...] = ()  # of lm-evaluation-harness
    task_folder: _Path | None = None  # files of such tasks beside the harness's own

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.task_folder is not None and not self.tasks:
            raise ValueError("task_folder holds files of tasks; name those to ask in tasks")
        return self


class Checkpoints(Spec):
    """How often the run is saved, and how many checkpoints are kept."""

    every: Annotated[int, whole("a number of steps", 1, 10**9)] = 200
    keep: Annotated[int, whole("a number of checkpoints", 1, 1000)] = 2


class Lora(Spec):
    """Low-rank adapters instead of all parameters."""

    rank: Annotated[int, whole("a rank", 1, 4096)] = 8
    alpha: _Factor = 16.0
    dropout_ratio: _Share = Field(0.0, alias="dropout")
    targets: Text = "all-linear"


def _tokenizer(value: Any) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool):
        if not 300 <= value <= 1_000_000:
            raise ValueError(f"{value} is no size of a vocabulary; allowed: 300 to 1000000, or a tokenizer's path")
        return value
    return text(value)


class TrainJob(Spec):
    """A training run. Paths are relative to the folder the command runs in."""

    out: _Path
    data: _Path | None = None  # a file, folder or glob; None is the source text of Python's standard library
    text_field: Text = "text"  # of JSON lines and Parquet
    held_out_ratio: _HeldOut = Field(0.02, alias="held_out")
    tokenizer: Annotated[int | str, BeforeValidator(_tokenizer)] | None = None  # size of one to train, or a path
    model: Annotated[str, BeforeValidator(lambda value: str(value) if _is_number(value) else text(value))] = "2M"
    finetune: _Path | None = None  # a Hugging Face directory to go on from, instead of `model`
    lora: Lora | None = None
    sequence_tokens: Annotated[int, whole("a length in tokens", 8, 10**6)] = Field(256, alias="sequence")
    batch: Annotated[int, whole("a number of sequences", 1, 10**6)] = 32  # sequences an optimizer step, in all
    micro_batch: Annotated[int, whole("a number of sequences", 1, 10**6)] = 8  # sequences a pass of one process
    learning_rate: _Rate | None = None  # None: by the model's width
    warmup: Annotated[int, whole("a number of steps", 0, 10**9)] = 50
    weight_decay: _Factor = 0.1
    gradient_clip: _Factor = 1.0
    seed: Annotated[int, whole("a seed", 0, 2**31)] = 0
    dtype: Literal["auto", "fp32", "bf16"] = "auto"  # of the arithmetic; weights and optimizer stay in fp32
    device: Literal["auto", "cpu", "cuda"] = "auto"
    processes: Annotated[int, whole("a number of processes", 1, 1024)] = 1  # on this machine
    sharding: Literal["ddp", "fsdp"] = "ddp"
    threads: Annotated[int, whole("a number of threads", 1, 1024)] | None = None  # of one process, on a CPU
    limits: Limits = Field(default_factory=lambda: Limits.model_validate({}))
    evaluate: Evaluation = Evaluation()
    checkpoint: Checkpoints = Checkpoints()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.lora is not None and self.finetune is None:
            raise ValueError("lora adapts an existing model; give finetune, a Hugging Face directory")
        if self.finetune is not None and "model" in self.model_fields_set:
            raise ValueError("model and finetune exclude each other; give one")
        if self.lora is not None and self.sharding == "fsdp":
            raise ValueError("lora trains few parameters: there is nothing to shard; allowed: sharding ddp")
        return self

    @property
    def tokenizer_source(self) -> int | Path:
        """The size of a tokenizer to train, or the path of one: without one stated, that of the model to fine-tune."""
        if self.tokenizer is None:
            return self.finetune or 4096
        return self.tokenizer if isinstance(self.tokenizer, int) else Path(self.tokenizer).expanduser()

    @property
    def batch_tokens(self) -> int:
        """Tokens of one optimizer step."""
        return self.batch * self.sequence_tokens

    def identity(self) -> dict[str, Any]:
        """Return what must stay the same for a run to be resumed; limits, places and processes may change."""
        free = {"out", "limits", "evaluate", "checkpoint", "processes", "sharding", "threads", "device", "micro_batch"}
        return self.model_dump(mode="json", exclude=free)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def load_job(path: Path | None, changes: Mapping[str, Any]) -> TrainJob:
    """Return the job in a YAML file, with options laid over it.

    Raises:
        InputError: One line: file, path of the field, what is wrong, what is allowed.

    Example:
        >>> load_job(None, {"out": "runs/a", "model": "3M", "limits": {"tokens": "2 Mtoken"}}).limits.tokens
        2000000
    """
    document = {} if path is None else read_yaml(path)
    if document is None or isinstance(document, Mapping):
        document = _laid_over(document or {}, changes)
    return validated(TrainJob, document, what="job", shown_as="job" if path is None else str(path))


def _laid_over(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(document)
    for key, value in changes.items():
        old = result.get(key)
        result[key] = _laid_over(old, value) if isinstance(value, Mapping) and isinstance(old, Mapping) else value
    return result
