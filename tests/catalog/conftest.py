"""A made-up folder of the user, with one record of each kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from steelyard import catalog

SOURCES = """
[[source]]
id = "made-up"
title = "A made-up datasheet"
licence = "CC-BY-4.0"
"""
ACCELERATOR = """
id = "made-up-1"
name = "Made-up accelerator"
vendor = "Nobody"
year = 2026
aliases = ["mu1"]

[defaults]
source = "made-up"
as_of = 2026-10-01
basis = "published"

[figures]
hbm_bytes = { value = 10, unit = "GB" }
hbm_bytes_per_s = { value = 0.5, unit = "TB/s" }
scale_up_devices = { value = 1, unit = "device" }
tdp_w = { value = 100, unit = "W" }
idle_w = { value = 10, unit = "W" }
devices_per_node = { value = 1, unit = "device" }

[figures.peak_flop_per_s]
bf16 = { value = 100, unit = "TFLOP/s" }
"""
MODEL = """
id = "made-up-7b"
name = "Made-up 7B"
aliases = ["nobody/made-up-7B"]
source = "made-up"
as_of = 2026-10-01
basis = "published"

[config]
model_type = "llama"
hidden_size = 4096
"""
WORKLOAD = """
id = "made-up-load"
name = "Made-up load"

[defaults]
source = "made-up"
as_of = 2026-10-01
basis = "measured"

[isl_quantiles]
unit = "token"
values = { "0.5" = 100, "1.0" = 300 }

[osl_quantiles]
unit = "token"
values = { "0.5" = 10, "1.0" = 30 }

[figures]
isl_mean = { value = 120, unit = "token" }
osl_mean = { value = 12, unit = "token" }
length_rank_correlation = { value = 0.1, unit = "1" }
request_rate = { value = 6, unit = "request/min" }
arrival_cv = { value = 1.5, unit = "1" }
peak_to_mean = { value = 2, unit = "1" }
prefix_hit = { value = 25, unit = "%" }
"""
HEADER = "provider,model,input [USD/Mtoken],output [USD/Mtoken],cached_input [USD/Mtoken]"
PRICES = f"""\
{HEADER},source,as_of,basis,assumed,note
nobody,made-up-api,2,6,0.2,made-up,2026-10,published,cached_input,
"""
CALIBRATION = """
[defaults]
source = "made-up"
as_of = 2026-10-01
basis = "measured"

[figures]
matmul_ratio = { value = 50, unit = "%" }
"""
FILES = {
    "sources.d/mine.toml": SOURCES,
    "accelerators/made-up-1.toml": ACCELERATOR,
    "models/made-up-7b.toml": MODEL,
    "workloads/made-up-load.toml": WORKLOAD,
    "tables/api_prices.csv": PRICES,
    "calibration/device.toml": CALIBRATION,
}

Write = Callable[[str, str], None]


@pytest.fixture(autouse=True)
def only_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's own folders out of the tests."""
    monkeypatch.delenv("STEELYARD_DATA", raising=False)


@pytest.fixture
def user_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder named by STEELYARD_DATA that holds every file of FILES."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("STEELYARD_DATA", str(tmp_path))
    catalog.refresh()
    yield tmp_path
    catalog.refresh()


@pytest.fixture
def edit(user_data: Path) -> Callable[[str, str, str], None]:
    """Replace a text in one of the user's files."""

    def replace(name: str, old: str, new: str) -> None:
        text = (user_data / name).read_text()
        assert old in text
        (user_data / name).write_text(text.replace(old, new, 1))
        catalog.refresh()

    return replace
