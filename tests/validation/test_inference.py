"""Serving rows: how they are read, that one table predicts what one deployment does, and how far it misses."""

import numpy as np
import pytest

from steelyard import arch, catalog, device
from steelyard.inference import time_residual_sigma, under_load
from steelyard.validation import inference, operators
from steelyard.validation.errors import OVERALL
from steelyard.validation.inference.harness import harness_of
from steelyard.validation.inference.order import ordering
from steelyard.validation.inference.points import read
from steelyard.validation.inference.predict import serving
from steelyard.validation.operators.points import generation, kernels

# Median errors over families with the shipped parameters, and how many rows are predicted. They may improve.
RATCHET = {"throughput": 0.16, "tpot": 0.16, "ttft": 0.35, "energy": 0.18}
PREDICTED_RATIO = 0.94
ORDERED_RATIO = 0.88  # of pairs of layouts that measurements tell apart


@pytest.fixture(scope="module")
def shipped():
    return inference.validate(refit=False)


def row(**changes):
    empty = dict.fromkeys(catalog.published("inference").rows[0], "")
    stated = {
        "id": "own-1", "source": "own", "as_of": "2026-05", "model": "Llama-3.1-8B", "gpu": "H100 SXM",
        "device": "h100",
        "n_gpus": "1", "engine": "vLLM", "engine_version": "0.15.0", "isl": "1000", "osl": "200",
        "load": "concurrency", "load_value": "8", "metric": "tpot_ms", "value": "10",
    }  # fmt: skip
    return empty | stated | changes


def only(**changes):
    found = read([row(**changes)])
    assert len(found.points) + len(found.refusals) == 1
    return found


def test_every_row_is_a_point_or_a_refusal_with_a_reason(shipped):
    assert len(shipped.points) + len(shipped.refusals) == len(catalog.published("inference").rows)
    assert all(refusal.reason for refusal in shipped.refusals)
    assert len(shipped.points) >= PREDICTED_RATIO * len(catalog.published("inference").rows)


@pytest.mark.parametrize("metric", RATCHET)
def test_errors_do_not_grow(shipped, metric):
    found = next(group for group in shipped.groups if group.metric == metric and group.group == OVERALL)
    assert found.median_abs_error_ratio <= RATCHET[metric]


def test_large_families_beat_both_simple_rules(shipped):
    for group in shipped.groups:
        if ":" not in group.group and group.num_points > 100 and group.metric in ("throughput", "tpot", "ttft"):
            assert group.median_abs_error_ratio < group.baseline_median_abs_error_ratio, group
            assert group.median_abs_error_ratio < group.nearest_median_abs_error_ratio, group


@pytest.mark.slow
def test_left_out_families_are_within_the_ratchet():
    found = inference.validate()
    overall = {group.metric: group for group in found.groups if group.group == OVERALL}
    for metric, limit in RATCHET.items():
        assert overall[metric].median_abs_error_ratio <= limit
        assert 0.6 <= overall[metric].coverage_80_ratio <= 0.95


def test_a_table_predicts_what_one_deployment_does():
    found = only(load_value="16", harness="")
    predicted = serving(found).predict({})
    run = found.runs[0]
    alone = under_load(
        run.model, run.device, run.deployment, isl_tokens=1000, osl_tokens=200, users=16, engine=run.engine,
        length_spread_ratio=0.0,
    )  # fmt: skip
    assert predicted[0] == pytest.approx(
        float(alone.tpot_s), rel=0.05
    )  # the table's loop is short: it remembers its start


def test_starved_for_kv_memory_as_measured(shipped):
    """70B in fp8 on one H100 gives several times less per device than on two (TensorRT-LLM v0.17 tables)."""
    cells = {}
    for index, point in enumerate(shipped.points):
        own = point.row
        cell = tuple(own[name] for name in ("engine_version", "device", "weights_dtype", "model_id", "isl"))
        if cell == ("0.17", "h100-sxm-80gb", "fp8", "llama-3.1-70b", "500"):
            cells[own["n_gpus"]] = (point.value, shipped.predicted.p50[index])
    (measured_one, predicted_one), (measured_two, predicted_two) = cells["1"], cells["2"]
    assert measured_two / 2 > 1.5 * measured_one
    assert predicted_two / 2 > 1.5 * predicted_one


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"device": "", "gpu": ""}, "device not stated"),
        ({"device": "abacus"}, "'abacus' is not in the catalogue"),
        ({"model": "nobody-7b"}, "'nobody-7b' is not in the catalogue"),
        ({"n_gpus": ""}, "number of devices"),
        ({"n_gpus": "4", "tp": "3"}, "are not 4 devices"),
        ({"isl": ""}, "input length"),
        ({"osl": ""}, "output length"),
        ({"osl": "1"}, "of one token"),
        ({"load_value": ""}, "load not stated"),
        ({"load_value": "", "harness": "concurrency-10-a-user"}, "load not stated"),
        ({"load_value": "", "harness": "mlenergy-v3-gpqa"}, "load not stated"),
        ({"load": "", "harness": ""}, "how the server was loaded"),
        ({"weights_dtype": "fp3"}, "number format 'fp3'"),
        ({"kv_dtype": "fp3"}, "number format 'fp3'"),
        ({"engine": "hf", "engine_version": "4.38", "load": "rate"}, "static batches"),
        ({"device": "ryzen-ai-max-395", "n_gpus": "2"}, "no scale-out bandwidth"),
        ({"metric": "decode_tokens_per_s"}, "of one or of all"),
        ({"metric": "happiness"}, "'happiness' is not predicted"),
        ({"notes": "value PER NODE"}, "larger deployment"),
    ],
)
def test_refusals_say_why(changes, words):
    found = only(**changes)
    assert not found.points
    assert words in found.refusals[0].reason


