"""`steelyard catalog import`: what was understood, what was refused, and the record it leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from steelyard import arch, catalog
from steelyard.cli.main import run

TINY = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
    "rope_scaling": None,
    "torch_dtype": "bfloat16",
}
# a layer: queries and output 2 x 64 x 64, keys and values 2 x 64 x 32, feed-forward 3 x 64 x 160, norms 2 x 64
LAYER = 2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 160 + 2 * 64
TOTAL = 2 * 1000 * 64 + 3 * LAYER + 64


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return _written(tmp_path / "tiny" / "config.json", TINY)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "my-data"
    folder.mkdir()
    monkeypatch.setenv("STEELYARD_DATA", str(folder))
    return folder


def _written(path: Path, content: dict[str, Any]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def _answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["catalog", *arguments]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def _refusal(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    assert run(["catalog", *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_json_has_the_counts_and_bytes(capsys: pytest.CaptureFixture[str], config: Path) -> None:
    document = json.loads(_answer(capsys, "import", str(config), "--json"))
    result = document["result"]
    assert document["schema"] == "steelyard/catalog-import/1"
    assert (result["total_params"], result["active_params"]) == (TOTAL, TOTAL)
    assert (result["embedding_params"], result["non_embedding_params"]) == (64_000, TOTAL - 64_000)
    assert result["weight_bytes"] == 2 * TOTAL
    assert result["kv_bytes_per_token"] == 3 * 2 * 2 * 16 * 2  # layers, keys and values, heads, width, bytes
    assert result["lasting_kv_bytes_per_token"] == result["kv_bytes_per_token"]
    assert result["state_bytes"] == 0
    assert result["sequence_bytes"] == {"512": 512 * 384.0}
    assert result["max_context_tokens"] == 512
    assert [layer["params"] for layer in result["layers"]] == [LAYER]
    assert result["layers"][0]["indices"] == [0, 1, 2]
    assert result["saved"] is None


def test_people_see_every_layer_and_what_was_not_needed(capsys: pytest.CaptureFixture[str], config: Path) -> None:
    out = _answer(capsys, "import", str(config.parent))  # the folder will do
    assert out.startswith("tiny\n3 layers, 64 wide, vocabulary of 1,000, context up to 512 tokens\n")
    assert "0-2" in out
    assert "attention (heads 4, kv heads 2, head dim 16); mlp (ffn 160)" in out
    assert f"({TOTAL:,})" in out
    assert "changes neither time nor memory: architectures" in out
    assert "model_type" not in out


def test_what_is_not_known_is_refused_by_name(capsys: pytest.CaptureFixture[str], config: Path) -> None:
    _written(config, TINY | {"memory_banks": 7})
    assert "memory_banks (7)" in _refusal(capsys, "import", str(config))
    _written(config, TINY | {"num_attention_heads": 0})
    assert "num_attention_heads is 0" in _refusal(capsys, "import", str(config))
    assert "no such file" in _refusal(capsys, "import", str(config.parent / "missing"))


def test_a_saved_model_is_a_name_everywhere(capsys: pytest.CaptureFixture[str], config: Path, data: Path) -> None:
    out = _answer(capsys, "import", str(config), "--save", "tiny-3l")
    assert f"saved as tiny-3l in {data / 'models' / 'tiny-3l.toml'}" in out
    catalog.refresh()
    assert arch.count_params(arch.load("tiny-3l")).total_params == TOTAL
    assert catalog.model("tiny-3l").source == "user-config"
    assert _answer(capsys, "check").count("error") == 1  # "0 errors"
    shown = json.loads(_answer(capsys, "show", "tiny-3l", "--json"))["result"]
    assert (shown["origin"], shown["total_params"]) == ("user", TOTAL)
    catalog.refresh()


def test_nothing_is_saved_halfway(capsys: pytest.CaptureFixture[str], config: Path, data: Path) -> None:
    models = data / "models"
    assert "cannot name a record" in _refusal(capsys, "import", str(config), "--save", "../x")
    assert "'llama-3.1-8b' is a shipped model already" in _refusal(
        capsys, "import", str(config), "--save", "llama-3.1-8b"
    )
    assert "an alias of 'llama-3.1-8b'" in _refusal(capsys, "import", str(config), "--save", "llama3.1-8b")
    _written(config, TINY | {"memory_banks": 7})
    _refusal(capsys, "import", str(config), "--save", "odd")
    assert not models.exists()
    _written(config, TINY)
    models.write_text("a file where the folder should be")
    assert "cannot be written" in _refusal(capsys, "import", str(config), "--save", "tiny-3l")


def test_saving_again_needs_a_word(capsys: pytest.CaptureFixture[str], config: Path, data: Path) -> None:
    _answer(capsys, "import", str(config), "--save", "tiny-3l")
    catalog.refresh()
    assert "'tiny-3l' is a user model already" in _refusal(capsys, "import", str(config), "--save", "tiny-3l")
    _written(config, TINY | {"num_hidden_layers": 5})
    _answer(capsys, "import", str(config), "--save", "tiny-3l", "--replace")
    catalog.refresh()
    assert catalog.model("tiny-3l").config["num_hidden_layers"] == 5
    assert [path.name for path in (data / "models").iterdir()] == ["tiny-3l.toml"]
    assert "--save" in _refusal(capsys, "import", str(config), "--replace")
    catalog.refresh()


def test_without_a_folder_it_says_what_to_do(
    capsys: pytest.CaptureFixture[str], config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STEELYARD_DATA", raising=False)
    assert "export STEELYARD_DATA=" in _refusal(capsys, "import", str(config), "--save", "tiny-3l")


def test_show_tells_a_models_parameters_and_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    result = json.loads(_answer(capsys, "show", "gpt-oss-120b", "--json"))["result"]
    # 36 layers, every second one with a window of 128; 8 heads of 64 for keys and for values, 2 bytes each
    assert (result["kv_bytes_per_token"], result["lasting_kv_bytes_per_token"]) == (73_728, 36_864)
    assert result["sequence_bytes"]["8192"] == 2 * 8 * 64 * 2 * 18 * (8192 + 128)
    out = _answer(capsys, "show", "qwen3.5-35b-a3b")
    for words in ("gated delta (", "beside them: multi-token-prediction layers", "state of a sequence", "34.7B"):
        assert words in out


def test_what_a_class_has_by_default_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    falcon = {
        "model_type": "falcon",
        "vocab_size": 96,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    file = _written(tmp_path / "f" / "config.json", falcon)
    assert "not stated, as its class has it by default: max_position_embeddings = 2048" in _answer(
        capsys, "import", str(file)
    )
    result = json.loads(_answer(capsys, "import", str(file), "--json"))["result"]
    assert result["defaults"] == ["max_position_embeddings = 2048"]
