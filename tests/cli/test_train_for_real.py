"""`steelyard train` and `steelyard measure train` as a user meets them."""

import json
import shutil
import sysconfig
from pathlib import Path

import pytest

from steelyard.cli.main import run

pytest.importorskip("torch")
pytest.importorskip("transformers")

SMALL = [
    "--model",
    "60k",
    "--tokenizer",
    "400",
    "--sequence",
    "32",
    "--batch",
    "4",
    "--threads",
    "1",
    "--device",
    "cpu",
]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    for name in ("argparse", "csv", "statistics"):
        shutil.copy(Path(sysconfig.get_path("stdlib")) / f"{name}.py", folder)
    return folder


@pytest.fixture(scope="module")
def trained(text, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "one"
    assert (
        run(["train", "--out", str(out), "--data", str(text), *SMALL, "--tokens", "640", "--evaluate-every", "2"]) == 0
    )
    return out


def test_a_run_is_answered_by_what_it_measured(trained, text, capsys):
    again = ["train", "--out", str(trained), "--data", str(text), *SMALL, "--tokens", "640", "--json"]
    assert run([*again, "--price", "36 USD/device/h", "--peak", "1 TFLOP/s"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert err == ""  # no bars off a terminal
    assert document["schema"] == "steelyard/measure-train/1"
    result = document["result"]
    assert (result["step"], result["tokens"], result["reason"]) == (5, 640, "tokens")
    assert result["cost_usd"] == pytest.approx(0.01 * result["paid_s"])
    assert result["mfu_ratio"] == pytest.approx(result["tokens_per_s"] * result["flop_per_token"] / 1e12)
    assert 0 <= result["accuracy_ratio"]["cloze"] <= 1


def test_measure_train_reads_the_run(trained, capsys):
    assert run(["measure", "train", str(trained), "--target-loss", "99"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for word in ("held-out loss", "perplexity", "bits per byte", "generalisation gap", "accuracy, cloze", "loss 99"):
        assert word in out


def test_a_target_that_the_limits_do_not_allow_is_answered_by_no(trained, text, capsys):
    again = ["train", "--out", str(trained), "--data", str(text), *SMALL, "--tokens", "640"]
    assert run([*again, "--target-loss", "0.1"]) == 1
    assert "not reached" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["train"], 2, "job: empty; allowed: out, data"),
        (["train", "no.yaml"], 2, "no.yaml: no such file"),
        (["train", "--out", "{tmp}/r", "--batch", "many"], 2, "batch: 'many' is not a number"),
        (["train", "--out", "{tmp}/r", "--data", "{tmp}/none"], 2, "data: no such file, folder or glob"),
        (["train", "--out", "{tmp}/r", "--usd", "5"], 2, "limits.usd: there is no price to count by; give --price"),
        (["train", "--out", "{tmp}/r", "--price", "5 apples"], 2, "unknown unit 'apples'"),
        (["train", "--out", "{tmp}/r", "--on", "h1000", "--usd", "5"], 3, "unknown accelerator 'h1000'"),
        (
            ["train", "--out", "{tmp}/r", "--data", "{text}", "--tokenizer", "400", "--model", "lama"],
            3,
            "unknown model",
        ),
        (["train", "--out", "{tmp}/r", "--data", "{text}", "--tokenizer", "400", "--model", "1k"], 2, "do not hold a"),
        (["train", "--out", "{tmp}/r", "--data", "{text}", "--tokenizer", "/none"], 2, "no such folder: /none"),
        (["measure", "train", "{tmp}"], 3, "no events of a training run"),
        (["measure", "train", "{text}/csv.py"], 2, "csv.py: line"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, code, words, text, tmp_path, capsys):
    filled = [argument.format(tmp=tmp_path, text=text) for argument in arguments]
    assert run(filled) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert words in err
    assert not list(tmp_path.iterdir())  # nothing half-written


def test_a_run_that_goes_on_says_from_where(text, tmp_path, capsys):
    asked = ["train", "--out", str(tmp_path / "run"), "--data", str(text), *SMALL, "--json"]
    assert run([*asked, "--tokens", "256"]) == 0
    assert capsys.readouterr().err == ""
    assert run([*asked, "--tokens", "512"]) == 0
    assert capsys.readouterr().err == "steelyard: train: going on from step 2, 256 tokens\n"
