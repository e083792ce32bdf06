"""`steelyard predict serve`: answers, forms, exit codes, one-line errors."""

import json

import pytest

from steelyard.cli.main import run

BASE = ["predict", "serve", "--model", "llama-3.1-8b", "--on", "h100", "--isl", "1000", "--osl", "200"]


def test_answers_with_memory_load_and_money(capsys):
    assert run([*BASE, "--concurrency", "16"]) == 0
    out = capsys.readouterr().out
    for words in (
        "MEMORY OF A DEVICE: fits",
        "KV pool",
        "TTFT, mean",
        "TPOT, mean",
        "USD/Mtoken",
        "cooling and supply",
    ):
        assert words in out


def test_the_engine_the_cache_and_the_draft_are_told(capsys):
    assert run([*BASE, "--engine-version", "0.11", "--cached", "0.3", "--speculative-tokens", "2"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "engine: vllm 0.11; 0.3 of the prompt tokens cached; a draft proposes 2 tokens" in out


def test_an_engine_that_wraps_another_is_answered_with_what_runs_inside(capsys):
    assert run([*BASE, "--engine", "Ollama", "--concurrency", "2"]) == 0
    out, err = capsys.readouterr()
    assert "ollama (llama.cpp inside)" in out
    assert "ollama runs llama.cpp inside" in err
    assert "OLLAMA_NUM_PARALLEL" in err


def test_an_engine_never_measured_has_wider_ranges_and_says_so(capsys):
    def width(engine):
        assert run([*BASE, "--engine", engine, "--concurrency", "4", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        tpot = found["result"]["load"]["TPOT, mean"]["value"]
        return tpot["p90"] / tpot["p10"], " ".join(found["warnings"])

    (known, silent), (unseen, said) = width("vllm"), width("mlc")
    assert unseen > 1.2 * known
    assert "no figure was fitted to mlc-llm" in said
    assert "engine" not in silent


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--engine", "olama"], 3, "nearest: ollama"),
        (["--engine", "hf", "--rate", "2"], 2, "simulate serve"),
    ],
)
def test_an_engine_that_cannot_be_is_refused_in_a_line(capsys, options, code, words):
    assert run([*BASE, *options]) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err


def test_json_is_one_document(capsys):
    assert run([*BASE, "--rate", "2 requests/s", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "steelyard/predict-serve/1"
    assert found["inputs"]["request_rate_per_s"] == 2.0
    load = {name: item["value"] for name, item in found["result"]["load"].items()}
    assert load["TPOT, mean"]["p10"] < load["TPOT, mean"]["p50"] < load["TPOT, mean"]["p90"]
    assert load["requests answered"]["p50"] == pytest.approx(2.0, rel=0.02)
    assert set(found["breakdown"]) >= {"memory", "ttft_s", "tpot_s"}


def test_what_does_not_fit_is_answered_with_no(capsys):
    assert run(["predict", "serve", "--model", "llama-3.1-70b", "--on", "h100", "--isl", "1k", "--osl", "200"]) == 1
    out = capsys.readouterr().out
    assert "DOES NOT FIT" in out
    assert "weights" in out


def test_explain_names_formulas(capsys):
    assert run([*BASE, "--concurrency", "4", "--explain"]) == 0
    out = capsys.readouterr().out
    assert "TPOT_S" in out
    assert "roofline" in out


def test_layouts_engines_and_drafts(capsys):
    many = ["predict", "serve", "--model", "deepseek-r1", "--on", "b200", "--isl", "1k", "--osl", "1k"]
    assert run([*many, "--dp", "8", "--ep", "8", "--engine", "sglang", "--concurrency", "64"]) == 0
    assert "dp=8, ep=8" in capsys.readouterr().out
    assert run([*BASE, "--concurrency", "1", "--speculative-tokens", "3"]) == 0
    capsys.readouterr()


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--concurrency", "4", "--rate", "1 requests/s"], 2, "either users"),
        (["--engine", "vlllm"], 3, "vllm"),
        (["--tp", "2", "--ep", "3"], 2, "ep must divide"),
        (["--as-of", "yesterday"], 2, "YYYY-MM-DD"),
        (["--json", "--explain"], 2, "exclude each other"),
        (["--dtype", "fp3"], 3, "fp3"),
        (["--tp", "3"], 2, "allowed: tp 1, 2, 4, 8, 16 or 32"),
        (["--osl", "131000"], 2, "131,072 tokens of context"),
        (["--rate", "0"], 2, "not above 0"),
        (["--pp", "33"], 2, "32 layers for 33 stages"),
        (["--acceptance", "0.5"], 2, "--speculative-tokens"),
        (["--price", "2.10"], 2, "has no unit"),
        (["--region", "DEU"], 2, "--region"),  # of nothing that is predicted
    ],
)
def test_wrong_input_is_one_line(capsys, options, code, words):
    assert run([*BASE, *options]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
    assert words in captured.err


@pytest.mark.parametrize("engine", ["transformers", "vllm"])
def test_answers_of_one_token_have_no_tpot(capsys, engine):
    line = [*BASE, "--osl", "1", "--concurrency", "8", "--engine", engine]
    assert run(line) == 0
    row = next(row for row in capsys.readouterr().out.splitlines() if row.startswith("TPOT, mean"))
    assert row.split() == ["TPOT,", "mean", "none"]
    assert run([*line, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["result"]["load"]["TPOT, mean"]["value"] is None
    assert run([*line, "--html"]) == 0


@pytest.mark.parametrize(("rate", "over"), [("0.5", False), ("1000", True)])
def test_a_load_beyond_what_is_carried_is_said_and_its_wait_has_no_length(capsys, rate, over):
    assert run([*BASE, "--rate", rate]) == 0
    out = capsys.readouterr().out
    assert ("MORE THAN IT CARRIES" in out) is over
    assert ("grows without limit" in out) is over
    ttft = next(line for line in out.splitlines() if line.startswith("TTFT, mean"))
    assert ("unlimited" in ttft) is over
    assert run([*BASE, "--rate", rate, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)["result"]
    assert result["overloaded_ratio"] == (1.0 if over else 0.0)
    assert (result["load"]["TTFT, mean"]["value"]["p50"] is None) is over
