"""Engines by the names people write, those that run another one inside, and what is said of those never measured."""

from __future__ import annotations

import collections

import pytest

from steelyard import catalog, device
from steelyard.errors import CatalogError, InputError, UnknownError
from steelyard.inference import engine_for, engine_notes, time_residual_sigma
from steelyard.inference.engine_rules import engine_rules, version_numbers

SPELLINGS = {
    "transformers": ["transformers", "hf", "HF", "Hugging Face", "huggingface", "hugging_face", "Transformers 4.38"],
    "ollama": ["ollama", "Ollama (Vulkan)"],
    "lm-studio": ["lm-studio", "LM Studio", "lmstudio", "lms"],
    "nim": ["nim", "NIM", "NVIDIA NIM"],
    "tensorrt-llm": ["trtllm", "trt-llm", "TRT LLM", "TensorRT-LLM", "tensorrt_llm"],
    "triton": ["triton", "Triton TensorRT-LLM"],
    "tgi": ["tgi", "HuggingFace TGI", "hugging-face-tgi", "TGI (neuron)", "text-generation-inference"],
    "lmdeploy": ["lmdeploy", "LMDeploy TurboMind"],
    "mlc-llm": ["mlc", "MLC LLM", "mlc-llm"],
    "llama.cpp": ["llama.cpp", "llama-cpp", "llamacpp", "llama-cpp-python"],
    "vllm": ["vllm", "vLLM 0.11.1", "vLLM v0.11", "vLLM (optimum-neuron)"],
    "vllm-v0": ["vllm-v0", "vLLM 0.6.3"],
    "deepspeed-mii": ["deepspeed", "DeepSpeed-MII", "mii", "fastgen"],
    "deepspeed-inference": ["deepspeed-inference", "DeepSpeed Inference"],
    "optimum-habana": ["optimum-habana", "DeepSpeed (optimum-habana)"],
    "transformers-neuronx": ["Transformers NeuronX"],
    "exllamav2": ["exllamav2", "ExLlamaV2", "exllama"],
    "autoawq": ["AutoAWQ", "auto-awq"],
    "autogptq": ["autogptq", "AutoGPTQ", "gptqmodel"],
}


def test_the_name_of_an_image_is_no_version():
    assert version_numbers("ghcr.io/somebody/vllm-rocm:v0.5.1") == ()
    assert version_numbers("v0.5.1") == (0, 5)
    with pytest.raises(InputError, match=r"'ghcr\.io/somebody/vllm:v0\.5' is the name of an image; allowed"):
        engine_rules("vllm", "ghcr.io/somebody/vllm:v0.5")
    for name in (
        "vllm@ghcr.io/somebody/vllm:v0.5",
        "vllm:nightly",
        "vLLM @sha256:0ab1",
        "vllm@",
        "vllm/vllm-openai:v0.6",
    ):
        with pytest.raises(InputError, match="behind its name is no version; allowed: versions like @0"):
            engine_rules(name)
    for name in ("vllm@0.6.3", "vllm:v0.6.3"):
        assert engine_rules(name).name == "vllm-v0"


@pytest.mark.parametrize(("engine", "name"), [(engine, name) for engine, names in SPELLINGS.items() for name in names])
def test_an_engine_is_found_as_people_write_it(engine, name):
    assert engine_rules(name).name == engine


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("vllmm", "vllm"), ("olama", "ollama"), ("exllamav3", "exllamav2"), ("sglnag", "sglang"), ("lmdploy", "lmdeploy")],
)
def test_an_unknown_engine_is_refused_with_the_nearest_names(name, nearest):
    with pytest.raises(UnknownError, match=f"{name!r}.*nearest: {nearest}.*catalog list engines") as refused:
        engine_rules(name)
    assert "\n" not in str(refused.value)


def test_a_version_may_stand_behind_the_name():
    assert engine_rules("TensorRT-LLM 0.9").row["version"] == "0.5"
    assert engine_rules("TensorRT-LLM", "0.9").row["version"] == "0.5"
    assert engine_rules("TensorRT-LLM 1.2.0rc1").row["version"] == "1.0"
    assert engine_rules("TensorRT-LLM 0.9", "1.0").row["version"] == "1.0"  # one that is stated apart counts


