"""Names as people write them find their own record, and never another."""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import arch, catalog
from steelyard.catalog.load import load_accelerators, load_models, load_workloads
from steelyard.catalog.names import DEVICE_WORDS, MAKERS, MODEL_MAKERS, MODEL_WORDS
from steelyard.errors import UnknownError

SHIPPED = load_accelerators("").records
DEVICES = [(item.id, name) for item in SHIPPED.values() for name in (item.id, item.name, *item.aliases)]
MODELS = [(item.id, name) for item in load_models("").records.values() for name in (item.id, *item.aliases)]
BESIDE = frozenset().union(*MAKERS.values(), DEVICE_WORDS, MODEL_WORDS, MODEL_MAKERS)
MEMORY = re.compile(r"(hbm|gddr|lpddr)\d|\d+gb?$", re.IGNORECASE)
UNTIMED = settings(deadline=None)  # the first look-up reads the catalogue
ONE_NAME_TWO_MODELS = {"llama7b"}  # a published table calls Llama 2 by the name of the first

# As drivers, vendors, clouds and published tables write them.
WRITTEN = {
    "NVIDIA H100 80GB HBM3": "h100-sxm5-80gb",
    "nvidia-h100-80gb": "h100-sxm5-80gb",
    "NVIDIA_H100_80GB_HBM3": "h100-sxm5-80gb",
    "NVIDIA H100 Tensor Core GPU": "h100-sxm5-80gb",
    "H100 PCIe": "h100-pcie-80gb",
    "NVIDIA H100 NVL": "h100-nvl-94gb",
    "NVIDIA A100-SXM4-40GB": "a100-sxm4-40gb",
    "A100 40 GB": "a100-sxm4-40gb",
    "A100 80GB PCIe": "a100-pcie-80gb",
    "NVIDIA A10G": "a10g",
    "A100-PCIE-40GB": "a100-pcie-40gb",
    "Tesla V100-SXM2-16GB": "v100-sxm2-16gb",
    "Tesla P100-PCIE-16GB": "p100-pcie-16gb",
    "nvidia-tesla-t4": "t4",
    "NVIDIA GeForce RTX 4090": "rtx-4090",
    "RTX4070 Ti SUPER 16GB GDDR6X": "rtx-4070-ti-super",
    "Quadro RTX A6000": "rtx-a6000",
    "NVIDIA RTX 6000 Ada Generation": "rtx-6000-ada",
    "NVIDIA RTX PRO 6000 Blackwell Server Edition": "rtx-pro-6000-blackwell-server",
    "NVIDIA RTX PRO 6000 Blackwell Workstation Edition": "rtx-pro-6000-blackwell-workstation",
    "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition": "rtx-pro-6000-blackwell-max-q",
    "NVIDIA GeForce RTX 5060 Ti": "rtx-5060-ti-16gb",
    "NVIDIA Thor": "jetson-agx-thor",
    "GB200 NVL72": "gb200-nvl72",
    "NVIDIA GH200 480GB": "gh200-96gb",
    "NVIDIA GH200 144G HBM3e": "gh200-144gb",
    "NVIDIA DGX Spark": "gb10",
    "AMD Instinct MI300X OAM": "mi300x",
    "Google Cloud TPU v5e": "tpu-v5e",
    "v6e": "tpu-v6e",
    "AWS Trainium2": "trainium2",
    "Habana Gaudi 2": "gaudi2",
    "Intel(R) Arc(TM) B580 Graphics": "arc-b580",
    "Intel(R) Data Center GPU Max 1550": "max-1550-128gb",
    "Apple M4 Max 128 GB": "apple-m4-max",
    "M5": "apple-m5",
    "AMD Radeon AI PRO R9700": "radeon-ai-pro-r9700",
    "AMD Radeon 780M Graphics": "radeon-780m",
    "AMD Ryzen AI Max+ 395": "ryzen-ai-max-395",
}
# Another memory, maker or form of a device than any record has.
REFUSED = (
    "RTX 5060 Ti 8GB", "A100 60GB", "H100 94GB", "H100 80GB HBM2e", "AMD H100", "Tesla M4", "RTX 4090 Laptop GPU",
    "A100-SXM4-40GB MIG 1g.5gb",
    "MI300X 128GB", "M4 Max 64GB", "H100 SXM 40GB PCIe", "8x H100",
)  # fmt: skip


