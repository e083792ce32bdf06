"""Time to value: from asking to an answer, against from deciding to a trained model; days to a route's first one."""

from __future__ import annotations

import numpy as np

from steelyard import catalog, inference
from steelyard.compare.result import Cell, FactorResult, Quantity
from steelyard.compare.routes.outcome import Outcome, median
from steelyard.compare.verdict import best_of
from steelyard.compare.view import View, quantity
from steelyard.records.term import Term, explain, figure_term
from steelyard.units import format_quantity

PLACE = 3


def weigh(view: View) -> FactorResult:
    latency, run, case = view.inference.latency, view.training, view.case
    found = [
        quantity("one answer, end to end", latency.e2e_s, "s", latency.evidence, latency.note),
        quantity("TTFT", latency.ttft_s, "s", latency.evidence),
        quantity("TPOT", latency.tpot_s, "s", latency.evidence),
    ]
    if view.inference.per_device is not None:
        start = inference.cold_start(view.inference.per_device.model).total_s
        found.append(quantity("start of a replica", start, "s", "cited", "weights on local storage"))
    found.append(quantity("from the decision to the first answer", view.inference.first_answer_s, "s", "assumed"))
    setup_s = case.assumed("setup_pretrain" if run.job.method == "full" else "setup_finetune")
    training = Cell(
        quantities=(
            quantity("the run", run.run.wall_s, "s", "predicted", run.description),
            quantity("one step", run.run.step.step_s, "s", "predicted"),
            quantity("goodput of the run", run.run.goodput_ratio, "ratio", "predicted"),
            quantity("from the decision to the model", setup_s + np.asarray(run.run.wall_s), "s", "assumed"),
        )
    )
    answers = median(run.run.wall_s / latency.e2e_s)
    return FactorResult(
        id="time_to_value",
        title="Time to value",
        activities={"inference": Cell(quantities=tuple(found)), "training": training},
        ratio=quantity("inference over training", latency.e2e_s / run.run.wall_s, "1", "predicted"),
        crossover=f"the run lasts as long as {format_quantity(answers, 'request')} answered one after the other",
        activity_verdict=best_of(
            {"inference": latency.e2e_s, "training": np.asarray(run.run.wall_s)},
            criterion="sooner first result",
        ),
        routes=view.route_cells(_times),
        route_verdict=best_of(
            {name: outcome.first_answer_s for name, outcome in view.running().items()},
            criterion="fewest days from the decision to the first useful answer",
        ),
        tree=_tree(view.explained),
    )


def _times(outcome: Outcome) -> tuple[Quantity, ...]:
    latency = outcome.latency
    return (
        quantity(
            "to the first useful answer",
            outcome.first_answer_s,
            "s",
            "predicted" if outcome.training.num_devices else "assumed",
        ),
        quantity("TTFT", latency.ttft_s, "s", latency.evidence, latency.note),
        quantity("TPOT", latency.tpot_s, "s", latency.evidence),
        quantity("one answer, end to end", latency.e2e_s, "s", latency.evidence),
    )


def _tree(view: View) -> Term:
    run = view.training
    setups = {name: figure for name, figure in catalog.calibration("compare").items() if name.startswith("setup_")}
    capacity = view.inference.capacity_tree
    return Term(
        label="inference over training, time to the first result",
        value=median(view.inference.latency.e2e_s / run.run.wall_s),
        unit="1",
        formula="end-to-end latency of one answer / wall time of the final run",
        children=(
            *((capacity(),) if capacity else ()),
            explain(run.run),
            Term(
                label="from the decision to the start, by route",
                value="",
                children=tuple(figure_term(name, figure) for name, figure in setups.items()),
            ),
        ),
    )
