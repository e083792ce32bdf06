from __future__ import annotations

from steelyard.compare import compare
from steelyard.compare.kept import KEPT, Kept
from steelyard.compare.scenario_file import load_scenario, scenario_from


def test_the_one_asked_for_longest_ago_goes_first():
    kept = Kept(most=2)
    made = []

    def make(name: str) -> str:
        return kept.get(name, lambda: made.append(name) or name.upper())

    assert [make(name) for name in ("a", "b", "a", "c", "a", "b")] == ["A", "B", "A", "C", "A", "B"]
    assert made == ["a", "b", "c", "b"]


def test_what_is_kept_of_other_scenarios_changes_no_answer():
    """Every input that capacities, layouts and prices depend on is changed in between."""
    base = load_scenario().to_dict()
    base["draws"] = 50
    fresh = {}
    changes = {
        "base": {},
        "lengths": {"demand": {**base["demand"], "lengths": "long-context"}},
        "objective": {"objective": {}},
        "draws": {"draws": 60, "seed": 7},
        "dtype": {"routes": {**base["routes"], "serve": {**base["routes"]["serve"], "kv_dtype": "fp8"}}},
        "batch": {"routes": {**base["routes"], "pretrain": {**base["routes"]["pretrain"], "global_batch_tokens": 1e6}}},
    }
    scenarios = {name: scenario_from({**base, **change}) for name, change in changes.items()}
    for name, scenario in scenarios.items():
        KEPT.forget()
        fresh[name] = compare(scenario).to_dict()
    warm = {name: compare(scenario).to_dict() for name, scenario in scenarios.items()}
    warm["base"] = compare(scenarios["base"]).to_dict()
    assert warm == fresh
    assert len({str(answer) for answer in fresh.values()}) == len(fresh)
