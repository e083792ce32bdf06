"""Names of modules in checkpoints: which matrices of a model they stand for."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import lru_cache

_LAYER = re.compile(r"(?:^|\.)(?:layers|blocks|h)\.(\d+|\*|\.\*|\\d\+)(?!\w)")
ALL_LAYERS = -1

_WIDE = re.compile(
    r"norm|vision|visual|projector|patch_merge|img_|image|audio|e_score|mtp|eh_proj|shared_head|conv1d|"
    r"(?:^|\.)(?:router|gate|shared_expert_gate|shared_experts?\.gate)(?:\.weight)?\*?$|\bgate$|router|_bias$|sinks|attn_hc|ffn_hc"
)
_ENDS = ((re.compile(r"lm_head|(?:^|\.)(?:head|output)$"), "head"), (re.compile(r"embed|wte"), "embedding"))

_QKV = r"(?:^|[._])(?:q|k|v|qkv|query_key_value|c_attn|qkvg|g)_?(?:proj)?$|Wqkv|W_pack"
_RULES: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        r"index",
        (
            (r"wq|index_q|q_proj|q_b", "indexer.query"),
            (r"wk|weights|index_k|k_proj|kv|gate", "indexer.key"),
            (r"", "indexer."),
        ),
    ),
    (
        r"shared_expert|shared_mlp",
        (
            (r"down|w2|output_linear", "moe.shared.down"),
            (r"up|gate|w1|w3|input_linear", "moe.shared.up"),
            (r"", "moe.shared."),
        ),
    ),
    (
        r"experts",
        (
            (r"down|w2|output_linear", "moe.experts_down"),
            (r"up|gate|w1|w3|input_linear", "moe.experts_up"),
            (r"", "moe.experts_"),
        ),
    ),
    (r"latent_proj", ((r"fc1", "moe.latent_down"), (r"fc2", "moe.latent_up"))),
    (
        r"linear_attn",
        (
            (r"in_proj_qkvz|in_proj_qkv", "delta.query_key_value"),
            (r"in_proj_z", "delta.gate"),
            (r"in_proj_(?:ba|a|b)", "delta.decay"),
            (r"out_proj", "delta.output"),
            (r"", "delta."),
        ),
    ),
    (r"(?:mixer|mamba)\.in_proj", ((r"", "state_space.input"),)),
    (r"(?:mixer|mamba)\.out_proj", ((r"", "state_space.output"),)),
    (r"(?:^|\.)mamba", ((r"x_proj", "state_space.maps"), (r"dt_proj", "state_space.step"), (r"", "state_space."))),
    (
        r"attn|attention|mixer",
        (
            (r"compressor", "attention.compress"),
            (r"q_a|kv_a|wq_a|(?:^|\.)wkv", "attention.down"),
            (r"q_b|wq_b", "attention.query_up"),
            (r"kv_b", "attention.key_value_up"),
            (r"(?:wo|o)_a", "attention.output_group"),
            (r"(?:^|[._])(?:o|out|wo)(?:_b)?(?:_proj)?$|dense$|c_proj$|out_proj", "attention.output"),
            (_QKV, "attention.query_key_value"),
            (r"(?:attn|attention|mixer)\W*$", "attention."),
        ),
    ),
    (
        r"mlp|ffn|feed_forward|block_sparse_moe",
        (
            (r"down|w2|fc2|c_proj|4h_to_h", "mlp.down"),
            (r"up|gate|w1|w3|fc1|c_fc|h_to_4h", "mlp.up"),
            (r"(?:mlp|ffn|feed_forward|block_sparse_moe)\W*$", "mlp."),
        ),
    ),
)


def split(name: str) -> tuple[int, str]:
    """Return the layer that a name of a module lies in (or all of them), and the rest of it.

    Example:
        >>> split("model.layers.3.mlp.experts.up_proj")
        (3, 'mlp.experts.up_proj')
        >>> split("*.mlp.shared_expert.*"), split("lm_head")
        ((-1, '*.mlp.shared_expert.*'), (-1, 'lm_head'))
    """
    found = _LAYER.search(name)
    layer = int(found[1][:9]) if found and found[1].isdigit() else ALL_LAYERS
    rest = name[found.end() :].removeprefix(".") if found else name
    if found and not rest:
        rest = "*"
    return layer, rest


def without_expert(name: str) -> str:
    """Return the name of a module of one expert as that of all: lists name tens of thousands of them.

    Example:
        >>> without_expert("model.layers.3.mlp.experts.17.up_proj")
        'model.layers.3.mlp.experts.up_proj'
    """
    before, experts, rest = name.partition("experts.")
    number, _, module = rest.partition(".")
    return before + experts + module if number.isdigit() or number == "*" else name


@lru_cache(maxsize=4096)
def covered(rest: str, names: frozenset[str], beside: bool = False) -> frozenset[str] | None:
    """Return the matrices (of `names`) that a module stands for; None for a name that is not known.

    Args:
        rest: The name, without its layer.
        names: Names of the model's matrices.
        beside: Experts stand beside a dense block, which alone is called "mlp".
    """
    if not rest.strip("*.") or rest == "Linear":
        return names - {"head", "embedding"}
    for pattern, end in _ENDS:
        if pattern.search(rest):
            return names & {end}
    if _WIDE.search(rest):
        return frozenset()
    clean = rest.removesuffix(".weight").rstrip("*.")
    for place, modules in _RULES:
        if not re.search(place, clean):
            continue
        for module, start in modules:
            if re.search(module, clean):
                starts = (start, "moe.") if start == "mlp." and not beside else (start,)
                starts = (*starts, "indexer.") if start == "attention." else starts
                return frozenset(name for name in names if name.startswith(starts))
        return None
    return None


def layers_of(
    modules: Iterable[str], names: Collection[str], *, beside: bool, num_layers: int
) -> tuple[dict[str, set[int]], str | None]:
    """Return for each matrix the layers that a list of modules names, and the first name that is not known."""
    found: dict[str, set[int]] = {}
    known = frozenset(names)
    for layer, rest in {split(module) for module in {without_expert(module) for module in modules}}:
        if layer >= num_layers:
            continue  # a layer for multi-token prediction
        matrices = covered(rest, known, beside)
        if matrices is None:
            return found, rest
        for matrix in matrices:
            found.setdefault(matrix, set()).add(layer)
    return found, None
