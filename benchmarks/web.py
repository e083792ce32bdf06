"""The page in a real browser: first view, and the time from a slider's move to the new numbers on the screen.

Run it with `.venv/bin/python benchmarks/web.py [moves]`; it needs Playwright and a Chromium that is installed (CHROMIUM
names it). Every preset is opened; three sliders are moved on by keyboard.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from typing import Any

from playwright.sync_api import sync_playwright

SLIDERS = ("load", "growth", "api_output")
IDLE = "#results[aria-busy=false]"
# from the key to the first frame after the answer is on the page
WATCH = """() => {
  const results = document.querySelector("#results");
  window.seen = new Promise((done) => {
    let begun;
    addEventListener("keydown", () => { begun = performance.now(); }, { capture: true, once: true });
    const watcher = new MutationObserver(() => {
      if (begun === undefined || results.getAttribute("aria-busy") === "true") return;
      watcher.disconnect();
      requestAnimationFrame(() => done(performance.now() - begun));
    });
    watcher.observe(results, { attributes: true, attributeFilter: ["aria-busy"] });
  });
}"""


def main() -> None:
    moves = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("no Chromium found; name one in CHROMIUM")
    server = subprocess.Popen(
        [sys.executable, "-m", "steelyard", "web", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+/", server.stdout.readline())
        assert found, "the page did not start"
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            measure(browser.new_page(viewport={"width": 1400, "height": 900}), found[0], moves)
            browser.close()
    finally:
        server.terminate()
        server.wait(10)


def measure(page: Any, url: str, moves: int) -> None:
    begun = time.perf_counter()
    page.goto(url)
    page.locator(IDLE).wait_for()
    print(f"first view {time.perf_counter() - begun:.2f} s, server just started")
    everything = []
    for preset in page.locator("#preset option").evaluate_all("all => all.map((one) => one.value)"):
        page.select_option("#preset", preset)
        page.locator(IDLE).wait_for()
        spent = [ms for slider in SLIDERS for ms in moved(page, slider, moves)]
        everything += spent
        print(
            f"{preset:24} median {statistics.median(spent):5.0f} ms, most {max(spent):5.0f} ms over {len(spent)} moves"
        )
    print(f"all: median {statistics.median(everything):.0f} ms over {len(everything)} moves")


def moved(page: Any, slider: str, moves: int) -> list[float]:
    control = page.locator(f"#control-{slider}")
    if not control.count() or not control.is_enabled():
        return []
    page.evaluate("all => document.querySelectorAll('#controls details').forEach((one) => { one.open = true; })")
    control.focus()
    spent = []
    for _ in range(moves):
        page.evaluate(WATCH)
        control.press("ArrowRight")  # a new question each time
        spent.append(page.evaluate("window.seen"))
    return spent


if __name__ == "__main__":
    main()
