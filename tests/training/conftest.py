"""Small made-up models for the tests of this room."""

from collections.abc import Callable
from typing import Any

import pytest

from steelyard import arch, device

Maker = Callable[..., arch.Model]


def _dense(**changes: Any) -> arch.Model:
    """A Llama-like model of 8 layers, about 0.12 B parameters."""
    config = {
        "model_type": "llama",
        "hidden_size": 1024,
        "intermediate_size": 2816,
        "vocab_size": 16_000,
        "num_hidden_layers": 8,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "max_position_embeddings": 4096,
    }
    return arch.from_config(config | changes, id="dense-test")


def _mixture(**changes: Any) -> arch.Model:
    """A Mixtral-like model of 8 layers and 8 experts, 2 of them used by a token."""
    config = {
        "model_type": "mixtral",
        "hidden_size": 1024,
        "intermediate_size": 2816,
        "vocab_size": 16_000,
        "num_hidden_layers": 8,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
        "max_position_embeddings": 4096,
    }
    return arch.from_config(config | changes, id="mixture-test")


def _gpt(layers: int, hidden: int, heads: int, vocab: int) -> arch.Model:
    """A GPT-3-like model: learned positions, no gates, feed-forward of 4 x hidden."""
    config = {
        "model_type": "gpt2",
        "n_embd": hidden,
        "n_layer": layers,
        "n_head": heads,
        "vocab_size": vocab,
        "n_positions": 2048,
    }
    return arch.from_config(config, id=f"gpt-{layers}x{hidden}")


@pytest.fixture(scope="session")
def dense() -> Maker:
    return _dense


@pytest.fixture(scope="session")
def mixture() -> Maker:
    return _mixture


@pytest.fixture(scope="session")
def gpt() -> Maker:
    return _gpt


@pytest.fixture(scope="session")
def h100() -> device.Device:
    return device.load("h100")
