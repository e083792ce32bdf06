"""A result that a program or a notebook works with: as it is, as plain values, as a table, as plots, as a page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from steelyard.errors import InputError, unknown
from steelyard.report.plot import Figure

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects

T = TypeVar("T")
FORMS = {".json": "json", ".md": "markdown", ".html": "html", ".txt": None}


class Answer(Generic[T]):
    """A result with what the command line does with it; every attribute of the result is one of the answer too.

    Args:
        result: What was computed.
        render: Form (None for text, "json", "markdown", "html") -> that form.
        fragment: The answer as HTML for a notebook.
        plots: Heading -> what Plotly draws.
        rows: The main table as plain values in SI, one mapping a row.
    """

    def __init__(
        self,
        result: T,
        *,
        render: Callable[[str | None], str],
        fragment: Callable[[], Iterable[str]],
        plots: Callable[[], Mapping[str, Figure]],
        rows: Callable[[], Sequence[Mapping[str, Any]]],
    ) -> None:
        self.result = result
        self._render, self._fragment, self._plots, self._rows = render, fragment, plots, rows

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # asked by copy, pickle and notebooks before there is a result
            raise AttributeError(name)
        return getattr(self.result, name)

    def __str__(self) -> str:
        return self._render(None)

    def __repr__(self) -> str:
        return f"<Answer: {str(self).splitlines()[0]}>"

    def _repr_html_(self) -> str:
        return "\n".join(self._fragment())

    def to_dict(self) -> dict[str, Any]:
        """Return the document that `--json` prints: schema, inputs, result, breakdown, sources, warnings, version."""
        found: dict[str, Any] = json.loads(self._render("json"))
        return found

    def to_pandas(self) -> pd.DataFrame:
        """Return the main table, in SI; nested values become columns `outer.inner`.

        Raises:
            InputError: pandas is not installed.
        """
        try:
            from pandas import json_normalize
        except ImportError:
            raise InputError("to_pandas needs pandas: pip install pandas") from None
        return json_normalize([dict(row) for row in self._rows()])

    @property
    def plots(self) -> tuple[str, ...]:
        """The headings of the plots that there are."""
        return tuple(self._plots())

    def figure(self, name: str | None = None) -> plotly.graph_objects.Figure:
        """Return a plot: the first, or the one with this heading.

        Raises:
            InputError: There is none of that name.
        """
        from plotly.graph_objects import Figure as Drawn

        found = dict(self._plots())
        if not found:
            raise InputError("this answer has nothing to plot")
        heading = next(iter(found)) if name is None else name
        if heading not in found:
            raise InputError(unknown("plot", heading, found))
        return Drawn(found[heading])

    def save(self, path: str | Path) -> None:
        """Write the answer to a file: text, JSON, Markdown or a page, by the end of its name.

        Raises:
            InputError: Another ending.
        """
        ending = Path(path).suffix.lower()
        if ending not in FORMS:
            raise InputError(f"{path}: give a name that ends in {', '.join(FORMS)}")
        Path(path).write_text(self._render(FORMS[ending]), encoding="utf-8")
