"""Renders results: terminal, Markdown, JSON, HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steelyard.compare.result import Comparison


def render(
    comparison: Comparison,
    *,
    form: str | None = None,
    explain: str | None = None,
    width: int | None = None,
    colour: bool = False,
) -> str:
    """Return a comparison for the terminal, as "json", "markdown" or "html", or the tree of one factor.

    Raises:
        InputError: `explain` names no factor.
    """
    if explain is not None:
        from steelyard.report.explain import render as tree

        return tree(comparison, explain)
    if form == "json":
        from steelyard.report.json_document import comparison_document, dump

        return dump(comparison_document(comparison))
    if form == "markdown":
        from steelyard.report.markdown import render as markdown

        return markdown(comparison)
    if form == "html":
        from steelyard.report.html import render as html

        return html(comparison)
    from steelyard.report import terminal

    return terminal.render(comparison, width=width or terminal.WIDTH, colour=colour)
