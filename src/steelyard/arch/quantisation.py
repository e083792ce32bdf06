"""Which matrices a quantised checkpoint stores narrow, and in how many bytes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from steelyard.arch.dtypes import dtype_bytes
from steelyard.arch.formats import QUANTISED_GROUPS
from steelyard.arch.modules import ALL_LAYERS, layers_of, split
from steelyard.arch.parts import Linear, parts
from steelyard.arch.prediction import prediction_model
from steelyard.arch.schemes import METHODS, Scheme, gguf, mxfp4, of_algorithm, of_weights, refuse
from steelyard.arch.spec import Mlp, Model, Moe, Stored

_KV_ALGORITHMS = {"FP8": "fp8", "NVFP4": "nvfp4"}
_EVERYWHERE = ("mlx", "gguf")  # methods that store embeddings and head narrow too
_KEPT_KEYS = (
    "ignore",
    "modules_to_not_convert",
    "exclude_modules",
    "exclude",
    "ignored_layers",
    "llm_int8_skip_modules",
)


@dataclass(frozen=True, slots=True)
class Quantised:
    """What a checkpoint stores: the format of most weights, each narrow matrix, the cache it asks for."""

    weight_dtype: str
    stored: tuple[Stored, ...]
    prediction: tuple[Stored, ...] | None  # of multi-token-prediction layers; None: not told
    towers_wide: bool  # said to be left as they were
    kv_dtype: str | None


@dataclass(slots=True)
class _Plan:
    """A scheme for all matrices that can be narrow, except in some layers, and schemes for named ones."""

    base: Scheme | None
    everywhere: bool = False  # embeddings, head and routers are narrow too
    wide: dict[str, set[int]] = field(default_factory=dict)
    named: list[tuple[Scheme, dict[str, set[int]]]] = field(default_factory=list)

    def shares(self, linear: Linear, occurs: int) -> list[tuple[Scheme | None, float]]:
        """Return the schemes of a matrix with the share of its layers that each holds for (None: wide)."""
        of_named = [(scheme, _share(layers.get(linear.name), occurs)) for scheme, layers in self.named]
        of_named = [(scheme, share) for scheme, share in of_named if share]
        rest = max(1.0 - sum(share for _, share in of_named), 0.0)
        narrow = 0.0
        if self.base and (self.everywhere or linear.group in QUANTISED_GROUPS):
            narrow = rest * (1.0 - _share(self.wide.get(linear.name), occurs))
        return [*of_named, (self.base, narrow), (None, rest - narrow)]


def _share(layers: set[int] | None, occurs: int) -> float:
    if not layers:
        return 0.0
    return 1.0 if ALL_LAYERS in layers else min(len(layers) / occurs, 1.0)


def quantised(model: Model, config: Mapping[str, Any], where: str) -> Quantised:
    """Return how a checkpoint stores its matrices.

    Args:
        model: The model, unquantised.
        config: `quantization_config`, or the content of `hf_quant_config.json`.
        where: File or id, for messages.

    Raises:
        InputError: A method, an algorithm or the name of a module that is not known.
    """
    inner = config.get("quantization")
    if isinstance(inner, Mapping):  # hf_quant_config.json
        config = {"quant_method": "modelopt", **inner}
    matrices = list(_matrices(model))
    plan = _plan(model, config, frozenset(linear.name for linear, _ in matrices), where)
    stored, most = _stored(matrices, plan, model.base_dtype)
    _, kept = _kept(config, where)
    return Quantised(
        weight_dtype=most or model.base_dtype,
        stored=stored,
        prediction=_prediction(model, config, plan, kept),
        towers_wide=any(_TOWER.search(module) for module in kept),
        kv_dtype=_kv_dtype(config, where),
    )


def _stored(
    matrices: Sequence[tuple[Linear, int]], plan: _Plan, base_dtype: str
) -> tuple[tuple[Stored, ...], str | None]:
    """Return how each narrow matrix is stored, and the format of most narrow parameters."""
    occurs: Counter[str] = Counter()
    for linear, count in matrices:
        occurs[linear.name] += count
    wide_bytes = dtype_bytes(base_dtype)
    of_dtype: Counter[str] = Counter()
    sums: dict[str, list[float]] = {}  # name -> parameters, bytes
    narrow: dict[str, Counter[str]] = {}
    for linear, count in matrices:
        params = linear.params * linear.experts * count
        total = sums.setdefault(linear.name, [0.0, 0.0])
        total[0] += params
        for scheme, share in plan.shares(linear, occurs[linear.name]):
            total[1] += params * share * (scheme.param_bytes(linear) if scheme else wide_bytes)
            if scheme and share:
                of_dtype[scheme.dtype] += int(params * share)
                narrow.setdefault(linear.name, Counter())[scheme.dtype] += int(params * share)
    stored = tuple(
        Stored(name=name, dtype=dtypes.most_common(1)[0][0], param_bytes=sums[name][1] / sums[name][0])
        for name, dtypes in narrow.items()
    )
    return stored, of_dtype.most_common(1)[0][0] if of_dtype else None


_PREDICTION = re.compile(r"(?:^|\.)mtp(?:_block)?(?![a-z])[.*]*")
_TOWER = re.compile("vision|visual|audio|projector")


def _prediction(model: Model, config: Mapping[str, Any], plan: _Plan, kept: Sequence[str]) -> tuple[Stored, ...] | None:
    """Return how the prediction layers are stored, where a list names them or the method holds for all layers."""
    own = []
    for module in kept:
        found, (layer, rest) = _PREDICTION.search(module), split(module)
        if found:
            own.append(module[found.end() :] or "*")
        elif layer >= model.num_layers:
            own.append(f"layers.{layer - model.num_layers}.{rest}")
    if not model.prediction:
        return ()
    if not own and _method(config) != "fp8":
        return None
    one = prediction_model(model)
    matrices = list(parts(one).linears)
    names = frozenset(linear.name for linear, _ in matrices)
    everywhere = [
        (scheme, {name: found for name, found in of.items() if ALL_LAYERS in found}) for scheme, of in plan.named
    ]
    wide: dict[str, set[int]] = {}
    for module in own:  # one by one: names of matrices that stay wide anyway need not be known
        for name, layers in layers_of([module], names, beside=False, num_layers=one.num_layers)[0].items():
            wide.setdefault(name, set()).update(layers)
    return _stored(matrices, _Plan(plan.base, plan.everywhere, wide, everywhere), model.base_dtype)[0]


def _matrices(model: Model) -> Iterator[tuple[Linear, int]]:
    yield from parts(model).linears
    table = Linear(name="embedding", group="embedding", out=((model.vocab, 1),), into=((1, model.hidden),))
    yield table, 1
    if not model.tied_embeddings:
        yield replace(table, name="head", group="head"), 1


def _plan(model: Model, config: Mapping[str, Any], names: frozenset[str], where: str) -> _Plan:
    beside = any({Mlp, Moe} <= {type(block) for block in layer.blocks} for layer, _ in model.layers)

    def find(key: str, modules: Sequence[str]) -> dict[str, set[int]]:
        found, unknown = layers_of(modules, names, beside=beside, num_layers=model.num_layers)
        if unknown is not None:
            refuse(where, key, unknown, "names of attention, mlp, experts, routers, norms, embeddings or layers")
        return found

    mixed = config.get("quant_algo") == "MIXED_PRECISION"
    method = _method(config)
    plan = _Plan(
        base=None if mixed and method == "modelopt" else _base(config, where), everywhere=method in _EVERYWHERE
    )
    plan.named = [(scheme, find("quantized_layers", modules)) for scheme, modules in _listed(config, where)]
    if config.get("expert_dtype") == "fp4" and not plan.named:
        plan.named = [(mxfp4(config, where), find("expert_dtype", ["mlp.experts"]))]
    if method == "gguf" and "expert_bits" in config:
        plan.named = [(gguf(config, where, "expert_bits"), find("expert_bits", ["mlp.experts"]))]
    if method == "mlx":
        plan.wide = find("quantization", [module for module, one in config.items() if one is False])
    elif not mixed:  # beside a list of layers, exclusions say nothing new
        plan.wide = find(*_kept(config, where))
    return plan


def _kept(config: Mapping[str, Any], where: str) -> tuple[str, Sequence[str]]:
    """Return the key that lists the modules left as they were, and its list."""
    key, modules = next(((key, config[key]) for key in _KEPT_KEYS if config.get(key)), ("ignore", []))
    if not isinstance(modules, (list, tuple)) or not all(isinstance(one, str) for one in modules):
        refuse(where, key, modules, "a list of names of modules")
    return key, modules


def _method(config: Mapping[str, Any]) -> Any:
    unnamed = "modelopt" if "quant_algo" in config else "mlx" if {"bits", "group_size"} <= set(config) else None
    return config.get("quant_method", unnamed)


def _base(config: Mapping[str, Any], where: str) -> Scheme | None:
    method = _method(config)
    read = METHODS.get(method) if isinstance(method, str) else None
    if read is None:
        refuse(where, "quant_method", method, ", ".join(sorted(METHODS)))
    return read(config, where)


def _listed(config: Mapping[str, Any], where: str) -> Iterator[tuple[Scheme, list[str]]]:
    """Yield schemes with the modules that are named for each."""
    if _method(config) == "mlx":
        own = ((module, one) for module, one in config.items() if isinstance(one, Mapping))
        yield from ((METHODS["mlx"](one, where) or refuse(where, module, one, "bits"), [module]) for module, one in own)
        return
    layers, groups = config.get("quantized_layers"), config.get("config_groups")
    if layers:
        if not isinstance(layers, Mapping) or not all(isinstance(one, Mapping) for one in layers.values()):
            refuse(where, "quantized_layers", layers, "a mapping of modules")
        of_name: dict[str, list[str]] = {}
        for module, one in layers.items():
            of_name.setdefault(str(one.get("quant_algo")), []).append(module)
        yield from ((of_algorithm({"quant_algo": name}, where), modules) for name, modules in of_name.items())
    elif isinstance(groups, Mapping) and _method(config) == "compressed-tensors":
        for group in groups.values():
            targets = group.get("targets") if isinstance(group, Mapping) else None
            if isinstance(targets, list) and "Linear" not in targets:
                yield of_weights(group.get("weights"), where), [str(one).removeprefix("re:") for one in targets]


def _kv_dtype(config: Mapping[str, Any], where: str) -> str | None:
    """Return the format of the cache that the checkpoint has scales for."""
    scheme = config.get("kv_cache_scheme")
    algorithm = config.get("kv_cache_quant_algo") or (scheme if isinstance(scheme, str) else None)
    if algorithm:
        if not isinstance(algorithm, str) or algorithm not in _KV_ALGORITHMS:
            refuse(where, "kv_cache_quant_algo", algorithm, ", ".join(_KV_ALGORITHMS))
        return _KV_ALGORITHMS[algorithm]
    export = config.get("export")
    if isinstance(export, Mapping) and export.get("kv_cache_group"):  # Quark's, in 8 bits
        return "fp8"
    if isinstance(scheme, Mapping):
        return "fp8" if scheme.get("num_bits") == 8 else "nvfp4" if scheme.get("num_bits") == 4 else None
    return None