def test_what_a_row_leaves_out_is_assumed_and_told():
    run = only(weights_dtype="", kv_dtype="").runs[0]
    assert run.deployment.tp == 1
    assert set(run.assumed) >= {"tp", "weights_dtype", "kv_dtype"}


@pytest.mark.parametrize(
    ("engine", "on", "kv_dtype"),
    [
        ("TensorRT-LLM", "h100", "fp8"),
        ("NIM 1.8", "h100", "fp8"),
        ("Optimum Habana", "gaudi3", "fp8"),
        ("vLLM", "h100", "bf16"),
        ("TGI", "h100", "bf16"),
    ],
)
def test_what_cache_comes_with_narrow_weights_is_a_rule_of_the_engine(engine, on, kv_dtype):
    stated = {"engine": engine, "engine_version": "", "device": on, "weights_dtype": "fp8", "kv_dtype": ""}
    assert only(**stated).runs[0].deployment.kv_dtype == kv_dtype
    named = only(model="nvidia/Llama-3.1-8B-Instruct-FP8", model_id="llama-3.1-8b").runs[0]
    assert named.deployment.weight_dtype == "fp8"


def test_values_become_those_of_the_whole_deployment():
    assert only(metric="output_tokens_per_s_per_gpu", n_gpus="4", value="100").points[0].value == 400
    assert only(metric="total_tokens_per_s", value="1200").points[0].value == pytest.approx(200)  # 200 of 1200 tokens
    assert only(metric="energy_j_per_request", value="100").points[0].value == pytest.approx(0.5)


def test_a_row_that_is_refused_leaves_the_others():
    found = read([row(), row(kv_dtype="q9"), row(kv_dtype="FP8"), row(engine_version="nightly")])
    assert (len(found.points), len(found.refusals)) == (3, 1)
    assert serving(found).predict({}).shape == (3,)


def test_a_decoding_rate_is_the_time_of_a_token():
    """Prompts are not in it, however long they are."""
    found = only(metric="decode_tokens_per_s", load="batch", load_value="1", isl="32768", value="50")
    assert [(point.metric, point.value) for point in found.points] == [("tpot", pytest.approx(0.02))]


def test_weights_named_by_their_file_are_stored_so():
    run = only(weights_dtype="q8_0", engine="llama.cpp").runs[0]
    assert run.model.id == "llama-3.1-8b-q8-0"
    assert run.deployment.weight_dtype == run.deployment.compute_dtype == "w8a16"
    assert only(weights_dtype="Q4_K_M", engine="llama.cpp").runs[0].deployment.weight_dtype == "int4"
    assert only(weights_dtype="mlx-4bit").runs[0].model.id == "llama-3.1-8b-4bit"
    assert only(weights_dtype="awq").runs[0].model.id == "llama-3.1-8b"  # a number format, as before


def test_a_batch_of_llama_cpp_is_its_own_benchmark():
    """llama-bench times steps: neither a server nor its four slots stand before them."""
    bench = only(engine="llama.cpp", load="batch", load_value="32")
    harness = bench.runs[0].harness
    assert (harness.kind, harness.bare, harness.scheduled) == ("fixed batch", True, False)
    served = only(engine="llama.cpp", load="concurrency", load_value="32").runs[0].harness
    assert (served.kind, served.bare, served.scheduled) == ("closed loop", False, True)
    many, one = (serving(only(engine="llama.cpp", load="batch", load_value=n)).predict({})[0] for n in ("32", "1"))
    assert many < 32 * one / 4  # together, not in turns of four


