"""Every model of the catalogue, and the names that published measurements use."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from steelyard import arch, catalog
from steelyard.errors import InputError, UnknownError

SHARED = Path(__file__).parents[3] / "shared"  # beside the checkout, where there is one


def test_every_model_loads_and_has_operators():
    for name, record in catalog.models().items():
        model = arch.load(name)
        assert (model.id, model.name) == (name, record.name)
        assert model.num_layers > 0
        assert 1 <= model.num_kv_heads <= model.num_heads
        assert (model.num_experts > 0) == (model.num_moe_layers > 0)
        ops = arch.forward_operators(model, batch=1, new_tokens=1, context_tokens=100, weight_dtype=None)
        assert sum(o.flop * o.count for o in ops) > 0


def test_aliases_resolve():
    for spelling, name in {
        "meta-llama/Llama-3.1-8B-Instruct": "llama-3.1-8b",
        "MISTRALAI/Mixtral-8x7B-Instruct-v0.1": "mixtral-8x7b",
        "openai/gpt-oss-120b": "gpt-oss-120b",
        "GPT-3 175B": "gpt-3-175b",
    }.items():
        assert arch.load(spelling).id == name


def test_layers_of_known_structures():
    deepseek = arch.load("deepseek-r1")
    assert (deepseek.num_layers, deepseek.num_moe_layers) == (61, 58)  # three dense layers first
    assert (deepseek.num_experts, deepseek.top_k, deepseek.weight_dtype) == (256, 8, "fp8")
    gemma = arch.load("gemma-3-27b")
    windows = Counter()
    for layer, count in gemma.layers:
        windows[layer.blocks[0].window] += count
    assert windows == {1024: 52, 0: 10}  # five local layers, then a global one, 62 in all
    maverick = arch.load("llama-4-maverick")
    assert maverick.num_moe_layers == 24  # every second layer
    assert arch.load("falcon-7b").num_kv_heads == 1


@pytest.mark.skipif(not (SHARED / "published").exists(), reason="no published measurements here")
def test_published_serving_names_resolve():
    with (SHARED / "published" / "inference.csv").open(newline="") as file:
        rows = Counter(row["model_id"] for row in csv.DictReader(file))
    missing = Counter()
    for name, count in rows.items():
        try:
            arch.load(name)
        except UnknownError:
            missing[name] = count
    # structures that are not read yet: linear attention, state space, sparse attention
    assert set(missing) <= {
        "qwen3.5-397b-a17b",
        "nemotron-nano-9b-v2",
        "nemotron-nano-12b-v2",
        "nemotron-3-super-120b-a12b",
        "glm-5",
        "hy3",
        "minimax-m3",
    }
    assert missing.total() < 0.12 * rows.total()


@pytest.mark.skipif(not (SHARED / "models").exists(), reason="no collection of configurations here")
def test_real_configurations_are_understood_or_refused():
    paths = [path for path in sorted((SHARED / "models").glob("*_config.json")) if "hf_quant" not in path.name]
    refusals = []
    for path in paths:
        try:
            model = arch.load(path)
        except InputError as error:
            refusals.append(str(error))
            continue
        assert arch.count_params(model).total_params > 5e8
        assert arch.weight_bytes(model) > 0
    # a structure that is not read yet, nothing else
    assert all("unknown model_type" in line and "\n" not in line for line in refusals)
    assert len(paths) - len(refusals) >= 40
