"""Configurations with fields dropped, swapped, negative, of other types: counts that add up, or one clear refusal."""

import copy
import json
import math
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import arch, catalog
from steelyard.arch.readers import READERS, TEXT_PARTS
from steelyard.errors import InputError

TINY = json.loads(Path(__file__).with_name("tiny_configs.json").read_text())
STRUCTURES = {
    name: {key: value for key, value in ({"model_type": name} | TINY["sizes"] | keys).items() if value is not None}
    for group in ("dense", "mixtures", "hybrids", "compressed")
    for name, keys in TINY[group].items()
}
NESTED = ("quantization_config", "vision_config", "text_config", "attn_config", "sparse_attention_config")
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 1000),
    st.sampled_from([10**12, 10**30, 1.5, math.nan, math.inf, "64", "auto", "LLLG", "M*E-", ""]),
    st.sampled_from([[], {}, [1], [0] * 4, ["full_attention"], [None], [[]], [{}], {"a": 1}, [["global"], 2]]),
)


def changeable(value):
    """Return a copy of a record's configuration, which itself cannot be written to."""
    if isinstance(value, Mapping):
        return {key: changeable(one) for key, one in value.items()}
    return [changeable(one) for one in value] if isinstance(value, (list, tuple)) else value


def adds_up(model):
    """Check a model that was understood: whatever the fields say, its figures agree with each other."""
    p = arch.count_params(model)
    kinds = (p.embedding_params, p.head_params, p.attention_params, p.mlp_params, p.experts_params)
    assert sum(kinds) + p.router_params + p.vector_params == p.total_params
    assert 0 < p.active_params <= p.total_params
    assert arch.weight_bytes(model) > 0
    assert arch.cache_bytes(model, 10.0) >= 0
    operators = arch.forward_operators(model, batch=1, new_tokens=3, context_tokens=10, weight_dtype=None)
    operators += arch.backward_operators(model, batch=1, seq_tokens=4)
    assert all(o.flop >= 0 and o.weight_bytes >= 0 and o.cache_bytes >= 0 for o in operators)
    assert sum(len(layer.indices) for layer in arch.describe(model).layers) == model.num_layers


def understood_or_refused(config):
    try:
        model = arch.from_config(config, id="fuzzed")
    except InputError as error:
        line = str(error)
        assert line.startswith("fuzzed: ")
        assert "\n" not in line
        assert len(line) < 600
        return
    adds_up(model)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_fuzzed_configurations_never_crash(data):
    records = catalog.models()
    if data.draw(st.booleans()):
        config = copy.deepcopy(STRUCTURES[data.draw(st.sampled_from(sorted(STRUCTURES)))])
    else:
        config = changeable(records[data.draw(st.sampled_from(sorted(records)))].config)
    for _ in range(data.draw(st.integers(1, 4))):
        places = [config, *(config[key] for key in NESTED if isinstance(config.get(key), dict))]
        place = data.draw(st.sampled_from(places))
        if not place:
            continue
        key, other = data.draw(st.sampled_from(sorted(place))), data.draw(st.sampled_from(sorted(place)))
        change = data.draw(st.sampled_from(["drop", "set", "set", "swap", "negate", "text", "cut"]))
        value = place[key]
        if change == "drop":
            del place[key]
        elif change == "swap":
            place[key], place[other] = place[other], place[key]
        elif change == "negate" and isinstance(value, int):
            place[key] = -value
        elif change == "text":
            place[key] = str(value)
        elif change == "cut" and isinstance(value, list):
            place[key] = value[: len(value) // 2]
        else:
            place[key] = data.draw(VALUES)
    if data.draw(st.integers(0, 9)) == 0:
        config["model_type"] = data.draw(st.sampled_from(sorted({*READERS, *TEXT_PARTS})))
    understood_or_refused(config)


@pytest.mark.parametrize("name", STRUCTURES)
def test_a_thousand_layers_and_no_heads(name):
    config = STRUCTURES[name]
    for key in ("num_hidden_layers", "num_layers", "num_attention_heads", "num_heads"):
        for value in (0, 1000, 10**6):
            understood_or_refused({k: v for k, v in config.items() if k != "layer_types"} | {key: value})


def test_a_thousand_layers_are_a_model_and_no_heads_are_none():
    llama = dict(catalog.model("llama-3.1-8b").config)
    assert arch.from_config(llama | {"num_hidden_layers": 1000}, id="deep").num_layers == 1000
    for wrong in ({"num_hidden_layers": 10**6}, {"num_attention_heads": 0}, {"num_hidden_layers": 0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            arch.from_config(llama | wrong, id="fuzzed")
