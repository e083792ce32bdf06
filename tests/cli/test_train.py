"""`predict train` and `plan train`: what they print, their documents, exit codes and one-line errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from commands import answer, document, refusal
from steelyard.cli.quantities import TOKENS
from steelyard.compare.jobs.layouts import parse_layout
from steelyard.errors import InputError
from steelyard.training import Layout

JOB = ("--model", "llama-3.1-8b", "--on", "h100-sxm", "--tokens", "1T", "--seq-len", "8192")


def test_predict_train_shows_step_memory_run_and_loss(capsys):
    out = answer(capsys, "predict", "train", *JOB, "--devices", "64", "--layout", "zero=3,recompute=selective")
    for words in ("STEP: ", "MFU", "HFU", "MEMORY: fits", "THE RUN", "goodput", "rented", "LOSS TO EXPECT", "CO2e"):
        assert words in out
    assert "\x1b" not in out


def test_predict_train_ends_with_1_when_it_does_not_fit(capsys):
    out = answer(capsys, "predict", "train", *JOB, "--devices", "64", "--layout", "zero=0,micro-batch=8", code=1)
    assert "DOES NOT FIT" in out


def test_predict_train_as_a_document(capsys):
    found = document(capsys, "predict", "train", *JOB, "--devices", "64", "--layout", "zero=3,recompute=selective")
    result = found["result"]
    assert found["schema"] == "steelyard/predict-train/1"
    assert result["layout"]["dp"] == result["layout"]["num_devices"] == 64
    parts = ("weights_bytes", "gradients_bytes", "optimizer_bytes", "activations_bytes", "logits_bytes")
    assert sum(result["memory"][part] for part in parts) < result["memory"]["total_bytes"] < 80e9
    assert result["run"]["time to train"]["value"]["p10"] < result["run"]["time to train"]["value"]["p90"]
    assert set(found["breakdown"]) >= {"step", "memory", "run", "rented", "loss"}


def test_plan_train_as_a_document(capsys):
    found = document(capsys, "plan", "train", *JOB, "--devices", "64,128", "--layout", "dp=64,recompute=full")
    result = found["result"]
    assert found["schema"] == "steelyard/plan-train/1"
    assert result["num_layouts"] > result["num_fitting"] > 0
    assert result["elapsed_s"] > 0
    assert result["fastest"]["wall_s"] == min(option["wall_s"] for option in result["front"])
    assert result["compared"]["rank"] >= 1


def test_plan_train_keeps_limits_and_prints_a_layout_that_predict_takes(capsys):
    limits = ("--tp", "2,4", "--max-pp", "2", "--recompute", "selective", "--zero", "1")
    out = answer(capsys, "plan", "train", *JOB, "--devices", "64", *limits)
    line = next(line for line in out.splitlines() if "--layout tp=" in line)
    text = line.split("--layout ")[1]
    assert "zero=1" in text
    roomy = document(capsys, "plan", "train", *JOB, "--devices", "64", *limits, "--leave", "20 GB")["result"]
    assert all(option["left_bytes"] >= 20e9 for option in roomy["front"])
    assert "recompute=selective" in text
    assert parse_layout(text, 64, 512).tp in {2, 4}
    answer(capsys, "predict", "train", *JOB, "--devices", "64", "--layout", text)


def test_plan_train_says_why_not(capsys):
    plan = ("plan", "train", *JOB, "--devices", "64", "--layout")
    assert "rank " in answer(capsys, *plan, "recompute=full")
    assert "it lacks " in answer(capsys, *plan, "zero=0")
    assert "it breaks a rule: tp must divide the 32 attention heads" in answer(capsys, *plan, "tp=64")


def test_explain_prints_trees(capsys):
    for command in (("predict", "train"), ("plan", "train")):
        out = answer(capsys, *command, *JOB, "--devices", "64", "--explain")
        for words in ("step time: ", "memory per device: ", "time to train: ", "    = ", "    source: "):
            assert words in out


def test_a_config_json_is_a_model(capsys, tmp_path: Path):
    shape = {
        "model_type": "llama", "hidden_size": 1024, "intermediate_size": 2816, "vocab_size": 16_000,
        "num_hidden_layers": 8, "num_attention_heads": 16, "max_position_embeddings": 4096,
    }  # fmt: skip
    path = tmp_path / "config.json"
    path.write_text(json.dumps(shape))
    found = document(
        capsys, "predict", "train", "--model", str(path), "--on", "h100", "--tokens", "1B", "--method", "lora"
    )
    assert found["result"]["fits"] is True


def test_files_are_written_whole(capsys, tmp_path: Path):
    path = tmp_path / "plan.json"
    assert answer(capsys, "plan", "train", *JOB, "--devices", "64", "-o", str(path)) == ""
    assert json.loads(path.read_text())["schema"] == "steelyard/plan-train/1"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--devices", "64", "--layout", "tp=64"), 2, "tp must divide the 32 attention heads"),
        (("--devices", "64", "--layout", "pp=64"), 2, "pp must not exceed the 32 layers"),
        (("--devices", "64", "--layout", "tp=8,dp=4"), 2, "is 32, for 64 devices"),
        (("--devices", "60", "--layout", "tp=8"), 2, "no multiple of tp x pp x cp = 8"),
        (("--devices", "64", "--layout", "global-batch=100"), 2, "global_batch must be a multiple of dp x micro_batch"),
        (("--devices", "64", "--layout", "tq=8"), 2, "known: "),
        (("--devices", "64", "--layout", "tp=eight"), 2, "tp is 'eight'"),
        (("--devices", "0"), 2, "--devices"),
        (("--devices", "64", "--price", "free"), 2, "2.10 USD/device/h"),
        (("--devices", "64", "--as-of", "soon"), 2, "YYYY-MM-DD"),
        (("--devices", "64", "--json", "--explain"), 2, "exclude each other"),
        (("--devices", "64", "--target-loss", "0"), 2, "--target-loss"),
        (("--devices", "64", "--dtype", "fp3"), 3, "unknown number format"),
        (("--devices", "64", "--software", "ep_overlap_rato=1"), 2, "nearest: ep_overlap_ratio"),
        (("--devices", "64", "--software", "ep_overlap_ratio=often"), 2, "a value like 0.0"),
        (("--devices", "64", "--software", "fast"), 2, "has no value"),
        (("--devices", "64", "--optimizer", "adamm"), 2, "nearest: adam"),
        (("--devices", "64", "--region", "Mars"), 3, "unknown region"),
        (("--devices", "1", "--method", "full"), 1, "the least is"),
    ],
)
def test_predict_train_refuses_in_one_line(arguments, code, words, capsys):
    assert words in refusal(capsys, "predict", "train", *JOB, *arguments, code=code)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "--devices"),
        (("--devices", "8,x"), 2, "list of whole numbers"),
        (("--devices", "99999999999"), 2, "whole numbers from 1 to"),
        (("--devices", "64", "--tp", "64"), 2, "tp must divide the 32 attention heads"),
        (("--devices", "64", "--recompute", "some"), 2, "unknown recompute"),
        (("--devices", "64", "--within", "2 days"), 1, "the fastest takes"),
        (("--devices", "64", "--within", "never"), 2, "60 days"),
        (("--devices", "64", "--seq-len", "1e30"), 2, "sequence length"),
    ],
)
def test_plan_train_refuses_in_one_line(arguments, code, words, capsys):
    assert words in refusal(capsys, "plan", "train", *JOB, *arguments, code=code)


def test_unknown_devices_and_models_name_the_nearest(capsys):
    for changed, words in (({"--on": "h100-smx"}, "h100-sxm"), ({"--model": "llama-3.1-8c"}, "llama-3.1-8b")):
        arguments = dict(zip(JOB[::2], JOB[1::2], strict=True)) | changed
        flat = [word for pair in arguments.items() for word in pair]
        assert words in refusal(capsys, "plan", "train", *flat, "--devices", "64", code=3)


def test_a_device_without_bandwidth_is_refused(capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from steelyard import catalog

    (tmp_path / "accelerators").mkdir()
    (tmp_path / "accelerators" / "mine.toml").write_text(
        'id = "mine"\nname = "Mine"\nvendor = "NVIDIA"\nyear = 2026\n[defaults]\nsource = "ml-engineering"\n'
        'as_of = 2026-01-01\nbasis = "published"\n[figures]\nhbm_bytes = { value = 80, unit = "GB" }\n'
        'hbm_bytes_per_s = { value = 0, unit = "TB/s" }\n'
    )
    monkeypatch.setenv("STEELYARD_DATA", str(tmp_path))
    catalog.refresh()
    try:
        assert "hbm_bytes_per_s" in refusal(
            capsys, "plan", "train", "--model", "llama-3.1-8b", "--on", "mine", "--tokens", "1T", "--devices", "8",
            code=2,
        )  # fmt: skip
    finally:
        monkeypatch.delenv("STEELYARD_DATA")
        catalog.refresh()


@pytest.mark.parametrize(
    ("text", "tokens"), [("15.6T", 15.6e12), ("15.6e12", 15.6e12), ("8k", 8e3), ("2 Gtokens", 2e9), ("70B", 70e9)]
)
def test_tokens_as_people_write_them(text, tokens):
    assert TOKENS.convert(text, None, None) == pytest.approx(tokens)


def test_a_layout_fills_the_devices_with_replicas():
    assert parse_layout("tp=8,pp=2", 64, 512) == Layout(tp=8, pp=2, dp=4, global_batch=512)
    assert parse_layout("tp=8, micro-batch=2, zero=3", None, 512) == Layout(
        tp=8, micro_batch=2, zero_stage=3, global_batch=512
    )
    with pytest.raises(InputError, match="no multiple"):
        parse_layout("tp=3", 64, 512)


def test_plan_train_says_why_a_device_count_has_no_answer(capsys):
    """405B parameters at 16 bytes each are 6.5 TB, more than 16 devices of 80 GB hold."""
    asked = ("plan", "train", "--model", "llama-3.1-405b", "--on", "h100-sxm", "--tokens", "1T", "--devices", "16,112")
    limits = ("--recompute", "full", "--zero", "0,3")
    out = answer(capsys, *asked, *limits)
    assert "GB per device on 16 x h100-sxm5-80gb, which has 80 GB usable" in out
    small, large = document(capsys, *asked, *limits)["result"]["by_devices"]
    assert float(small["why_none"].split(" needs ")[1].split()[0]) > 6480 / 16
    assert not small["num_fitting"]
    assert not large["why_none"]
    assert large["num_fitting"]


def test_plan_train_names_the_memory_to_be_left_over_where_that_is_too_much(capsys):
    told = refusal(capsys, "plan", "train", *JOB, "--devices", "64", "--tp", "8", "--leave", "79 GB", code=1)
    assert "of which 79 GB are to be left over; leave less" in told