def test_a_version_without_its_minor_number_is_that_of_minor_0(h100):
    assert engine_for(h100, "tensorrt-llm", "1") == engine_for(h100, "tensorrt-llm", "1.0")
    assert engine_rules("TensorRT-LLM 1").row["version"] == engine_rules("TensorRT-LLM==1").row["version"] == "1.0"
    assert [engine_rules(name).row["version"] for name in ("nim 1", "NIM@1", "nim=v1", "nim 1 (L40S)")] == ["1.0"] * 4
    assert [engine_rules(name).row["version"] for name in ("nim 2", "nim", "nim 8 GPUs")] == ["2.0"] * 3
    assert engine_rules("vllm 0").name == "vllm-v0"


def test_a_version_has_a_number():
    with pytest.raises(InputError, match="engine version: 'abc' has no number; allowed") as refused:
        engine_rules("vllm", "abc")
    assert "\n" not in str(refused.value)
    assert refused.value.exit_code == 2


DEVICES = {"Intel": ["gaudi3"], "AWS": ["trainium2"]}  # of those that run on one vendor's; a large and a small else


def test_every_row_of_the_catalogue_makes_an_engine():
    for row in catalog.table("engines").rows:
        for ref in DEVICES.get(row.get("vendors"), ["h100", "l4"]):
            engine = engine_for(device.load(ref), row["engine"], row["version"])
            assert engine.name == row["engine"]
            assert engine.max_sequences >= 1.0
            assert engine.chunk_tokens >= engine.kv_block_tokens


def test_a_wrapper_takes_what_it_does_not_state_from_the_engine_inside(h100):
    ollama, inside = engine_for(h100, "ollama"), engine_for(h100, "llama.cpp")
    assert (ollama.kernels, ollama.max_sequences) == ("llama.cpp", 1.0)  # OLLAMA_NUM_PARALLEL
    assert ollama.admission == inside.admission == "answer"
    assert ollama.time_ratio == inside.time_ratio
    assert ollama.whole_heads == inside.whole_heads == 0.0


@pytest.mark.parametrize(("name", "ref"), [("tensorrt-llm", "mi300x"), ("triton", "gaudi3"), ("gaudi", "h100")])
def test_an_engine_of_one_vendor_is_refused_on_another(name, ref):
    with pytest.raises(InputError, match=f"runs on (NVIDIA|Intel), and {device.load(ref).id} is of"):
        engine_for(device.load(ref), name)


def test_nim_changed_its_engine_with_version_2():
    """Migration guide of NIM LLM: 1.x prefers TensorRT-LLM engines, 2.0 is built on vLLM alone."""
    assert engine_rules("nim", "1.8").kernels == "tensorrt-llm"
    assert engine_rules("nim", as_of="2025-04").kernels == "tensorrt-llm"
    assert engine_rules("nim").kernels == "vllm"


def test_an_engine_that_nothing_was_fitted_to_is_less_sure(llama_8b, h100):
    usual = time_residual_sigma(llama_8b, h100, "vllm")
    unseen = catalog.calibration("inference")["unseen_engine_sigma"].value
    assert time_residual_sigma(llama_8b, h100, "mlc-llm") == pytest.approx((usual**2 + unseen**2) ** 0.5)
    assert time_residual_sigma(llama_8b, h100, engine_for(h100, "nim").kernels) == usual  # vLLM's is known


def test_what_a_reader_must_know_is_said(h100):
    def said(name):
        return " ".join(engine_notes(engine_for(h100, name)))

    assert said("vllm") == ""
    assert "llama.cpp inside" in said("lm-studio")
    assert "no figure was fitted" not in said("lm-studio")
    for words in ("no figure was fitted to transformers", "start and end together", "one by one"):
        assert words in said("hf")


@pytest.fixture
def own_engine(tmp_path, monkeypatch):
    """Writes a user's table of engines, with the line given."""

    def write(line):
        (tmp_path / "tables").mkdir(exist_ok=True)
        (tmp_path / "sources.d").mkdir(exist_ok=True)
        (tmp_path / "sources.d" / "mine.toml").write_text('[[source]]\nid = "mine"\ntitle = "Own"\n')
        head = "engine,version,matches,inside,sequences_large [request],source,as_of,basis,since,vendors\n"
        (tmp_path / "tables" / "engines.csv").write_text(head + line)
        monkeypatch.setenv("STEELYARD_DATA", str(tmp_path))
        catalog.refresh()

    yield write
    monkeypatch.undo()
    catalog.refresh()


