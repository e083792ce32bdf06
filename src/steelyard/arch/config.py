"""Reading a `config.json` of unknown origin: bounded, and one clear line when it is not one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from steelyard.errors import InputError

MAX_CONFIG_BYTES = 8 * 2**20
"""Real configurations reach 3 MB (lists of quantised layers); more is another file by mistake."""


_CACHE_KEYS = frozenset(("kv_cache_quant_algo", "kv_cache_scheme"))


def read_config(path: str | Path) -> dict[str, Any]:
    """Return the configuration in a `config.json`, or in the folder that holds one.

    A `hf_quant_config.json` beside it is added as `quantization_config`, or completes it.

    Raises:
        InputError: No such file, too large, not JSON, or not an object; the message names the file.
    """
    path = Path(path).expanduser()
    if _probe(path, Path.is_dir):
        path = path / "config.json"
    config = _read_object(path)
    if path.name.endswith("config.json"):
        beside = path.with_name(path.name.removesuffix("config.json") + "hf_quant_config.json")
        own = config.get("quantization_config")
        complete = isinstance(own, dict) and bool(own) and not _CACHE_KEYS.isdisjoint(own)
        if not complete and _probe(beside, Path.is_file):
            _add_quantisation(config, _read_object(beside))
    return config


def _add_quantisation(config: dict[str, Any], beside: dict[str, Any]) -> None:
    """Add what `hf_quant_config.json` states: all of it, or the cache's format that `config.json` left out."""
    own, inner = config.get("quantization_config"), beside.get("quantization")
    if not own:
        config["quantization_config"] = beside
    elif isinstance(own, dict) and isinstance(inner, dict):
        own["kv_cache_quant_algo"] = inner.get("kv_cache_quant_algo")


def _probe(path: Path, check: Callable[[Path], bool]) -> bool:
    try:
        return check(path)
    except (OSError, ValueError):  # a name too long, or with a zero byte
        return False


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object whose keys are stated once, or with one value: which of two holds would be a guess."""
    found = dict(pairs)
    if len(found) < len(pairs):
        for key, value in pairs:
            if found[key] != value:
                raise ValueError(f"{key[:80]!r} is stated twice, with two values")
    return found


def _read_object(path: Path) -> dict[str, Any]:
    shown = str(path)[-200:]
    if not _probe(path, Path.is_file):
        raise InputError(f"{shown}: no such file; give a config.json or the folder that holds it")
    try:
        size = path.stat().st_size
        if size > MAX_CONFIG_BYTES:
            limit = f"at most {MAX_CONFIG_BYTES // 2**20} MiB"
            raise InputError(f"{shown}: {size / 2**20:,.0f} MiB is too large for a config.json ({limit})")
        text = path.read_bytes().decode("utf-8-sig")
        value = json.loads(text, object_pairs_hook=_once)
    except OSError as error:
        raise InputError(f"{shown}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError:
        raise InputError(f"{shown}: is not text; a config.json is JSON in UTF-8") from None
    except RecursionError:
        raise InputError(f"{shown}: is nested too deeply for a config.json") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InputError(f"{shown}: is not valid JSON ({error.msg} at {where}); is it cut off?") from None
    except ValueError as error:
        raise InputError(f"{shown}: is not valid JSON ({str(error)[:100]})") from None
    if not isinstance(value, dict):
        kind = "null" if value is None else f"a {type(value).__name__}"
        raise InputError(f"{shown}: holds {kind}, not an object with keys")
    return value
