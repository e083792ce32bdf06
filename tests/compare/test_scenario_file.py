from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from steelyard import catalog
from steelyard.compare.scenario_file import example_path, load_scenario, scenario_from
from steelyard.errors import InputError
from steelyard.records.yaml_file import read_yaml

EXAMPLE = read_yaml(example_path())


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the example with one field set, or removed when `value` is `...`."""
    data = copy.deepcopy(EXAMPLE)
    *above, last = path.split(".")
    holder = data
    for step in above:
        holder = holder.setdefault(step, {})
    if value is ...:
        del holder[last]
    else:
        holder[last] = value
    return data


def message(data: Any) -> str:
    with pytest.raises(InputError) as caught:
        scenario_from(data, shown_as="s.yaml")
    text = str(caught.value)
    assert caught.value.exit_code == 2
    assert "\n" not in text
    assert text.startswith("s.yaml: ")
    for jargon in ("Input should be", "pydantic", "type=", "BeforeValidator", "Traceback"):
        assert jargon not in text
    return text.removeprefix("s.yaml: ")


def test_the_built_in_example_loads_with_the_ids_of_the_catalogue() -> None:
    scenario = load_scenario()
    assert scenario.routes.serve is not None
    assert all(device in catalog.accelerators() for device in scenario.routes.serve.devices)
    assert scenario.base_dir == example_path().parent


def test_aliases_become_ids_everywhere_they_stand() -> None:
    data = changed("routes.serve.devices", ["H100"])
    data["prices"] = {"devices": {"h100": {"on_demand": "3 USD/device/h"}}}
    data["model"] = "openai/gpt-oss-120b"
    data["quality"] = {"scale": "mine", "scores": {"openai/gpt-oss-120b": 3}}
    scenario = scenario_from(data)
    assert scenario.routes.serve is not None
    assert scenario.routes.serve.devices == ("h100-sxm5-80gb",)
    assert list(scenario.prices.devices) == ["h100-sxm5-80gb"]
    assert scenario.model == "gpt-oss-120b"
    assert list(scenario.quality.scores) == ["gpt-oss-120b"]


@pytest.mark.parametrize(
    ("path", "value", "at", "words"),
    [
        ("model", "gpt-oss-12b", "model: ", "gpt-oss-120b"),
        ("region", "US-XX", "region: ", "US-XX"),
        ("demand.lengths", "chatt", "demand.lengths: ", "nearest: chat"),
        ("demand.lengths", {"trace": "nope.csv"}, "demand.lengths.trace: ", "no such file"),
        ("demand.lengths", 5, "demand.lengths: ", "allowed: the name of a preset"),
        ("quality.scale", "arena-txt", "quality.scale: ", "nearest: arena-text"),
        ("quality.scores", {"finetun": 3}, "quality.scores.finetun: ", "nearest: finetune"),
        ("quality.scores", {"serve": {"score": 3, "low": 4}}, "quality.scores.serve.low: ", "above score"),
        ("routes.api.options", ["openai/gpt6-luna"], "routes.api.options[0]: ", "nearest: openai/gpt-6-luna"),
        ("routes.hybrid.api", "openai/gpt6-luna", "routes.hybrid.api: ", "openai/gpt-6-luna"),
        ("routes.serve.devices", ["h100", "h100-smx"], "routes.serve.devices[1]: ", "h100-sxm"),
        ("routes.serve.devices", "h100", "routes.serve.devices: ", "is not a list"),
        ("routes.serve.devices", [], "routes.serve.devices: ", "allowed: 1 to 64"),
        ("routes.serve.devices", [1], "routes.serve.devices[0]: ", "1 is not a name"),
        ("routes.serve.pricing", ["on_demnd"], "routes.serve.pricing[0]: ", "nearest: on_demand"),
        ("routes.serve.weight_dtype", "bf17", "routes.serve.weight_dtype: ", "bf16"),
        ("routes.serve", ..., "routes.hybrid: ", "state routes.serve"),
        ("routes.hosted_finetune.provider", "firworks", "routes.hosted_finetune.provider: ", "nearest: fireworks"),
        ("routes.finetune.method", "loar", "routes.finetune.method: ", "allowed: 'lora' or 'full'"),
        ("routes.finetune.num_devices", 2.5, "routes.finetune.num_devices: ", "a whole number"),
        ("routes.finetune.num_devices", True, "routes.finetune.num_devices: ", "true is not a number"),
        ("routes.finetune.data_usd", "20000 EUR", "routes.finetune.data_usd: ", "for example 20000 USD"),
        ("routes.finetune.model", ..., "routes.finetune.model: ", "is missing"),
        ("routes", {}, "routes: ", "no route to weigh"),
        ("routes", ["api"], "routes: ", "allowed: api, hosted_finetune"),
        ("demand.requests_per_day", "5 apples", "demand.requests_per_day: ", "'5 apples' is not"),
        ("demand.requests_per_day", -5, "demand.requests_per_day: ", "-5 is out of range"),
        ("demand.requests_per_day", float("nan"), "demand.requests_per_day: ", "nan is not"),
        ("demand.request_per_day", 5, "demand.request_per_day: ", "nearest: requests_per_day"),
        ("demand.growth_range", ["6%", "10%"], "demand.growth_range: ", "around it"),
        ("demand.growth_range", ["0%"], "demand.growth_range[1]: ", "is missing"),
        ("demand.growth_range", 5, "demand.growth_range: ", "[low, high]"),
        ("demand.peak_to_mean", 0.5, "demand.peak_to_mean: ", "1 to 1000"),
        ("objective.ttft.limit", "3 GB", "objective.ttft.limit: ", "'3 GB' is not a time"),
        ("objective.ttft.percentile", 195, "objective.ttft.percentile: ", "1 to 99.9"),
        ("prices.api", {"a/b": 5}, "prices.api.a/b: ", "allowed: input, output, cached_input"),
        ("prices.electricity", 0.08, "prices.electricity: ", "for example 0.08 USD/kWh"),
        ("prices.devices", {"h100": {"on_demnd": "3 USD/h"}}, "prices.devices.h100: ", "nearest: on_demand"),
        ("draws", 1e9, "draws: ", "1 to 5000"),
        ("seed", "x", "seed: ", "a whole number"),
        ("as_of", "tomorrow", "as_of: ", "YYYY-MM-DD"),
        ("horizont", 5, "horizont: ", "nearest: horizon"),
        ("base_dir", "/", "base_dir: ", "no such field"),
        ("name", ..., "name: ", "is missing"),
        ("name", " ", "name: ", "1 to 300 characters"),
        ("name", 5, "name: ", "5 is not a name"),
    ],
)
def test_every_wrong_field_gets_its_line(path: str, value: Any, at: str, words: str) -> None:
    text = message(changed(path, value))
    assert text.startswith(at)
    assert words in text


def test_other_faults_are_counted() -> None:
    data = changed("demand.requests_per_day", -5)
    data["draws"], data["seed"] = "many", -1
    assert message(data).endswith("(and 2 more)")
    names = changed("model", "nonsense")
    names["routes"]["api"]["options"] = ["nonsense"]
    assert message(names).endswith("(and 1 more)")


@pytest.mark.parametrize("data", [None, {}])
def test_an_empty_scenario_says_what_it_needs(data: Any) -> None:
    assert message(data).startswith("empty; allowed: name, model, horizon")


@pytest.mark.parametrize("data", ["hello", 5, ["a"], True])
def test_a_document_that_is_no_mapping_is_refused(data: Any) -> None:
    assert "stands where fields belong; allowed: name" in message(data)


def test_names_of_strangers_are_printed_harmlessly() -> None:
    assert "\x1b" not in message(changed("model", "\x1b[31mred\nline"))
    assert "\x1b" not in message(changed("x\x1b\n", 1))
    assert len(message(changed("x" * 5000, 1))) < 600


def test_an_option_of_no_catalogue_is_known_by_its_stated_price() -> None:
    data = changed("routes.api.options", ["mine/private"])
    data["prices"] = {"api": {"mine/private": {"input": "1 USD/Mtoken", "output": "2 USD/Mtoken"}}}
    data["routes"]["hybrid"] = {}
    scenario = scenario_from(data)
    assert scenario.routes.api is not None
    assert scenario.routes.api.options == ("mine/private",)


def test_a_price_for_nothing_that_is_used_is_refused() -> None:
    data = changed("prices.api", {"openai/gpt6-luna": {"input": "1 USD/Mtoken", "output": "2 USD/Mtoken"}})
    assert "nearest: openai/gpt-6-luna" in message(data)


def test_a_scale_of_ones_own_needs_scores() -> None:
    data = changed("quality", {"scale": "our exam", "floor": 70, "scores": {"serve": 75}})
    assert scenario_from(data).quality.scale == "our exam"
    assert "needs quality.scores" in message(changed("quality", {"scale": "our exam", "floor": 70}))


def test_a_score_in_percent_needs_its_sign() -> None:
    data = changed("quality", {"scale": "livebench-2026-01-08", "floor": 62})
    assert (
        message(data)
        == "quality.floor: 62 is out of range on livebench-2026-01-08; allowed: 0% to 100%, for example 62%"
    )
    data["quality"]["floor"] = "62%"
    assert scenario_from(data).quality.floor == pytest.approx(0.62)


def test_paths_are_relative_to_the_scenario_file(tmp_path: Path) -> None:
    config = {**catalog.model("llama-3.1-8b").config}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text(json.dumps(config))
    (tmp_path / "trace.csv").write_text("isl,osl\n10,20\n")
    data = changed("model", "mine/config.json")
    data["demand"]["lengths"] = {"trace": "trace.csv"}
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(data))
    scenario = load_scenario(path)
    assert (scenario.base_dir / scenario.model).is_file()


@pytest.mark.parametrize(
    ("content", "words"),
    [('{"model_type": "llama", "hidden_size": 40', "cut off"), ("[]", "object"), ("\0\1\2", "")],
)
def test_a_broken_config_is_named(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError) as caught:
        scenario_from(changed("model", "config.json"), base_dir=tmp_path, shown_as="s.yaml")
    assert str(caught.value).startswith("s.yaml: model: ")
    assert words in str(caught.value)


def test_a_path_that_leads_nowhere_says_so() -> None:
    assert "no such file 'nope/config.json'" in message(changed("model", "nope/config.json"))


def test_a_saved_scenario_is_the_same_scenario(tmp_path: Path) -> None:
    path = tmp_path / "saved.yaml"
    path.write_text(json.dumps(load_scenario().to_dict()))
    assert load_scenario(path).to_dict() == load_scenario().to_dict()
