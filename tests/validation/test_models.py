"""From the columns of a published row to a model."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steelyard import arch
from steelyard.errors import InputError, SteelyardError, UnknownError
from steelyard.validation.models import SHAPES, model_of_row

MPT = {"model": "MPT-x", "vocab": "50368"}


def _billions(row):
    return arch.count_params(model_of_row(row)).total_params / 1e9


def test_a_name_of_the_catalogue_comes_first():
    assert model_of_row({"model_id": "llama-3.1-70b", "model": "Llama 3.1 70B"}).id == "llama-3.1-70b"
    assert model_of_row({"model": "GPT-3 175B", "vocab": "51200", "layers": "96"}).id == "gpt-3-175b"
    assert model_of_row({"model": "Llama-3.1-8B (FP8, 2 nodes)"}).id == "llama-3.1-8b"


def test_a_cut_down_model_goes_by_its_columns():
    row = {"model": "Llama-3.1-8B", "layers": "4", "hidden": "4096", "heads": "32", "kv_heads": "8", "ffn": "14336"}
    model = model_of_row(row | {"vocab": "128256"})
    assert (model.num_layers, model.num_kv_heads, model.vocab) == (4, 8, 128256)
    # 4 layers of (2 x 4096^2 + 2 x 4096 x 1024 + 3 x 4096 x 14336 + 2 x 4096), two tables, one norm
    assert (
        arch.count_params(model).total_params
        == 4 * (2 * 4096**2 + 2 * 4096 * 1024 + 3 * 4096 * 14336 + 2 * 4096) + 2 * 128256 * 4096 + 4096
    )
    with pytest.raises(UnknownError, match="width is not stated"):
        model_of_row({"model": "Llama-3.1-8B", "layers": "4"})


@pytest.mark.parametrize(
    ("layers", "hidden", "heads", "seq_len", "billions"),
    [  # parameters that llm-foundry prints, scripts/train/benchmarking/README.md, 2024-01
        ("80", "8192", "64", "2048", "64.8624"),
        ("32", "4096", "32", "2048", "6.6589"),
        ("32", "4096", "32", "65536", "6.9189"),
        ("24", "1024", "16", "2048", "0.3560"),
    ],
)
def test_plain_models_have_the_printed_count_without_being_told(layers, hidden, heads, seq_len, billions):
    row = MPT | {"layers": layers, "hidden": hidden, "heads": heads, "seq_len": seq_len}
    assert f"{_billions(row):.4f}" == billions


def test_the_stated_count_decides_what_the_columns_leave_open():
    wide = {"model": "a", "layers": "32", "hidden": "12288", "heads": "32", "ffn": "49152", "vocab": "32000"}
    # MaxText's "52B": heads of 256, plain: 32 x (4 x 12288 x 8192 + 2 x 12288 x 49152) = 51.5 billion, and tables
    assert {block.head_dim for block in _attentions(model_of_row(wide | {"n_params_b": "52"}))} == {256}
    assert {block.head_dim for block in _attentions(model_of_row(wide))} == {384}
    deep = {"model": "a", "layers": "128", "hidden": "16384", "heads": "64", "kv_heads": "16", "ffn": "131072"}
    # gated: 128 x (3 x 16384 x 131072 + 2 x 16384 x 64 x 256 + 2 x 16384 x 16 x 256) = 912 billion
    assert model_of_row(deep | {"n_params_b": "915"}).layers[0][0].blocks[1].gated


def _attentions(model):
    return [layer.blocks[0] for layer, _ in model.layers]


def test_layers_follow_from_the_count():
    # (183e9 - 50257 x 14400) / (12 x 14400^2 + 13 x 14400) = 73.25
    assert model_of_row({"model": "GPT-183B", "hidden": "14400", "n_params_b": "183"}).num_layers == 73


def test_experts():
    row = {"layers": "2", "hidden": "64", "heads": "4", "ffn": "128", "vocab": "100", "experts": "8"}
    model = model_of_row(row | {"experts_active": "2"})
    # two layers: attention 4 x 64 x 64, router 64 x 8, experts 8 x 3 x 64 x 128, norms 128; tables 2 x 6400, one norm
    assert arch.count_params(model).total_params == 2 * (4 * 64**2 + 512 + 8 * 3 * 64 * 128 + 128) + 2 * 6400 + 64
    assert model.top_k == 2
    with pytest.raises(InputError, match="experts_active is None"):
        model_of_row(row)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"id": "r1", "model": "NanoGPT speedrun (124M-class)"}, "row r1: unknown model"),
        ({"id": "r2", "model": ""}, "row r2: no model is named"),
        ({"id": "r3", "model": "a", "hidden": "64"}, "neither layers nor n_params_b"),
        (
            {"id": "r4", "model": "a", "hidden": "64", "layers": "2", "vocab": "10", "n_params_b": "3"},
            "n_params_b says 3",
        ),
    ],
)
def test_what_cannot_be_known_is_refused_with_the_reason(row, says):
    with pytest.raises(UnknownError, match=says) as caught:
        model_of_row(row)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wrong", [{"layers": "-3"}, {"heads": "many"}, {"kv_heads": "3"}, {"n_params_b": "nan"}])
def test_wrong_cells_are_named(wrong):
    row = {"id": "r", "model": "a", "layers": "2", "hidden": "64", "heads": "4", "vocab": "100"}
    with pytest.raises(InputError, match=f"row r: {next(iter(wrong))} is"):
        model_of_row(row | wrong)


CELLS = st.one_of(st.just(""), st.integers(-2, 2**40).map(str), st.text(max_size=5))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([*SHAPES, "n_params_b", "model", "id"]), CELLS))
def test_any_row_gives_a_model_or_one_line(row):
    outcome = _outcome(row)
    if isinstance(outcome, str):
        assert len(outcome.splitlines()) == 1
    else:
        assert arch.count_params(outcome).total_params > 0


def _outcome(row):
    try:
        return model_of_row(row)
    except SteelyardError as error:
        return str(error)
