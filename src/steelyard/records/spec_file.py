"""From the document in a file to its validated parts; every fault is one line."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import ValidationError

from steelyard.errors import InputError
from steelyard.records.spec import Problem, Spec, shown

S = TypeVar("S", bound=Spec)


def validated(kind: type[S], data: Any, *, what: str, shown_as: str) -> S:
    """Return a document as a `kind`.

    Args:
        kind: The class of the document.
        data: What the file holds: dicts, lists and scalars.
        what: The kind in words ("scenario").
        shown_as: Name of the file in errors.

    Raises:
        InputError: One line: file, path of the field, what is wrong, what is allowed, the nearest valid name.
    """
    if data is None or data == {}:
        raise InputError(f"{shown_as}: empty; allowed: {', '.join(kind.keys())}")
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        problems = [_problem(dict(found), what) for found in error.errors(include_url=False)]
        raise first_problem(problems, shown_as) from None


def first_problem(problems: list[Problem], shown_as: str) -> InputError:
    """Return the error that tells the first of the problems and how many more there are."""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    first = problems[0]
    where = f"{path_text(first.path)}: " if first.path else ""
    return InputError(f"{shown_as}: {where}{first.text}{more}")


def path_text(path: tuple[str | int, ...]) -> str:
    """Return a field's path as people write it.

    Example:
        >>> path_text(("routes", "serve", "devices", 0))
        'routes.serve.devices[0]'
    """
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            name = step if step.isprintable() and len(step) <= 60 else shown(step)
            text += f".{name}" if text else name
    return text


def _problem(found: dict[str, Any], what: str) -> Problem:
    """Return a validation error in plain words."""
    context = found.get("ctx", {})
    # "<preset>" and its like name the form of a union, not a field
    path = tuple(step for step in found["loc"] if not str(step).startswith("<"))
    value = shown(found["input"])
    match found["type"]:
        case "at_key":
            return Problem((*path, context["key"]), context["problem"])
        case "value_error":
            text = str(context["error"])
        case "missing":
            text = f"is missing; every {what} needs it" if len(path) == 1 else "is missing"
        case "literal_error":
            text = f"{value} is not known; allowed: {context['expected']}"
        case "dict_type":
            text = f"{value} stands where names with values belong"
        case "tuple_type" | "too_short" | "too_long" | "missing_positional_only_argument":
            text = f"{value} is not a pair; allowed: [low, high], for example [0%, 10%]"
        case _:
            text = f"{value} is not allowed here"
    return Problem(path, text)
