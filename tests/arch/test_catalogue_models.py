"""Every model of the catalogue against what Transformers builds, what is published, and the names that data use."""

import csv
import importlib.util
import json
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

from steelyard import arch, catalog
from steelyard.errors import UnknownError
from steelyard.validation.models import model_of_row

HERE = Path(__file__).parent
SHARED = HERE.parents[2] / "shared"  # beside the checkout, where there is one

_spec = importlib.util.spec_from_file_location("transformers_oracle", HERE / "transformers_oracle.py")
oracle = sys.modules["transformers_oracle"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(oracle)

RECORDED = oracle.recorded()
LIVE = ("smollm2-135m", "pythia-160m", "opt-125m", "qwen3-0.6b", "gemma-3-1b", "bloom-560m")
SAME_AS = {  # no class to build, no count of its own: the same shape under another name
    "deepseek-v4-flash-fp8": "deepseek-v4-flash",
    "deepseek-v4-pro-fp8": "deepseek-v4-pro",
}
OTHER_BUFFERS = (  # what a checkpoint has beside weights
    "apertus",  # constants of its activation
    "deepseek-v4",  # tables of integers to route by
    "gemma-4",  # statistics of images
    "minimax-text",  # decays of its linear attention
)
LEFT_OUT_TOWERS = ("kimi-k2.5", "kimi-k2.6", "kimi-k2.7-code", "llama-4")  # their configurations do not state the shape


def _table(name):
    with (HERE / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


PUBLISHED = {row["model"]: row for row in _table("published_counts.csv")}


def test_every_model_has_a_check_of_its_parameters():
    built = {name for name, row in RECORDED.items() if row["params"]}
    counted = {name for name, row in PUBLISHED.items() if row["total"]}
    unchecked = set(catalog.models()) - built - counted - set(SAME_AS)
    assert not unchecked, f"record them: python tests/arch/transformers_oracle.py ({sorted(unchecked)})"


def test_recorded_counts_say_when_and_by_what():
    assert len(RECORDED) > 200
    for row in RECORDED.values():
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", row["date"])
        assert re.match(r"\d+\.\d+", row["transformers"])
        assert bool(row["params"]) != bool(row["refusal"])  # counted, or the reason why not


@pytest.mark.parametrize("name", [name for name, row in RECORDED.items() if row["params"]])
def test_parameters_are_those_that_transformers_builds(name):
    params, row = arch.count_params(arch.load(name)), RECORDED[name]
    assert params.total_params == int(row["params"])
    if not name.startswith(LEFT_OUT_TOWERS):
        assert params.tower_params == int(row["tower_params"])
    if not name.startswith(OTHER_BUFFERS):
        assert params.buffer_params == int(row["buffers"])


@pytest.mark.parametrize(("name", "other"), SAME_AS.items())
def test_the_same_shape_under_another_name(name, other):
    assert arch.count_params(arch.load(name)).total_params == arch.count_params(arch.load(other)).total_params


@pytest.mark.parametrize("name", [name for name, row in PUBLISHED.items() if row["total"]])
def test_parameters_are_those_published_within_their_rounding(name):
    assert _agrees(PUBLISHED[name]["total"], arch.count_params(arch.load(name)).total_params)


@pytest.mark.parametrize("name", [name for name, row in PUBLISHED.items() if row["active"]])
def test_active_parameters_are_those_published_within_their_rounding(name):
    params, counts_as_active = arch.count_params(arch.load(name)), PUBLISHED[name]["counts_as_active"]
    table = params.embedding_params
    fewer = {"all": 0, "no input table": table, "no tables": table + params.head_params}[counts_as_active]
    assert _agrees(PUBLISHED[name]["active"], params.active_params - fewer)


def _agrees(printed, value):
    """Return whether a value rounds to the printed one, in as many digits as are printed."""
    digits, scale = re.fullmatch(r"A?([\d.]+)([BT])", printed).groups()
    decimals = len(digits.partition(".")[2])
    return round(value / {"B": 1e9, "T": 1e12}[scale], decimals) == float(digits)


def test_every_name_that_states_active_parameters_is_checked():
    for name in catalog.models():
        stated = re.search(r"-a[\d.]+b", name)
        base = name[: stated.end()] if stated else name
        assert not stated or PUBLISHED[base]["active"], f"{name}: add {base} to published_counts.csv"
        if name != base:
            ours, theirs = (arch.count_params(arch.load(one)) for one in (name, base))
            assert ours.active_params == theirs.active_params


@pytest.mark.parametrize("row", _table("published_cache.csv"), ids=lambda row: row["model"])
def test_cache_is_what_is_published(row):
    model, context = arch.load(row["model"]), float(row["context_tokens"])
    unit, _, every_layer = row["unit"].partition(" ")
    if every_layer:  # nothing is dropped behind a window: each token takes what the first one does
        cache = context * arch.cache_bytes(model, 1.0, kv_dtype=row["kv_dtype"])
    else:
        cache = arch.cache_bytes(model, context, kv_dtype=row["kv_dtype"])
    printed = row["printed"]
    decimals = len(printed.partition(".")[2])
    assert round(cache / {"GiB": 2**30, "KiB": 2**10, "kB": 1e3}[unit], decimals) == float(printed)


@pytest.mark.parametrize("row", [*PUBLISHED.values(), *_table("published_cache.csv")], ids=lambda row: row["model"])
def test_a_published_figure_says_where_it_was_read(row):
    if row["basis"] == "assumed":  # from memory: no date, and no place
        assert not row["as_of"]
        assert not row["read_at"]
    else:
        assert row["basis"] == "published"
        assert row["read_at"]
        assert row["as_of"] or row["source"].startswith("its name")  # a name has no date


def test_the_published_caches_are_of_every_kind():
    kinds = {row["kind"] for row in _table("published_cache.csv")}
    assert kinds == {"multi-head", "grouped-query", "latent", "sliding window", "hybrid"}


def test_every_model_loads_and_has_operators():
    for name, record in catalog.models().items():
        model = arch.load(name)
        assert (model.id, model.name) == (name, record.name)
        assert 1 <= model.num_kv_heads <= model.num_heads
        assert (model.num_experts > 0) == (model.num_moe_layers > 0)
        ops = arch.forward_operators(model, batch=1, new_tokens=1, context_tokens=100, weight_dtype=None)
        assert sum(o.flop * o.count for o in ops) > 0


def test_a_quantised_checkpoint_is_a_record_of_its_own():
    for name, record in catalog.models().items():
        base = re.sub(r"-(fp8|nvfp4)(-per-tensor)?$", "", name)
        if base == name:
            assert not [alias for alias in record.aliases if re.search(r"(?i)-(fp8|nvfp4|awq|gptq)", alias)]
        elif base in catalog.models():
            assert arch.weight_bytes(arch.load(name)) < arch.weight_bytes(arch.load(base), "bf16")


def test_aliases_resolve():
    for spelling, name in {
        "meta-llama/Llama-3.1-8B-Instruct": "llama-3.1-8b",
        "MISTRALAI/Mixtral-8x7B-Instruct-v0.1": "mixtral-8x7b",
        "openai/gpt-oss-120b": "gpt-oss-120b",
        "GPT-3 175B": "gpt-3-175b",
        "nvidia/Llama-3.1-8B-Instruct-FP8": "llama-3.1-8b-fp8",
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
    assert arch.load("llama-4-maverick").num_moe_layers == 24  # every second layer
    assert arch.load("falcon-7b").num_kv_heads == 1


@pytest.mark.skipif(not (SHARED / "published").exists(), reason="no published measurements here")
@pytest.mark.parametrize(
    ("name", "unknown"),
    [
        ("inference", set()),
        (
            "training",
            {
                "",  # vendor tables that name no model
                "GPT-24B",  # nowhere told what it is
                "NanoGPT speedrun (124M-class)",  # another model with every record
                "NanoGPT speedrun (350M-class)",
            },
        ),
    ],
)
def test_rows_of_published_measurements_have_a_model(name, unknown):
    with (SHARED / "published" / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    refused = Counter(row["model"] for row in rows if _refusal(row))
    assert set(refused) == unknown
    assert refused.total() <= 0.05 * len(rows)


def _refusal(row):
    try:
        model_of_row(row)
    except UnknownError as error:
        return str(error)
    return ""


def _configs():
    paths = sorted((SHARED / "models").glob("*_config.json")) if SHARED.exists() else []
    return [path for path in paths if "hf_quant" not in path.name]


@pytest.mark.parametrize("path", _configs(), ids=lambda path: path.name.removesuffix("_config.json"))
def test_a_record_is_what_its_configuration_says(path):
    model = arch.load(path)
    record = arch.load(path.name.removesuffix("_config.json").replace("--", "/"))
    assert arch.count_params(model) == arch.count_params(record)
    assert arch.weight_bytes(model) == arch.weight_bytes(record)
    assert (model.weight_dtype, model.kv_dtype) == (record.weight_dtype, record.kv_dtype)
    assert model.max_context_tokens == record.max_context_tokens


@pytest.mark.parametrize("name", LIVE)
def test_transformers_still_builds_what_is_recorded(name):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    assert oracle.build(catalog.model(name).config).params == int(RECORDED[name]["params"])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in catalog.models() if name not in LIVE])
def test_transformers_builds_the_same_of_every_model(name):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    try:
        built = oracle.build(catalog.model(name).config)
    except oracle.CannotBuildError:
        assert RECORDED[name]["refusal"]
        return
    assert arch.count_params(arch.load(name)).total_params == built.params


@pytest.mark.slow
@pytest.mark.parametrize("path", _configs(), ids=lambda path: path.name.removesuffix("_config.json"))
def test_transformers_builds_the_same_of_every_configuration(path):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    config = json.loads(path.read_text(encoding="utf-8"))
    if config["model_type"] in {"deepseek_ref", "nemotron-nas", "step3p7"}:
        pytest.skip("Transformers has no class that reads this configuration")
    built = oracle.build(config)
    assert arch.count_params(arch.load(path)).total_params == built.params
