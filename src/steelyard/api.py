"""The public API: each question a function, each answer with its table, plots and page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steelyard.compare import compare as _compare
from steelyard.compare.jobs import TrainingJob, TrainingPlan, TrainingPrediction
from steelyard.compare.jobs import plan_training as _plan_training
from steelyard.compare.jobs import predict_training as _predict_training
from steelyard.compare.jobs.layouts import parse_layout
from steelyard.compare.scenario_file import load_scenario
from steelyard.compare.serving.plan_result import ServingPlanQuestion
from steelyard.compare.serving.question import ServingQuestion
from steelyard.compare.serving.traffic_question import TrafficQuestion
from steelyard.errors import InputError, unknown
from steelyard.records.workload import Objective
from steelyard.report import render as render_comparison
from steelyard.report import sheet_page
from steelyard.report.answer import Answer
from steelyard.report.plot import Figure
from steelyard.report.sheet import Sheet

if TYPE_CHECKING:
    from steelyard.compare.claim import Claim
    from steelyard.compare.result import Comparison
    from steelyard.compare.scenario import Scenario
    from steelyard.compare.serving.plan_result import ServingPlan
    from steelyard.compare.serving.predict import ServingPrediction
    from steelyard.compare.serving.traffic_question import TrafficAnswer
    from steelyard.decide.lifetime import ModelPlan, ModelQuestion
    from steelyard.decide.result import Decision
    from steelyard.validation.result import Validation

__all__ = [
    "Answer", "Objective", "ServingPlanQuestion", "ServingQuestion", "TrafficQuestion", "TrainingJob", "claims",
    "compare", "decide", "load_scenario", "plan_model", "plan_serving", "plan_training", "predict_serving",
    "predict_training", "simulate_serving", "validate",
]  # fmt: skip


def compare(scenario: Scenario | str | Path | None = None) -> Answer[Comparison]:
    """Return inference weighed against training, and the routes against each other.

    Args:
        scenario: From `load_scenario`, a scenario file, or None for the built-in example.

    Raises:
        InputError: The scenario cannot be, or nothing in it can be priced.

    Example:
        >>> [route["route"] for route in compare().to_dict()["result"]["routes"]][:2]
        ['api', 'hosted_finetune']
    """
    found = _compare(_scenario(scenario))

    def fragment() -> Iterator[str]:
        from steelyard.report.html import summaries
        from steelyard.report.page import esc

        yield from (f"<p>{esc(words)}</p>" for words in (found.outcome, found.advice))
        yield from summaries(found)

    def plots() -> Mapping[str, Figure]:
        from steelyard.report.figures import figures
        from steelyard.report.html import PLOTS

        return {PLOTS.get(name, name): drawn for name, drawn in figures(found).items()}

    return Answer(
        found,
        render=lambda form: render_comparison(found, form=form),
        fragment=fragment,
        plots=plots,
        rows=lambda: found.to_dict()["routes"],
    )


def decide(
    scenario: Scenario | str | Path | None = None, *, as_of: date | None = None, seed: int = 0, draws: int = 1000
) -> Answer[Decision]:
    """Return what to do over the horizon of a scenario, from when, how sure it is, and what would change it.

    Raises:
        InputError: The scenario cannot be, or nothing in it can be priced.
    """
    from steelyard.decide import decide as weigh
    from steelyard.report import decision

    found = weigh(_scenario(scenario), as_of=as_of, seed=seed, draws=draws)

    def plots() -> Mapping[str, Figure]:
        from steelyard.report.decision_figures import figures
        from steelyard.report.decision_html import PLOTS

        return {PLOTS.get(name, name): drawn for name, drawn in figures(found).items()}

    def fragment() -> Iterator[str]:
        from steelyard.report.decision_html import routes
        from steelyard.report.page import esc

        yield from (f"<p>{esc(words)}</p>" for words in (found.outcome, found.advice))
        yield from routes(found)

    return Answer(
        found,
        render=lambda form: decision.render(found, form=form),
        fragment=fragment,
        plots=plots,
        rows=lambda: found.to_dict()["routes"],
    )


def predict_training(
    job: TrainingJob, layout: str | None = None, *, num_devices: int | None = None
) -> Answer[TrainingPrediction]:
    """Return what a training job takes: time, memory, money, energy, and the loss it reaches.

    Args:
        job: What is trained, on what, how it is paid.
        layout: "tp=8,pp=4,..."; the simplest on `num_devices` that is as fast as the fastest when None.
        num_devices: The least that hold the training when None.

    Raises:
        InputError: The layout breaks a rule, or none divides the job.

    Example:
        >>> found = predict_training(TrainingJob(model_ref="llama-3.1-8b", device_ref="h100", tokens=1e12), "dp=64")
        >>> found.fits
        True
    """
    from steelyard.report import training_prediction

    stated = None if layout is None else parse_layout(layout, num_devices, job.batch_sequences)
    found = _predict_training(job, stated, num_devices=num_devices)
    rows = [{"quantity": item.label} | item.to_dict() for item in found.quantities()]
    return _of_sheet(found, training_prediction, training_prediction.sheet(found), rows)


def plan_training(job: TrainingJob, counts: Sequence[int], **wishes: Any) -> Answer[TrainingPlan]:
    """Return the best layouts of a job over device counts, out of all that are valid.

    Args:
        job: What is trained, on what, how it is paid.
        counts: Device counts.
        **wishes: As `steelyard.compare.jobs.plan_training`: space, deadline_s, leave_bytes, compare_with, progress.

    Raises:
        DoesNotFitError: Nothing fits, or nothing ends within the deadline.
    """
    from steelyard.report import training_plan

    found = _plan_training(job, counts, **wishes)
    rows = [option.to_dict() for option in found.front]
    return _of_sheet(found, training_plan, training_plan.sheet(found), rows)


def predict_serving(question: ServingQuestion) -> Answer[ServingPrediction]:
    """Return what one deployment does under one load: TTFT, TPOT, throughput, memory, energy, rent per token.

    Raises:
        DoesNotFitError: It does not fit the devices.
    """
    from steelyard.compare.serving.predict import predict_serving as predict
    from steelyard.report import serving_prediction

    found = predict(question)
    rows = [{"quantity": item.label} | item.to_dict() for item in found.quantities()]
    return _of_sheet(found, serving_prediction, serving_prediction.sheet(found), rows)


def simulate_serving(question: TrafficQuestion) -> Answer[TrafficAnswer]:
    """Return what a fleet does under traffic, request by request: percentiles with ranges, energy, USD.

    Raises:
        DoesNotFitError: It does not fit the devices.
    """
    from steelyard.compare.serving.traffic import simulate_serving as simulate
    from steelyard.report import serving_traffic

    found = simulate(question)
    rows = [{"quantity": name} | spread.to_dict() for name, spread in found.ranges.items()]
    return _of_sheet(found, serving_traffic, serving_traffic.sheet(found), rows)


def plan_serving(question: ServingPlanQuestion) -> Answer[ServingPlan]:
    """Return the deployments that serve a demand within an objective, cheapest first.

    Raises:
        DoesNotFitError: None keeps the objective; the message says by how much.
    """
    from steelyard.compare.serving.plan import plan_serving as plan
    from steelyard.report import serving_plan

    found = plan(question)
    return _of_sheet(
        found, serving_plan, serving_plan.sheet(found), [serving_plan.option_dict(one) for one in found.options]
    )


def plan_model(question: ModelQuestion) -> Answer[ModelPlan]:
    """Return which size of model reaches a loss for least money, its serving included.

    Raises:
        InputError: A loss that no size reaches.
    """
    from steelyard.decide.lifetime import plan_model as plan
    from steelyard.report import model_plan

    found = plan(question)
    return _of_sheet(found, model_plan, model_plan.sheet(found), found.to_dict().get("candidates", []))


def validate(kind: str, data: str | Path | None = None, *, refit: bool = True) -> Validation:
    """Return how far predictions miss measurements: "training", "inference" or "operators".

    Args:
        kind: Of measurement.
        data: A CSV file with the columns of the published one; the published one when None.
        refit: Published rows with every family of sources left out of the fit in turn (minutes), else as calibrated.

    Raises:
        InputError: A kind that there is not, or a file that cannot be read.
    """
    from importlib import import_module

    kinds = ("training", "inference", "operators")
    if kind not in kinds:
        raise InputError(unknown("kind of measurement", kind, kinds))
    path = None if data is None else Path(data)
    found: Validation = import_module(f"steelyard.validation.{kind}").validate(path, refit=refit)
    return found


def claims() -> Sequence[Claim]:
    """Return the claims people repeat about inference and training, recomputed and judged."""
    from steelyard.compare.claims import claims as judged

    return judged()


def _scenario(scenario: Scenario | str | Path | None) -> Scenario:
    return load_scenario(scenario) if scenario is None or isinstance(scenario, (str, Path)) else scenario


def _of_sheet(found: Any, module: Any, sheet: Sheet, rows: Sequence[Mapping[str, Any]]) -> Answer[Any]:
    """Return an answer whose forms are those of its sheet; `module` has its `render`."""

    return Answer(
        found,
        render=lambda form: module.render(found, form=form),
        fragment=lambda: sheet_page.fragment(sheet),
        plots=lambda: sheet_page.plots(sheet),
        rows=lambda: rows,
    )
