"""What the site does beyond MkDocs: blocks titled by their file, notebooks as pages, plots that draw themselves."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

_FILE_FENCE = re.compile(r"^```(\w+) ([^\s{]+)$", re.MULTILINE)
_PLOTLY, _SCRIPT = "application/vnd.plotly.v1+json", "assets/plotly.min.js"
_PLOT = '<div id="{id}" role="img" aria-label="{label}"></div>\n<script>Plotly.newPlot("{id}", {drawn})</script>'


def on_files(files: Any, config: Any) -> Any:
    """Add a page for every notebook beside the notebook itself."""
    for notebook in [file for file in files if file.src_uri.endswith(".ipynb")]:
        page = notebook.src_uri.removesuffix(".ipynb") + ".md"
        text = "\n\n".join(_parts(json.loads(notebook.content_string), Path(notebook.src_uri).name))
        files.append(File.generated(config, page, content=text + "\n"))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a page whose blocks "```toml my-data/x.toml" are titled as MkDocs wants it."""
    return _FILE_FENCE.sub(r'```\1 title="\2"', markdown)


def on_post_build(config: Any) -> None:
    """Put Plotly's JavaScript, which the package carries, beside the pages that draw with it."""
    import plotly

    shutil.copy(Path(plotly.__file__).parent / "package_data" / "plotly.min.js", Path(config.site_dir) / _SCRIPT)


def _parts(notebook: dict[str, Any], name: str) -> Iterator[str]:
    cells = notebook["cells"]
    yield "".join(cells[0]["source"])
    yield f'[The notebook]({name}) behind this page.\n\n<script src="../{_SCRIPT}"></script>'
    for cell in cells[1:]:
        source = "".join(cell["source"])
        yield source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```"
        for number, output in enumerate(cell.get("outputs", ())):
            yield _output(output, f"{cell['id']}-{number}")


def _output(output: dict[str, Any], plot_id: str) -> str:
    data = output.get("data", {})
    if _PLOTLY in data:
        drawn = json.dumps(data[_PLOTLY]).replace("</", "<\\/")
        return _PLOT.format(id=plot_id, label=data["text/plain"].strip("<>"), drawn=drawn)
    if "text/html" in data:
        return f'<div class="answer">{"".join(data["text/html"])}</div>'
    return f"```text\n{''.join(output.get('text') or data['text/plain'])}\n```"
