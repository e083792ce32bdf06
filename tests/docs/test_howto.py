"""What the how-to pages add is really there afterwards (that their commands run is in test_pages)."""

import numpy as np
import pytest

from steelyard import arch, catalog, device, economics, inference


def test_the_gpu_is_there(follow):
    follow("add-a-gpu.md")
    added = device.load("X1")
    assert added.id == "acme-x1"
    assert device.peak_flop_per_s(added, "bf16") == 800e12
    # an unknown vendor: the shares over all vendors, not NVIDIA's
    assert added.efficiency.matmul_ratio == catalog.calibration("device")["matmul_ratio"].value


def test_the_model_is_there_and_is_twice_its_config(follow):
    follow("add-a-model.md")
    named, read = arch.load("our/tiny-2B"), arch.load("tiny/config.json")
    assert named.num_layers == 2 * read.num_layers
    assert named.layers[0][0] == read.layers[0][0]


def test_the_prices_are_there(follow):
    follow("add-a-price.md")
    price = economics.api_price("our-cloud/model-x")
    assert (price.input_usd_per_token, price.output_usd_per_token) == pytest.approx((0.20e-6, 0.80e-6))
    rent = economics.rental_price("h100", "reserved_1y", provider="our-cloud")
    assert rent.usd_per_device_s * 3600 == pytest.approx(1.95)
    shipped = economics.rental_price("h100", "reserved_1y").rows
    assert len(shipped) > 1, "the shipped rows are still there"


def test_the_workload_is_there_and_its_lengths_go_together_as_stated(follow):
    follow("add-a-workload.md")
    lengths = inference.lengths_from_workload(catalog.workload("desk"), num_samples=2000)
    # By hand: of the half with the shorter prompts 0.10 / 0.5 = 20% have one of the shortest 40% of the answers.
    shorter_prompt = lengths.isl_tokens <= np.median(lengths.isl_tokens)
    shorter_answer = lengths.osl_tokens <= np.quantile(lengths.osl_tokens, 0.4)
    assert shorter_answer[shorter_prompt].mean() == pytest.approx(0.2, abs=0.02)


def test_the_engine_is_there_with_its_rules_and_its_overhead(follow):
    follow("add-an-engine.md")
    engine = inference.engine_for(device.load("h100"), "AcmeServe 2.1")
    assert (engine.name, engine.max_sequences, engine.chunk_tokens) == ("acme-serve", 128, 4096)
    assert engine.step_overhead_s == pytest.approx(3e-3)
    of_all = catalog.calibration("inference")["request_overhead_s"].value
    assert engine.request_overhead_s == of_all, "what was not measured is that of all engines"


def test_the_score_and_the_assumption_are_there(follow):
    follow("use-your-own-data.md")
    assert catalog.calibration("compare")["setup_serve"].value == 5 * 86_400
    assert catalog.calibration("compare")["setup_api"].basis == "assumed", "the others stay"
    scores = [row for row in catalog.quality_scores("math-5-epoch") if row["model"] == "qwen3-32b"]
    assert [row.value("score") for row in scores if row["setting"] == "our run"] == [pytest.approx(0.715)]
