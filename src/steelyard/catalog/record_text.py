"""A user's own model record: its text and the file it belongs in."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from steelyard.catalog import build
from steelyard.catalog.files import ENVIRONMENT, DataFile, overlay, roots
from steelyard.catalog.load import load_models, load_sources
from steelyard.errors import InputError
from steelyard.records.model import ModelRecord

IMPORTED = "user-config"
"""Source of a record that was written from a `config.json`."""

_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


def user_model_file(name: str, *, replace: bool = False) -> Path:
    """Return the file of a model record in the user's data folder: the last folder of `STEELYARD_DATA`.

    Args:
        name: Id of the record.
        replace: A record of that name may stand there, or be shipped, already.

    Raises:
        InputError: The name cannot be an id, is taken, or there is no data folder; the message says what to do.
    """
    if not _ID.fullmatch(name):
        raise InputError(
            f"{name[:80]!r} cannot name a record; allowed: at most 100 lower-case letters, digits, and . _ - after the"
            " first"
        )
    own = [root for root, origin in roots(overlay()) if origin == "user"]
    if not own:
        raise InputError(f"{ENVIRONMENT} names no folder to save in; do `mkdir my-data; export {ENVIRONMENT}=my-data`")
    known = load_models(overlay())
    taken = known.names.get(name.casefold())
    if taken is not None and not replace:
        of = f"an alias of {taken!r}" if taken != name else f"a {known.origin(taken)} model"
        raise InputError(f"{name!r} is {of} already; give another name, or --replace")
    return own[-1] / "models" / f"{name}.toml"


def model_text(path: Path, config: Mapping[str, Any], *, name: str, as_of: date, note: str = "") -> str:
    """Return the text of a model record that reads back as this configuration.

    Args:
        path: The file it will be; its stem is the id.
        config: Keys of a `config.json`; null ones are left out (a record cannot hold them).
        name: Name for people.
        as_of: Day of the configuration.
        note: Remark for people.

    Raises:
        InputError: The configuration holds what a TOML file cannot.
    """
    import tomli_w

    head = {"id": path.stem, "name": name, "source": IMPORTED, "as_of": as_of, "basis": "published", "note": note}
    try:
        return tomli_w.dumps({**head, "config": _without_nulls(config)})
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{path.stem}: the configuration cannot be kept as a record ({str(error)[:100]})") from None


def parsed_model(path: Path, text: str) -> ModelRecord:
    """Return the record of a text, checked as the catalogue checks it when it reads the file."""
    return build.model(tomllib.loads(text), DataFile(path=path, origin="user"), load_sources(overlay()))


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        if None in value:
            raise ValueError("a list holds null")
        return [_without_nulls(item) for item in value]
    return value
