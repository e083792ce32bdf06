#!/usr/bin/env python3
"""Pictures of the documentation, as things look now: the page, a report and two answers on a terminal.

`python docs/screenshots.py` writes docs/images. It needs the `dev` extra and a Chromium that is installed already
(CHROMIUM names it, else the usual names); look at each picture before it is committed.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pypdfium2
from PIL import Image
from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.text import Text

from steelyard import api
from steelyard.report import decision, render

IMAGES = Path(__file__).parent / "images"
WIDE, PHONE = {"width": 1400, "height": 900}, {"width": 390, "height": 844}
COLUMNS = 118
GAP = 12  # between two sheets
# Of Rich's picture of a terminal: the frame and the text, without the fonts that it would fetch.
_FETCHED = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """Yield the browser that is installed."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    path = next(found for name in names if name and (found := shutil.which(name)))
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@contextlib.contextmanager
def served() -> Iterator[str]:
    """Yield the address of a running page."""
    command = [sys.executable, "-m", "steelyard", "web", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own
        assert process.stdout is not None
        yield process.stdout.readline().split()[4]
        process.terminate()


def take_page(browser: Any, address: str) -> None:
    """Take the page wide and on a phone, light and dark; on the phone from the answer on."""
    for size, view in (("wide", WIDE), ("phone", PHONE)):
        for scheme in ("light", "dark"):
            context = browser.new_context(viewport=view, color_scheme=scheme, reduced_motion="reduce")
            page = context.new_page()
            page.goto(address)
            page.locator("#results[aria-busy=false]").wait_for()
            if size == "phone":
                page.evaluate("document.documentElement.style.scrollPaddingTop = '4.5rem'; title.scrollIntoView()")
            page.wait_for_timeout(1000)
            page.screenshot(path=IMAGES / f"page-{size}-{scheme}.png")
            context.close()


def take_report(browser: Any, name: str, html: str) -> None:
    """Take the top of a report on a wide screen, and the first sheet of its print."""
    with tempfile.TemporaryDirectory() as folder:
        file, printed = Path(folder) / "report.html", Path(folder) / "report.pdf"
        file.write_text(html, encoding="utf-8")
        page = browser.new_page(viewport=WIDE | {"height": 1150}, color_scheme="light")
        page.goto(file.as_uri())
        page.locator(".plot .main-svg").first.wait_for()
        page.screenshot(path=IMAGES / f"{name}-wide.png")
        page.pdf(path=printed, format="A4", print_background=True)
        page.close()
        take_sheets(printed, IMAGES / f"{name}-print.png")


def take_sheets(printed: Path, picture: Path) -> None:
    """Take the first two sheets of a print, side by side."""
    with contextlib.closing(pypdfium2.PdfDocument(printed)) as document:
        sheets = [document[place].render(scale=1.15).to_pil() for place in range(2)]
    width, height = sheets[0].size
    beside = Image.new("RGB", (2 * width + GAP, height), "grey")
    for place, sheet in enumerate(sheets):
        beside.paste(sheet, (place * (width + GAP), 0))
    beside.save(picture, optimize=True)


def draw_terminal(name: str, title: str, answer: str, until: str) -> None:
    """Draw an answer as a terminal shows it, up to one of its headings."""
    shown = itertools.takewhile(lambda line: until not in line, answer.splitlines())
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi("\n".join(shown).rstrip()))
    picture = console.export_svg(title=title, unique_id=name)
    (IMAGES / f"{name}.svg").write_text(_FETCHED.sub("", picture), encoding="utf-8")


def main() -> None:
    """Take all pictures."""
    scenario = api.load_scenario()
    compared, decided = api.compare(scenario), api.decide(scenario)
    answer = render(compared, width=COLUMNS, colour=True)
    draw_terminal("terminal-compare", "steelyard compare", answer, "INFERENCE AGAINST TRAINING")
    answer = decision.render(decided, width=COLUMNS, colour=True)
    draw_terminal("terminal-decide", "steelyard decide", answer, "MONTH BY MONTH")
    with browser() as started:
        take_report(started, "report-compare", render(compared, form="html"))
        with served() as address:
            take_page(started, address)


if __name__ == "__main__":
    main()
