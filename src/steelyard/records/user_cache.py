"""Where what can be made again is kept between runs."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache() -> Path:
    """Return this user's cache folder of steelyard, which need not exist (`XDG_CACHE_HOME`, else `~/.cache`)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "steelyard"
