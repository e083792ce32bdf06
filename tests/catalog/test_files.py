"""Folders and bounded reading: every file that cannot be read is one clear line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from steelyard import catalog
from steelyard.catalog import files
from steelyard.errors import CatalogError


def test_a_missing_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEELYARD_DATA", "/nowhere/at/all")
    with pytest.raises(CatalogError, match="STEELYARD_DATA: no folder '/nowhere/at/all'"):
        catalog.accelerators()


def test_several_folders_are_read_and_later_ones_win(
    user_data: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = tmp_path_factory.mktemp("second")
    (second / "accelerators").mkdir()
    text = (user_data / "accelerators/made-up-1.toml").read_text()
    (second / "accelerators/made-up-1.toml").write_text(text.replace("value = 10, ", "value = 20, ", 1))
    monkeypatch.setenv("STEELYARD_DATA", os.pathsep.join([str(user_data), str(second)]))
    assert catalog.accelerator("made-up-1").hbm_bytes == 20e9


def test_what_is_not_a_plain_readable_text_is_refused(user_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = user_data / "accelerators/broken.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CatalogError, match=r"broken.toml: is not UTF-8 text"):
        catalog.accelerators()
    path.unlink()
    os.mkfifo(path)  # opening it would wait for ever
    with pytest.raises(CatalogError, match=r"broken.toml: is not a plain file"):
        catalog.accelerators()
    path.unlink()
    path.write_text("x" * 200)
    monkeypatch.setattr(files, "MAX_BYTES", 100)
    with pytest.raises(CatalogError, match="bytes, at most 100 are read"):
        catalog.accelerators()


def test_deep_nesting_is_refused(user_data: Path) -> None:
    (user_data / "models/deep.toml").write_text("a = " + "[" * 100_000)
    with pytest.raises(CatalogError, match=r"deep.toml: is not valid TOML"):
        catalog.models()


def test_importing_the_catalogue_opens_no_data_file() -> None:
    watch = (
        "import sys\n"
        "opened = []\n"
        "sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == 'open' else None)\n"
        "import steelyard.catalog\n"
        "assert not [name for name in opened if name.endswith(('.toml', '.csv'))], opened\n"
        "assert 'pydantic' not in sys.modules and 'scipy' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", watch], check=True)
