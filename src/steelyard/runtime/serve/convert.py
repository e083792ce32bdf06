"""A folder in Hugging Face's layout as one GGUF file: Llama-shaped models with byte-level BPE."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from steelyard.errors import InputError
from steelyard.records.user_cache import user_cache

_ARCHITECTURES = {  # as config.json names them -> as GGUF does
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "llama",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
}
_SPLITS = {  # a part of the pattern by which a tokenizer splits text -> what llama.cpp calls it
    r"\p{N}{1,3}": "llama-bpe",
    r"|\p{N}| ?[^\s\p{L}\p{N}]+": "qwen2",
    r"|\p{L}+| ?\p{N}+": "gpt-2",
}
_ROTATED = ("q_proj.weight", "k_proj.weight", "q_proj.bias", "k_proj.bias")


def convertible(model: str) -> str:
    """Return why a folder cannot be converted, or nothing."""
    if find_spec("gguf") is None:
        return "the package gguf is not installed (pip install 'steelyard[run]')"
    folder = Path(model)
    try:
        config = _json(folder / "config.json")
        architecture = (config.get("architectures") or ["none"])[0]
        if architecture not in _ARCHITECTURES:
            return f"architecture {architecture} is not one that is converted ({', '.join(_ARCHITECTURES)})"
        if (scaling := _rope(config).get("rope_type", "default")) != "default":
            return f"rope scaling {scaling} is not converted"
        if not list(folder.glob("*.safetensors")):
            return "it has no *.safetensors"
        _split_name(_json(folder / "tokenizer.json"))
    except InputError as error:
        return str(error)
    return ""


def gguf_of(model: str) -> Path:
    """Return the GGUF file of a folder, converted once and kept in the user's cache.

    Raises:
        InputError: The folder cannot be converted, or the cache cannot be written.
    """
    folder = Path(model)
    if reason := convertible(model):
        raise InputError(f"{model}: {reason}")
    parts = [folder / "config.json", folder / "tokenizer.json", *sorted(folder.glob("*.safetensors"))]
    state = [(str(path.resolve()), path.stat().st_mtime_ns, path.stat().st_size) for path in parts]
    name = hashlib.sha256(repr(state).encode()).hexdigest()[:16]
    target = user_cache() / "gguf" / f"{folder.resolve().name[:80]}-{name}.gguf"
    if target.exists():
        return target
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _convert(folder, draft)
        draft.replace(target)
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror}; set XDG_CACHE_HOME") from None
    finally:
        draft.unlink(missing_ok=True)
    return target


def _convert(folder: Path, target: Path) -> None:
    import gguf

    config = _json(folder / "config.json")
    name = _ARCHITECTURES[config["architectures"][0]]
    writer = gguf.GGUFWriter(target, name)
    _write_shape(writer, config, folder.name)
    _write_vocabulary(writer, folder, config)
    kind = next(kind for kind, text in gguf.MODEL_ARCH_NAMES.items() if text == name)
    names = gguf.get_tensor_name_map(kind, int(config["num_hidden_layers"]))
    tied = bool(config.get("tie_word_embeddings"))
    for tensor in _tensors(folder):
        if tied and tensor.name == "lm_head.weight":
            continue
        mapped = names.get_name(tensor.name, try_suffixes=(".weight", ".bias"))
        if mapped is None:
            raise InputError(f"{folder}: tensor {tensor.name!r} has no place in a GGUF file of {name}")
        values = _rotated(tensor, config) if name == "llama" and tensor.name.endswith(_ROTATED) else tensor.values
        writer.add_tensor(mapped, values.astype(np.float16 if values.ndim > 1 else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_shape(writer: Any, config: dict[str, Any], name: str) -> None:
    heads, width = int(config["num_attention_heads"]), int(config["hidden_size"])
    head = int(config.get("head_dim") or width // heads)
    writer.add_name(name)
    writer.add_block_count(int(config["num_hidden_layers"]))
    writer.add_context_length(int(config["max_position_embeddings"]))
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(int(config["intermediate_size"]))
    writer.add_head_count(heads)
    writer.add_head_count_kv(int(config.get("num_key_value_heads") or heads))
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(float(_rope(config).get("rope_theta") or config.get("rope_theta") or 10000.0))
    writer.add_layer_norm_rms_eps(float(config["rms_norm_eps"]))
    writer.add_vocab_size(int(config["vocab_size"]))


def _rope(config: dict[str, Any]) -> dict[str, Any]:
    return config.get("rope_parameters") or config.get("rope_scaling") or {}


def _write_vocabulary(writer: Any, folder: Path, config: dict[str, Any]) -> None:
    import gguf

    raw = _json(folder / "tokenizer.json")
    special = {entry["id"]: entry for entry in raw.get("added_tokens", ())}
    by_id = {number: text for text, number in raw["model"]["vocab"].items()}
    by_id |= {number: entry["content"] for number, entry in special.items()}
    tokens, kinds = [], []
    for number in range(int(config["vocab_size"])):
        tokens.append(by_id.get(number, f"[PAD{number}]"))
        if number not in by_id:
            kinds.append(gguf.TokenType.UNUSED)
        elif number in special:
            kinds.append(gguf.TokenType.CONTROL if special[number].get("special") else gguf.TokenType.USER_DEFINED)
        else:
            kinds.append(gguf.TokenType.NORMAL)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_split_name(raw))
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    vocabulary = gguf.SpecialVocab(folder, load_merges=True, n_vocab=len(tokens))
    vocabulary.add_to_gguf(writer)


def _split_name(tokenizer: dict[str, Any]) -> str:
    """Return llama.cpp's name of the way in which a tokenizer splits text before its merges."""
    if tokenizer.get("model", {}).get("type") != "BPE":
        raise InputError("its tokenizer is not BPE")
    steps = tokenizer.get("pre_tokenizer") or {}
    steps = steps.get("pretokenizers", [steps])
    if not any(step.get("type") == "ByteLevel" for step in steps) or tokenizer["model"].get("byte_fallback"):
        raise InputError("its tokenizer is not byte-level BPE")
    patterns = [step["pattern"].get("Regex", "") for step in steps if step.get("type") == "Split"]
    if not patterns and [step["type"] for step in steps] == ["ByteLevel"]:
        return "gpt-2"
    for part, name in _SPLITS.items():
        if any(part in pattern for pattern in patterns):
            return name
    raise InputError("its tokenizer splits text in a way that llama.cpp has no name for here")


