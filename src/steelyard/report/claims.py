"""Judged claims for the terminal, as Markdown and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Any

from steelyard.compare.claim import RULE, Claim, Number
from steelyard.report import text
from steelyard.report.json_document import document, dump
from steelyard.report.markdown import escape

WIDTH = 100


def render(claims: Sequence[Claim], *, form: str | None = None, width: int | None = None) -> str:
    """Return the claims for the terminal, or as "json" or "markdown"."""
    if form == "json":
        return dump(claims_document(claims))
    lines = _markdown(claims) if form == "markdown" else _plain(claims, min(width or WIDTH, WIDTH))
    return "\n".join(lines) + "\n"


def claims_document(claims: Sequence[Claim]) -> dict[str, Any]:
    """Return the document: `claims` is the list, `result` counts the verdicts."""
    return document(
        "steelyard/claims/1",
        inputs={"rule": RULE},
        result=dict(Counter(claim.verdict for claim in claims)),
        breakdown={claim.id: [number.to_dict() for number in claim.numbers] for claim in claims},
        sources=sorted({source for claim in claims for source in claim.sources}),
    ) | {"claims": [claim.to_dict() for claim in claims]}


def _plain(claims: Sequence[Claim], width: int) -> Iterator[str]:
    yield "What people say about inference and training, recomputed from the catalogue"
    for claim in claims:
        yield ""
        yield from wrap(f'{claim.verdict.upper()}: "{text.clean(claim.text)}"', width, subsequent_indent="  ")
        yield from _indented(claim.sentence, width)
        if claim.condition:
            yield from _indented(f"if: {claim.condition}", width)
        for number in claim.numbers:
            yield from _indented(f"- {_number(number)}", width)
        yield from _indented("sources: " + (", ".join(claim.sources) or "none"), width)
    yield ""
    yield from wrap(f"{_rule()}.", width)


def _indented(words: str, width: int) -> list[str]:
    return wrap(text.clean(words), width, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)


def _rule() -> str:
    return RULE[0].upper() + RULE[1:]


def _number(number: Number) -> str:
    low = number.value if number.low is None else number.low
    high = number.value if number.high is None else number.high
    return f"{number.label}: {text.joined(*text.span(low, number.value, high, number.unit))} [{number.basis}]"


def _markdown(claims: Sequence[Claim]) -> Iterator[str]:
    yield from ("# What people say about inference and training, recomputed", "", f"{escape(_rule())}.", "")
    yield "| Claim | Verdict | Why | Numbers | Sources |"
    yield "| --- | --- | --- | --- | --- |"
    for claim in claims:
        why = escape(claim.sentence) + (f"<br>If: {escape(claim.condition)}" if claim.condition else "")
        numbers = "<br>".join(escape(_number(number)) for number in claim.numbers)
        cells = (escape(claim.text), f"**{claim.verdict}**", why, numbers, escape(", ".join(claim.sources)))
        yield f"| {' | '.join(cells)} |"
