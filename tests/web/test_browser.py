"""The page in a real browser, as a person uses it: by keyboard, wide and on a phone, light and dark.

Needs a Chromium that is installed already (CHROMIUM names it, else the usual names) and Playwright; skips without. The
accessibility rules are those of axe-core, which `npm pack` fetches once into pytest's cache; that part skips without.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import chromium
from steelyard.cli.main import run
from steelyard.compare.scenario_file import example_path

pytestmark = pytest.mark.slow

AXE = "axe-core@4.14.1"
WAIT_MS = 45_000
SIZES = {"wide": (1400, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium.launched() as browser:
        yield browser


class Visit:
    """One open page: what it complained of and whom it asked."""

    def __init__(self, context: Any, url: str) -> None:
        self.page = context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(url)
        self.settled()

    def settled(self) -> None:
        self.page.locator("#results[aria-busy=false]").wait_for()

    def move(self, control: str, key: str, times: int) -> str:
        """Move a slider by keyboard, and return what it then says."""
        slider = self.page.locator(f"#control-{control}")
        group = slider.locator("xpath=ancestor::details")
        if group.get_attribute("open") is None:
            group.locator("summary").click()
        slider.focus()
        for _ in range(times):
            slider.press(key)
        self.settled()
        return slider.get_attribute("aria-valuetext")


@pytest.fixture
def visit(site, browser) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": 1400, "height": 900}, accept_downloads=True)
    visit = Visit(context, site.url)
    yield visit
    context.close()
    outside = [url for url in visit.asked if not url.startswith((site.url, "blob:", "data:"))]
    assert outside == [], "a request left this machine"
    assert visit.complaints == []


def cost_winner(page: Any) -> str:
    return page.locator("#verdicts li", has_text="Compute cost").locator(".who").inner_text()


def test_from_a_question_to_numbers_on_the_command_line(visit: Visit, tmp_path: Path, capsys: Any) -> None:
    page = visit.page
    page.select_option("#preset", "example")
    visit.settled()
    assert cost_winner(page) == "api"
    before = page.url
    visit.move("load", "PageUp", 4)
    visit.move("api_input", "PageUp", 4)
    assert visit.move("api_output", "PageUp", 3).endswith("USD")
    assert cost_winner(page) != "api", "dear tokens and a large load, and an API still wins"
    assert cost_winner(page) in page.locator("#advice").inner_text()
    page.wait_for_url("**/#*api_output*")
    after = page.url

    page.locator("#pay .why-button").first.click()  # a number, its terms, a source
    page.locator("#why[open]").wait_for()
    assert page.locator("#why-body .tree li").count() > 10
    assert page.locator("#why-body li.asked").count() == 1
    source = page.locator("#why-body .source-button:visible").first
    source.click()
    page.locator("#why-body .record").first.wait_for()
    page.keyboard.press("Escape")

    task = page.locator("[data-kind=plan-training]")  # a long search, cancelled
    task.locator("input").fill("65536")
    task.locator("button.primary").click()
    task.locator("button", has_text="Cancel").click()
    task.locator(".told", has_text="Cancelled").wait_for()

    state = {}
    for form in ("yaml", "json"):  # the scenario, run again
        page.locator("#share > summary").click()
        with page.expect_download() as download:
            page.locator(f"[data-file={form}]").click()
        state[form] = tmp_path / download.value.suggested_filename
        download.value.save_as(state[form])
    assert run(["compare", str(state["yaml"]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(state["json"].read_text(encoding="utf-8"))

    while page.url != before:  # back, to where it began, and forward
        page.go_back()
        page.wait_for_timeout(100)
    page.locator("#verdicts li", has_text="Compute cost").locator(".who", has_text="api").wait_for()
    while page.url != after:
        page.go_forward()
        page.wait_for_timeout(100)
    page.locator("#control-api_output:not([aria-valuetext='0.5 USD'])").wait_for()


def test_a_scenario_and_a_model_of_ones_own(visit: Visit, tmp_path: Path) -> None:
    page = visit.page
    mine = tmp_path / "mine.yaml"
    text = example_path().read_text(encoding="utf-8").replace("name: Internal", "name: <b>Our</b> internal")
    mine.write_text(text, encoding="utf-8")
    page.set_input_files("#scenario-file", mine)
    page.locator("#title", has_text="<b>Our</b> internal").wait_for()
    page.locator("#open-config").click()
    config = {"model_type": "llama", "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16}
    config |= {"num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128_256}
    page.locator("#paste-text").fill(json.dumps(config | {"max_position_embeddings": 131_072}))
    page.locator("#paste-form .primary").click()
    page.locator("#pay", has_text="my-model.json on 1x").wait_for()
    page.reload()  # the address alone carries all of it
    visit.settled()
    page.locator("#pay", has_text="my-model.json on 1x").wait_for()
    assert page.locator("#title").inner_text().startswith("<b>Our</b>")


def test_it_prints_light_and_comes_back_dark(visit: Visit, tmp_path: Path) -> None:
    pdfium = pytest.importorskip("pypdfium2")
    page = visit.page
    page.locator("#theme").click()  # dark
    page.pdf(path=tmp_path / "page.pdf", format="A4", print_background=True)
    with contextlib.closing(pdfium.PdfDocument(tmp_path / "page.pdf")) as document:
        for sheet in document:
            assert sheet.render(scale=0.3, grayscale=True).to_numpy().mean() > 190
        words = "".join(sheet.get_textpage().get_text_range() for sheet in document)
    assert "USD over the whole horizon" in words, "a plot that was not on the screen is not printed"
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_a_trace_of_ones_own_whatever_its_name(visit: Visit, tmp_path: Path) -> None:
    page = visit.page
    trace = tmp_path / "<img src=x onerror=console.log(1)>.csv"
    rows = "".join(f"{place * 0.4},{300 + place},{30 + place % 5}\n" for place in range(300))
    trace.write_text(f"arrival_s,isl,osl\n{rows}", encoding="utf-8")
    task = page.locator("[data-kind=latency]")
    page.set_input_files("#latency-trace", trace)
    task.locator("button.primary").click()
    task.locator(".told", has_text="Done in").wait_for()
    assert "trace.csv" in task.locator(".task-result").inner_text()
    assert task.locator(".task-result tbody tr").count() == 10
    trace.write_text("arrival_s,isl,osl\n3,10,10\n1,10,10\n", encoding="utf-8")
    page.set_input_files("#latency-trace", trace)
    task.locator("button.primary").click()
    task.locator(".told", has_text="line 3: its time is 2 s before").wait_for()
    trace.write_text("x" * 1_000_001, encoding="utf-8")
    page.set_input_files("#latency-trace", trace)
    task.locator("button.primary").click()
    task.locator(".told", has_text="at most 1,000,000 are taken here").wait_for()


def test_a_wrong_file_is_told_and_the_answer_stays(visit: Visit, tmp_path: Path) -> None:
    page = visit.page
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("name: [", encoding="utf-8")
    page.set_input_files("#scenario-file", wrong)
    page.locator("#error", has_text="not valid YAML").wait_for()
    assert "Go with" in page.locator("#advice").inner_text()
    visit.complaints.clear()  # the browser notes the refused request


@pytest.fixture(scope="module")
def axe(request: pytest.FixtureRequest) -> str:
    """Return axe-core's script."""
    cache = request.config.cache
    assert cache is not None
    folder = Path(cache.mkdir("axe-core"))
    script = folder / "package" / "axe.min.js"
    if not script.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("no npm to fetch axe-core with")
        done = subprocess.run([npm, "pack", AXE], cwd=folder, capture_output=True, check=False, timeout=120)
        archive = next(iter(folder.glob("axe-core-*.tgz")), None)
        if done.returncode or archive is None:
            pytest.skip("npm cannot fetch axe-core")
        with tarfile.open(archive) as content:
            content.extract("package/axe.min.js", folder, filter="data")
    return script.read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", list(SIZES))
def test_no_serious_accessibility_issue(site, browser, axe, size, scheme):
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, bypass_csp=True, reduced_motion="reduce"
    )
    page = Visit(context, site.url).page
    page.wait_for_timeout(500)
    page.evaluate("document.querySelectorAll('details.group').forEach((group) => { group.open = true; })")
    found = _violations(page, axe)
    page.locator("#verdicts button").nth(1).click()
    page.locator("#why[open]").wait_for()
    found += _violations(page, axe)
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    context.close()
    assert found == []
    assert overflow <= 0, "the page scrolls sideways"


def _violations(page: Any, axe: str) -> list[str]:
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{rule['impact']} {rule['id']}: {rule['help']} ({rule['nodes'][0]['html'][:120]}; {len(rule['nodes'])} places)"
        for rule in found["violations"]
        if rule["impact"] in {"serious", "critical"}
    ]
