"""What is installed and possible here, for people and as JSON."""

from __future__ import annotations

import dataclasses
from typing import Any

from steelyard.measure.health import Capability, Health
from steelyard.report import sheet as sheets
from steelyard.report.json_document import document
from steelyard.report.sheet import Bullets, Rows, Section, Sheet

SCHEMA = "steelyard/doctor/1"


def render(found: Health, *, form: str | None = None, width: int | None = None) -> str:
    """Return the findings as text, "json", "markdown" or "html"."""
    return sheets.render(sheet(found), form=form, document=lambda: _document(found), width=width)


def sheet(found: Health) -> Sheet:
    """Return what was found."""
    gpus = ", ".join(found.gpus) or "none that nvidia-smi tells of"
    return Sheet(
        title="steelyard doctor",
        asked=(f"Python {found.python} on {found.system}, {found.cores} cores; GPUs: {gpus}",),
        sections=(
            Section(heading="Wrong", parts=(Bullets(found.problems),)),
            Section(heading="Possible here", parts=(Rows([_capability(one) for one in found.capabilities]),)),
            Section(heading="Data", parts=(Rows([_age(one) for one in found.ages]), Bullets(_data(found)))),
            Section(
                heading="Installed",
                parts=(Rows([{"package": name, "version": number} for name, number in found.packages]),),
            ),
        ),
    )


def _capability(one: Capability) -> dict[str, str]:
    lacks = f"lacks {', '.join(one.missing)}" if one.missing else ""
    return {"what": one.name, "": "no" if one.missing else "yes", "why not": lacks, "next step": one.next_step}


def _age(one: Any) -> dict[str, str]:
    return {
        "prices": one.table.replace("_", " "),
        "rows": str(one.num_rows),
        "newest": one.newest.isoformat(),
        "days old": str(one.age_days),
    }


def _data(found: Health) -> list[str]:
    counts = ", ".join(f"{count} {level}s" for level, count in found.findings)
    lines = [f"catalogue: {counts} (steelyard catalog check)"]
    lines += [f"your own data: {folder}" for folder in found.own_folders]
    lines += [f"measured: {path}" for path in found.measured] or ["this machine: not measured (measure machine)"]
    return [*lines, f"kept between runs in {found.cache}"]


def _document(found: Health) -> dict[str, Any]:
    plain = dataclasses.asdict(found)
    plain["capabilities"] = [
        {"name": one.name, "possible": not one.missing, "missing": list(one.missing), "next_step": one.next_step}
        for one in found.capabilities
    ]
    plain["packages"] = dict(found.packages)
    plain["findings"] = dict(found.findings)
    plain["problems"] = list(found.problems)
    return document(SCHEMA, inputs={}, result=plain, breakdown={}, sources=())