@st.composite
def spelt(draw: st.DrawFn, name: str, between: tuple[str, ...]) -> str:
    """The name in any case, with other separators, or none where neither two digits nor a word beside meet there."""
    words = re.split(r"[\s_/-]+", name)
    text = words[0]
    for before, word in pairwise(words):
        apart = (
            (before[-1].isdigit() and word[0].isdigit())
            or {before.casefold(), word.casefold()} & BESIDE
            or MEMORY.match(word)
            or MEMORY.match(before)
        )
        text += draw(st.sampled_from(between if apart else (*between, ""))) + word
    return "".join(draw(st.sampled_from((letter.lower(), letter.upper()))) for letter in text)


def own_makers(device_id: str) -> frozenset[str]:
    return MAKERS.get(SHIPPED[device_id].vendor.casefold(), frozenset())


@UNTIMED
@given(data=st.data(), named=st.sampled_from(DEVICES))
def test_a_device_is_found_however_its_name_is_written(data: st.DataObject, named: tuple[str, str]) -> None:
    device_id, name = named
    written = data.draw(spelt(name, (" ", "-", "_", "/", "  ")))
    maker = data.draw(st.sampled_from(("", *sorted(own_makers(device_id)))))
    size = SHIPPED[device_id].hbm_bytes / 1e9
    memory = data.draw(st.sampled_from(("", f" {size:g} GB", f"-{size:g}gib", f"_{size:g}G")))
    says_memory = re.search(r"\dgb?\b", name, re.IGNORECASE)  # its own, or that of the CPU beside it (GH200 480GB)
    after = data.draw(st.sampled_from(("", " GPU")))
    assert catalog.accelerator(f"{maker} {written}{'' if says_memory else memory}{after}").id == device_id


@UNTIMED
@given(named=st.sampled_from(DEVICES), size=st.integers(1, 600))
def test_a_stated_memory_is_the_memory_of_what_is_found(named: tuple[str, str], size: int) -> None:
    name = named[1]
    if re.search(r"\d+gb?\b", name, re.IGNORECASE):
        return
    try:
        found = catalog.accelerator(f"{name} {size}GB")
    except UnknownError:
        return
    stated = {f"{name} {size}gb".casefold()} & {re.sub(r"[-_]", " ", alias).casefold() for alias in found.aliases}
    assert stated or round(found.hbm_bytes / 1e9) == size


@UNTIMED
@given(named=st.sampled_from(DEVICES), maker=st.sampled_from(sorted(w for words in MAKERS.values() for w in words)))
def test_another_maker_is_refused(named: tuple[str, str], maker: str) -> None:
    device_id, name = named
    if maker in own_makers(device_id):
        assert catalog.accelerator(f"{maker} {name}").id == device_id
        return
    with pytest.raises(UnknownError):
        catalog.accelerator(f"{maker} {name}")


@UNTIMED
@given(data=st.data(), named=st.sampled_from(MODELS))
def test_a_model_is_found_however_its_name_is_written(data: st.DataObject, named: tuple[str, str]) -> None:
    model_id, name = named
    if load_models("").read(name).core in ONE_NAME_TWO_MODELS or name.count("/") > 1 or "(" in name:
        assert catalog.model(name).id == model_id
        return
    repository = name.rpartition("/")[2]
    written = data.draw(spelt(repository, (" ", "-", "_")))
    organisation = data.draw(st.sampled_from(("", "somebody/", "RedHatAI/", "unsloth/")))
    tuned = data.draw(st.sampled_from(("", "-Instruct", "-hf", "-Chat", "-it", "-Base")))
    assert catalog.model(f"{organisation}{written}{tuned}").id == model_id


@pytest.mark.parametrize("load", [load_accelerators, load_models, load_workloads])
def test_no_two_records_share_a_name(load) -> None:  # so tuning never tells shapes apart, nor a word that is left out
    known = load("")
    owners = defaultdict(set)
    for record in known.records.values():
        for text in (record.id, record.name, *record.aliases):
            name = known.read(text)
            owners[name.core, name.memory_bytes].add(record.id)
    shared = {core for (core, _), ids in owners.items() if len(ids) > 1}
    assert shared == (ONE_NAME_TWO_MODELS if known.kind == "model" else set())