def test_prompts_of_stated_spread_have_uneven_lengths():
    assert only(isl_p90="2280").runs[0].harness.length_spread_ratio == pytest.approx(1.0, abs=0.01)
    assert only().runs[0].harness.length_spread_ratio == 0.0
    assert only(isl="217.8").runs[0].harness.length_spread_ratio > 0  # no mean of equal lengths
    counted = only(isl="217.8", harness="concurrency-10-a-user").runs[0].harness  # which says nothing of lengths
    assert (counted.requests, counted.length_spread_ratio) == (80, 0.1)


def test_an_engine_without_a_server_is_timed_to_the_end_of_its_queue():
    """A script that calls the engine gets all answers of a batch together, however few of them it can hold at once."""

    def seconds(harness, **changes):
        asked = only(harness=harness, load="batch", load_value="1024", isl="2000", osl="500", **changes)
        return float(serving(asked).predict({})[0])

    whole, mean = (seconds(harness, metric="e2e_s") for harness in ("vllm-bench-latency", "all-at-once-500"))
    rate = seconds("vllm-bench-latency", metric="output_tokens_per_s_total")
    assert whole == pytest.approx(1024 * 500 / rate)
    assert whole > 1.2 * mean  # of which half are answered much earlier
    last, middle = (seconds(harness, metric="ttft_ms_p50") for harness in ("vllm-bench-latency", "all-at-once-500"))
    assert last > 1.5 * middle


def test_tokens_of_a_draft_that_no_row_counts_are_refused():
    found = only(notes="min latency; MTP speculative decoding")
    assert not found.points
    assert "speculative decoding" in found.refusals[0].reason


def test_ranges_are_wider_where_less_was_measured():
    llama = arch.load("llama-3.1-8b")
    usual = time_residual_sigma(llama, device.load("h100"))
    assert time_residual_sigma(llama, device.load("trainium2")) > usual
    assert time_residual_sigma(llama, device.load("mi300x")) > usual
    assert time_residual_sigma(llama, device.load("h100"), "llama.cpp") >= usual


def test_harnesses_are_data():
    rows = {own["harness"]: own for own in catalog.published("inference").rows}
    assert harness_of(rows["trtllm-static-batch"]).bare
    assert not harness_of(rows["trtllm-static-batch"]).scheduled
    assert harness_of(rows["silicon-concurrency"]).kind == "closed loop"
    assert harness_of(rows["dstack-sharegpt-rate"]).kind == "open loop"
    assert harness_of(row(load="rate", harness="")).kind == "open loop"
    batch = row(load="batch", harness="")
    assert (harness_of(batch).kind, harness_of(batch, static=True).kind) == ("all at once", "fixed batch")
    queued = next(r for r in catalog.published("inference").rows if r["isl"] == "128" and r["osl"] == "128"
                  and r["harness"] == "trtllm-bench-all-at-once")  # fmt: skip
    assert harness_of(queued).requests == 30_000
    assert harness_of(rows["silicon-concurrency"]).requests == 10 * float(rows["silicon-concurrency"]["load_value"])
    swept = rows["mlenergy-v3-gpqa"]  # its load is the limit of the server
    assert harness_of(swept).max_sequences == float(swept["load_value"])


