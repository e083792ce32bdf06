"""Quantised checkpoints: bytes by hand, names of modules as real files write them."""

import json
from pathlib import Path

import pytest

from steelyard import arch
from steelyard.errors import InputError

SHARED = Path(__file__).parents[3] / "shared" / "models"  # beside the checkout, where there is one
DENSE = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 256,
    "vocab_size": 1000,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
}
EXPERTS = DENSE | {"model_type": "qwen3_moe", "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
ATTENTION, MLP = 4 * 4 * 64 * 64, 4 * 3 * 64 * 256
ENDS = 2 * 1000 * 64 + 9 * 64  # embedding, head, norms
ROUTED = 4 * 8 * 3 * 64 * 32
ROUTERS_AND_ENDS = 4 * 8 * 64 + ENDS + 4 * 2 * 16  # norms of queries and keys


def load(config, quantisation):
    return arch.from_config(config | {"quantization_config": quantisation}, id="mine")


def stored(config, quantisation):
    return arch.weight_bytes(load(config, quantisation))


@pytest.mark.parametrize(
    ("quantisation", "bits"),
    [
        ({"quant_method": "fp8"}, 8),
        ({"quant_method": "fp8", "weight_block_size": [32, 32]}, 8 + 32 / 1024),
        ({"quant_method": "mxfp4"}, 4.25),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, 4.5),
        ({"quant_method": "modelopt", "quant_algo": "MXFP8"}, 8.25),
        ({"quant_method": "awq", "bits": 4, "group_size": 32}, 4 + 20 / 32),
        ({"quant_method": "gptq", "bits": 8, "group_size": 64}, 8 + 24 / 64),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, 4 + 32 / 64),
        (
            {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_use_double_quant": True},
            4 + (8 + 32 / 256) / 64,
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"a": {"weights": {"type": "int", "num_bits": 4, "group_size": 32}}},
            },
            4 + 16 / 32,
        ),
    ],
)
def test_bits_with_their_scales(quantisation, bits):
    assert stored(DENSE, quantisation) == pytest.approx(2 * ENDS + (ATTENTION + MLP) * bits / 8, rel=1e-12)


def test_scales_of_rows_follow_the_matrix():
    rows = {"quant_method": "bitsandbytes", "load_in_8bit": True}
    scales = 4 * 4 * (4 * 64 + 2 * 256 + 64)  # one fp32 per output row: q, k, v, o; up and gate; down
    assert stored(DENSE, rows) == pytest.approx(2 * ENDS + ATTENTION + MLP + scales, rel=1e-12)


@pytest.mark.parametrize(
    ("ignore", "wide"),
    [
        (["lm_head"], 0),
        (["model.layers.0.self_attn*", "model.layers.3.self_attn*"], ATTENTION / 2),
        (["re:.*self_attn.*"], ATTENTION),
        (["*.mlp.*"], MLP),
        (["model.layers.1*"], (ATTENTION + MLP) / 4),
        (["model.layers.2.mlp.down_proj", "model.layers.2.input_layernorm"], MLP / 3 / 4),
        (["model.layers.4.mlp.down_proj", "mtp*", "vision_tower*"], 0),  # beyond the last layer, beside the model
    ],
)
def test_modules_left_wide(ignore, wide):
    quantisation = {"quant_method": "fp8", "modules_to_not_convert": ignore}
    assert stored(DENSE, quantisation) == pytest.approx(2 * (ENDS + wide) + ATTENTION + MLP - wide, rel=1e-12)


def test_lists_of_layers_with_formats_of_their_own():
    layers = {f"model.layers.{i}.mlp.experts.{e}.up_proj": "NVFP4" for i in range(4) for e in range(8)}
    layers |= {f"model.layers.{i}.mlp.experts.{e}.down_proj": "NVFP4" for i in range(4) for e in range(8)}
    layers |= {f"model.layers.{i}.self_attn.{p}_proj": "FP8" for i in range(2) for p in "qkvo"} | {"lm_head": "FP8"}
    mixed = {
        "quant_method": "modelopt",
        "quant_algo": "MIXED_PRECISION",
        "kv_cache_quant_algo": "FP8",
        "quantized_layers": {name: {"quant_algo": algorithm} for name, algorithm in layers.items()},
    }
    model = load(EXPERTS, mixed)
    expected = ROUTED * 4.5 / 8 + ATTENTION / 2 * (1 + 2) + 2 * ROUTERS_AND_ENDS - 64_000
    assert arch.weight_bytes(model) == pytest.approx(expected, rel=1e-12)
    assert (model.weight_dtype, model.kv_dtype) == ("nvfp4", "fp8")
    assert arch.cache_growth(model).kv_bytes_per_token == 4 * 2 * 64


