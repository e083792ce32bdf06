"""What answers on a terminal are made of: sections, lists, tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from steelyard.report import text


def section(heading: str, *bodies: RenderableType) -> Iterator[RenderableType]:
    """Yield a heading after an empty line, and what stands below it."""
    yield Text()
    yield Text(heading.upper(), style="bold cyan")
    yield from bodies


def bullets(lines: Iterable[str]) -> RenderableType:
    """Return lines as a list."""
    grid = Table.grid(padding=(0, 1))
    for line in lines:
        grid.add_row("-", Text(text.clean(line)))
    return grid


def empty_table(*headings: str) -> Table:
    """Return a table without rows."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for heading in headings:
        made.add_column(Text(heading), overflow="fold")
    return made
