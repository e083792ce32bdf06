"""Against what `transformers` builds, live: parameters of every structure, FLOP as PyTorch counts them."""

import dataclasses
import json
import logging
from pathlib import Path

import pytest

from steelyard import arch, catalog

torch = pytest.importorskip("torch")
flop_counter = pytest.importorskip("torch.utils.flop_counter")
transformers = pytest.importorskip("transformers", minversion="5.0")
logging.getLogger("transformers").setLevel(logging.ERROR)

# Keyword arguments of the configuration class of each structure, beside the shared sizes. Llama 4's plain
# implementation runs all experts for all tokens, so all are asked for; scans of hybrids are counted differently by
# everybody, so that only their matrices are compared.
TINY = json.loads(Path(__file__).with_name("tiny_configs.json").read_text())
DENSE, MIXTURES, HYBRIDS = TINY["dense"], TINY["mixtures"], TINY["hybrids"]
ALL = DENSE | MIXTURES | HYBRIDS | TINY["compressed"]
QUICK = {"llama", "qwen2", "gpt2", "gpt_neox", "falcon", "bloom", "opt", "gemma2", "gemma4_text", "phi", "cohere"}
QUICK |= {"mixtral", "deepseek_v3", "deepseek_v32", "gpt_oss", "qwen2_moe", "glm4_moe", "nemotron_h", "qwen3_next"}
TOWERS = ("visual", "vision", "audio", "vqmodel", "projector", "image_newline")
SEQ = 12  # shorter than every window, so that masks leave all pairs to a plain implementation
BUFFERS = ("e_score_correction_bias", "expert_bias")  # stored with the weights, but not parameters to PyTorch


def slow_beyond(quick, model_types):
    """Return parameters of a test: those that are not quick run with `-m slow`."""
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in model_types]


def config_of(model_type):
    if model_type not in transformers.CONFIG_MAPPING:
        pytest.skip(f"this transformers has no {model_type}")
    stated = {key: value for key, value in (TINY["sizes"] | ALL[model_type]).items() if value is not None}
    return transformers.CONFIG_MAPPING[model_type](**stated)


def build(config):
    config._experts_implementation = "eager"
    return transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()


@pytest.mark.parametrize("model_type", ALL)
def test_parameters_are_those_of_transformers(model_type):
    config = config_of(model_type)
    with torch.device("meta"):
        model = build(config)
    params = arch.count_params(arch.from_config(config.to_dict(), id=model_type))
    assert params.total_params == sum(p.numel() for p in model.parameters())
    assert params.buffer_params == sum(b.numel() for name, b in model.named_buffers() if name.endswith(BUFFERS))


LARGER = {
    "cohere2_vision": {"sliding_window": 32},
    "exaone4_5": {"model_type": "exaone4", "sliding_window": 32},
    "gemma4_unified": {"model_type": "gemma4_unified_text", "sliding_window": 32, "head_dim": 8, "global_head_dim": 16},
    "glm4v": {"head_dim": 8},
    "glm4v_moe": {"n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 48, "head_dim": 8},
    "glm_ocr": {"head_dim": 8},
    "got_ocr2": {},
    "hunyuan_vl": {"head_dim": 8},
    "internvl": {"model_type": "qwen2"},
    "lfm2_vl": {"model_type": "lfm2", "layer_types": ["conv", "full_attention"] * 2},
    "llava_onevision": {"model_type": "qwen2"},
    "paddleocr_vl": {"head_dim": 8},
    "qwen2_5_omni_thinker": {},
    "qwen2_5_vl": {},
    "qwen3_omni_moe_thinker": {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 48, "head_dim": 8},
    "qwen3_vl": {"head_dim": 8},
}
"""Models with towers -> keys of their language model, beside the shared sizes."""


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("model_type", LARGER)
def test_language_models_of_larger_models_are_those_of_transformers(model_type, tied):
    """All but the towers, and the head is tied as the larger model says, whatever stands inside."""
    if model_type not in transformers.CONFIG_MAPPING:
        pytest.skip(f"this transformers has no {model_type}")
    own = {"tie_word_embeddings": not tied} | LARGER[model_type]
    config = transformers.CONFIG_MAPPING[model_type](text_config=TINY["sizes"] | own, tie_word_embeddings=tied)
    with torch.device("meta"):
        model = transformers.AutoModelForImageTextToText.from_config(config)
    beside = [part for part in (name for name, _ in model.named_parameters()) if any(word in part for word in TOWERS)]
    built = sum(p.numel() for name, p in model.named_parameters() if name not in set(beside))
    assert arch.count_params(arch.from_config(config.to_dict(), id=model_type)).total_params == built


def test_defaults_are_those_that_the_classes_declare():
    """Not what a class works out from its other defaults (the width of a head): that follows from the sizes stated."""
    for row in catalog.table("config_defaults").rows:
        declared = {
            field.name: field.default for field in dataclasses.fields(transformers.CONFIG_MAPPING[row["model_type"]])
        }
        if row["key"] in declared:
            assert json.loads(row["default"]) == declared[row["key"]], row


def counted(config):
    """Return the FLOP of one forward pass by operator of PyTorch."""
    counter = flop_counter.FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        build(config)(torch.arange(SEQ)[None] + 1, use_cache=False)
    return {str(name): flop for name, flop in counter.get_flop_counts()["Global"].items()}


@pytest.mark.parametrize("model_type", slow_beyond(QUICK, [*DENSE, *MIXTURES]))
def test_forward_flop_are_those_that_pytorch_counts(model_type):
    config = config_of(model_type)
    mine = arch.flop_per_token(
        arch.from_config(config.to_dict(), id=model_type), float(SEQ), training=False, attention="full"
    )
    assert SEQ * mine == pytest.approx(sum(counted(config).values()), rel=0.005)


@pytest.mark.parametrize("model_type", slow_beyond(QUICK, HYBRIDS))
def test_matrices_of_hybrids_are_those_that_pytorch_counts(model_type):
    config = config_of(model_type)
    model = arch.from_config(config.to_dict(), id=model_type)
    mine = SEQ * arch.flop_per_token(model, float(SEQ), training=False, attention="none")
    matrices = sum(flop for name, flop in counted(config).items() if name in {"aten.mm", "aten.addmm"})
    assert mine == pytest.approx(matrices, rel=0.005)


@pytest.mark.parametrize("model_type", ["llama", "mixtral", "deepseek_v3"])
def test_operators_add_up_to_the_same_flop(model_type):
    """The operator list of a prefill, with a causal mask: full pairs replaced by the half that a mask leaves."""
    config = config_of(model_type)
    model = arch.from_config(config.to_dict(), id=model_type)
    flop = {"attention": 0.0, "other": 0.0}
    for operator in arch.forward_operators(model, batch=1, new_tokens=SEQ):
        flop["attention" if operator.kind == "attention" else "other"] += float(operator.flop) * operator.count
    unmasked = flop["other"] + flop["attention"] * SEQ / ((SEQ + 1) / 2)
    assert unmasked == pytest.approx(sum(counted(config).values()), rel=0.005)
