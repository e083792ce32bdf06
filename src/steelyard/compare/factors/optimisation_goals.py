"""Optimisation goals: latency, throughput and energy of answers; convergence, perplexity and energy of training."""

from __future__ import annotations

import numpy as np

from steelyard.compare.draws import Draw
from steelyard.compare.result import Cell, FactorResult, Quantity
from steelyard.compare.routes.outcome import Outcome, median
from steelyard.compare.verdict import best_of
from steelyard.compare.view import View, loss, missing, quantity
from steelyard.records.term import Term, explain
from steelyard.units import format_quantity

PLACE = 7


def weigh(view: View) -> FactorResult:
    serving, run, case = view.inference, view.training, view.case
    served_j = serving.serving_energy_j.sum(axis=1, keepdims=True)
    tokens_out = case.requests.sum(axis=1, keepdims=True) * case.lengths.mean_osl_tokens
    latency = serving.latency
    answers = median(run.energy_j * case.requests.sum(axis=1, keepdims=True) / served_j)
    inference = Cell(
        quantities=(
            quantity("energy of serving over the horizon", served_j, "j", serving.energy_evidence),
            quantity("energy per output token", served_j / tokens_out, "j_per_token", serving.energy_evidence),
            quantity("TTFT", latency.ttft_s, "s", latency.evidence),
            quantity("TPOT", latency.tpot_s, "s", latency.evidence),
            quantity(
                "output tokens per USD",
                tokens_out / np.maximum(serving.serving_usd, 1e-12),
                "token_per_usd",
                "predicted",
            ),
        )
    )
    training = Cell(
        quantities=(
            quantity("energy of the run", run.energy_j, "j", "predicted"),
            quantity("energy per token trained", run.energy_j / run.job.tokens, "j_per_token", "predicted"),
            loss("convergence: loss at the last token", run),
            *(() if run.loss_nats is None else (quantity("perplexity", np.exp(run.loss_nats), "1", "predicted"),)),
            quantity("MFU", run.run.mfu_ratio, "ratio", "predicted"),
            missing("generalisation gap", "nat", "measured only; not predicted"),
            missing("downstream accuracy", "ratio", "measured or cited only; not predicted"),
        )
    )
    return FactorResult(
        id="optimisation_goals",
        title="Optimisation goals",
        activities={"inference": inference, "training": training},
        ratio=quantity("inference over training, energy", served_j / run.energy_j, "1", "predicted"),
        crossover=f"the run draws the energy of {format_quantity(answers, 'request')} answered this way",
        activity_verdict=best_of(
            {"inference": served_j, "training": run.energy_j}, criterion="less energy over the horizon"
        ),
        routes=view.route_cells(lambda outcome: _energy(view, outcome)),
        route_verdict=best_of(
            {name: _per_request(view, outcome) for name, outcome in view.running().items()},
            criterion="least energy per answer, training shared out",
        ),
        tree=_tree(view.explained),
    )


def _per_request(view: View, outcome: Outcome) -> Draw:
    result: Draw = outcome.energy_j / view.case.requests.sum(axis=1, keepdims=True)
    return result


def _energy(view: View, outcome: Outcome) -> tuple[Quantity, ...]:
    carbon = outcome.energy_j * view.grid_kgco2e_per_j
    answers = view.case.requests.sum(axis=1, keepdims=True)
    return (
        quantity("energy per answer", _per_request(view, outcome), "j_per_request", outcome.energy_evidence),
        quantity("energy over the horizon", outcome.energy_j, "j", outcome.energy_evidence),
        quantity("carbon over the horizon", carbon, "kgco2e", outcome.energy_evidence, "at your region's grid"),
        quantity("USD per answer", outcome.total_usd / answers, "usd_per_request", "predicted"),
    )


def _tree(view: View) -> Term:
    served = view.inference.serving_energy_j.sum(axis=1)
    return Term(
        label="inference over training, energy",
        value=median(served) / median(view.training.energy_j),
        unit="1",
        formula="facility energy of serving / facility energy of the run",
        children=(
            Term(
                label="serving",
                value=median(served),
                unit="j",
                formula="devices held x power at their busy share x time x PUE",
                children=(view.inference.capacity_tree(),) if view.inference.capacity_tree else (),
            ),
            Term(
                label="the run",
                value=median(view.training.energy_j),
                unit="j",
                formula="device time x power x PUE",
                children=(explain(view.training.run, "it_energy_j"),),
            ),
            Term(
                label="grid",
                value=median(view.grid_kgco2e_per_j),
                unit="kgco2e_per_j",
                source="grid table, by region",
            ),
        ),
    )
