"""What Transformers builds for a configuration: counted on the meta device, without weights.

Run as a script, it records the counts of the catalogue's models in `transformers_counts.csv`.
"""

from __future__ import annotations

import csv
import sys
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).with_name("transformers_counts.csv")

SAME_CLASS = {"kimi_k2": "deepseek_v3", "mimo": "qwen2", "minimax_m3": "minimax_m3_vl_text"}
"""`model_type`s whose own class (in `architectures`, or beside the weights) is another one's, unchanged or derived."""

TOWERS = ("visual", "vision", "audio", "multi_modal_projector", "embed_vision", "embed_audio", "mm_projector")
"""Parts of module names that belong to images and sound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """Parameters of the language model, of the towers beside it, and what a checkpoint stores besides parameters."""

    params: int
    tower_params: int
    buffers: int
    model_class: str


class CannotBuildError(Exception):
    """Transformers has no class for the configuration, or refuses it."""


def build(config: Mapping[str, Any]) -> Built:
    """Return the counts of a configuration; towers are counted where Transformers builds the whole model."""
    text = {key: value for key, value in config.items() if key not in _NOT_SHAPE}
    if "text_config" in config:
        try:
            return _counted(_model(text, "AutoModelForImageTextToText"))
        except CannotBuildError:
            inner = {key: value for key, value in config["text_config"].items() if key not in _NOT_SHAPE}
            text = {"tie_word_embeddings": config.get("tie_word_embeddings", False), **inner}
            text.setdefault("model_type", f"{config['model_type']}_text")
    if "kv_lora_rank" in text:
        text.setdefault("q_lora_rank", None)  # null in the file: a record, which has no null, leaves it out
    return _counted(_model(text, "AutoModelForCausalLM"))


_NOT_SHAPE = ("quantization_config", "torch_dtype", "dtype")


def _model(config: Mapping[str, Any], auto_class: str) -> Any:
    import torch
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = SAME_CLASS.get(config["model_type"], config["model_type"])
    if kind not in CONFIG_MAPPING:
        raise CannotBuildError(f"Transformers has no {kind!r}")
    keys = {key: value for key, value in config.items() if key != "model_type"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with torch.device("meta"):
                return getattr(transformers, auto_class).from_config(CONFIG_MAPPING[kind](**keys))
        except Exception as error:
            raise CannotBuildError(f"{type(error).__name__}: {str(error).splitlines()[0][:150]}") from error


def _counted(model: Any) -> Built:
    stored = set(model.state_dict())
    towers = sum(p.numel() for name, p in model.named_parameters() if any(part in name for part in TOWERS))
    return Built(
        params=sum(parameter.numel() for parameter in model.parameters()) - towers,
        tower_params=towers,
        buffers=sum(buffer.numel() for name, buffer in model.named_buffers() if name in stored),
        model_class=type(model).__name__,
    )


def recorded() -> dict[str, dict[str, str]]:
    """Return the recorded rows by model."""
    with RECORDED.open(newline="", encoding="utf-8") as file:
        return {row["model"]: row for row in csv.DictReader(file)}


def main() -> None:
    import transformers

    from steelyard import catalog

    rows = []
    for name, record in catalog.models().items():
        try:
            row: dict[str, Any] = asdict(build(record.config)) | {"refusal": ""}
        except CannotBuildError as error:
            row = dict.fromkeys(Built.__slots__, "") | {"refusal": str(error)}
        rows.append({"model": name, **row, "transformers": transformers.__version__, "date": _today()})
        print(rows[-1], file=sys.stderr)
    with RECORDED.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


if __name__ == "__main__":
    main()
