"""Parameters, weight bytes and cache bytes against published figures."""

import pytest

from steelyard import arch, catalog

# Exact totals: parameter counts of the released checkpoints (safetensors metadata or papers' tables).
EXACT = {
    "llama-2-7b": 6_738_415_616,
    "llama-2-13b": 13_015_864_320,
    "llama-2-70b": 68_976_648_192,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.1-70b": 70_553_706_496,
    "llama-3.3-70b": 70_553_706_496,
    "llama-3.1-405b": 405_853_388_800,
    "llama-3.2-1b": 1_235_814_400,
    "llama-3.2-3b": 3_212_749_824,
    "mistral-7b-v0.1": 7_241_732_096,
    "mistral-7b": 7_248_023_552,
    "mixtral-8x7b": 46_702_792_704,
    "mixtral-8x22b": 140_620_634_112,
    "gpt-oss-20b": 20_914_757_184,
    "gpt-oss-120b": 116_829_156_672,
    "gpt-j-6b": 6_050_882_784,
    "gpt2": 124_439_808,
    "falcon-7b": 7_217_189_760 - 65_024 * 4_544,  # its files hold the tied head twice
    "falcon-180b": 179_522_565_120 - 65_024 * 14_848,  # as above
    "tinyllama-1.1b": 1_100_048_384,
}

# Published in words or tables, in billions, with the precision printed.
ROUNDED = {
    "qwen3-0.6b": (0.6, 0.05),  # Qwen3 report, arXiv 2505.09388, tables 1 and 2
    "qwen3-1.7b": (1.7, 0.05),
    "qwen3-4b": (4.0, 0.05),
    "qwen3-8b": (8.2, 0.05),
    "qwen3-14b": (14.8, 0.05),
    "qwen3-32b": (32.8, 0.05),
    "qwen3-30b-a3b": (30.5, 0.05),
    "qwen3-235b-a22b": (235, 0.5),
    "qwen3-coder-480b-a35b": (480, 0.5),
    "qwen2.5-72b": (72.7, 0.05),
    "mistral-nemo-12b": (12.2, 0.05),
    "deepseek-v3": (671, 0.5),  # arXiv 2412.19437, without the multi-token-prediction module
    "kimi-k2": (1026, 14.5),  # "1 trillion" (1.04T in the report's table, arXiv 2507.20534)
    "gpt-3-175b": (175, 0.5),  # arXiv 2005.14165
    "gpt-3-6.7b": (6.7, 0.05),
    "gemma-3-1b": (0.302 + 0.698, 0.002),  # arXiv 2503.19786, table 1: embedding + the rest, vision left out
    "gemma-3-4b": (0.675 + 3.209, 0.005),
    "gemma-3-12b": (1.012 + 10.759, 0.006),
    "gemma-3-27b": (1.416 + 25.600, 0.008),
    "falcon-40b": (41.3, 0.05),  # 60 layers of 8192, arXiv 2311.16867
    "llama-4-scout": (109, 1.5),  # with its vision tower, model card
    "llama-4-maverick": (400, 1.5),
}

ACTIVE = {
    "mixtral-8x7b": (12.9, 0.05),  # arXiv 2401.04088: "13B"; 12.9 in its announcement
    "mixtral-8x22b": (39, 0.5),
    "qwen3-30b-a3b": (3.3, 0.06),
    "qwen3-235b-a22b": (22, 0.5),
    "qwen3-coder-480b-a35b": (35, 0.5),
    "deepseek-v3": (37, 0.6),
    "kimi-k2": (32, 0.9),
    "llama-4-scout": (17, 0.5),
    "llama-4-maverick": (17, 0.5),
}


@pytest.mark.parametrize("name", EXACT)
def test_total_params_exactly(name):
    assert arch.count_params(arch.load(name)).total_params == EXACT[name]


@pytest.mark.parametrize("name", ROUNDED)
def test_total_params_within_their_rounding(name):
    value, rounding = ROUNDED[name]
    assert arch.count_params(arch.load(name)).total_params / 1e9 == pytest.approx(value, abs=rounding)


@pytest.mark.parametrize("name", ACTIVE)
def test_active_params_within_their_rounding(name):
    value, rounding = ACTIVE[name]
    assert arch.count_params(arch.load(name)).active_params / 1e9 == pytest.approx(value, abs=rounding)


