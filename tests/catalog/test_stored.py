"""Checkpoints that are named after their model and a format."""

import json
import shutil

import pytest

from steelyard import arch, catalog
from steelyard.errors import UnknownError

FORMATS = {row["suffix"]: json.loads(row["quantization_config"]) for row in catalog.table("weight_formats").rows}
GGUF = [
    suffix for suffix, config in FORMATS.items() if config["quant_method"] == "gguf" and "expert_bits" not in config
]
SUFFIXES = [suffix for suffix, config in FORMATS.items() if config["quant_method"] != "gguf"]
BITS = {"4bit": 4, "awq": 4, "awq-int4": 4, "bnb-4bit": 4, "fp4": 4, "gptq": 4, "gptq-int4": 4}
BITS |= {"mxfp4": 4, "nvfp4": 4, "quantized-w4a16": 4, "w4a16": 4}
KINDS = ("llama-3.3-70b", "mixtral-8x7b", "deepseek-v2-lite", "qwen2.5-vl-7b", "qwen3-next-80b-a3b", "jamba-v0.1")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("base", KINDS)
def test_every_format_of_every_kind_of_model(base, suffix):
    """The matrices take the bits that the name says, and scales; what the tool leaves is as wide as before."""
    wide, narrow = arch.load(base), arch.load(f"{base}-{suffix}")
    params = arch.count_params(wide)
    kept = params.embedding_params + params.head_params + params.router_params + params.vector_params
    if suffix in ("4bit", "8bit"):  # MLX: embeddings, head and routers too
        kept = params.vector_params
    bits = BITS.get(suffix, 8)
    low = 2 * kept + (params.total_params - kept) * bits / 8
    assert low * 0.999 <= arch.weight_bytes(narrow) <= low * 1.14
    assert arch.count_params(narrow) == params
    assert narrow.assumed.startswith(f"its own file was not read: the shape of {base}, stored as its name says")
    assert narrow.warnings == (f"{base}-{suffix} is assumed in part: {narrow.assumed}",)
    assert arch.load(narrow.id) == narrow


@pytest.mark.parametrize("suffix", GGUF)
def test_a_gguf_file_has_its_bits_for_every_weight(suffix):
    """Whole files: embeddings and head too; vectors stay as they are."""
    model = arch.load(f"qwen2.5-7b-{suffix}")
    params = arch.count_params(model)
    bits = FORMATS[suffix]["bits"]
    narrow = (params.total_params - params.vector_params) * bits / 8 + 2 * params.vector_params
    assert arch.weight_bytes(model) == pytest.approx(narrow, rel=1e-3)
    assert model.weight_dtype == ("int4" if bits < 6 else "w8a16")


@pytest.mark.parametrize(
    ("name", "size_gib"),
    [  # as llama.cpp prints the files: tools/quantize/README.md; the last one in pull request 16634
        ("Meta-Llama-3.1-8B-Instruct-Q4_K_M", 4.58),
        ("Llama-3.1-8B Q6_K", 6.14),
        ("llama-3.1-8b-q8_0", 7.95),
        ("mistral-7b-v0.1.Q4_0", 3.83),
        ("gpt-oss-20b MXFP4 MoE", 11.27),
    ],
)
def test_gguf_files_are_as_large_as_printed(name, size_gib):
    assert arch.weight_bytes(arch.load(name)) / 2**30 == pytest.approx(size_gib, rel=0.005)


def test_bytes_by_hand():
    """AutoAWQ: 4 bits, a scale of 16 and a zero point of 4 bits for 128 numbers; the rest in 16."""
    hidden, ffn, kv, layers, vocab = 3584, 18944, 512, 28, 152064
    matrices = layers * (2 * hidden * hidden + 2 * hidden * kv + 3 * hidden * ffn)
    vectors = layers * (hidden + 2 * kv + 2 * hidden) + hidden
    expected = matrices * (4 + (16 + 4) / 128) / 8 + 2 * (2 * vocab * hidden + vectors)
    # biases are counted with their matrix, narrow: 129,024 of 7.6 billion numbers
    assert arch.weight_bytes(arch.load("Qwen/Qwen2.5-7B-Instruct-AWQ")) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("nvidia/Llama-3.1-70B-Instruct-FP8", "llama-3.1-70b-fp8"),  # its own name
        ("meta-llama/Meta-Llama-3.1-70B-Instruct-FP8", "llama-3.1-70b-fp8"),  # the record of the format wins
        ("openai/gpt-oss-120b-MXFP4", "gpt-oss-120b"),  # the format that it is published in
        ("deepseek-ai/DeepSeek-V3-FP8", "deepseek-v3"),
        ("zai-org/GLM-4.5-Air-FP8", "glm-4.5-air-fp8"),
        ("Qwen/Qwen2.5-7B-Instruct-quantized.w4a16", "qwen2.5-7b-quantized-w4a16"),
        ("qwen/qwen2.5-7b_GPTQ:int8", "qwen2.5-7b-gptq-int8"),
        ("Qwen2.5 7B FP8 dynamic", "qwen2.5-7b-fp8-dynamic"),
    ],
)
def test_names(name, found):
    assert catalog.model(name).id == found
    assert catalog.describe(name).id == found


@pytest.mark.parametrize("name", ["qwen2.5-7b-fast", "qwen2.5-7bAWQ", "no-such-model-AWQ", "AWQ", "-AWQ", "awq-int4"])
def test_what_is_no_format_or_no_model_is_refused(name):
    with pytest.raises(UnknownError, match="unknown model"):
        catalog.model(name)
    with pytest.raises(UnknownError):
        catalog.describe(name, "models")


def test_a_larger_model_keeps_no_format_inside():
    """Kimi K2.5 states its own integers in its text_config: another format replaces them."""
    assert arch.load("kimi-k2.5").weight_dtype == "int4"
    assert arch.load("kimi-k2.5-fp8-dynamic").weight_dtype == "fp8"


def test_a_folder_of_that_name_goes_before(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "qwen2.5-7b-awq"
    folder.mkdir()
    tiny = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    tiny |= {"model_type": "llama", "vocab_size": 320, "max_position_embeddings": 64}
    (folder / "config.json").write_text(json.dumps(tiny))
    assert arch.load("qwen2.5-7b-awq").hidden == 64
    shutil.rmtree(folder)
    assert arch.load("qwen2.5-7b-awq").hidden == 3584
