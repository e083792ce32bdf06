"""Scenarios to compare: the built-in example, with a few draws and whatever a test changes."""

import copy
from importlib import resources

import pytest
import yaml

from changed import change
from steelyard.compare.scenario import Scenario
from steelyard.compare.weigh import compare

_EXAMPLE = yaml.safe_load(resources.files("steelyard.compare").joinpath("example.yaml").read_text(encoding="utf-8"))


def example(**changes):
    """Return the example as a dict; a change is named by its path with double underscores: demand__requests_per_day."""
    data = copy.deepcopy(_EXAMPLE)
    data["draws"] = 60
    return change(data, changes)


@pytest.fixture(scope="session")
def weigh():
    """Compare the example with changes; the same changes are weighed once."""
    known = {}

    def run(**changes):
        key = repr(sorted(changes.items()))
        if key not in known:
            known[key] = compare(Scenario.model_validate(example(**changes)))
        return known[key]

    return run