@pytest.mark.parametrize(("name", "active"), [("gpt-oss-120b", 5.13), ("gpt-oss-20b", 3.61)])
def test_gpt_oss_active_params_as_its_card_counts_them(name, active):
    # arXiv 2508.10925, table 1: the head counts, the embedding table does not
    params = arch.count_params(arch.load(name))
    assert (params.active_params - params.embedding_params) / 1e9 == pytest.approx(active, abs=0.005)


def test_parts_add_up_for_every_model():
    for name in catalog.models():
        p = arch.count_params(arch.load(name))
        kinds = (p.embedding_params, p.head_params, p.attention_params, p.mlp_params, p.experts_params)
        assert sum(kinds) + p.router_params + p.vector_params == p.total_params
        assert 0 < p.active_params <= p.total_params
        assert p.non_embedding_params == p.total_params - p.embedding_params


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("llama-3.1-70b", 2 * 80 * 8 * 128),  # layers, kv heads, head dim
        ("llama-2-7b", 2 * 32 * 32 * 128),
        ("deepseek-v3", 61 * (512 + 64)),  # arXiv 2405.04434: latent and rotary key
        ("falcon-7b", 2 * 32 * 1 * 64),
    ],
)
def test_cache_per_token(name, numbers):
    model = arch.load(name)
    assert arch.cache_bytes(model, 1000.0) == 1000 * numbers * 2
    assert arch.cache_bytes(model, 1000.0, kv_dtype="fp8") == 1000 * numbers


def test_cache_stops_growing_in_windows():
    # gpt-oss-20b: 12 layers see 128 tokens, 12 see all; 8 kv heads of 64
    model = arch.load("gpt-oss-20b")
    assert arch.cache_bytes(model, 4096.0) == 12 * (128 + 4096) * 2 * 8 * 64 * 2


def test_cache_with_more_ranks_than_heads_is_replicated():
    model = arch.load("llama-3.1-70b")
    whole = arch.cache_bytes(model, 100.0)
    assert arch.cache_bytes(model, 100.0, tp=8) == whole / 8
    assert arch.cache_bytes(model, 100.0, tp=16) == whole / 8
    latent = arch.load("deepseek-v3")
    assert arch.cache_bytes(latent, 100.0, tp=8) == arch.cache_bytes(latent, 100.0)


def test_weight_bytes_as_stored():
    # gpt-oss-120b: 60.8 GiB, model card; 4.25 bits for the experts, bf16 for the rest
    assert arch.weight_bytes(arch.load("gpt-oss-120b")) / 2**30 == pytest.approx(60.8, abs=0.1)
    assert arch.weight_bytes(arch.load("gpt-oss-20b")) / 2**30 == pytest.approx(12.8, abs=0.1)
    # DeepSeek V3: 1 byte and 4 per 128 x 128 block; embedding, head and router in bf16
    deepseek = arch.load("deepseek-v3")
    params = arch.count_params(deepseek)
    stored = params.total_params + params.buffer_params
    assert params.buffer_params == 58 * 256  # a correction for each expert
    wide = stored - params.attention_params - params.mlp_params - params.experts_params
    blocks = (stored - wide) / 128**2
    assert arch.weight_bytes(deepseek) == pytest.approx(stored + wide + 4 * blocks, rel=1e-12)
    assert arch.weight_bytes(deepseek, "bf16") == 2 * stored


def test_narrow_weights_leave_the_ends_wide():
    model = arch.load("llama-3.1-8b")
    p = arch.count_params(model)
    wide = p.embedding_params + p.head_params + p.vector_params
    narrow = p.total_params - wide
    assert arch.weight_bytes(model, "fp8") == narrow + 2 * wide
    assert arch.weight_bytes(model, "nvfp4") == narrow * 4.5 / 8 + 2 * wide


@pytest.mark.parametrize(
    ("dtype", "size"),
    [("fp32", 4), ("bf16", 2), ("fp8", 1), ("int4", 0.5), ("mxfp4", 4.25 / 8), ("nvfp4", 4.5 / 8)],
)
def test_dtype_bytes(dtype, size):
    assert arch.dtype_bytes(dtype) == size
