"""Reads a small YAML file of strangers safely: bounded, no aliases, no tags, every fault one line.

Accepted is the part of YAML that a scenario or a job needs: mappings with distinct keys, lists, plain and quoted
scalars. Anchors and aliases are refused altogether, so nothing can grow beyond its text. Plain scalars are
read as in YAML 1.2: only `true` and `false` are booleans; `1:30` and `2026-11-22` stay text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from steelyard.errors import InputError
from steelyard.records.spec import shown

MAX_BYTES = 1_000_000
MAX_NODES = 10_000
MAX_DEPTH = 20

_INT = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,4})?")
_SPECIAL = {"": None, "~": None, "null": None, "true": True, "false": False}
_NOT_FINITE = {".inf": float("inf"), "+.inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan")}


def read_yaml(path: Path) -> Any:
    """Return the document in a YAML file as dicts, lists and scalars; None when it is empty.

    Raises:
        InputError: The file cannot be read, is too large, or is not such YAML; names the line.
    """
    return read_yaml_text(_read_text(path), shown_as=str(path))


def read_yaml_stream(stream: BinaryIO, *, shown_as: str) -> Any:
    """Return the document in an open file, as `read_yaml`; `shown_as` names it in errors."""
    return read_yaml_text(_decoded(stream, shown_as), shown_as=shown_as)


def read_yaml_text(text: str, *, shown_as: str) -> Any:
    """Return the document in a text, as `read_yaml`; `shown_as` names it in errors."""
    try:
        return parse_yaml(text)
    except yaml.reader.ReaderError as error:
        problem = f"not text: character {error.character:#04x} at position {error.position}"
        raise InputError(f"{shown_as}: {problem}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark else ""
        raise InputError(f"{shown_as}: {where}{_in_words(error)}") from None


def _read_text(path: Path) -> str:
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a folder; give a YAML file")
        with path.open("rb") as file:
            return _decoded(file, str(path))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give a YAML file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise _unreadable(str(path), error) from None


def _decoded(stream: BinaryIO, shown_as: str) -> str:
    try:
        content = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: it was closed
        raise _unreadable(shown_as, error) from None
    if len(content) > MAX_BYTES:
        raise InputError(f"{shown_as}: larger than {MAX_BYTES:,} bytes; a few thousand are usual")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{shown_as}: not UTF-8 text (byte {error.start}); give a YAML file") from None


def _unreadable(shown_as: str, error: OSError | ValueError) -> InputError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return InputError(f"{shown_as}: cannot be read: {reason}")


def _in_words(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "not YAML"
    if isinstance(error, _Refused):
        return problem
    if r"'\t'" in problem:
        return "a tab; indent with spaces"
    context = f" ({error.context})" if error.context else ""
    return f"not valid YAML: {problem}{context}".replace("\n", " ")


def parse_yaml(text: str) -> Any:
    """Return the one document in `text`.

    Raises:
        yaml.MarkedYAMLError: It is not the YAML accepted here; with the line.

    Example:
        >>> parse_yaml("a: [1, 2.5, yes, 5%]")
        {'a': [1, 2.5, 'yes', '5%']}
    """
    document: Any = None
    found = False
    events = _bounded(yaml.parse(text, Loader=yaml.SafeLoader))
    for event in events:
        if isinstance(event, yaml.NodeEvent):
            if found:
                raise _refused("a second document; allowed: one", event)
            document, found = _node(event, events), True
    return document


class _Refused(yaml.MarkedYAMLError):
    """Valid YAML, but not taken here."""


def _refused(problem: str, event: yaml.Event) -> _Refused:
    mark: Any = event.start_mark  # of the C or of the Python parser: the stubs know two classes
    return _Refused(problem=problem, problem_mark=mark)


def _bounded(events: Iterator[yaml.Event]) -> Iterator[yaml.Event]:
    nodes = depth = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _refused("anchors and aliases (& and *) are not taken; write the value out", event)
        tag = getattr(event, "tag", None)
        if tag and tag != "!":
            raise _refused(f"the tag {tag[:40]!r} is not taken; write a plain value", event)
        if isinstance(event, yaml.NodeEvent):
            nodes += 1
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if nodes > MAX_NODES:
            raise _refused(f"more than {MAX_NODES:,} values; about a hundred are usual", event)
        if depth > MAX_DEPTH:
            raise _refused(f"nested deeper than {MAX_DEPTH} levels; six are usual", event)
        yield event


def _node(event: yaml.Event, events: Iterator[yaml.Event]) -> Any:
    if isinstance(event, yaml.SequenceStartEvent):
        items = []
        while not isinstance(item := next(events), yaml.SequenceEndEvent):
            items.append(_node(item, events))
        return items
    if isinstance(event, yaml.MappingStartEvent):
        mapping: dict[str, Any] = {}
        while not isinstance(key := next(events), yaml.MappingEndEvent):
            if not isinstance(key, yaml.ScalarEvent):
                raise _refused("a list or mapping where a field name belongs", key)
            if key.value in mapping:
                raise _refused(f"{shown(key.value)} stands here a second time; keep one", key)
            mapping[key.value] = _node(next(events), events)
        return mapping
    return _scalar(event)


def _scalar(event: Any) -> str | int | float | bool | None:
    text: str = event.value
    if not event.implicit[0]:  # quoted
        return text
    folded = text.lower()
    if folded in _SPECIAL:
        return _SPECIAL[folded]
    if folded in _NOT_FINITE:
        return _NOT_FINITE[folded]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if len(text) < 400 and _FLOAT.fullmatch(text) else text
