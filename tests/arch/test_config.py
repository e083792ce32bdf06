"""Configurations of unknown origin: understood, or refused in one line."""

import json
import math
import resource
import time

import pytest

from steelyard import arch
from steelyard.arch.config import MAX_CONFIG_BYTES
from steelyard.errors import InputError, UnknownError

TINY = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 256,
    "vocab_size": 1000,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
}


def refusal(config):
    with pytest.raises(InputError) as caught:
        arch.from_config(config, id="mine")
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 600
    assert line.startswith("mine: ")
    return line


@pytest.mark.parametrize("value", [-1, 0, 1.5, "64", None, True, math.nan, math.inf, 10**12, 10**400, [], {}])
@pytest.mark.parametrize("key", ["hidden_size", "vocab_size", "num_hidden_layers", "max_position_embeddings"])
def test_wrong_sizes_name_the_field(key, value):
    line = refusal(TINY | {key: value})
    assert key in line
    assert "a whole number from 1 to" in line


def test_missing_field():
    config = {key: value for key, value in TINY.items() if key != "intermediate_size"}
    assert "intermediate_size is missing" in refusal(config)


def test_the_name_that_the_file_uses_is_shown():
    line = refusal({"model_type": "gptj", "n_embd": -4096, "n_layer": 2, "n_head": 4, "n_positions": 8})
    assert "n_embd is -4096" in line


def test_unknown_structure_names_near_ones():
    assert "nearest: mixtral" in refusal(TINY | {"model_type": "mixtrall"})
    assert "model_type" in refusal({})
    assert "model_type" in refusal({"model_type": ["llama"]})
    assert "text_config" in refusal({"model_type": "gemma3"})


def test_unknown_field_is_refused_not_guessed():
    assert "index_topk (2048) is not known" in refusal(TINY | {"index_topk": 2048})
    for harmless in ({"index_topk": None}, {"index_topk": 0}, {"bos_token_id": 7}, {"rope_theta": 1e6}):
        assert arch.from_config(TINY | harmless, id="mine").hidden == 64


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_key_value_heads": 3},
        {"num_attention_heads": 5},
        {"layer_types": ["full_attention"]},
        {"layer_types": ["full_attention", "mamba"]},
        {"attention_bias": "yes"},
        {"torch_dtype": "bf61"},
        {"quantization_config": 8},
        {"quantization_config": {"quant_method": "magic"}},
        {"quantization_config": {"quant_method": ["fp8"]}},
        {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 0]}},
        {"quantization_config": {"quant_method": "fp8", "modules_to_not_convert": [1]}},
        {"quantization_config": {"quant_method": "fp8", "modules_to_not_convert": ["something.else"]}},
        {"quantization_config": {"quant_algo": {}}},
        {"quantization_config": {"quant_method": "gptq", "bits": 3, "group_size": 128}},
        {"quantization_config": {"quant_method": "compressed-tensors", "config_groups": {}}},
    ],
)
def test_wrong_values(wrong):
    assert next(iter(wrong)) in refusal(TINY | wrong)


def test_experts_must_hold_top_k():
    moe = TINY | {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 5}
    assert "num_experts_per_tok is 5; allowed: at most num_local_experts (4)" in refusal(moe)


def test_quantised_groups():
    plain = arch.from_config(TINY, id="mine")
    p = arch.count_params(plain)
    wide = p.embedding_params + p.head_params + p.vector_params
    half = {"quant_method": "fp8", "modules_to_not_convert": ["lm_head", "model.layers.0.self_attn"]}
    model = arch.from_config(TINY | {"quantization_config": half}, id="mine")
    # attention of one of the two layers stays in bf16
    assert arch.weight_bytes(model) == 2 * wide + p.mlp_params + 1.5 * p.attention_params
    assert model.weight_dtype == "fp8"
    grouped = {"quant_method": "gptq", "bits": 4, "group_size": 128}
    model = arch.from_config(TINY | {"quantization_config": grouped}, id="mine")
    bits = 4 + (16 + 4) / 128  # a scale and a zero point per group
    assert arch.weight_bytes(model) == 2 * wide + (p.mlp_params + p.attention_params) * bits / 8


