"""The shipped tables against the facts they were compiled from: row counts, figures read by hand, provenance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from steelyard import catalog
from steelyard.catalog.files import SHIPPED
from steelyard.catalog.schema import schemas
from steelyard.records.figure import Figure
from steelyard.units import DAYS_PER_YEAR

ROWS = {
    "engines": 27,
    "engine_images": 2,  # one a vendor
    "trainer_models": 17,  # flavours of torchtitan that the catalogue has
    "config_defaults": 101,
    "weight_formats": 46,  # names of formats, some of one format
    "api_prices": 96,  # one a current price
    "api_price_history": 36,
    "benchmarks": 515,  # 347 Arena, 46 LiveBench, 122 Epoch AI
    "api_latency": 22,  # 19 endpoints of the LLMPerf board and 3 published ranges
    "hosted_finetuning": 44,  # 42 compiled, 2 not found, 2 rows that name three models each are split
    "gpu_prices": 446,
    "trainers": 15,  # one a kind of training software and period
    "ownership": 50,  # 49 compiled; the row with two A100 residual values is split
    "electricity": 100,
    "grid": 64,  # 76 compiled, of them 11 PUE rows and 1 remark
    "pue": 13,  # 11 compiled, two of which name two operators
    "failures": 15,  # 19 compiled: 1 not found, 3 that are single shares stand in anchors
    "cold_start": 33,  # 35 compiled, 2 of them without seconds
    "spot": 19,  # 17 compiled: 1 without a number, 3 rows of 1-year and 3-year discounts are split
    "trained_models": 55,  # 56 compiled, 1 without any figure
    "scaling_laws": 17,
    "finetune_gains": 33,  # 6 groups and 2 references, 11 tasks, 4 AIME pairs, 5 Epoch AI runs, 1 small set
    "rl_runs": 11,  # 9 runs with numbers; the study of three parts has three rows
    "anchors": 135,
}


@pytest.fixture(autouse=True)
def _only_shipped(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("STEELYARD_DATA", raising=False)
    catalog.refresh()
    yield
    catalog.refresh()


def shipped() -> set[str]:
    return {path.stem for path in (SHIPPED / "tables").glob("*.csv")}


def test_every_table_of_the_schema_is_there_and_the_other_way_round() -> None:
    assert shipped() == set(ROWS) == set(schemas("tables/schema.toml"))


@pytest.mark.parametrize("name", ROWS)
def test_every_figure_of_the_schema_is_a_column_of_its_table(name: str) -> None:
    header = (SHIPPED / "tables" / f"{name}.csv").read_text(encoding="utf-8").partition("\n")[0].split(",")
    columns = {cell.partition("[")[0].strip() for cell in header}
    assert set(schemas("tables/schema.toml")[name].figures) <= columns


@pytest.mark.parametrize("name", ROWS)
def test_number_of_rows(name: str) -> None:
    assert len(catalog.table(name).rows) == ROWS[name]


# Typed from the compiled facts by hand, in their own units; the last number is their size in SI.
FIGURES: list[tuple[str, dict[str, str], str, float, float]] = [
    ("api_prices", {"model": "gpt-6.1-sol"}, "input", 2.0, 1e-6),
    ("api_prices", {"model": "claude-opus-5-5"}, "cached_input", 0.2, 1e-6),
    ("api_prices", {"provider": "deepinfra", "model": "openai/gpt-oss-120b"}, "output", 0.17, 1e-6),
    ("api_price_history", {"date": "2023-03-14", "model": "gpt-4"}, "output", 60, 1e-6),
    ("api_price_history", {"date": "2024-02-06"}, "score", 70.6, 1),
    ("benchmarks", {"model": "claude-fable-5-1", "benchmark": "arena-text"}, "score", 1501.1, 1),
    ("benchmarks", {"model": "claude-haiku-4-5", "benchmark": "arena-coding"}, "ci_low", 1476.9, 1),
    ("benchmarks", {"model": "gpt-3.5-turbo", "benchmark": "gpqa-diamond-epoch"}, "score", 27.2, 0.01),
    ("benchmarks", {"model": "claude-opus-4-8", "benchmark": "livebench-2026-01-08"}, "score", 78.8, 0.01),
    ("api_latency", {"provider": "groq"}, "ttft_p50", 0.22189, 1),
    ("api_latency", {"provider": "bedrock", "model": "Llama-2-70B-chat"}, "e2e_p50", 6.9892, 1),
    (
        "hosted_finetuning",
        {"provider": "fireworks", "base_model": "open models above 300B", "method": "lora sft"},
        "training",
        10,
        1e-6,
    ),
    ("hosted_finetuning", {"base_model": "gpt-4.1-2025-04-14"}, "serve_output", 12, 1e-6),
    ("hosted_finetuning", {"base_model": "o4-mini-2025-04-16"}, "training_hour", 100, 1 / 3600),
    ("gpu_prices", {"provider": "lambda", "instance": "8x H100 SXM"}, "price", 3.99, 1 / 3600),
    ("gpu_prices", {"provider": "aws", "instance": "u-p6e-gb200x72"}, "price", 10.582, 1 / 3600),
    ("ownership", {"item": "server-h100-8"}, "value", 255237.04, 1),
    ("ownership", {"item": "network-share-cluster"}, "value", 0.19, 1),
    ("ownership", {"item": "residual-h100-3y"}, "high", 0.35, 1),
    ("electricity", {"region": "Texas"}, "price", 0.066, 1 / 3.6e6),
    ("electricity", {"region": "Virginia"}, "price", 0.0892, 1 / 3.6e6),
    ("grid", {"region": "FRA"}, "intensity", 56.039, 1e-3 / 3.6e6),
    ("grid", {"region": "US-VA"}, "intensity", 244.8, 1e-3 / 3.6e6),
    ("grid", {"region": "DEU"}, "intensity_alternative", 329.6, 1e-3 / 3.6e6),
    ("pue", {"operator": "aws"}, "pue", 1.15, 1),
    ("failures", {"cluster": "Meta Llama 3.1 405B pre-training"}, "device_mtbf", 50677, 3600),
    ("failures", {"cluster": "Meta OPT-175B"}, "effective_ratio", 0.59, 1),
    ("cold_start", {"device": "l40s", "stage": "cuda graph capture"}, "seconds", 54, 1),
    ("spot", {"device": "h100-sxm5-80gb", "fact": "interruption-band"}, "high", 20, 0.01 * 12 / DAYS_PER_YEAR / 86400),
    ("trained_models", {"model": "Llama 3.1 405B"}, "gpu_hours", 3.084e7, 3600),
    ("trained_models", {"model": "GPT-4"}, "train_flop_high", 4.4e25, 1),
    ("trained_models", {"model": "BLOOM-176B"}, "energy", 433, 3.6e9),
    ("scaling_laws", {"id": "besiroglu2024"}, "B", 2085.43, 1),
    ("scaling_laws", {"id": "besiroglu2024"}, "A_se", 124.58, 1),
    ("scaling_laws", {"id": "muennighoff2023"}, "repetition_data", 15.387756, 1),
    ("finetune_gains", {"task": "conllpp"}, "tuned", 98.6, 0.01),
    ("rl_runs", {"run": "DeepSeek-R1-Zero"}, "gpu_hours", 101376, 3600),
    ("anchors", {"id": "gpt-4-cost-cluster"}, "value", 778e6, 1),
    ("anchors", {"id": "prefix-hit-replicas-16"}, "value", 9.9, 0.01),
    ("anchors", {"id": "energy-gemini-median-prompt"}, "value", 0.24, 3600),
]


@pytest.mark.parametrize(("table", "cells", "column", "printed", "si"), FIGURES)
def test_a_figure_is_the_one_printed(table: str, cells: dict[str, str], column: str, printed: float, si: float) -> None:
    row = catalog.table(table).where(**cells)[0]
    assert row.value(column) == pytest.approx(printed * si, rel=1e-9)


def test_a_euro_price_is_converted_and_says_so() -> None:
    row = next(row for row in catalog.table("electricity").where(region="EU-27") if row["period"] == "2025-H1")
    # 19.02 EUR cent/kWh at 1.09 USD/EUR = 0.207318 USD/kWh
    assert row.value("price") * 3.6e6 == pytest.approx(0.207318)
    assert row.basis == "derived"
    assert "19.02 EUR cent/kWh" in row["note"]


def test_a_printed_range_keeps_both_ends() -> None:
    (row,) = catalog.table("hosted_finetuning").where(provider="together", base_model="open models up to 16B")
    figure = row.figure("training")
    assert figure is not None
    assert figure.low == pytest.approx(0.48e-6)
    assert figure.high == pytest.approx(1.35e-6)
    assert figure.basis == "derived"  # its middle is not printed


@pytest.mark.parametrize(
    ("table", "cells", "column", "basis"),
    [
        ("hosted_finetuning", {"base_model": "gpt-4.1-2025-04-14"}, "training", "assumed"),
        ("hosted_finetuning", {"base_model": "gpt-4.1-2025-04-14"}, "serve_input", "published"),
        ("api_price_history", {"date": "2024-10-03"}, "input", "assumed"),
        ("trained_models", {"model": "OPT-175B"}, "carbon", "assumed"),
        ("trained_models", {"model": "OPT-175B"}, "gpu_hours", "published"),
        ("trained_models", {"model": "GPT-4"}, "train_flop", "estimated"),
        ("trained_models", {"model": "GPT-3 175B"}, "estimated_cost_low", "assumed"),
        ("ownership", {"item": "maintenance"}, "value", "assumed"),
        ("failures", {"cluster": "Meta RSC-2"}, "device_mtbf", "assumed"),
        ("failures", {"cluster": "ByteDance MegaScale"}, "restart", "assumed"),
        ("scaling_laws", {"id": "kaplan2020"}, "alpha", "assumed"),
        ("benchmarks", {"benchmark": "arena-text"}, "score", "measured"),
        ("benchmarks", {"benchmark": "livebench-2026-01-08"}, "score", "derived"),
    ],
)
def test_what_was_not_read_is_assumed(table: str, cells: dict[str, str], column: str, basis: str) -> None:
    figure = catalog.table(table).where(**cells)[0].figure(column)
    assert figure is not None
    assert figure.basis == basis


def test_the_default_law_is_the_replication() -> None:
    assert [row["id"] for row in catalog.table("scaling_laws").where(default="yes")] == ["besiroglu2024"]


def test_only_three_origins_of_scores_are_shipped() -> None:
    rows = catalog.table("benchmarks").rows
    assert {row.source for row in rows} == {"arena-2026-10-05", "livebench-4bf96c8", "epoch-benchmark-runs"}
    assert catalog.benchmarks() == (
        "arena-coding",
        "arena-instructions",
        "arena-text",
        "gpqa-diamond-epoch",
        "livebench-2026-01-08",
        "math-5-epoch",
        "otis-aime-epoch",
        "swe-bench-verified-epoch",
    )


def test_nothing_of_artificial_analysis_is_shipped() -> None:
    for path in SHIPPED.rglob("*.*"):
        if path.suffix in {".csv", ".toml"}:
            text = path.read_text(encoding="utf-8").casefold()
            assert "artificial analysis" not in text, path
            assert "artificialanalysis" not in text, path


def test_a_benchmark_has_one_unit() -> None:
    for benchmark in catalog.benchmarks():
        assert len({row["unit"] for row in catalog.quality_scores(benchmark)}) == 1


def test_devices_named_in_tables_are_in_the_catalogue() -> None:
    named = {
        row.get(column)
        for name in ROWS
        for row in catalog.table(name).rows
        for column in ("device", "dedicated_device")
    }
    assert named - {""} <= set(catalog.accelerators())


def test_a_rented_device_without_a_record_keeps_its_listed_name() -> None:
    unmapped = {row["device_as_listed"] for row in catalog.table("gpu_prices").rows if not row.get("device")}
    assert unmapped == {"V100"}  # the 16 GB ones, in an SXM2 or a PCIe server


def test_grid_regions_have_an_electricity_code_where_both_tables_know_them() -> None:
    codes = {row.get("code") for row in catalog.table("electricity").rows}
    grid = {row["region"] for row in catalog.table("grid").rows}
    assert {"USA", "DEU", "IRL", "US-VA", "US-TX", "US-WA"} <= codes & grid


def test_price_history_marks_what_may_not_lead() -> None:
    barred = {(row["date"], row["model"]) for row in catalog.table("api_price_history").rows if row["eligible"] == "no"}
    assert ("2024-01-04", "mistral-tiny (Mistral 7B)") in barred  # scores 62.5, below the level's 64.8
    assert ("2024-12-26", "DeepSeek-V3 (launch promo)") in barred
    assert all(row["eligible"] in {"yes", "no"} for row in catalog.table("api_price_history").rows)


def test_every_source_of_these_files_is_cited() -> None:
    cited = {part for name in ROWS for row in catalog.table(name).rows for part in row.source.split(" + ")} | {
        part
        for workload in catalog.workloads().values()
        for figure in workload.figures.values()
        for part in figure.source.split(" + ")
    }
    defined = {
        line.partition('"')[2].rstrip('"\n')
        for name in ("tables.toml", "workloads.toml")
        for line in (SHIPPED / "sources.d" / name).read_text(encoding="utf-8").splitlines()
        if line.startswith("id = ")
    }
    assert cited <= set(catalog.sources())
    assert defined <= cited


def test_attribution_that_is_owed_is_stated() -> None:
    assert catalog.source("arena-2026-10-05").licence == "CC BY 4.0"
    assert catalog.source("azure-llm-trace-2023").licence == "CC BY 4.0"
    assert catalog.source("mooncake-fast25").licence == "Apache-2.0"


# Means, medians and tails as printed in the descriptions of the traces: input, then output tokens.
WORKLOADS = {
    "chat": (1155, 1020, 14050, 211, 129, 1000, 5.53, 1.09, 1.52),
    "code": (2048, 1469, 7437, 27.9, 13, 1899, 2.57, 13.15, 4.18),
    "long-context": (12035, 6909, 126195, 343, 350, 2000, 3.40, 3.03, 1.21),
}


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_preset_has_the_statistics_of_its_trace(name: str) -> None:
    preset = catalog.workload(name)
    found = (
        preset.isl_mean_tokens,
        preset.isl_quantile_tokens[0.5],
        preset.isl_quantile_tokens[1.0],
        preset.osl_mean_tokens,
        preset.osl_quantile_tokens[0.5],
        preset.osl_quantile_tokens[1.0],
        preset.request_rate_per_s,
        preset.arrival_cv_ratio,
        preset.peak_to_mean_ratio,
    )
    assert found == pytest.approx(WORKLOADS[name], rel=2e-3)


@pytest.mark.parametrize("name", ["chat", "code", "long-context", "reasoning", "classification"])
def test_quantiles_of_a_preset_do_not_fall(name: str) -> None:
    preset = catalog.workload(name)
    for quantiles in (preset.isl_quantile_tokens, preset.osl_quantile_tokens):
        tokens = [quantiles[share] for share in sorted(quantiles)]
        assert tokens == sorted(tokens)


def test_presets_without_a_trace_say_what_is_assumed() -> None:
    for name in ("reasoning", "classification"):
        preset = catalog.workload(name)
        correlation: Figure = preset.figures["length_rank_correlation"]
        assert correlation.basis == "assumed"
        assert len(preset.hourly_shape_ratio) == 24
        assert sum(preset.hourly_shape_ratio) / 24 == pytest.approx(1.0, abs=0.01)


def test_prefix_hits_fall_with_replicas_from_the_presets_own() -> None:
    hits = [
        row.value("value")
        for count in (1, 4, 16, 64)
        for row in catalog.table("anchors").where(id=f"prefix-hit-replicas-{count}")
    ]
    assert hits == sorted(hits, reverse=True)
    assert catalog.workload("long-context").prefix_hit_ratio == pytest.approx(hits[0])


TRACES = Path(__file__).resolve().parents[3] / "shared" / "traces"


def test_no_trace_is_shipped() -> None:
    # The smallest trace has 0.3 MB of requests; statistics of all five presets together stay far below.
    assert sum(path.stat().st_size for path in (SHIPPED / "workloads").iterdir()) < 20_000


@pytest.mark.skipif(not (TRACES / "azure_2023_conv.csv").is_file(), reason="the trace is not at hand")
def test_quantiles_agree_with_the_trace_itself() -> None:
    lines = (TRACES / "azure_2023_conv.csv").read_text(encoding="utf-8").splitlines()[1:]
    lengths = sorted(int(line.split(",")[1]) for line in lines)
    preset = catalog.workload("chat")
    for share in (0.1, 0.5, 0.9, 0.99):
        below = sum(length <= preset.isl_quantile_tokens[share] for length in lengths) / len(lengths)
        assert below == pytest.approx(share, abs=0.002)
