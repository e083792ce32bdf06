"""Generated pages: all sources with their licences, and the attributions owed.

`python -m steelyard.catalog.pages [FOLDER]` writes docs/reference/sources.md and NOTICE under the folder.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

from steelyard.catalog.check import holdings
from steelyard.catalog.files import data_files
from steelyard.catalog.load import load_sources
from steelyard.records.figure import Source

SHIPPED_ONLY = ""  # no folders of the user
_HEAD = """\
# Sources

Every figure of the catalogue cites one or more of these. `python -m steelyard.catalog.pages` writes this
page; do not edit it. "not stated" means that no licence was found where the source was read; single figures
are facts and are cited, no text is reproduced.
"""
_NOTICE_HEAD = """\
steelyard
Copyright the steelyard authors

Licensed under the Apache License, Version 2.0 (see LICENSE).

The catalogue (src/steelyard/catalog/data) has figures from the following works, which ask for attribution.
Figures were converted to common columns and units; the makers of these works do not endorse steelyard.
"""


def sources_page() -> str:
    """Return the Markdown page of all sources: what, who, when, licence, and the records that use each."""
    users = _users()
    lines = [_HEAD]
    lines.append("| id | source | publisher | kind | retrieved | licence | used by |")
    lines.append("|---|---|---|---|---|---|---|")
    for source in sorted(load_sources(SHIPPED_ONLY).values(), key=lambda item: item.id):
        title = _cell(source.title)
        cells = (
            f"`{source.id}`",
            _linked(title, source.url),
            _cell(source.publisher),
            source.kind,
            source.retrieved,
            _cell(source.licence) or "not stated",
            "; ".join(f"{kind}: {_some(names)}" for kind, names in sorted(users[source.id].items())) or "nothing yet",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def notice() -> str:
    """Return the NOTICE text: the works whose licence asks for attribution."""
    lines = [_NOTICE_HEAD]
    for source in sorted(load_sources(SHIPPED_ONLY).values(), key=lambda item: item.id):
        if owes_credit(source):
            where = f"\n  {source.url}" if source.url else ""
            terms = source.licence or source.note
            lines.append(f"- {source.title}\n  {source.publisher} ({terms}){where}")
    return "\n".join(lines) + "\n"


def owes_credit(source: Source) -> bool:
    """Tell whether a source's terms are of the Creative Commons Attribution family, or Open Data Commons'."""
    terms = f"{source.licence} {source.note}".upper().replace(" ", "-")
    return any(name in terms for name in ("CC-BY", "ODC-BY"))


def _linked(title: str, url: str) -> str:
    """Return a title that leads to its address; the name of a package (`pkg:`) stands beside it."""
    if not url:
        return title
    return f"{title} (`{url}`)" if url.startswith("pkg:") else f"[{title}]({url})"


def _users() -> dict[str, dict[str, list[str]]]:
    """Return, by source, the records that cite it, by kind."""
    tables = sorted(file.id for file in data_files("tables", ".csv", SHIPPED_ONLY))
    users: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for kind in ("accelerators", "models", "workloads", "calibration", *tables):
        for holding in holdings(kind, SHIPPED_ONLY):
            for name in holding.sources:
                users[name][holding.kind].append(holding.record)
    return users


def _some(names: list[str], limit: int = 5) -> str:
    shown = ", ".join(sorted(names)[:limit])
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main(folder: str = ".") -> None:
    """Write both files below `folder`, the root of the project."""
    page = Path(folder) / "docs" / "reference" / "sources.md"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(sources_page(), encoding="utf-8")
    (Path(folder) / "NOTICE").write_text(notice(), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:2])
