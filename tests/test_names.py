"""Every number in a record carries its unit in its name (docs/decisions/0002)."""

import ast
from pathlib import Path

import pytest

import steelyard

PACKAGE = Path(steelyard.__file__).parent
UNITS = (
    "_s", "_bytes", "_flop", "_w", "_j", "_usd", "_ratio", "_kgco2e", "_tokens", "_token", "_params", "_nats", "_elo",
    "_percentile", "_month", "_device", "_devices", "_request", "_requests", "_probability", "_m2", "_count",
)  # fmt: skip
PLAIN = {  # counts, shapes and parameters of formulas that have no unit, and results whose unit stands beside them
    "flop", "usd", "value", "low", "high", "min", "max", "p10", "p50", "p90", "probability", "count", "score", "floor",
    "m", "n", "k", "batch", "rows", "expanded_rows", "groups", "size", "tp", "pp", "vpp", "dp", "cp", "ep", "expert_tp",
    "micro_batch", "global_batch", "residual_ranks", "devices", "requests", "tokens", "params", "rd_multiplier",
    "users", "replicas", "engineers", "now", "ranks", "expert_ranks", "prompts", "admission_steps", "receive_steps",
    "hold_steps", "halvings", "load",
    "expanded", "has_matrix_units", "prompts_first", "splits_prompts", "eager_prompts", "eager_steps",  # 0 or 1
    "overlaps_steps",
    "reserves_answer", "whole_heads", "even_experts", "copies_cache", "narrow_cache", "static_batches",
    "cache_elements", "activation_elements", "max_sequences", "E", "A", "B", "alpha", "beta",
    "perplexity", "tokens_to_target", "learning_rate",
    "temperature", "top_p", "load_average", "measured",
}  # fmt: skip


def _float_fields():
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                for item in node.body:
                    if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                        text = ast.unparse(item.annotation)
                        if text in ("float", "Array", "float | None", "Draw"):
                            yield path.relative_to(PACKAGE), node.name, item.target.id


def test_float_fields_end_in_their_unit():
    fields = list(_float_fields())
    assert len(fields) > 50
    wrong = [
        f"{path}: {owner}.{name}"
        for path, owner, name in fields
        if name not in PLAIN and not name.endswith(UNITS) and "_per_" not in name
    ]
    if wrong:
        pytest.fail("no unit in the name: " + ", ".join(wrong))