def test_operators_read_what_is_stored():
    left = {"quant_method": "fp8", "modules_to_not_convert": ["model.layers.*.self_attn"]}
    ops = arch.forward_operators(load(DENSE, left), batch=1, new_tokens=8, weight_dtype=None, compute_dtype="fp8")
    kinds = {o.name: (o.compute_dtype, o.weight_bytes / (o.n * o.k)) for o in ops if o.kind == "gemm"}
    assert kinds["mlp.down"] == ("fp8", 1.0)
    assert kinds["attention.output"] == kinds["head"] == ("bf16", 2.0)


def test_a_name_that_is_not_known_is_refused():
    for key in ("ignore", "modules_to_not_convert"):
        with pytest.raises(InputError, match=r"quantization_config\.(ignore|modules).*'a\.strange\.module'"):
            load(DENSE, {"quant_method": "fp8", key: ["a.strange.module"]})


@pytest.mark.parametrize("ignored", [True, "lm_head", [1]])
def test_exclusions_that_are_no_list_of_names_are_refused_beside_a_list_of_layers_too(ignored):
    mixed = {"quant_algo": "MIXED_PRECISION", "quantized_layers": {"lm_head": {"quant_algo": "FP8"}}}
    for quantisation in ({"quant_method": "fp8"}, {"quant_method": "modelopt", **mixed}):
        with pytest.raises(InputError, match=r"quantization_config\.ignore is .*a list of names of modules"):
            load(DENSE, quantisation | {"ignore": ignored})


@pytest.mark.skipif(not SHARED.exists(), reason="no collection of configurations here")
@pytest.mark.parametrize(
    ("name", "gigabytes"),
    [  # sizes of the published checkpoints, less what stands beside the language model
        ("openai--gpt-oss-120b", 65.2),  # model card: 60.8 GiB
        ("moonshotai--Kimi-K2.5", 594),  # model card: about 595 GB with its vision tower
    ],
)
def test_published_sizes(name, gigabytes):
    model = arch.load(SHARED / f"{name}_config.json")
    assert arch.weight_bytes(model) / 1e9 == pytest.approx(gigabytes, rel=0.005)


@pytest.mark.skipif(not SHARED.exists(), reason="no collection of configurations here")
def test_the_cache_that_a_checkpoint_asks_for():
    for path in sorted(SHARED.glob("*hf_quant_config.json")):
        stated = json.loads(path.read_text())["quantization"].get("kv_cache_quant_algo")
        model = arch.load(path.with_name(path.name.replace("hf_quant_config", "config")))
        assert model.kv_dtype == ({"FP8": "fp8"}[stated] if stated else "bf16"), path.name


def test_mlx_narrows_embeddings_too():
    """MLX quantises every matrix in groups with a scale and an offset of 16 bits, unless it names one."""
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    tiny = {"model_type": "llama", "vocab_size": 320, "max_position_embeddings": 64} | sizes
    plain = arch.from_config(tiny, id="mine")
    p = arch.count_params(plain)
    matrices = p.total_params - p.vector_params
    four, eight = 0.5 + 4 / 32, 1 + 4 / 32
    stated = {"group_size": 32, "bits": 4}
    model = arch.from_config(tiny | {"quantization": stated, "quantization_config": stated}, id="mine")
    assert arch.weight_bytes(model) == pytest.approx(matrices * four + 2 * p.vector_params)
    named = stated | {"lm_head": {"group_size": 32, "bits": 8}, "model.embed_tokens": False}
    model = arch.from_config(tiny | {"quantization": named}, id="mine")
    rest = matrices - p.head_params - p.embedding_params
    expected = rest * four + p.head_params * eight + 2 * (p.embedding_params + p.vector_params)
    assert arch.weight_bytes(model) == pytest.approx(expected)
    with pytest.raises(InputError, match=r"quantization_config\.bits is 3; known: 4, 8"):
        arch.from_config(tiny | {"quantization": {"group_size": 32, "bits": 3}}, id="mine")


