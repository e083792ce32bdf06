"""What a task does, in its own process: ask one public function, tell how far it is, give back parts of the page."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from steelyard.compare.jobs import plan_training
from steelyard.compare.questions import serving_question, traffic_question, training_question
from steelyard.compare.scenario import Scenario
from steelyard.compare.serving.by_load import latency_by_load
from steelyard.compare.serving.plan import plan_serving
from steelyard.decide import decide
from steelyard.errors import InputError, SteelyardError, unknown
from steelyard.inference import simulator
from steelyard.report import decision_figures, decision_html, latency_html, serving_plan, sheet_page, training_plan
from steelyard.report.figures_latency import latency_against_load
from steelyard.report.plot import Figure
from steelyard.report.sheet import Sheet
from steelyard.web.question import question_of

Tell = Callable[[float, str], None]  # share done (0 to 1, or below 0 where nobody knows), words
LATENCY_REQUESTS, LATENCY_DRAWS = 4000, 6
MOST_TRACE_LINES = 100_000
COUNTS = (0.25, 0.5, 1.0, 2.0)  # of the devices stated


def run(kind: str, state: Any, options: Any, folder: str, sender: Connection) -> None:
    """Do a task and send what is said of it: ("running" | "done" | "failed", values)."""

    def tell(share: float, words: str) -> None:
        sender.send(("running", {"share": share, "words": words}))

    try:
        tell(-1.0, "starting")
        scenario = question_of(state, Path(folder)).scenario
        with contextlib.chdir(folder):  # what is written there goes when the server ends, even after a cancelled task
            result = WORK[kind](scenario, options if isinstance(options, Mapping) else {}, tell)
        sender.send(("done", result))
    except SteelyardError as error:
        sender.send(("failed", {"error": str(error)}))
    except Exception as error:  # noqa: BLE001 - the page tells it; the server goes on
        sender.send(("failed", {"error": f"internal error: {type(error).__name__}: {error}"}))


def check(kind: str) -> None:
    """Refuse a kind that there is not.

    Raises:
        InputError: Names the kinds.
    """
    if kind not in WORK:
        raise InputError(unknown("kind of task", kind, WORK))


def _latency(scenario: Scenario, options: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    """Simulate one replica of the served model at rising load."""
    on = _one(options, "device", _devices(scenario))
    with _trace(options) as trace:
        question = traffic_question(
            scenario,
            on,
            least_tp=_count(options, "tp", 1, 64),
            trace=trace,
            num_requests=None if trace else LATENCY_REQUESTS,
            draws=LATENCY_DRAWS,
        )
        tell(-1.0, "preparing the simulator; it is compiled once after an installation")
        simulator.prepare()
        found = latency_by_load(question, progress=lambda done, of: tell(done / of, f"{done} of {of} levels of load"))
    return _parts(latency_html.latency(found), {"Latency against load": latency_against_load(found)})


@contextlib.contextmanager
def _trace(options: Mapping[str, Any]) -> Iterator[str | None]:
    """Yield the name of a file that holds the trace given, in a folder of its own that this process then works in.

    The name is ours, whatever the user's file is called, and a message about the file tells nothing but that name.

    Raises:
        InputError: Not a text, or one of too many lines.
    """
    text = options.get("trace")
    if text is None:
        yield None
        return
    if not isinstance(text, str):
        raise InputError("trace: allowed: the text of a CSV or JSON lines file")
    if (lines := text.count("\n")) > MOST_TRACE_LINES:
        raise InputError(
            f"trace: {lines:,} lines; at most {MOST_TRACE_LINES:,} are simulated here; take a part of it, "
            "or use `steelyard simulate serve --load FILE`"
        )
    file = Path("trace.jsonl" if text.lstrip().startswith("{") else "trace.csv")
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, contextlib.chdir(folder):
        file.write_bytes(text.encode(errors="surrogatepass"))
        yield file.name


def _plan_serving(scenario: Scenario, options: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    tell(-1.0, "bounding and simulating deployments")
    question = serving_question(scenario, _count(options, "max_devices", 8, 1024))
    plan = plan_serving(question)
    return _of_sheet(serving_plan.sheet(plan))


def _plan_training(scenario: Scenario, options: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    job, num_devices = training_question(scenario)
    most = _count(options, "max_devices", num_devices * 2, 131_072)
    counts = sorted({max(1, round(num_devices * share)) for share in COUNTS} | {most})
    counts = [count for count in counts if count <= most]
    seen = 0

    def progress(count: int, place: int, layouts: int) -> None:
        nonlocal seen
        seen += layouts
        tell(place / len(counts), f"{seen:,} layouts; {count:,} devices ({place + 1} of {len(counts)})")

    plan = plan_training(job, counts, progress=progress)
    return _of_sheet(training_plan.sheet(plan))


def _of_sheet(sheet: Sheet) -> dict[str, Any]:
    return _parts(sheet_page.fragment(sheet), sheet_page.plots(sheet))


def _parts(lines: Iterable[str], figures: Mapping[str, Figure]) -> dict[str, Any]:
    return {"html": "\n".join(lines), "figures": dict(figures)}


def _devices(scenario: Scenario) -> list[str]:
    return list(serving_question(scenario).devices)


def _one(options: Mapping[str, Any], name: str, known: list[str]) -> str:
    value = options.get(name, known[0])
    if value not in known:
        raise InputError(unknown(name, str(value), known))
    return str(value)


def _count(options: Mapping[str, Any], name: str, default: int, most: int) -> int:
    value = options.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise InputError(f"{name}: allowed: a whole number from 1 to {most:,}")
    return value


def _decide(scenario: Scenario, _options: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    tell(-1.0, "weighing the routes month by month")
    decision = decide(scenario)
    drawn = decision_figures.figures(decision)
    html = "\n".join(decision_html.parts(decision))
    return {"html": html, "figures": {decision_html.PLOTS[name]: figure for name, figure in drawn.items()}}


WORK: Mapping[str, Callable[[Scenario, Mapping[str, Any], Tell], dict[str, Any]]] = {
    "decide": _decide,
    "latency": _latency,
    "plan-serving": _plan_serving,
    "plan-training": _plan_training,
}
