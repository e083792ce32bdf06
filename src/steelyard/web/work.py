"""What a task does, in its own process: ask one public function, tell how far it is, give back parts of the page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from steelyard import arch, device, inference
from steelyard.compare.jobs import TrainingJob, plan_training
from steelyard.compare.scenario import Scenario, StatedLengths
from steelyard.compare.serving.by_load import latency_by_load
from steelyard.compare.serving.plan import plan_serving
from steelyard.compare.serving.plan_result import ServingPlanQuestion
from steelyard.compare.serving.traffic_question import TrafficQuestion
from steelyard.decide import decide
from steelyard.errors import InputError, SteelyardError, unknown
from steelyard.inference import simulator
from steelyard.report import decision_figures, decision_html, latency_html, serving_plan, sheet_page, training_plan
from steelyard.report.figures_latency import latency_against_load
from steelyard.report.plot import Figure
from steelyard.report.sheet import Sheet
from steelyard.units import SECONDS_PER_DAY
from steelyard.web.controls import mean_lengths, peak_to_mean
from steelyard.web.question import question_of

Tell = Callable[[float, str], None]  # share done (0 to 1, or below 0 where nobody knows), words
LATENCY_REQUESTS, LATENCY_DRAWS = 4000, 6
COUNTS = (0.25, 0.5, 1.0, 2.0)  # of the devices stated


def run(kind: str, state: Any, options: Any, folder: str, sender: Connection) -> None:
    """Do a task and send what is said of it: ("running" | "done" | "failed", values)."""

    def tell(share: float, words: str) -> None:
        sender.send(("running", {"share": share, "words": words}))

    try:
        tell(-1.0, "starting")
        scenario = question_of(state, Path(folder)).scenario
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
    model, on, lengths = _served(scenario), _one(options, "device", _devices(scenario)), _lengths(scenario)
    tp = inference.least_devices(arch.load(model), device.load(on), weight_dtype=_serve(scenario)["weight_dtype"])
    question = TrafficQuestion(
        model=model,
        device=on,
        tp=max(tp, _count(options, "tp", 1, 64)),
        num_requests=LATENCY_REQUESTS,
        draws=LATENCY_DRAWS,
        objective=scenario.objective.to_objective(),
        **_serve(scenario),
        **lengths,
    )
    tell(-1.0, "preparing the simulator; it is compiled once after an installation")
    simulator.prepare()
    found = latency_by_load(question, progress=lambda done, of: tell(done / of, f"{done} of {of} levels of load"))
    return _parts(latency_html.latency(found), {"Latency against load": latency_against_load(found)})


def _plan_serving(scenario: Scenario, options: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    tell(-1.0, "bounding and simulating deployments")
    peak = peak_to_mean(scenario)
    asked = _serve(scenario)
    dtype = asked["weight_dtype"]
    question = ServingPlanQuestion(
        model=_served(scenario),
        devices=tuple(_devices(scenario)),
        max_devices=_count(options, "max_devices", 8, 1024),
        request_rate_per_s=scenario.demand.requests_per_day / SECONDS_PER_DAY * peak,
        peak_to_mean_ratio=peak,
        objective=scenario.objective.to_objective(),
        weight_dtypes=(dtype,) if dtype else (),
        kv_dtype=asked["kv_dtype"],
        **_lengths(scenario),
    )
    plan = plan_serving(question)
    return _of_sheet(serving_plan.sheet(plan))


def _plan_training(scenario: Scenario, options: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    job, num_devices = _job(scenario)
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


def _job(scenario: Scenario) -> tuple[TrainingJob, int]:
    """Return the training that the scenario states and its devices.

    Raises:
        InputError: It states none.
    """
    pretrain, finetune = scenario.routes.pretrain, scenario.routes.finetune
    if pretrain:
        job = TrainingJob(
            model_ref=_ref(scenario, pretrain.model),
            device_ref=pretrain.device,
            tokens=pretrain.tokens,
            seq_tokens=pretrain.seq_tokens,
            global_batch_tokens=pretrain.global_batch_tokens,
            as_of=scenario.as_of,
        )
        return job, pretrain.num_devices
    if finetune:
        job = TrainingJob(
            model_ref=_ref(scenario, finetune.model),
            device_ref=finetune.device,
            tokens=finetune.training_tokens,
            global_batch_tokens=32 * 4096.0,
            kind=finetune.method,
            as_of=scenario.as_of,
        )
        return job, finetune.num_devices
    raise InputError("this scenario trains nothing; state routes.pretrain or routes.finetune")


def _served(scenario: Scenario) -> str:
    serve = scenario.routes.serve
    return _ref(scenario, (serve.model if serve else None) or scenario.model)


def _ref(scenario: Scenario, model: str) -> str:
    path = scenario.base_dir / model
    return str(path) if path.exists() else model


def _devices(scenario: Scenario) -> list[str]:
    serve = scenario.routes.serve
    if serve is None:
        raise InputError("this scenario serves nothing itself; state routes.serve")
    return list(serve.devices)


def _serve(scenario: Scenario) -> dict[str, Any]:
    serve = scenario.routes.serve
    return {"weight_dtype": serve.weight_dtype if serve else None, "kv_dtype": serve.kv_dtype if serve else None}


def _lengths(scenario: Scenario) -> dict[str, Any]:
    """Return a preset's name, or the means of stated lengths for every request."""
    stated = scenario.demand.lengths
    if isinstance(stated, StatedLengths):
        isl, osl = mean_lengths(scenario)
        return {"isl_tokens": isl, "osl_tokens": osl}
    return {"load": str(stated) if isinstance(stated, str) else str(scenario.base_dir / stated.trace)}


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