def test_a_users_wrapper_is_one_line(own_engine, h100):
    own_engine("acme,1,acme,sglang,7,mine,2026-10,measured,,\n")
    engine = engine_for(h100, "Acme 1.2")
    assert (engine.name, engine.kernels, engine.max_sequences) == ("acme", "sglang", 7.0)
    assert engine.prompts_first == engine_for(h100, "sglang").prompts_first


def test_rows_are_in_the_order_of_their_versions_wherever_they_stand(own_engine):
    newest = engine_rules("tensorrt-llm").row["version"]
    own_engine("tensorrt-llm,0.17,trt-llm;tensorrt-llm,vllm,7,mine,2026-10,measured,2025-02,\n")
    asked = ("", "0.16", "0.17", "0.20", "1.0")
    assert [engine_rules("tensorrt-llm", one).row["version"] for one in asked] == [newest, "0.5", "0.17", "0.17", "1.0"]
    dates = ("2025-01", "2025-03", "2026-01")
    assert [engine_rules("trt-llm", as_of=one).row["version"] for one in dates] == ["0.5", "0.17", "1.0"]


def test_vendors_may_be_written_with_spaces(own_engine, h100):
    own_engine("acme,1,acme,sglang,7,mine,2026-10,measured,,AMD; NVIDIA\n")
    assert engine_for(h100, "acme").name == "acme"
    with pytest.raises(InputError, match="acme runs on AMD, NVIDIA, and"):
        engine_for(device.load("gaudi3"), "acme")


def test_a_row_without_an_engine_inside_states_its_rules(own_engine, h100):
    own_engine("acme,1,acme,,7,mine,2026-10,measured,,\n")
    with pytest.raises(CatalogError, match="line 2: memory is not stated"):
        engine_for(h100, "acme")
    own_engine("acme,1,acme,,,mine,2026-10,measured,,\n")
    with pytest.raises(CatalogError, match="line 2: has no sequences_large"):
        engine_for(h100, "acme")


def test_an_engine_inside_must_be_one(own_engine):
    own_engine("acme,1,acme,sglnag,7,mine,2026-10,measured,,\n")
    with pytest.raises(CatalogError, match=r"engines.csv: line 2: inside: .*'sglnag'.*nearest: sglang"):
        engine_rules("acme")
    own_engine("acme,1,acme,acme,7,mine,2026-10,measured,,\n")
    with pytest.raises(CatalogError, match="acme runs itself inside"):
        engine_rules("acme")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_what_a_layer_of_transformers_launches_and_moves_is_counted(h100):
    """The figures of the table against the library as installed: kernels of a decoding step, bytes of a prompt."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    modes = pytest.importorskip("torch.utils._python_dispatch")
    views = {"view", "transpose", "slice", "unsqueeze", "expand", "_unsafe_view", "t", "reshape", "select", "detach"}
    products = {"mm", "addmm", "bmm", "_scaled_dot_product_flash_attention_for_cpu"}

    class Counter(modes.TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.launches, self.bytes = collections.Counter(), 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            name = str(func).split(".")[1]
            if name not in views:
                self.launches[name] += 1
                if name not in products:
                    held = torch.utils._pytree.tree_leaves((args, kwargs, out))
                    self.bytes += sum(one.numel() * one.element_size() for one in held if torch.is_tensor(one))
            return out

    def counted(layers, tokens, decoding):
        config = transformers.LlamaConfig(
            hidden_size=512, intermediate_size=1376, num_attention_heads=4, num_key_value_heads=4, vocab_size=256,
            num_hidden_layers=layers,
        )  # fmt: skip
        model = transformers.LlamaForCausalLM(config).to(torch.bfloat16).eval()
        with torch.no_grad():
            cache = model(torch.ones(1, tokens, dtype=torch.long), use_cache=True).past_key_values
            with Counter() as seen:
                if decoding:
                    model(torch.ones(1, 1, dtype=torch.long), past_key_values=cache, use_cache=True)
                else:
                    model(torch.ones(1, tokens, dtype=torch.long), use_cache=True)
        return sum(seen.launches.values()), seen.bytes

    engine = engine_for(h100, "transformers")
    (more, _), (fewer, _) = (counted(layers, 8, decoding=True) for layers in (3, 2))
    assert more - fewer == engine.layer_launches_count
    (_, more), (_, fewer) = (counted(layers, 256, decoding=False) for layers in (3, 2))
    hidden_states = (more - fewer) / 256 / (512 * 2)
    assert hidden_states / 20 == pytest.approx(engine.elementwise_ratio, rel=0.15)  # of 20 in fused kernels
