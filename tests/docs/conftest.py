"""The documentation beside the tests, and the code that reads and runs it (docs/pages.py)."""

import dataclasses
import importlib.util
import sys
from pathlib import Path

import pytest

from steelyard import catalog

DOCS = Path(__file__).parents[2] / "docs"


def _load():
    spec = importlib.util.spec_from_file_location("docs_pages", DOCS / "pages.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["docs_pages"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def pytest_generate_tests(metafunc):
    if "page" in metafunc.fixturenames:
        paths = sorted(DOCS.rglob("*.md"))
        metafunc.parametrize("page", paths, ids=[path.relative_to(DOCS).as_posix() for path in paths])


@pytest.fixture(scope="session")
def docs():
    """docs/pages.py as a module."""
    if not (DOCS / "pages.py").exists():
        pytest.skip("the documentation is not beside the tests")
    return _load()


@pytest.fixture
def follow(docs, tmp_path, monkeypatch):
    """Write the files of how-to pages and make their folder the user's data."""

    def write(*names):
        for name in names:
            page = docs.DOCS / "howto" / name
            for block in docs.blocks(page.read_text(encoding="utf-8")):
                if block.file and "broken" not in block.file:
                    file = block.file.replace("sources.d/mine", f"sources.d/{page.stem}")  # each page has sources
                    docs.write_file(dataclasses.replace(block, file=file), tmp_path)
        monkeypatch.setenv("STEELYARD_DATA", str(tmp_path / "my-data"))
        monkeypatch.chdir(tmp_path)
        catalog.refresh()

    yield write
    monkeypatch.undo()
    catalog.refresh()