def test_the_files_of_deepseek_v3_are_explained():
    """Weights, prediction layer, and the copies of embedding and head that the checkpoint keeps beside it.

    All files of the repository have 688,586,727,753 bytes (its listing on Hugging Face): headers and text included.
    """
    model = arch.load("deepseek-v3")
    copies = 2 * 2 * model.vocab * model.hidden
    explained = arch.weight_bytes(model) + arch.beside_bytes(model).prediction_bytes + copies
    assert explained == pytest.approx(688_586_727_753, rel=1e-4)


def test_bytes_beside_a_quantised_model():
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = {"model_type": "mimo", "vocab_size": 320, "max_position_embeddings": 64, "num_nextn_predict_layers": 1}
    plain = arch.from_config(text | sizes, id="mine")
    params = arch.count_params(plain).prediction_params
    assert arch.beside_bytes(plain).prediction_bytes == 2 * params
    four = {"quant_method": "awq", "bits": 4, "group_size": 32}
    for kept in (["mtp*"], ["model.mtp_block"], ["mtp.layers.0*", "mtp.fc"], ["model.layers.2"]):
        model = arch.from_config(text | sizes | {"quantization_config": four | {"ignore": kept}}, id="mine")
        assert arch.beside_bytes(model).prediction_bytes == 2 * params, kept
    untold = arch.from_config(text | sizes | {"quantization_config": four | {"ignore": ["lm_head"]}}, id="mine")
    assert arch.beside_bytes(untold).prediction_bytes is None
    # the joining matrix stays wide; attention and feed-forward are narrow in every layer
    eight = arch.from_config(text | sizes | {"quantization_config": {"quant_method": "fp8"}}, id="mine")
    narrow = 64 * 64 * 4 + 3 * 64 * 96
    assert arch.beside_bytes(eight).prediction_bytes == 2 * params - narrow - 3 * 64
    half = {"quant_method": "fp8", "ignore": ["model.layers.2.self_attn"]}
    assert (
        arch.beside_bytes(arch.from_config(text | sizes | {"quantization_config": half}, id="mine")).prediction_bytes
        == 2 * params - 3 * 64 * 96
    )


def test_bytes_of_towers():
    tower = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "image_size": 56, "patch_size": 14}
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = {"model_type": "mistral", "vocab_size": 320, "max_position_embeddings": 64, "head_dim": 16} | sizes
    whole = {"model_type": "mistral3", "text_config": text | {"num_key_value_heads": 4}, "vision_config": tower}
    params = arch.count_params(arch.from_config(whole, id="mine")).tower_params
    assert params > 0
    for quantisation, size in (
        (None, 2 * params),
        ({"quant_method": "fp8", "modules_to_not_convert": ["model.vision_tower", "lm_head"]}, 2 * params),
        ({"quant_method": "fp8"}, None),
    ):
        model = arch.from_config(whole | {"quantization_config": quantisation}, id="mine")
        assert arch.beside_bytes(model).tower_bytes == size


def test_quark_stores_fp8_and_mxfp4():
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    tiny = {"model_type": "llama", "vocab_size": 320, "max_position_embeddings": 64} | sizes
    p = arch.count_params(arch.from_config(tiny, id="mine"))
    narrow = p.attention_params + p.mlp_params
    four = {"dtype": "fp4", "group_size": 32, "qscheme": "per_group", "scale_format": "e8m0"}
    eight = {"dtype": "fp8_e4m3", "qscheme": "per_tensor"}

    def stored(weight, **more):
        stated = {"quant_method": "quark", "global_quant_config": {"weight": weight}, "exclude": ["lm_head"]}
        return arch.from_config(tiny | {"quantization_config": stated | more}, id="mine")

    wide = 2 * (p.total_params - narrow)
    assert arch.weight_bytes(stored(four)) == pytest.approx(wide + narrow * (0.5 + 1 / 32))
    cached = stored(
        eight,
        layer_quant_config={"*k_proj": {"weight": eight, "output_tensors": eight}},
        export={"kv_cache_group": ["*k_proj"]},
    )
    assert arch.weight_bytes(cached) == pytest.approx(wide + narrow)
    assert cached.kv_dtype == "fp8"
    with pytest.raises(InputError, match=r"quantization_config\.layer_quant_config"):
        stored(eight, layer_quant_config={"*mlp*": {"weight": four}})
    with pytest.raises(InputError, match=r"global_quant_config\.weight is 'fp6_e3m2 per_group'"):
        stored(four | {"dtype": "fp6_e3m2"})
