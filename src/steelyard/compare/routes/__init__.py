"""The routes to an answer, one file each; a new route is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from steelyard.compare.case import Case
from steelyard.compare.routes import api, finetune, hosted_finetune, hybrid, pretrain, serve
from steelyard.compare.routes.outcome import Outcome, Unpriced

EVALUATE: Mapping[str, Callable[[Case], list[Outcome | Unpriced]]] = {
    "api": api.evaluate,
    "hosted_finetune": hosted_finetune.evaluate,
    "serve": serve.evaluate,
    "hybrid": hybrid.evaluate,
    "finetune": finetune.evaluate,
    "pretrain": pretrain.evaluate,
}
