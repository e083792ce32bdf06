"""The answer to a question as the page shows it: words, parts of HTML, plots, and where each control stands."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from steelyard import catalog
from steelyard.compare import compare
from steelyard.compare.result import Comparison
from steelyard.errors import InputError, unknown
from steelyard.report import html, text
from steelyard.report import render as report
from steelyard.report.explain import lines
from steelyard.report.figures import COLOURS, figures
from steelyard.report.figures_energy import energy_and_carbon
from steelyard.report.page import esc, listed, source_line, tree_list
from steelyard.web import controls
from steelyard.web.question import Question, key_of, question_of

KEPT = 24  # answers
FORMS = {"yaml": "yaml", "json": "json", "html": "html", "markdown": "md"}  # what can be downloaded, its ending


class Answers:
    """Comparisons by the state that they answer; the last ones are kept, so that trees and files cost nothing."""

    def __init__(self, folder: Path) -> None:
        """Take the folder for pasted models."""
        self.folder = folder
        self._known: OrderedDict[str, tuple[Question, Comparison]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, state: Any) -> tuple[Question, Comparison]:
        """Return a question with its comparison; one is computed at a time.

        Raises:
            SteelyardError: One line, as the command line would print it.
        """
        key = key_of(state)
        with self._lock:
            if key not in self._known:
                question = question_of(state, self.folder)
                self._known[key] = question, compare(question.scenario)
                while len(self._known) > KEPT:
                    self._known.popitem(last=False)
            self._known.move_to_end(key)
            return self._known[key]


def shown(question: Question, comparison: Comparison) -> dict[str, Any]:
    """Return what the page shows of an answer."""
    drawn = figures(comparison)
    energy = energy_and_carbon(comparison)
    return {
        "title": comparison.title,
        "outcome": comparison.outcome,
        "advice": comparison.advice,
        "break_even": comparison.break_even.sentence,
        "verdicts": [_verdict(factor.title, factor.id, factor.route_verdict) for factor in comparison.factors],
        "warnings": list(comparison.warnings),
        "html": {
            "pay": _joined(html.summaries(comparison)),
            "activities": _joined(html.activities(comparison)),
            "routes": _joined(html.routes(comparison)),
            "assumed": listed(comparison.assumptions),
            "left-out": listed(comparison.not_modelled),
            "sources": listed(source_line(name) for name in comparison.sources),
        },
        "legend": text.legend(),
        "figures": drawn | ({"energy": energy} if energy else {}),
        "controls": controls.values(question.scenario),
        "files": sorted(question.files),
    }


def _verdict(title: str, factor_id: str, verdict: Any) -> dict[str, str]:
    winner, _, share = text.winner(verdict).partition(" (")
    return {
        "factor": title,
        "id": factor_id,
        "winner": winner,
        "share": share.rstrip(")"),
        "route": verdict.winner,
        "colour": COLOURS.get(verdict.winner, ""),
        "criterion": verdict.criterion,
    }


def _joined(parts: Any) -> str:
    return "\n".join(parts)


def explained(comparison: Comparison, factor_id: str) -> dict[str, str]:
    """Return the tree of terms of a factor.

    Raises:
        InputError: No such factor.
    """
    known = {factor.id: factor for factor in comparison.factors}
    if factor_id not in known:
        raise InputError(unknown("factor", factor_id, known))
    factor = known[factor_id]
    return {"title": factor.title, "html": tree_list(factor.tree), "text": "\n".join(lines(factor.tree))}


def sourced(words: str) -> dict[str, str]:
    """Return what the catalogue knows of the sources that a term names ("id (date)", several with " + ")."""
    ids = [part.split(" (")[0].strip() for part in words.split(" + ")]
    known = [name for name in ids if name in catalog.sources()]
    parts = [_record(name) for name in known] or [f"<p>{esc(words)}</p><p>A formula or a statement, not a record.</p>"]
    return {"title": "Source" if len(parts) == 1 else "Sources", "html": "".join(parts)}


def _record(name: str) -> str:
    found = catalog.sources()[name]
    rows = [(key, getattr(found, key)) for key in found.__dataclass_fields__ if getattr(found, key)]
    cells = "".join(f"<dt>{esc(key)}</dt><dd>{_linked(str(value))}</dd>" for key, value in rows)
    return f'<dl class="source">{cells}</dl>'


def _linked(value: str) -> str:
    if not value.startswith(("https://", "http://")):
        return esc(value)
    return f'<a href="{esc(value)}" rel="noopener noreferrer" target="_blank">{esc(value)}</a>'


def file_of(question: Question, comparison: Comparison, form: str) -> tuple[str, str]:
    """Return the name and the content of a file to download.

    Raises:
        InputError: No such form.
    """
    if form in question.files:
        return form, question.files[form]
    if form not in FORMS:
        raise InputError(unknown("file", form, [*FORMS, *question.files]))
    made: Callable[[], str] = {"yaml": lambda: _yaml(question)}.get(form, lambda: report(comparison, form=form))
    return f"steelyard.{FORMS[form]}", made()


def _yaml(question: Question) -> str:
    beside = "".join(f"# It needs {name} beside it.\n" for name in question.files)
    head = f"# Run it with: steelyard compare steelyard.yaml\n# Values without a unit are in SI.\n{beside}"
    return head + yaml.safe_dump(question.scenario.to_dict(), sort_keys=False, allow_unicode=True, width=110)
