"""What answers on a terminal are made of: sections, lists, tables."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator

from rich import box
from rich.console import Console, RenderableType
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


def printed(blocks: Iterable[RenderableType], *, width: int, colour: bool) -> str:
    """Return blocks as the text of a screen `width` columns wide, with colours only when asked."""
    screen = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
    with screen.capture() as captured:
        for block in blocks:
            screen.print(block)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"
