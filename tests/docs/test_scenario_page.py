"""docs/reference/scenario.md describes every field of a scenario as the code reads it, and no other."""

import re
from typing import get_args

import pytest
import yaml
from pydantic import ValidationError

from steelyard.compare.scenario import LengthStats, Scenario
from steelyard.records.spec import Spec

LENGTH_KEYS = ("mean", "p50", "max")


def specs_in(annotation):
    """Return the Spec classes in a type, each with the path steps of the mappings around it."""
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return [((), annotation)]
    inner = [arg for arg in get_args(annotation) if not isinstance(arg, str)]
    step = ("NAME",) if getattr(annotation, "__origin__", None) is dict else ()
    return [((*step, *steps), spec) for arg in inner for steps, spec in specs_in(arg)]


def fields(cls=Scenario, path=()):
    """Yield the path, the class and the name of every field of a scenario."""
    for name, field in cls.model_fields.items():
        if field.exclude:
            continue
        here = (*path, field.alias or name)
        yield here, cls, name
        for steps, spec in specs_in(field.annotation):
            if spec is LengthStats:
                yield from (((*here, key), None, key) for key in LENGTH_KEYS if here[-1] == "isl")
            else:
                yield from fields(spec, (*here, *steps))


FIELDS = {".".join(path): (cls, name) for path, cls, name in fields()}
OF_CLASSES = {path: found for path, found in FIELDS.items() if found[0]}


@pytest.fixture(scope="module")
def rows(docs):
    text = (docs.DOCS / "reference" / "scenario.md").read_text(encoding="utf-8")
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line[1:-1].split("|")]
        if re.match(r"\| `[\w.]+` \|", line) and len(cells) == 5:
            found[cells[0].strip("`")] = dict(zip(("meaning", "allowed", "default", "example"), cells[1:], strict=True))
    return found


def problems(cls, key, value):
    """Return what validation says of one field."""
    try:
        cls.model_validate({key: value})
    except ValidationError as error:
        return [dict(found) for found in error.errors() if found["loc"][:1] == (key,) and found["type"] != "missing"]
    return []


def key_of(path):
    cls, name = FIELDS[path]
    return cls, cls.model_fields[name], cls.model_fields[name].alias or name


def test_there_are_fields_to_look_at():
    assert len(FIELDS) > 60
    assert {"demand.growth_per_month", "quality.scores.NAME.low", "prices.api.NAME.cached_input"} <= set(FIELDS)


def test_every_field_is_on_the_page_and_no_other(rows):
    assert set(rows) == set(FIELDS)


@pytest.mark.parametrize("path", OF_CLASSES)
def test_what_is_allowed_is_what_the_code_says(rows, path):
    cls, field, key = key_of(path)
    if specs_in(field.annotation) or key in ("growth_range", "devices", "lengths"):
        return  # a section, or a pair or mapping whose numbers stand elsewhere
    [refused, *_] = problems(cls, key, {"no": "such"}) or problems(cls, key, ["no", "such"])
    text = refused["ctx"]["expected"] if refused["type"] == "literal_error" else str(refused["ctx"]["error"])
    allowed = text.split("allowed: ")[-1].split(", for example")[0]
    documented = rows[path]["allowed"]
    assert documented == allowed or (documented, allowed) == ("text", "1 to 300 characters")


def test_allowed_device_prices_are_what_the_code_says(rows):
    [refused] = problems(*key_of("prices.devices")[::2], {"h100": {"spot": "a lot"}})
    assert f"allowed: {rows['prices.devices']['allowed']}," in str(refused["ctx"]["error"])


@pytest.mark.parametrize("path", OF_CLASSES)
def test_the_default_is_that_of_the_code(rows, path):
    _, field, _ = key_of(path)
    documented = rows[path]["default"]
    assert (documented == "required") == field.is_required()
    plain = field.get_default()
    if isinstance(plain, (int, float)):
        assert float(documented) == plain
    elif isinstance(plain, str):
        assert documented == plain
    elif isinstance(plain, tuple):
        assert documented == ", ".join(plain)


@pytest.mark.parametrize("path", OF_CLASSES)
def test_the_example_is_taken(rows, path):
    cls, field, key = key_of(path)
    example = rows[path]["example"].strip("`")
    if not example:
        assert specs_in(field.annotation), "only a section may lack an example"
        return
    assert not problems(cls, key, yaml.safe_load(example))
