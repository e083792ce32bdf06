"""The shipped accelerators against hardware.csv's figures, and every way in which a record is refused."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import catalog
from steelyard.catalog import build
from steelyard.catalog.files import DataFile
from steelyard.errors import CatalogError, UnknownError

Edit = Callable[[str, str, str], None]
HARDWARE = "accelerators/made-up-1.toml"
SHAPE = "models/made-up-7b.toml"
LOAD = "workloads/made-up-load.toml"


# As printed by the vendors: bf16 or fp16 TFLOP/s, memory GB, TB/s, link GB/s one way, watts.
SPOT_CHECKS = [
    ("h100", "bf16", 989, 80, 3.35, 450, 700),
    ("h200", "bf16", 989, 141, 4.8, 450, 700),
    ("a100", "bf16", 312, 80, 2.039, 300, 400),
    ("b200", "bf16", 2250, 180, 8.0, 900, 1000),
    ("gb300", "bf16", 2500, 288, 8.0, 900, 1400),
    ("v100", "fp16", 125, 32, 0.898, 150, 300),
    ("mi300x", "bf16", 1307, 192, 5.3, 448, 750),
    ("l40s", "bf16", 362, 48, 0.864, 0, 350),
    ("tpu-v5e", "bf16", 197, 16, 0.81, 180, 140),
    ("gaudi3", "bf16", 1677, 128, 3.7, 600, 900),
    ("trainium2", "bf16", 667, 96, 2.9, 640, 500),
    ("apple-m4-max", "fp16", 18.4, 128, 0.546, 0, 70),
    ("a10", "bf16", 125, 24, 0.6, 0, 150),
    ("rtx-6000-ada", "bf16", 364, 48, 0.96, 0, 300),
    ("rtx-4080", "bf16", 97.4, 16, 0.7168, 0, 320),
    ("rtx-3080", "fp16", 59.4, 10, 0.7603, 0, 320),
    ("gh200", "bf16", 989, 96, 4.0, 0, 1000),
    ("mi300a", "bf16", 980.6, 128, 5.3, 384, 550),
    ("mi350x", "bf16", 2306, 288, 8.0, 535.5, 1000),
    ("arc-b580", "fp16", 109.4, 12, 0.456, 0, 190),
    ("rtx-5060-ti", "fp4", 759 / 2, 16, 0.448, 0, 180),  # printed with sparsity, as those of the next two
    ("rtx-pro-6000-max-q", "fp4", 3511 / 2, 96, 1.792, 0, 300),
    ("jetson-thor", "fp4", 2070 / 2, 128, 0.2732, 0, 130),
    ("rx-9070-xt", "int8", 389, 16, 0.64, 0, 304),
    ("r9700", "fp16", 191, 32, 0.64, 0, 300),
    ("max-1550", "bf16", 839, 128, 3.2768, 0, 600),
]


@pytest.mark.parametrize(("ref", "dtype", "tflops", "gb", "tb_s", "link_gb_s", "watts"), SPOT_CHECKS)
def test_shipped_accelerators_have_the_printed_figures(
    ref: str, dtype: str, tflops: float, gb: float, tb_s: float, link_gb_s: float, watts: float
) -> None:
    item = catalog.accelerator(ref)
    assert item.peak_flop_per_s[dtype] == pytest.approx(tflops * 1e12, rel=5e-3)
    assert item.hbm_bytes == pytest.approx(gb * 1e9)
    assert item.hbm_bytes_per_s == pytest.approx(tb_s * 1e12)
    assert item.scale_up_bytes_per_s == pytest.approx(link_gb_s * 1e9)
    assert item.tdp_w == pytest.approx(watts)


def test_all_114_accelerators_load_and_every_figure_has_a_known_source() -> None:
    assert len(catalog.accelerators()) == 114
    for item in catalog.accelerators().values():
        for figure in item.figures.values():
            assert set(figure.source.split(" + ")) <= set(catalog.sources())
        assert 0 < item.idle_w < item.tdp_w
        assert item.scale_up_devices > 1 or item.scale_up_bytes_per_s == 0


def test_unread_datasheets_show_as_assumed() -> None:
    figures = catalog.accelerator("h100").figures
    assert figures["idle_w"].basis == "assumed"  # in hardware.csv's not_verified
    assert figures["hbm_bytes"].basis == "published"
    assert all(
        figure.basis == "assumed" for name, figure in catalog.accelerator("t4").figures.items() if "fp16" in name
    )
    for item in catalog.accelerators().values():
        for figure in item.figures.values():
            assert figure.basis == "assumed" or "datasheets-unread" not in figure.source


def test_a_purchase_price_is_a_dated_figure() -> None:
    price = catalog.accelerator("h20").figures["purchase_price"]
    assert (price.value, price.low, price.high, price.unit) == (10392, 9000, 12000, "usd")
    assert price.basis == "estimated"


def test_pcie_is_the_generation_times_16_lanes() -> None:
    assert catalog.accelerator("v100").pcie_bytes_per_s == 15.75e9  # 8 GT/s x 16 lanes x 128/130 / 8
    assert catalog.accelerator("a100").pcie_bytes_per_s == 31.5e9
    assert catalog.accelerator("h100").pcie_bytes_per_s == 63e9


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UnknownError, match=r"nearest: .*h100"):
        catalog.accelerator("h100-smx")
    with pytest.raises(UnknownError, match="datasheets-unread"):
        catalog.source("datasheets-unraed")


def test_ids_and_aliases_are_found_whatever_the_case() -> None:
    assert catalog.accelerator(" B200 ").id == catalog.accelerator("b200-SXM-180gb").id == "b200-sxm-180gb"


REFUSED = [
    (HARDWARE, 'as_of = 2026-10-01\nbasis = "published"', "as_of = 2026-10-01", "hbm_bytes: has no basis"),
    (HARDWARE, 'source = "made-up"\n', "", "hbm_bytes: has no source"),
    (HARDWARE, "as_of = 2026-10-01\n", "", "hbm_bytes: has no as_of"),
    (HARDWARE, '{ value = 10, unit = "GB" }', '{ unit = "GB" }', "hbm_bytes: has no value"),
    (HARDWARE, '{ value = 10, unit = "GB" }', "{ value = 10 }", "hbm_bytes: has no unit"),
    (HARDWARE, '{ value = 10, unit = "GB" }', "10", "hbm_bytes: is not a figure"),
    (HARDWARE, 'unit = "GB"', 'unit = "GB/s"', "hbm_bytes: 'GB/s' is a unit of bytes_per_s, not of bytes"),
    (HARDWARE, 'unit = "GB"', 'unit = "furlong"', "hbm_bytes: unknown unit 'furlong'"),
    (HARDWARE, "value = 10, ", "value = nan, ", "hbm_bytes: nan is not a finite number"),
    (HARDWARE, "value = 10, ", "value = inf, ", "hbm_bytes: inf is not a finite number"),
    (
        HARDWARE,
        "value = 10, ",
        "value = -10, ",
        "hbm_bytes: -10, in SI -1e.10, is outside the plausible range",
    ),
    (HARDWARE, "value = 10, ", "value = 1e9, ", "hbm_bytes: .* is outside the plausible range"),
    (HARDWARE, "value = 10, ", "value = true, ", "hbm_bytes: True is not a number"),
    (HARDWARE, "value = 10, ", f"value = 1{'0' * 400}, ", "hbm_bytes: .* is not a number"),
    (HARDWARE, "value = 10, ", f"value = 1{'0' * 5000}, ", "is not valid TOML"),
    (HARDWARE, "value = 10, ", "value = 10, colour = 1, ", "hbm_bytes: unknown key 'colour'"),
    (HARDWARE, "value = 10, ", "value = 10, low = 11, ", "hbm_bytes: low .* are not in order"),
    (
        HARDWARE,
        "value = 10, ",
        "value = 10, other = { nowhere = 9 }, ",
        "hbm_bytes: unknown source 'nowhere'",
    ),
    (
        HARDWARE,
        'source = "made-up"',
        'source = "made-up + mdae-up"',
        "unknown source 'mdae-up' .nearest: made-up",
    ),
    (
        HARDWARE,
        'basis = "published"',
        'basis = "guessed"',
        "basis 'guessed' is unknown; allowed are published",
    ),
    (
        HARDWARE,
        'basis = "published"',
        'basis = "estimated"',
        "hbm_bytes: is estimated and needs low and high",
    ),
    (HARDWARE, 'basis = "published"', 'basis = "assumed"', "hbm_bytes: is assumed and needs a note"),
    (HARDWARE, "as_of = 2026-10-01", 'as_of = "2026-13"', "as_of is '2026-13', not a date"),
    (HARDWARE, "as_of = 2026-10-01", 'as_of = "today"', "as_of is 'today', not a date"),
    (HARDWARE, "hbm_bytes = {", "hbm_btyes = {", "hbm_btyes: is no figure of such a record"),
    (HARDWARE, "tdp_w = {", "idle_w.x = {", "idle_w.x: is no figure|is not a figure|is not valid TOML"),
    (HARDWARE, 'tdp_w = { value = 100, unit = "W" }', "", "has no figure 'tdp_w'"),
    (
        HARDWARE,
        '[figures.peak_flop_per_s]\nbf16 = { value = 100, unit = "TFLOP/s" }',
        "",
        "at least one rate by dtype",
    ),
    (HARDWARE, 'id = "made-up-1"', 'id = "made-up-2"', "id is 'made-up-2', the file's name says 'made-up-1'"),
    (HARDWARE, 'name = "Made-up accelerator"', "", "has no name"),
    (HARDWARE, "year = 2026", "year = 20260", "year: 20260 is not a year"),
    (HARDWARE, 'aliases = ["mu1"]', 'aliases = "mu1"', "aliases: must be a list of names"),
    (HARDWARE, "year = 2026", "year = 2026\nprice = 3", "unknown key 'price'"),
    (HARDWARE, 'id = "made-up-1"', "id = ", "is not valid TOML"),
    (SHAPE, 'source = "made-up"\n', "", "config: has no source"),
    (SHAPE, 'source = "made-up"\n', 'source = "x"\n', "config: unknown source 'x'"),
    (SHAPE, 'basis = "published"\n', "", "config: has no basis"),
    (SHAPE, 'basis = "published"', 'basis = "read"', "config: basis 'read' is unknown"),
    (SHAPE, 'basis = "published"', 'basis = "assumed"', "config: is assumed and needs a note"),
    (SHAPE, 'basis = "published"', 'basis = "estimated"', "config: is estimated, but shapes have no low and high"),
    (SHAPE, 'model_type = "llama"\nhidden_size = 4096\n', "", "has no .config."),
    (LOAD, '"0.5" = 100', '"0.5" = 400', "isl_quantiles: tokens must not fall"),
    (LOAD, '"0.5" = 100', '"50" = 100', "isl_quantiles.50: '50' is not a share of requests"),
    (LOAD, '"0.5" = 100, ', "", "isl_quantiles: needs `values` with at least two"),
    (
        LOAD,
        '[isl_quantiles]\nunit = "token"',
        '[isl_quantiles]\nunit = "s"',
        "'s' is a unit of s, not of token",
    ),
    (LOAD, "[figures]", "[hourly_shape]\nvalues = [1, 2]\n[figures]", "hourly_shape: needs 24 values"),
    (
        LOAD,
        "[figures]",
        "[joint_shares]\nvalues = 3\n[figures]",
        "joint_shares: is no table of shares; allowed: 2 to 100",
    ),
    (
        LOAD,
        "[figures]",
        '[joint_shares]\nunit = "1"\nvalues = [[0.5, 0.1], [0, 0.4]]\n[figures]',
        "joint_shares: row 1 sums to 0.6; allowed: 0.5",
    ),
    (
        LOAD,
        "[figures]",
        "[joint_shares]\nvalues = [[0.5, 0], [0, 0.5]]\n[figures]",
        "joint_shares: has no unit; every figure needs",
    ),
    (
        LOAD,
        "[figures]",
        "[joint_shares]\nedges = [0, 1]\n[figures]",
        "joint_shares: unknown key 'edges'; allowed are as_of, basis, isl_edges",
    ),
    (
        LOAD,
        'value = 25, unit = "%"',
        'value = 125, unit = "%"',
        "prefix_hit: .* is outside the plausible range 0 to 1",
    ),
    ("sources.d/mine.toml", 'title = "A made-up datasheet"', "", "source 1: has no title"),
    ("sources.d/mine.toml", "[[source]]", "[[source]]\ncolour = 1", "source 1: unknown key 'colour'"),
    ("sources.d/mine.toml", "[[source]]", "[source]", "sources are written as"),
    (
        "calibration/device.toml",
        "matmul_ratio",
        "matmul_raito",
        "matmul_raito: is no figure of this calibration",
    ),
    ("calibration/device.toml", 'unit = "%"', 'unit = "s"', "matmul_ratio: is in s, not in ratio"),
    ("calibration/device.toml", "value = ", "value = -", "matmul_ratio: -.* is outside the plausible range 1e-06 to"),
]


def load_everything() -> None:
    for read in (
        catalog.accelerators,
        catalog.models,
        catalog.workloads,
        lambda: catalog.calibration("device"),
    ):
        read()


@pytest.mark.parametrize(("name", "old", "new", "message"), REFUSED)
def test_a_broken_record_is_refused_in_one_line_that_names_file_and_field(
    edit: Edit, user_data: Path, name: str, old: str, new: str, message: str
) -> None:
    edit(name, old, new)
    with pytest.raises(CatalogError, match=message) as caught:
        load_everything()
    text = str(caught.value)
    assert "\n" not in text
    assert str(user_data) in text  # the user must find the file


DIVIDE = [
    ("device", "memory_ratio"), ("device", "cache_memory_ratio.amd"), ("device", "overlap_exponent_ratio"),
    ("device", "fused_link_ratio"), ("device", "pcie_full_rate_count"),
    ("inference", "vendor_time_ratio.acme"), ("inference", "time_ratio.vllm"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "name"), [*DIVIDE, ("device", "active_power_ratio"), ("training", "straggler_ratio")])
def test_what_work_is_divided_by_is_not_0(user_data: Path, file: str, name: str) -> None:
    (user_data / "calibration" / f"{file}.toml").write_text(
        f'[figures]\n"{name}" = {{ value = 0, unit = "1", source = "made-up", as_of = 2026-10-01, '
        'basis = "measured" }\n'
    )
    catalog.refresh()
    if (file, name) not in DIVIDE:
        assert catalog.calibration(file)[name].value == 0.0
        return
    with pytest.raises(
        CatalogError, match=rf"{file}.toml.*{name}: 0, in SI 0, is outside the plausible range 1e-06 to"
    ):
        catalog.calibration(file)


def test_an_id_or_alias_that_stands_twice_is_refused(edit: Edit, user_data: Path) -> None:
    (user_data / "accelerators" / "made-up-2.toml").write_text(
        (user_data / HARDWARE).read_text().replace('id = "made-up-1"', 'id = "made-up-2"')
    )
    catalog.refresh()
    with pytest.raises(CatalogError, match="alias 'mu1' also names 'made-up-1'"):
        catalog.accelerators()


def test_a_source_that_stands_twice_is_refused(user_data: Path) -> None:
    (user_data / "sources.d" / "other.toml").write_text((user_data / "sources.d" / "mine.toml").read_text())
    catalog.refresh()
    with pytest.raises(CatalogError, match=r"id 'made-up' is also in .*mine.toml"):
        catalog.sources()


def test_what_another_source_says_widens_the_range_and_is_named(edit: Edit) -> None:
    edit(HARDWARE, "value = 10, ", "value = 10, other = { made-up = 12 }, ")
    figure = catalog.accelerator("mu1").figures["hbm_bytes"]
    assert (figure.value, figure.low, figure.high) == (10e9, 10e9, 12e9)
    assert figure.note == "sources disagree: made-up has 12 GB"


def test_values_are_converted_to_si(user_data: Path) -> None:
    load = catalog.workload("made-up-load")
    assert load.request_rate_per_s == pytest.approx(0.1)  # 6 a minute
    assert load.prefix_hit_ratio == 0.25
    assert load.isl_quantile_tokens == {0.5: 100.0, 1.0: 300.0}
    assert load.figures["isl_quantiles.0.5"].source == "made-up"


def test_a_table_of_joint_shares_keeps_its_source(edit: Edit) -> None:
    assert catalog.workload("made-up-load").joint_shares is None
    edit(LOAD, "[figures]", '[joint_shares]\nunit = "1"\nvalues = [[0.5, 0], [0, 0.5]]\n[figures]')
    load = catalog.workload("made-up-load")
    assert load.joint_shares is not None
    assert load.joint_shares.request_ratio.tolist() == [[0.5, 0.0], [0.0, 0.5]]
    figure = load.figures["joint_shares"]
    assert (figure.value, figure.source, figure.note) == (1.0, "made-up", "table of 2 x 2 shares of requests")


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "value",
                    "unit",
                    "source",
                    "as_of",
                    "basis",
                    "figures",
                    "defaults",
                    "config",
                    "values",
                    "aliases",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
PARTS = [
    "figures",
    "defaults",
    "config",
    "aliases",
    "isl_quantiles",
    "joint_shares",
    "hourly_shape",
    "year",
    "source",
    "as_of",
]


@settings(max_examples=50, deadline=None)
@given(
    raw=st.dictionaries(st.sampled_from(PARTS), DOCUMENTS),
    kind=st.sampled_from(["accelerator", "model", "workload"]),
)
def test_no_document_ever_ends_in_a_traceback(raw: dict[str, Any], kind: str) -> None:
    raw = {**raw, "id": "x", "name": "x", "vendor": "x"}
    file = DataFile(path=Path("x.toml"), origin="user")
    make = {"accelerator": build.accelerator, "model": build.model, "workload": build.workload}[kind]
    with contextlib.suppress(CatalogError):
        make(raw, file, {})
