"""The routes to an answer, one file each; a new route is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from steelyard.compare.case import Case
from steelyard.compare.routes import api, finetune, hosted_finetune, hybrid, pretrain, serve
from steelyard.compare.routes.limits import limited
from steelyard.compare.routes.outcome import Outcome, Unpriced

Evaluate = Callable[[Case], list[Outcome | Unpriced]]

_ROUTES: Mapping[str, Evaluate] = {
    "api": api.evaluate,
    "hosted_finetune": hosted_finetune.evaluate,
    "serve": serve.evaluate,
    "hybrid": hybrid.evaluate,
    "finetune": finetune.evaluate,
    "pretrain": pretrain.evaluate,
}


def _within_limits(evaluate: Evaluate, case: Case) -> list[Outcome | Unpriced]:
    return [limited(case, found) if isinstance(found, Outcome) else found for found in evaluate(case)]


EVALUATE: Mapping[str, Evaluate] = {name: partial(_within_limits, route) for name, route in _ROUTES.items()}
