"""The documentation builds as a site: no warnings, every page in its navigation, nothing asked of other hosts."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec

import pytest

FETCHED = re.compile(r'<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)="((?:https?:)?//[^"]*)"')


@pytest.fixture(scope="module")
def site(docs, tmp_path_factory):
    """The folder of the built site."""
    root = docs.DOCS.parent
    if find_spec("material") is None or not (root / "mkdocs.yml").exists():
        pytest.skip("needs the extra docs, and mkdocs.yml beside the tests")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_built_and_is_in_the_navigation(docs, site):
    start = (site / "index.html").read_text(encoding="utf-8")
    notebooks = list((docs.DOCS / "notebooks").glob("*.ipynb"))
    assert notebooks
    for page in (*docs.pages(), *notebooks):
        name = page.relative_to(docs.DOCS).with_suffix(".html").as_posix()
        assert (site / name).exists(), name
        assert f'href="{name}"' in start, f"{name} is not in the navigation"


def test_no_page_fetches_from_another_host(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    fetched = {page.name: found for page in pages if (found := FETCHED.findall(page.read_text(encoding="utf-8")))}
    assert not fetched


def test_a_notebook_is_a_page_with_its_plots(site):
    page = (site / "notebooks" / "decide.html").read_text(encoding="utf-8")
    assert page.count("Plotly.newPlot(") == 2
    assert '<div class="answer">' in page
    assert (site / "assets" / "plotly.min.js").stat().st_size > 1e6
    assert (site / "notebooks" / "decide.ipynb").exists(), "to download"


def test_a_block_is_titled_by_its_file(site):
    page = (site / "howto" / "add-a-gpu.html").read_text(encoding="utf-8")
    assert '<span class="filename">my-data/accelerators/acme-x1.toml</span>' in page
    assert "```" not in page


def test_tables_are_tables(site):
    """A blank line within a table would leave its rows as text."""
    for page in site.rglob("*.html"):
        prose = re.sub(r"<pre.*?</pre>|<code.*?</code>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert not re.search(r"<p>\|", prose), page.name