@dataclass(frozen=True, slots=True)
class _Tensor:
    name: str
    values: npt.NDArray[Any]


def _tensors(folder: Path) -> Iterator[_Tensor]:
    """Yield the tensors of all files, one in memory at a time."""
    from gguf.utility import SafetensorsLocal

    for path in sorted(folder.glob("*.safetensors")):
        for name, stored in SafetensorsLocal(path).tensors.items():
            raw = stored.mmap_bytes()
            if stored.dtype == "BF16":  # the upper half of a float32
                values = (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
            elif stored.dtype in {"F32", "F16"}:
                values = raw.view(np.float32 if stored.dtype == "F32" else np.float16)
            else:
                raise InputError(f"{path}: {name} is stored as {stored.dtype}; converted are F32, F16, BF16")
            yield _Tensor(name, values.reshape(stored.shape))


def _rotated(tensor: _Tensor, config: dict[str, Any]) -> npt.NDArray[Any]:
    """Return a query or key weight in the order of llama.cpp, whose rotary pairs are neighbours, not halves."""
    heads = int(config["num_attention_heads"])
    if "k_proj" in tensor.name:
        heads = int(config.get("num_key_value_heads") or heads)
    shape = tensor.values.shape
    halves = tensor.values.reshape(heads, 2, shape[0] // heads // 2, *shape[1:])
    return halves.swapaxes(1, 2).reshape(shape)


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise InputError(f"{path}: is not JSON") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: is not a JSON object")
    return found
