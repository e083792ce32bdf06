"""Reports in a real browser: printed from a dark screen, and on a phone. Skips where no Chromium is installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import chromium
from steelyard.cli.main import run

pdfium = pytest.importorskip("pypdfium2")
pytestmark = pytest.mark.slow

Boxes = npt.NDArray[np.float64]

COMMANDS = {
    "comparison": ["compare"],
    "decision": ["decide"],
    "traffic": ["simulate", "serve", "--model", "llama-3.1-8b", "--on", "h100-sxm", "--requests", "4000"],
}
AXES = {
    "comparison": ("requests a month", "USD so far", "USD over the whole horizon", "p10 to p90"),
    "decision": ("USD ahead of the next route", "below 0 the choice changes", "requests a day in the first month"),
    "traffic": ("% within this time", "from the first request"),
}
A4_MM = (210, 297)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium.launched() as browser:
        yield browser


@pytest.fixture(scope="module", params=COMMANDS)
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    file = tmp_path_factory.mktemp("report") / f"{request.param}.html"
    assert run([*COMMANDS[request.param], "-o", str(file)]) == 0
    return request.param, file


def test_it_prints_whole_and_light(report: tuple[str, Path], browser: Any, tmp_path: Path) -> None:
    name, file = report
    context = browser.new_context(viewport={"width": 1500, "height": 900}, color_scheme="dark")
    page = context.new_page()
    page.goto(file.as_uri())
    page.locator(".plot .main-svg").first.wait_for()
    headings = page.locator("h2:visible").all_inner_texts()
    page.pdf(path=tmp_path / "report.pdf", format="A4", print_background=True)
    context.close()
    document = pdfium.PdfDocument(tmp_path / "report.pdf")
    assert 2 <= len(document) <= 12
    texts = [sheet.get_textpage().get_text_range() for sheet in document]
    for words in (*AXES[name], "Sources", "steelyard"):
        assert any(words in text for text in texts), words
    for text in texts:
        assert text.strip().splitlines()[-1] not in headings, "a heading stands alone at the foot of a page"
    for sheet in document:
        _check_sheet(sheet)
    document.close()


def _check_sheet(sheet: Any) -> None:
    """Nothing is cut at an edge, no two words lie on each other, the paper is white."""
    width, height = sheet.get_size()
    assert (width, height) == pytest.approx([side / 25.4 * 72 for side in A4_MM], rel=0.01)
    words = sheet.get_textpage()
    boxes = np.array([words.get_rect(place) for place in range(words.count_rects())])  # left, bottom, right, top
    assert (boxes[:, :2] > 10).all()
    assert (boxes[:, 2:] < np.array([width - 10, height - 10])).all()
    over = np.argwhere(np.triu(_overlap(boxes) > 0.5, k=1))
    assert [[words.get_text_bounded(*boxes[place]) for place in pair] for pair in over] == []
    assert sheet.render(scale=0.3, grayscale=True).to_numpy().mean() > 190


def _overlap(boxes: Boxes) -> Boxes:
    """Return the share of the smaller of each two boxes that the other covers [B, B]."""
    shared = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:]) - np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return np.prod(np.maximum(shared, 0.0), axis=2) / np.minimum(area[:, None], area[None, :]).clip(min=1e-9)


def test_a_phone_shows_all_of_it(report: tuple[str, Path], browser: Any) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(report[1].as_uri())
    page.locator(".plot .main-svg").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    cut = page.evaluate("""[...document.querySelectorAll('.plot text')].filter((words) => {
        const box = words.getBoundingClientRect();
        return box.width && (box.left < 0 || box.right > document.documentElement.clientWidth);
    }).map((words) => words.textContent)""")
    context.close()
    assert cut == []