def write(tmp_path, content, name="config.json"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


BAD_FILES = {
    "empty": b"",
    "cut off": json.dumps(TINY)[:-20].encode(),
    "binary": bytes(range(256)) * 10,
    "list": b"[1, 2]",
    "number": b"7",
    "deep": b"[" * 200_000,
    "deep objects": b'{"a":' * 100_000,
    "digits": b'{"hidden_size": ' + b"9" * 100_000 + b"}",
    "too large": b" " * (MAX_CONFIG_BYTES + 1),
    "null": b"null",
    "two values for a key": b'{"model_type": "llama", "hidden_size": 64, "hidden_size": 128}',
    "utf-16": json.dumps(TINY).encode("utf-16"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_bad_files(tmp_path, kind):
    path = write(tmp_path, BAD_FILES[kind])
    start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError) as caught:
        arch.load(path)
    assert "\n" not in str(caught.value)
    assert "config.json" in str(caught.value)
    assert time.process_time() - start < 10  # bounded, not tuned
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB


def test_heavy_but_allowed_file_is_quick(tmp_path):
    filler = ",".join(f'"k{i}":{{}}' for i in range(MAX_CONFIG_BYTES // 16))
    path = write(tmp_path, "{" + filler + "}")
    start = time.process_time()
    with pytest.raises(InputError, match="model_type"):
        arch.load(path)
    assert time.process_time() - start < 10  # bounded, not tuned


def test_paths(tmp_path):
    write(tmp_path, json.dumps(TINY))
    by_folder, by_file = arch.load(tmp_path), arch.load(str(tmp_path / "config.json"))
    assert by_folder.layers == by_file.layers
    assert arch.load(str(tmp_path)).hidden == 64
    quantised = {"producer": {}, "quantization": {"quant_algo": "FP8", "exclude_modules": ["lm_head"]}}
    write(tmp_path, json.dumps(quantised), "hf_quant_config.json")
    assert arch.load(tmp_path).weight_dtype == "fp8"
    with pytest.raises(InputError, match="no such file"):
        arch.load(tmp_path / "nothing.json")
    with pytest.raises(InputError, match="no such file"):
        arch.load("no-such.json")
    with pytest.raises(UnknownError, match=r"llama-3\.1-8b"):
        arch.load("llama-3.1-8bb")
    for odd in ("", "\0", "x" * 5000):
        with pytest.raises((UnknownError, InputError)):
            arch.load(odd)


def test_infinity_in_a_file_is_read_and_refused_where_it_matters(tmp_path):
    harmless = write(tmp_path, json.dumps(TINY | {"rms_norm_eps": math.inf}))
    assert arch.load(harmless).hidden == 64
    wrong = write(tmp_path, json.dumps(TINY | {"hidden_size": math.nan}))
    with pytest.raises(InputError, match="hidden_size is not a finite number"):
        arch.load(wrong)


@pytest.mark.parametrize("key", ["text_config", "llm_config", "language_config"])
def test_language_model_of_a_larger_model_nobody_registered(key):
    """Whatever stands around it: a language model of a known structure is read where larger models keep it."""
    # heads of another width than its class has: what follows from other sizes is no default
    whole = {"model_type": "made-up-vl", key: TINY, "vision_config": {"hidden_size": 32}, "audio_config": {"depth": 2}}
    model = arch.from_config(whole, id="mine")
    assert arch.count_params(model) == arch.count_params(arch.from_config(TINY, id="mine"))
    assert model.ignored == ("the part for images (not counted)", "the part for sound (not counted)")
    more = arch.from_config(whole | {"memory_tokens": 5, "image_token_id": 7, "_name": "x"}, id="mine").ignored
    assert more[2:] == ("what made-up-vl states around its language model (memory_tokens)",)
    assert "unknown model_type 'made-up'" in refusal(whole | {key: TINY | {"model_type": "made-up"}})
    nameless = {name: value for name, value in TINY.items() if name != "model_type"}
    assert f"{key}: model_type is missing" in refusal(whole | {key: nameless})
    assert f"{key} is 3; allowed: the configuration of the language model" in refusal(whole | {key: 3})
    assert "text_config" in refusal({"model_type": "made-up-vl", "text_config": None})


def test_no_model_type_is_said_so():
    assert "model_type is missing" in refusal({"dim": 2048, "n_layers": 16})
    assert "model_type is 7" in refusal(TINY | {"model_type": 7})


def test_a_version_of_anything_does_not_matter():
    assert "internal_version" in arch.from_config(TINY | {"internal_version": "7b-alpha"}, id="mine").harmless_keys


def test_longest_context_left_out_is_that_of_the_class_and_named():
    stated = {"vocab_size": 96, "hidden_size": 64, "n_layer": 2, "n_head": 4}
    model = arch.from_config(stated | {"model_type": "falcon"}, id="mine")
    assert model.defaults == (f"max_position_embeddings = {model.max_context_tokens}",)
    own = arch.from_config(stated | {"model_type": "falcon", "seq_length": 77}, id="mine")
    assert (own.max_context_tokens, own.defaults) == (77, ())


def test_a_key_stated_twice_with_one_value_is_no_question(tmp_path):
    text = json.dumps(TINY).replace('"hidden_size": 64', '"hidden_size": 64, "hidden_size": 64')
    assert arch.load(write(tmp_path, text)).hidden == 64


def test_chatglm_is_glm_under_names_of_its_own():
    """The file of GLM-4 9B before and after it was rewritten for Transformers."""
    own = {
        "model_type": "chatglm",
        "add_qkv_bias": True,
        "ffn_hidden_size": 13696,
        "hidden_size": 4096,
        "kv_channels": 128,
        "multi_query_attention": True,
        "multi_query_group_num": 2,
        "num_attention_heads": 32,
        "num_layers": 40,
        "padded_vocab_size": 151552,
        "rmsnorm": True,
        "seq_length": 131072,
        "tie_word_embeddings": False,
    }
    model, rewritten = arch.from_config(own, id="mine"), arch.load("glm-4-9b")
    assert model.layers == rewritten.layers
    assert arch.count_params(model) == arch.count_params(rewritten)
    assert model.max_context_tokens == rewritten.max_context_tokens
    assert "multi_query_group_num is 3; allowed: a divisor of num_attention_heads (32)" in refusal(
        own | {"multi_query_group_num": 3}
    )
    assert "rmsnorm is False; allowed: true" in refusal(own | {"rmsnorm": False})


def test_a_router_without_bias_has_no_buffer():
    """Ling 1 and 2 share a name: the bias of the router is a key."""
    shape = TINY | {"model_type": "bailing_moe", "num_experts": 8, "num_experts_per_tok": 2}
    shape |= {"moe_intermediate_size": 32, "num_shared_experts": 1, "first_k_dense_replace": 1}
    plain = arch.count_params(arch.from_config(shape, id="mine"))
    biased = arch.count_params(arch.from_config(shape | {"moe_router_enable_expert_bias": True}, id="mine"))
    assert plain.total_params == biased.total_params
    assert (plain.buffer_params, biased.buffer_params) == (0, 8)
