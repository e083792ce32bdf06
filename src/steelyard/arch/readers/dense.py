"""Structures with one dense feed-forward block per layer: a table of the facts in which they differ from Llama."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from steelyard.arch.fields import Fields
from steelyard.arch.readers.common import (
    Fact,
    attention,
    decoder,
    mlp,
    prediction,
    said,
    windows,
)
from steelyard.arch.spec import Layer, Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What sets a dense structure apart from Llama's: biases, norms, gating, tying, windows, the order of blocks."""

    bias: Fact = False  # of queries, keys, values and output
    qkv_bias: Fact = False
    output_bias: Fact = False
    mlp_bias: Fact = False
    head_bias: Fact = False
    gated: bool = True
    learned_activation: int = 0  # parameters of the activation function
    qk_norm: Literal["", "head", "head_shift", "heads", "width"] = ""
    qk_norm_key: Fact = True
    norms: int = 2  # of the hidden width, per layer
    norm_vectors: Literal[0, 1, 2] = 1
    outer_norms: int = 1
    parallel: Fact = False
    shared_norm: bool = False  # a parallel layer has one norm for both of its blocks
    tied: bool = False
    period: int = 0  # every n-th layer sees all tokens, the others a window
    switched: bool = False  # a window holds only with `use_sliding_window`
    predicts: tuple[str, ...] = ()  # keys that count multi-token-prediction layers
    also: tuple[str, ...] = ()  # keys that change neither time nor memory


def dense(family: Family) -> Callable[[Fields], Model]:
    """Return the reader of a structure from its facts."""

    def read(fields: Fields) -> Model:
        bias, sizes = said(fields, family.bias), windows(fields, period=family.period, switched=family.switched)
        qkv_bias, output_bias = bias or said(fields, family.qkv_bias), bias or said(fields, family.output_bias)
        norms = family.qk_norm if said(fields, family.qk_norm_key) else ""
        activation = family.learned_activation
        feed_forward = mlp(fields, gated=family.gated, bias=said(fields, family.mlp_bias), vector_params=activation)
        parallel = said(fields, family.parallel)
        of_window = {
            size: Layer(
                blocks=(
                    attention(fields, norms=norms, qkv_bias=qkv_bias, output_bias=output_bias, window=size),
                    feed_forward,
                ),
                norms=1 if parallel and family.shared_norm else family.norms,
                parallel=parallel,
            )
            for size in set(sizes)
        }
        fields.ignore(*family.also)
        model = decoder(
            fields,
            [of_window[size] for size in sizes],
            tied=family.tied,
            norm_vectors=family.norm_vectors,
            outer_norms=family.outer_norms,
            head_bias=said(fields, family.head_bias),
        )
        if not family.predicts:
            return model
        return replace(model, prediction=prediction(fields, of_window[sizes[-1]], *family.predicts))

    return read


_SOFTCAPS = ("attn_logit_softcapping", "final_logit_softcapping")

