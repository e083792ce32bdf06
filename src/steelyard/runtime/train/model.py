"""The model of a job: by number of parameters, configuration, catalogue id, or from a Hugging Face directory."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steelyard import arch, catalog
from steelyard.errors import InputError, UnknownError, first_line
from steelyard.runtime.train.job import Lora, TrainJob

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

_COUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([kKMBGT]?)")
_SCALE = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9, "G": 1e9, "T": 1e12}
_HEAD_DIM = 32
_WIDTH_PER_LAYER = 64  # the usual; the loss hardly depends on it: Kaplan et al., arXiv 2001.08361, figure 5


def config_keys(model: str, *, vocab: int, context_tokens: int) -> dict[str, Any]:
    """Return the keys of `config.json` for a model named by a count ("2M"), a file or folder, or a catalogue id.

    The vocabulary is always the tokenizer's.

    Raises:
        InputError: The configuration cannot be read.
        UnknownError: Neither a count, a path nor in the catalogue; names the nearest.

    Example:
        >>> shape = config_keys("2M", vocab=4096, context_tokens=256)
        >>> round(arch.count_params(arch.from_config(shape, id="2M")).total_params / 1e6, 1)
        2.0
    """
    if count := count_of(model):
        keys = llama_shape(count, vocab=vocab, context_tokens=context_tokens)
    elif Path(model).expanduser().exists():
        keys = dict(arch.read_config(Path(model).expanduser()))
    else:
        keys = dict(catalog.model(model).config)
    for key in ("dtype", "torch_dtype", "quantization_config"):  # weights are trained in fp32
        keys.pop(key, None)
    return keys | {"vocab_size": vocab}


def count_of(text: str) -> float | None:
    """Return a count as people write it, None where the text is none.

    Example:
        >>> count_of("2M"), count_of("1.5 B"), count_of("qwen3-0.6b")
        (2000000.0, 1500000000.0, None)
    """
    match = _COUNT.fullmatch(text)
    return float(match[1]) * _SCALE[match[2]] if match else None


def llama_shape(params: float, *, vocab: int, context_tokens: int) -> dict[str, Any]:
    """Return the Llama-shaped configuration nearest to a number of parameters, embeddings included and tied.

    Of the shapes within 2% of the nearest count, the one whose width per layer is most usual.

    Raises:
        InputError: The vocabulary alone takes more.
    """
    shapes = []
    for hidden in range(_HEAD_DIM, 8192 + 1, _HEAD_DIM):
        rest = params - vocab * hidden - hidden  # for layers of 4 square matrices, 3 of the MLP, 2 norms
        usual = rest / (12 * hidden * hidden)  # layers with an MLP of 8/3 the width
        for layers in {max(1, int(usual)), max(1, int(usual) + 1)}:
            mlp = round((rest / layers - 4 * hidden * hidden - 2 * hidden) / (3 * hidden) / 8) * 8
            mlp = min(max(mlp, 2 * hidden), 4 * hidden)
            total = vocab * hidden + hidden + layers * (4 * hidden * hidden + 3 * hidden * mlp + 2 * hidden)
            shapes.append((abs(total / params - 1), hidden, mlp, layers, total))
    best = min(shapes)[0]
    if best > 0.2:
        least = min(total for *_, total in shapes)
        raise InputError(
            f"model: {params:,.0f} parameters do not hold a vocabulary of {vocab}; allowed: from about {least:,}, "
            "or a smaller tokenizer"
        )
    near = [shape for shape in shapes if shape[0] <= best + 0.02]
    _, hidden, mlp, layers, _ = min(near, key=lambda shape: abs(shape[1] / shape[3] / _WIDTH_PER_LAYER - 1))
    heads = hidden // _HEAD_DIM
    return {
        "model_type": "llama",
        "hidden_size": hidden,
        "intermediate_size": mlp,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "vocab_size": vocab,
        "max_position_embeddings": max(2048, context_tokens),
        "tie_word_embeddings": True,
    }


def build(job: TrainJob, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """Return the model to train, in fp32, on the CPU: fresh weights drawn by the seed, or those to go on from.

    Raises:
        InputError: The configuration or the directory cannot be used.
        UnknownError: No such model.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(job.seed)
    try:
        if job.finetune is not None:
            if not job.finetune.is_dir():
                raise InputError(f"finetune: no such folder: {job.finetune}; give a Hugging Face directory")
            model = AutoModelForCausalLM.from_pretrained(
                str(job.finetune), local_files_only=True, dtype=torch.float32, attn_implementation="sdpa"
            )
            return _with_adapters(model, job.lora) if job.lora else model
        keys = config_keys(job.model, vocab=len(tokenizer), context_tokens=job.sequence_tokens)
        keys |= {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": None}
        config = AutoConfig.for_model(**keys)
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="sdpa")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"finetune: {job.finetune}" if job.finetune else f"model: {job.model}"
        raise InputError(f"{what} cannot be used by transformers: {first_line(error)}") from None


def _with_adapters(model: PreTrainedModel, lora: Lora) -> PreTrainedModel:
    from peft import LoraConfig, get_peft_model

    targets = lora.targets if lora.targets == "all-linear" else [name.strip() for name in lora.targets.split(",")]
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout_ratio,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # releases of PEFT and transformers that warn of each other
        return get_peft_model(model, config)


def flop_per_token(config: Mapping[str, Any], sequence_tokens: int, *, frozen: bool = False) -> float | None:
    """Return the FLOP to train one token (causal attention), None for an unknown architecture.

    Forward and backward are three forward passes, two where the weights are `frozen` below adapters: then no gradient
    of the weights is computed (the adapters' own work is left out).
    """
    try:
        model = arch.from_config(config, id="model")
    except (InputError, UnknownError):
        return None
    return float(arch.flop_per_token(model, sequence_tokens, training=False)) * (2.0 if frozen else 3.0)


def learning_rate(job: TrainJob, hidden: int) -> float:
    """Return the highest learning rate: the job's, else by the way of training and the width of the model.

    Assumes: 0.02 / sqrt(width) for fresh weights, 1e-5 for all weights of a trained model, 2e-4 for adapters: common
    practice, a start for the user's own search.
    """
    if job.learning_rate is not None:
        return job.learning_rate
    if job.lora is not None:
        return 2e-4
    return 1e-5 if job.finetune is not None else 0.02 / hidden**0.5
