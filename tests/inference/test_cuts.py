"""Ways of cutting a model over devices: what engines start with, and what is said where they do not."""

import dataclasses

import pytest

from steelyard import arch, device
from steelyard.errors import InputError
from steelyard.inference import Deployment, best_deployment, broken_cut, engine_for, lengths_from_stated, require_cut
from steelyard.records.workload import Objective


def engine(name="vllm"):
    return engine_for(device.load("h100"), name)


# Each fact is what the engine itself says, read off the model's configuration: heads, KV heads, columns, experts.
@pytest.mark.parametrize(
    ("model", "ways", "name", "told"),
    [
        ("llama-3.1-8b", {"tp": 3}, "vllm", r"tp 3: 32 attention heads for 3 ranks.*allowed: tp 1, 2, 4, 8, 16 or 32"),
        ("qwen2.5-7b", {"tp": 8}, "sglang", "28 attention heads for 8 ranks.*tp 1, 2 or 4$"),
        ("qwen2.5-7b", {"tp": 7}, "vllm", "4 KV heads for 7 ranks|18,944 feed-forward columns for 7 ranks"),
        ("phi-4", {"tp": 4}, "vllm", "10 KV heads for 4 ranks"),  # 40 heads
        ("falcon-7b", {"tp": 2}, "tgi", "71 attention heads for 2 ranks"),
        ("llama-3.1-8b", {"tp": 8, "ep": 8}, "vllm", "ep 8 for 0 experts; allowed: ep 1"),
        ("mixtral-8x7b", {"tp": 16, "ep": 16}, "vllm", "ep 16 for 8 experts; allowed: ep 1, 2, 4 or 8"),
        ("qwen3-235b-a22b", {"tp": 4, "dp": 3, "ep": 12}, "sglang", "128 experts, and sglang wants as many"),
        ("qwen3-235b-a22b", {"tp": 3, "ep": 3}, "vllm", "64 attention heads for 3 ranks.*tp 1, 2, 4, 8"),
        ("qwen3-235b-a22b", {"tp": 1, "dp": 5}, "vllm", "1,536 columns of an expert for 5 ranks.*none with dp 5"),
    ],
)
def test_what_an_engine_does_not_start_with(model, ways, name, told):
    with pytest.raises(InputError, match=told):
        require_cut(arch.load(model), Deployment(**ways), engine(name))


@pytest.mark.parametrize(
    ("model", "ways", "name"),
    [
        ("llama-3.1-70b", {"tp": 16}, "vllm"),  # 8 KV heads, each on two ranks
        ("deepseek-r1", {"tp": 8, "dp": 4, "ep": 32}, "sglang"),
        ("qwen3-235b-a22b", {"tp": 4, "dp": 3, "ep": 12}, "vllm"),  # some ranks hold one expert more
        ("llama-3.1-8b", {"tp": 3}, "llama.cpp"),  # rows are split in any shares
        ("gpt2", {"tp": 3}, "vllm"),  # 12 heads; 50,257 tokens of vocabulary are padded
    ],
)
def test_what_an_engine_starts_with(model, ways, name):
    assert broken_cut(arch.load(model), Deployment(**ways), engine(name)) is None


def test_one_device_serves_every_model_of_the_small_ones(tiny):
    assert broken_cut(tiny, Deployment(), engine()) is None
    assert broken_cut(dataclasses.replace(tiny, layers=()), Deployment(tp=3), engine()) is None  # nothing to share out


def test_a_search_passes_over_what_does_not_start():
    lengths = lengths_from_stated({"fixed": 1000}, {"fixed": 200})
    model = arch.load("qwen2.5-7b")  # 28 heads
    best, _ = best_deployment(model, device.load("a10g"), lengths, Objective(), max_devices=8)
    assert best.tp in (1, 2, 4)
