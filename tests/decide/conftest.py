"""Scenarios to decide on: the built-in example with few draws and whatever a test changes."""

import copy
from importlib import resources

import pytest
import yaml

from changed import change
from steelyard.compare.scenario import Scenario
from steelyard.decide import decide

_EXAMPLE = yaml.safe_load(resources.files("steelyard.compare").joinpath("example.yaml").read_text(encoding="utf-8"))
DRAWS = 80


def scenario(**changes):
    """Return the example without pretraining, on one device; a change is named by its path, as demand__growth."""
    data = copy.deepcopy(_EXAMPLE)
    data["routes"].pop("pretrain")
    data["routes"]["serve"] |= {"devices": ["h100-sxm5-80gb"], "max_devices_per_replica": 1}
    change(data, changes)
    return Scenario.model_validate(data)


@pytest.fixture(scope="session")
def decided():
    """Decide on the example with changes; the same changes are decided once."""
    known = {}

    def run(**changes):
        key = repr(sorted(changes.items()))
        if key not in known:
            known[key] = decide(scenario(**changes), draws=DRAWS)
        return known[key]

    return run
