"""A model from the catalogue, a path or a mapping."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from steelyard import catalog
from steelyard.arch.config import read_config
from steelyard.arch.fields import SYNONYMS, USUAL_NAMES, Fields
from steelyard.arch.quantisation import quantised
from steelyard.arch.readers import IGNORED, IGNORED_ENDINGS, READERS, SAME_STRUCTURE, TEXT_KEYS, TEXT_PARTS
from steelyard.arch.spec import Model
from steelyard.arch.towers import towers
from steelyard.errors import InputError, unknown

_DTYPES = {
    "bfloat16": "bf16",
    "float16": "fp16",
    "half": "fp16",
    "float32": "fp32",
    "float": "fp32",
    "float8_e4m3fn": "fp8",
}
_BESIDE = ("vision_config", "audio_config")
_NEXT_STEP = "docs/howto/add-a-model.md says how to add one"
_OUTER_KEYS = ("torch_dtype", "dtype", "quantization_config", "quantization")
_TIED = "tie_word_embeddings"


def load(ref: str | Path) -> Model:
    """Return a model by catalogue id or alias, or from a path to a `config.json` or the folder that holds it.

    Raises:
        UnknownError: Neither in the catalogue nor a file; names the nearest models.
        InputError: The configuration cannot be read or understood.
    """
    if isinstance(ref, str) and not ref.endswith(".json") and (catalog.has_model(ref) or not _is_path(ref)):
        return _from_catalogue(ref)
    path = Path(ref)
    name = path.parent.name if path.name == "config.json" else path.name
    return from_config(read_config(path), id=str(path), name=name or str(path))


def _is_path(ref: str) -> bool:
    try:
        return bool(ref.strip()) and Path(ref).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # too long for a name, a zero byte, no such home
        return False


@lru_cache(maxsize=256)
def _from_catalogue(ref: str) -> Model:
    record = catalog.model(ref)
    model = from_config(record.config, id=record.id, name=record.name)
    return replace(model, assumed=record.note) if record.basis == "assumed" else model


def from_config(config: Mapping[str, Any], *, id: str, name: str = "") -> Model:  # noqa: A002 - the catalogue's word
    """Return the model that the keys of a Hugging Face `config.json` describe.

    Args:
        config: The keys; those that change neither time nor memory may be left out.
        id: Name for messages and results.
        name: Name for people.

    Raises:
        InputError: A field is missing, wrong, or not known for this kind of model.

    Assumes: bf16 where no dtype is stated.

    Example:
        >>> shape = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4}
        >>> model = from_config({"model_type": "llama", "vocab_size": 1000, "max_position_embeddings": 512} | shape,
        ...     id="tiny")
        >>> model.num_layers, model.num_kv_heads, model.weight_dtype
        (2, 4, 'bf16')
    """
    where = id[-200:]
    outer, model_type, whole_type = config, config.get("model_type"), ""
    defaults: dict[str, Any] = {}
    if isinstance(model_type, str) and model_type not in READERS and _holds_text(config, model_type):
        whole_type = model_type
        config, defaults = _language_model(config, whole_type, where)
        model_type = config["model_type"]
    elif isinstance(model_type, str):
        defaults = _context_default(config, model_type)
        config = {**config, **defaults}
    if not isinstance(model_type, str):
        Fields(config, where).refuse("model_type", "the name of a structure, as in the config.json of Transformers")
    if model_type not in READERS:
        raise InputError(f"{where}: {unknown('model_type', model_type, READERS, next_step=_NEXT_STEP)}")
    fields = Fields(config, where)
    model = READERS[model_type](fields)
    base = _stored_dtype(fields)
    fields.has("model_type")
    for key in ("quantization_config", "quantization"):
        fields.has(key)  # read below, once the matrices are known
    harmless = fields.finish(IGNORED, IGNORED_ENDINGS)
    model = replace(model, id=id, name=name or id, weight_dtype=base, base_dtype=base, harmless_keys=harmless)
    taken = tuple(f"{key} = {defaults[key]}" for key in sorted(defaults) if fields.was_read(key))
    model = replace(model, defaults=taken)
    if whole_type:
        beside, left_out = towers(outer, whole_type, model.hidden, where)
        model = replace(model, towers=beside, ignored=model.ignored + left_out + _around(outer, config, whole_type))
    return _as_stored(model, config, fields)


def _as_stored(model: Model, config: Mapping[str, Any], fields: Fields) -> Model:
    """Return a model with the formats that its checkpoint stores it in."""
    quantisation = config.get("quantization_config") or config.get("quantization")
    if not quantisation:
        return replace(model, tower_dtype=model.base_dtype)
    if not isinstance(quantisation, Mapping):
        key = "quantization_config" if config.get("quantization_config") else "quantization"
        fields.refuse(key, "a mapping that says how weights are stored")
    if config.get("expert_dtype") and "expert_dtype" not in quantisation:
        quantisation = {**quantisation, "expert_dtype": config["expert_dtype"]}
    as_stored = quantised(model, quantisation, fields.where)
    return replace(
        model,
        weight_dtype=as_stored.weight_dtype,
        stored=as_stored.stored,
        prediction_stored=as_stored.prediction,
        tower_dtype=model.base_dtype if as_stored.towers_wide else None,
        kv_dtype=as_stored.kv_dtype or model.kv_dtype,
    )


def _holds_text(config: Mapping[str, Any], model_type: str) -> bool:
    return model_type in TEXT_PARTS or any(key in config for key in TEXT_KEYS)


def _language_model(config: Mapping[str, Any], whole_type: str, where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the keys of the language model in a larger configuration, and those of them that its class fills in.

    They stand in a configuration of their own, or (older files) among the keys of the whole.
    """
    text_type = TEXT_PARTS.get(whole_type)
    key = next((key for key in TEXT_KEYS if config.get(key) is not None), TEXT_KEYS[0])
    inner = config.get(key)
    if inner is None and text_type and "hidden_size" in config:
        return {key: value for key, value in config.items() if key not in _BESIDE} | {"model_type": text_type}, {}
    if not isinstance(inner, Mapping):
        Fields(config, where).refuse(key, "the configuration of the language model")
    text = {key: config[key] for key in _OUTER_KEYS if config.get(key) is not None} | dict(inner)
    if config.get(_TIED) is not None:  # the head is the larger model's
        text[_TIED] = config[_TIED]
    named = text.get("model_type", text_type)
    if not isinstance(named, str):
        Fields(inner, f"{where}: {key}").refuse("model_type", "the name of the language model's structure")
    text["model_type"] = SAME_STRUCTURE.get(named, named)
    stated = set(text) | {other for group in SYNONYMS if not group.isdisjoint(text) for other in group}
    defaults = {key: value for key, value in _class_defaults(text["model_type"]).items() if key not in stated}
    return text | defaults, defaults


