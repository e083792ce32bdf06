"""What the site does beyond MkDocs: the file that a code block stands for becomes the block's title."""

from __future__ import annotations

import re
from typing import Any

_FILE_FENCE = re.compile(r"^```(\w+) ([^\s{]+)$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a page whose blocks "```toml my-data/x.toml" are titled as MkDocs wants it."""
    return _FILE_FENCE.sub(r'```\1 title="\2"', markdown)