def test_a_word_that_is_left_out_is_no_name_of_its_own() -> None:
    for words in (*MAKERS.values(), DEVICE_WORDS):
        for word in words - {"r", "tm"}:
            with pytest.raises(UnknownError):
                catalog.accelerator(word)
    for word in MODEL_WORDS | MODEL_MAKERS:
        with pytest.raises(UnknownError):
            catalog.model(word)


@pytest.mark.parametrize(("written", "device_id"), WRITTEN.items())
def test_a_device_is_found_as_others_write_it(written: str, device_id: str) -> None:
    assert catalog.accelerator(written).id == device_id


@pytest.mark.parametrize("written", REFUSED)
def test_what_a_name_says_must_be_true_of_the_device(written: str) -> None:
    with pytest.raises(UnknownError, match=re.escape(written)):
        catalog.accelerator(written)


def test_a_refusal_names_the_device_whose_memory_is_another() -> None:
    with pytest.raises(UnknownError, match=r"memory or maker is not that of a100-sxm4-40gb, a100-sxm4-80gb"):
        catalog.accelerator("A100 60GB")


@pytest.mark.parametrize(
    ("written", "near"), [("H100 SMX", "h100-sxm"), ("RTX 4900", "rtx-4090"), ("NVIDIA GeForce RTX 409", "rtx-4090")]
)
def test_a_misspelt_device_gets_the_nearest(written: str, near: str) -> None:
    with pytest.raises(UnknownError, match=f"nearest: .*{near}"):
        catalog.accelerator(written)


@pytest.mark.parametrize(
    ("written", "near"),
    [("meta-llama/Lama-3.1-8B", "llama-3.1-8b"), ("qwen3 23b", "qwen3-32b"), ("mixtral-7x8b", "mixtral-8x7b")],
)
def test_a_misspelt_model_gets_the_nearest(written: str, near: str) -> None:
    with pytest.raises(UnknownError, match=f"nearest: .*{near}"):
        catalog.model(written)


@pytest.mark.parametrize(
    "path", ["../llama-3.1-8b", "/data/llama-3.1-8b", "a/b/llama-3.1-8b", "data\\llama-3.1-8b", "~/gpt2"]
)
def test_a_path_is_no_name(path: str) -> None:
    with pytest.raises(UnknownError):
        catalog.model(path)


def test_a_folder_goes_before_a_name_that_only_resembles_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "mine" / "Llama-3.1-8B"
    own.mkdir(parents=True)
    (own / "config.json").write_text(
        '{"model_type": "llama", "hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2,'
        ' "num_attention_heads": 4, "vocab_size": 1000, "max_position_embeddings": 512}'
    )
    monkeypatch.chdir(tmp_path)
    assert arch.load("mine/Llama-3.1-8B").num_layers == 2
    assert arch.load("yours/Llama-3.1-8B").num_layers == 32


def test_a_name_that_fits_two_is_refused_with_both_named(user_data: Path) -> None:
    first = (user_data / "accelerators/made-up-1.toml").read_text()
    for size in ("20", "40"):
        text = (
            first.replace('"made-up-1"', f'"mu2-{size}gb"')
            .replace('["mu1"]', "[]")
            .replace("value = 10, ", f"value = {size}, ", 1)
        )
        (user_data / f"accelerators/mu2-{size}gb.toml").write_text(text.replace("Made-up accelerator", f"MU2 {size}GB"))
    catalog.refresh()
    with pytest.raises(UnknownError, match=r"accelerator 'MU-2' can be mu2-20gb or mu2-40gb; give one of these"):
        catalog.accelerator("MU-2")
    assert catalog.accelerator("MU2 40 GB").id == "mu2-40gb"


def test_the_users_record_goes_before_a_shipped_one(user_data: Path) -> None:
    path = user_data / "accelerators/made-up-1.toml"
    path.write_text(path.read_text().replace('["mu1"]', '["h100-sxm5"]'))
    catalog.refresh()
    assert catalog.accelerator("H100 SXM5").id == "made-up-1"
    assert catalog.accelerator("h100").id == "h100-sxm5-80gb"
