"""The notebooks as something that runs: their cells in order, without Jupyter, and what comes out.

`python docs/pages.py` writes the outputs; `tests/docs` fails when a text among them is out of date. A figure is kept as
Plotly's JSON, which JupyterLab draws, beside a line of text for those who cannot see it.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "notebooks"
PLOTLY, HTML, TEXT = "application/vnd.plotly.v1+json", "text/html", "text/plain"
Cell = dict[str, Any]


def notebooks() -> list[Path]:
    """Return every notebook of the documentation."""
    return sorted(FOLDER.glob("*.ipynb"))


def executed(text: str, folder: Path) -> dict[str, Any]:
    """Return a notebook with the outputs that come out when its cells run in `folder`, from top to bottom."""
    found: dict[str, Any] = json.loads(text)
    namespace: dict[str, Any] = {"__name__": "__notebook__"}
    code = [cell for cell in found["cells"] if cell["cell_type"] == "code"]
    with contextlib.chdir(folder):
        for number, cell in enumerate(code, start=1):
            cell |= {"execution_count": number, "outputs": list(_outputs(cell, number, namespace))}
    return found


def _outputs(cell: Cell, number: int, namespace: dict[str, Any]) -> Iterator[Cell]:
    tree = ast.parse("".join(cell["source"]))
    last = ast.Expression(tree.body.pop().value) if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, f"<cell {number}>", "exec"), namespace)  # noqa: S102 - our own notebooks
        value = None if last is None else eval(compile(last, f"<cell {number}>", "eval"), namespace)  # noqa: S307
    if printed.getvalue():
        yield {"output_type": "stream", "name": "stdout", "text": printed.getvalue().splitlines(keepends=True)}
    if value is not None:
        yield {"output_type": "execute_result", "execution_count": number, "metadata": {}, "data": _shown(value)}


def _shown(value: Any) -> dict[str, Any]:
    """Return the forms in which a notebook shows a value."""
    if hasattr(value, "to_plotly_json"):
        drawn = json.loads(value.to_json())
        drawn["layout"].pop("template", None)  # the default look, which whoever draws it has
        parts = dict.fromkeys(one.get("name") or one["type"] for one in drawn["data"])
        return {PLOTLY: drawn, TEXT: f"<figure: {', '.join(parts)}>"}
    forms = {TEXT: repr(value)}
    if hasattr(value, "_repr_html_"):
        forms[HTML] = value._repr_html_().splitlines(keepends=True)
    return forms


def texts(notebook: dict[str, Any]) -> list[list[str]]:
    """Return what each code cell prints and shows as text."""
    return [
        ["".join(one.get("text") or one["data"][TEXT]) for one in cell["outputs"]]
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]


def written(notebook: dict[str, Any]) -> str:
    """Return the file of a notebook, alike on every run."""
    return json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def main() -> None:
    """Write the outputs into every notebook."""
    for path in notebooks():
        path.write_text(written(executed(path.read_text(encoding="utf-8"), path.parent)), encoding="utf-8")
