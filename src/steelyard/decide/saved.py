"""A decision that was saved as JSON is a question that can be asked again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from steelyard.compare.scenario import Scenario
from steelyard.compare.scenario_file import load_scenario, scenario_from
from steelyard.decide import decide as answer
from steelyard.decide.result import Decision
from steelyard.errors import InputError

SCHEMA = "steelyard/decide/1"
DRAWS = 1000
MAX_BYTES = 20_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A scenario, with the seed, draws and catalogue of the decision it was saved with, if it was."""

    scenario: Scenario
    seed: int = 0
    draws: int = DRAWS
    catalogue: str = ""

    def decide(self, *, as_of: date | None = None, seed: int | None = None, draws: int | None = None) -> Decision:
        """Return the decision; what is given here goes before what was saved."""
        return answer(
            self.scenario,
            as_of=as_of,
            seed=self.seed if seed is None else seed,
            draws=self.draws if draws is None else draws,
        )


def load_question(path: str | Path | None) -> Question:
    """Return the question in a scenario file or in a saved decision (by its ending `.json`).

    Raises:
        InputError: It cannot be read, or is not a decision; one line.
    """
    if path is not None and str(path) == "":
        raise InputError("the scenario has no name; give a YAML file, a saved decision, or nothing for the example")
    file = None if path is None else Path(path)
    if file is None or file.suffix.lower() != ".json":
        return Question(scenario=load_scenario(file))
    saved = _read(file)
    result = saved["result"]
    scenario = scenario_from(saved["inputs"], base_dir=file.parent, shown_as=str(file))
    return Question(
        scenario=scenario,
        seed=scenario.seed,
        draws=scenario.draws,
        catalogue=str(result.get("catalogue", "")) if isinstance(result, Mapping) else "",
    )


def recheck(question: Question, decision: Decision) -> tuple[str, ...]:
    """Return what to warn of when a saved decision was made from other figures."""
    if question.catalogue in ("", decision.catalogue):
        return ()
    return (
        f"the saved decision used catalogue {question.catalogue}, this one {decision.catalogue}: figures may differ",
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise InputError(
                f"{file}: larger than {MAX_BYTES // 1_000_000} MB; give what `steelyard decide --json` wrote"
            )
        saved = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror or error}") from None
    except ValueError:
        raise InputError(f"{file}: not JSON; give what `steelyard decide --json` wrote, or a YAML scenario") from None
    if not isinstance(saved, dict) or saved.get("schema") != SCHEMA or not {"inputs", "result"} <= saved.keys():
        raise InputError(f"{file}: not a saved decision ({SCHEMA}); give what `steelyard decide --json` wrote")
    return saved
