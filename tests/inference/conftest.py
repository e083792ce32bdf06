"""A small made-up model, real ones from the catalogue, and devices to serve them on."""

import dataclasses

import pytest

from steelyard import arch, device
from steelyard.inference import lengths_from_stated

TINY = {
    "model_type": "llama",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "vocab_size": 32_000,
    "num_hidden_layers": 8,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "max_position_embeddings": 32_768,
}


@pytest.fixture(scope="session")
def tiny():
    return arch.from_config(TINY, id="tiny")


@pytest.fixture(scope="session")
def llama_8b():
    return arch.load("llama-3.1-8b")


@pytest.fixture(scope="session")
def llama_70b():
    return arch.load("llama-3.1-70b")


@pytest.fixture(scope="session")
def h100():
    return device.load("h100")


@pytest.fixture(scope="session")
def chat():
    return lengths_from_stated({"mean": 1155, "p50": 1020, "p90": 2735}, {"mean": 211, "p50": 129, "p90": 424})


@pytest.fixture(scope="session")
def fixed():
    return lengths_from_stated({"fixed": 1000}, {"fixed": 200})


@pytest.fixture(scope="session")
def faster():
    """The same device with every rate multiplied; memory stays."""
    return _faster


def _faster(card, factor):
    accelerator = dataclasses.replace(
        card.accelerator,
        peak_flop_per_s={dtype: rate * factor for dtype, rate in card.accelerator.peak_flop_per_s.items()},
        hbm_bytes_per_s=card.accelerator.hbm_bytes_per_s * factor,
        scale_up_bytes_per_s=card.accelerator.scale_up_bytes_per_s * factor,
    )
    return dataclasses.replace(card, accelerator=accelerator)