def _around(whole: Mapping[str, Any], text: Mapping[str, Any], whole_type: str) -> tuple[str, ...]:
    """Return in words what a larger model that nobody registered has beside its language model and its towers."""
    if whole_type in TEXT_PARTS:
        return ()
    read = {*TEXT_KEYS, *_OUTER_KEYS, *_BESIDE, _TIED, *IGNORED}
    left = [key for key in whole if key not in read and whole[key] not in (None, False, 0, "", text.get(key))]
    left = sorted(key for key in left if not key.startswith("_") and not key.endswith(IGNORED_ENDINGS))
    return (f"what {whole_type} states around its language model ({', '.join(left)})",) if left else ()


def _context_default(config: Mapping[str, Any], model_type: str) -> dict[str, Any]:
    """Return the longest context that a structure has by default, where a file leaves it out: it is no shape."""
    key = "max_position_embeddings"
    if any(USUAL_NAMES.get(stated, stated) == key for stated in config):
        return {}
    defaults = _class_defaults(model_type)
    return {key: defaults[key]} if key in defaults else {}


def _class_defaults(model_type: str) -> dict[str, Any]:
    """Return what the configuration class of a structure has where a file leaves a key out."""
    rows = catalog.table("config_defaults").where(model_type=model_type)
    return {row["key"]: json.loads(row["default"]) for row in rows}


def _stored_dtype(fields: Fields) -> str:
    key = "dtype" if fields.has("dtype") else "torch_dtype"
    return _DTYPES[fields.choice(key, _DTYPES, default="bfloat16")]