FAMILIES: dict[str, Family] = {
    "apertus": Family(bias="attention_bias", gated=False, learned_activation=2, qk_norm="head"),
    "arcee": Family(bias="attention_bias", mlp_bias="mlp_bias", gated=False),
    "baichuan": Family(also=("z_loss_weight",)),
    "cohere": Family(
        bias="attention_bias",
        norms=1,
        parallel=True,
        tied=True,
        qk_norm="heads",
        qk_norm_key="use_qk_norm",
        also=("logit_scale",),
    ),
    "cohere2": Family(
        bias="attention_bias",
        norms=1,
        parallel=True,
        tied=True,
        period=4,
        also=("logit_scale", "order_of_interleaved_layers"),
    ),
    "ernie4_5": Family(bias="use_bias", mlp_bias="use_bias", tied=True),
    "exaone": Family(bias="attention_bias", mlp_bias="mlp_bias"),
    "exaone4": Family(qk_norm="head", period=4, predicts=("num_nextn_predict_layers",), also=("mtp_share_layers",)),
    "gemma": Family(bias="attention_bias", tied=True),
    "gemma2": Family(bias="attention_bias", norms=4, tied=True, period=2, also=_SOFTCAPS),
    "gemma3_text": Family(bias="attention_bias", norms=4, tied=True, qk_norm="head", period=6, also=_SOFTCAPS),
    "glm": Family(qkv_bias="attention_bias"),
    "glm4": Family(qkv_bias="attention_bias", norms=4),
    "glm4v_text": Family(qkv_bias=True, norms=4, also=("attention_bias",)),
    "glm_ocr_text": Family(norms=4, also=("attention_bias",)),
    "gpt_neox": Family(
        bias=("attention_bias", True),
        mlp_bias=True,
        gated=False,
        norm_vectors=2,
        parallel=("use_parallel_residual", True),
    ),
    "granite": Family(bias="attention_bias", mlp_bias="mlp_bias"),
    "helium": Family(qkv_bias="attention_bias", mlp_bias="mlp_bias"),
    "hunyuan_v1_dense": Family(bias="attention_bias", qk_norm="head", qk_norm_key=("use_qk_norm", True)),
    "internlm2": Family(bias="bias", also=("attn_implementation",)),
    "internlm3": Family(qkv_bias="qkv_bias", output_bias="bias", mlp_bias="bias"),
    "jais2": Family(bias=("attention_bias", True), mlp_bias=("mlp_bias", True), gated=False, norm_vectors=2),
    "llama": Family(bias="attention_bias", mlp_bias="mlp_bias"),
    "mimo": Family(qkv_bias=("attention_bias", True), switched=True, predicts=("num_nextn_predict_layers",)),
    "ministral": Family(),
    "ministral3": Family(),
    "mistral": Family(),
    "nanochat": Family(gated=False, norm_vectors=0),
    "nemotron": Family(bias="attention_bias", mlp_bias="mlp_bias", gated=False, norm_vectors=2),
    "olmo": Family(bias="attention_bias", norm_vectors=0, also=("clip_qkv",)),
    "olmo2": Family(bias="attention_bias", qk_norm="width"),
    "olmo3": Family(bias="attention_bias", qk_norm="width", period=4),
    "persimmon": Family(
        bias=True,
        mlp_bias=True,
        gated=False,
        norm_vectors=2,
        qk_norm="head_shift",
        qk_norm_key=("qk_layernorm", True),
    ),
    "phi": Family(
        bias=True,
        mlp_bias=True,
        head_bias=True,
        gated=False,
        norms=1,
        norm_vectors=2,
        parallel=True,
        qk_norm="head_shift",
        qk_norm_key="qk_layernorm",
    ),
    "phi3": Family(),
    "qwen2": Family(qkv_bias=("attention_bias", True), switched=True),
    "qwen2_5_omni_text": Family(qkv_bias=True, switched=True),
    "qwen2_5_vl_text": Family(qkv_bias=True, switched=True),
    "qwen2_vl_text": Family(qkv_bias=True, switched=True),
    "qwen3": Family(bias="attention_bias", qk_norm="head", switched=True),
    "qwen3_vl_text": Family(bias="attention_bias", qk_norm="head", switched=True),
    "seed_oss": Family(qkv_bias="attention_bias", output_bias="attention_out_bias", mlp_bias="mlp_bias"),
    "smollm3": Family(bias="attention_bias", mlp_bias="mlp_bias", tied=True, switched=True, also=("no_rope_layers",)),
    "stablelm": Family(
        qkv_bias="use_qkv_bias",
        norm_vectors=2,
        parallel="use_parallel_residual",
        shared_norm=True,
        qk_norm="heads",
        qk_norm_key="qk_layernorm",
    ),
    "starcoder2": Family(
        bias=("use_bias", True),
        mlp_bias=("use_bias", True),
        gated=False,
        norm_vectors=2,
        tied=True,
    ),
    "vaultgemma": Family(bias="attention_bias", tied=True, period=2, also=_SOFTCAPS),
}
"""`model_type` -> its facts."""