def test_an_own_file_is_predicted_and_told_what_was_assumed(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text(
        "source,model,gpu,n_gpus,engine,isl,osl,load,load_value,metric,value\n"
        "own,Llama-3.1-8B,h100,1,vLLM,1000,200,concurrency,8,tpot_ms,10\n"
        "own,Llama-3.1-8B,h100,1,vLLM,1000,200,concurrency,8,ttft_ms_p50,90\n"
        "own,nobody-7b,h100,1,vLLM,1000,200,concurrency,8,tpot_ms,10\n"
    )
    found = inference.validate(path)
    assert [point.metric for point in found.points] == ["tpot", "ttft"]
    assert len(found.refusals) == 1
    assert any("weights_dtype is not stated" in text for text in found.warnings)
    assert (found.predicted.p10 < found.predicted.p50).all()


def test_an_own_file_of_refusals_alone(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("source,model,gpu,n_gpus,metric,value\nown,nobody-7b,h100,1,tpot_ms,10\n")
    found = inference.validate(path)
    assert not found.points
    assert found.refusals


def test_kernels_are_read_by_shape():
    found, refused = kernels(catalog.published("operators").rows)
    assert len(found) + len(refused) == len(catalog.published("operators").rows)
    first = next(kernel for point, kernel in found if point.metric == "gemm" and kernel.op.m == 1.0)
    assert first.op.flop == 2 * first.op.m * first.op.n * first.op.k
    assert {generation(kernel.device) for _, kernel in found} >= {"nvidia fp8, linked", "nvidia fp4, linked"}


def test_kernels_with_the_shipped_device_figures():
    found = operators.validate(refit=False)
    overall = {group.metric: group.median_abs_error_ratio for group in found.groups if group.group == OVERALL}
    assert overall["gemm"] <= 0.20
    assert overall["attention prefill"] <= 0.15
    assert overall["collective"] <= 0.25
    assert np.isfinite(found.predicted.p50).all()


def suite_row(**changes):
    """A row of a suite whose scripts say how engines were started."""
    stated = {
        "source": "aiconfigurator silicon sample: benchmark dumps", "harness": "silicon-concurrency",
        "engine": "SGLang",
        "model": "deepseek-ai/DeepSeek-R1", "model_id": "deepseek-r1", "device": "b200-sxm-180gb", "n_gpus": "8",
        "tp": "8", "weights_dtype": "fp8", "isl": "1024", "osl": "1024",
    }  # fmt: skip
    return only(**(stated | changes)).runs[0]


def test_launches_are_data():
    few, many = (suite_row(load_value=users).launch for users in ("8", "32"))
    assert (few.receive_steps, many.receive_steps) == (10, 30)  # its script looks less often from 16 users on
    assert few.chunk_tokens == 32768
    assert suite_row().deployment.kv_dtype == "fp8"
    assert suite_row(kv_dtype="bf16").deployment.kv_dtype == "bf16"  # what a row states goes first
    assert suite_row(source="own", harness="").launch.receive_steps == 0


def test_who_schedules_beside_a_step_is_told_by_version_or_by_the_launch():
    def beside(**changes):
        return bool(only(**changes).runs[0].engine.overlaps_steps)

    assert [beside(engine_version=version) for version in ("0.8.5", "0.13.0", "0.14.0", "0.19.0")] == [0, 0, 1, 1]
    assert beside(engine_version="0.11.1", harness="mlenergy-v3-gpqa")
    assert [beside(engine="SGLang", engine_version=version) for version in ("0.3.6", "0.4.1")] == [0, 1]


def test_lengths_of_a_suite_that_draws_them_below_the_nominal_one():
    assert suite_row().isl_tokens == pytest.approx(0.9 * 1024)
    assert suite_row(harness="").isl_tokens == 1024


@pytest.mark.parametrize(
    ("stated", "cut"),
    [
        (("16", "16", "1", "4", "; MoE TP 4"), (4, 1, 4)),  # 4 devices, each of 4 ways of experts counted again
        (("16", "1", "16", "4", "; MoE TP 4"), (1, 4, 4)),
        (("16", "4", "4", "16", "; MoE TP 1"), (4, 1, 4)),
        (("8", "8", "1", "8", "; MoE TP 1"), (8, 1, 8)),
        (("8", "8", "1", "1", "; MoE TP 8"), (8, 1, 1)),
    ],
)
def test_devices_counted_twice_are_counted_once(stated, cut):
    names = ("n_gpus", "tp", "dp", "ep", "notes")
    layout = suite_row(**dict(zip(names, stated, strict=True))).deployment
    assert (layout.tp, layout.dp, layout.ep) == cut


def test_a_printed_checkpoint_says_which_matrices_are_narrow():
    named = only(model="Llama-3.1-405B-FP8", model_id="llama-3.1-405b", n_gpus="8", weights_dtype="fp8").runs[0]
    assert named.model.id == "llama-3.1-405b-fp8"  # its attention stays in 16 bits
    assert only(model="somebody's own", model_id="llama-3.1-8b").runs[0].model.id == "llama-3.1-8b"


def test_layouts_are_compared_at_equal_load_per_device(shipped):
    assert shipped.ordering is not None
    assert shipped.ordering["num_pairs"] > 1000
    assert shipped.ordering["right_apart_ratio"] > ORDERED_RATIO
    assert inference.validate(refit=False).to_dict()["ordering"] == shipped.ordering


def test_the_order_of_two_layouts_by_hand():
    rows = []
    for tp, users, tpot in (("1", "8", "10"), ("2", "16", "9")):  # per device 8 users either way; two give 8/9 each
        for metric, value in (("ttft_ms_p50", "100"), ("tpot_ms", tpot)):
            rows.append(row(id=f"own-{tp}-{metric}", n_gpus=tp, load_value=users, metric=metric, value=value))
    measured = read(rows)
    values = np.array([point.value for point in measured.points])
    right = ordering(measured, values)
    assert (right.num_pairs, right.num_pairs_apart, right.right_ratio) == (1, 1, 1.0)
    assert ordering(measured, values[[2, 3, 0, 1]]).right_ratio == 0.0
    assert ordering(read(rows[:2]), values[:2]) is None
