"""The model of a published row: by its name in the catalogue, else by the shape that its columns state."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from steelyard import arch, catalog
from steelyard.errors import InputError, UnknownError

NAMES = ("model_id", "model")
SHAPES = ("layers", "hidden", "heads", "kv_heads", "ffn", "vocab", "experts", "experts_active", "seq_len")
COLUMNS = (*NAMES, *SHAPES, "n_params_b")
LARGEST, DEEPEST = 2**26, 10_000
CLOSE_RATIO, USABLE_RATIO = 0.05, 0.15
"""Counts nearer than the first are one model; what no reading brings nearer than the second is refused."""

VOCABULARIES = ("gpt2", "bloom-176b")
"""Models whose vocabulary a row can have that states none: the English and the multilingual one of its time."""

HEAD_DIMS = (128, 256)
"""Widths of a head that do not follow from hidden / heads; a narrower one is not made for matrix units."""


def model_of_row(row: Mapping[str, str]) -> arch.Model:
    """Return the model that one row of published measurements is about.

    First by name: `model_id`, then `model`, also without what stands in brackets behind it ("DeepSeekV3 (w/ MTP)").
    A row that names a model but states other layers, width, heads or experts is about a cut-down or stretched one
    and goes by its columns: layers, hidden, heads, kv_heads, ffn, vocab, experts, experts_active, seq_len.

    Args:
        row: Column -> text, as `csv.DictReader` gives it; columns may be missing or empty.

    Raises:
        InputError: A column that should hold a whole number holds something else.
        UnknownError: Neither name nor columns say what the model is; the message says what is missing.

    Assumes: of the readings that the columns leave open (gated or plain feed-forward, width of a head, vocabulary,
        layers) the commonest whose parameters come within 5% of the stated `n_params_b`; where none is stated, a plain
        feed-forward block is 4 x hidden wide or of unstated width. A plain one has biases, tied embeddings and learned
        positions (GPT), a gated one none of them (Llama).

    Example:
        >>> model_of_row({"model": "Llama-3.1-8B"}).id
        'llama-3.1-8b'
        >>> ten = model_of_row({"model": "GPT (10 layers)", "layers": "10", "hidden": "1024", "heads": "16"})
        >>> ten.num_layers, ten.num_heads
        (10, 16)
    """
    try:
        return _model_of(tuple((column, row[column]) for column in COLUMNS if row.get(column)))
    except (InputError, UnknownError) as error:
        where = row.get("id") or row.get("model") or "that names no model"
        raise type(error)(f"row {' '.join(where.split())[:80]}: {error}") from None


@lru_cache(maxsize=4096)
def _model_of(cells: tuple[tuple[str, str], ...]) -> arch.Model:
    row = dict(cells)
    stated = {name: number for name in SHAPES if (number := _number(row, name)) is not None}
    if stated.get("layers", 1) > DEEPEST:
        raise InputError(f"layers is {stated['layers']}; allowed: at most {DEEPEST:,}")
    try:
        named = _named(row)
    except UnknownError as unknown_name:
        if "hidden" not in stated:
            raise UnknownError(f"{unknown_name}; its columns do not state its width either") from None
        named = None
    if named is not None and _agrees(named, stated):
        return named
    if "hidden" not in stated:
        raise UnknownError(f"not the {named.name if named else 'model'} that it is called; its width is not stated")
    return _from_columns(row.get("model", "a model by its columns"), stated, _params(row))


def _named(row: Mapping[str, str]) -> arch.Model:
    names = [row[column] for column in NAMES if row.get(column)]
    names += [shorter for name in names if (shorter := re.sub(r"\s*\([^()]*\)$", "", name)) not in ("", name)]
    if not names:
        raise UnknownError("no model is named")
    refusals = []
    for name in names:
        try:
            return arch.load(catalog.model(name).id)
        except UnknownError as error:
            refusals.append(error)
    raise refusals[0]


def _agrees(model: arch.Model, stated: Mapping[str, int]) -> bool:
    own = {"layers": model.num_layers, "hidden": model.hidden, "heads": model.num_heads, "experts": model.num_experts}
    return all(stated.get(name, value) == value for name, value in own.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """One way to fill in what the columns leave open."""

    gated: bool
    head_dim: int
    vocab: int


def _from_columns(name: str, stated: Mapping[str, int], target: float | None) -> arch.Model:
    if "layers" not in stated and target is None:
        raise UnknownError("neither layers nor n_params_b is stated")
    models = [_model(name, stated, reading, target) for reading in _readings(stated)]
    if target is None:
        return models[0]
    gaps = [abs(math.log(arch.count_params(model).total_params / target)) for model in models]
    for model, gap in zip(models, gaps, strict=True):
        if gap <= CLOSE_RATIO:
            return model
    best = models[gaps.index(min(gaps))]
    if min(gaps) > USABLE_RATIO:
        raise UnknownError(
            f"its columns give {arch.count_params(best).total_params / 1e9:.3g} billion parameters at the nearest,"
            f" n_params_b says {target / 1e9:.3g}: another structure than they can state"
        )
    return best


def _readings(stated: Mapping[str, int]) -> Iterator[_Reading]:
    """Yield the readings, the commonest first."""
    hidden, heads = stated["hidden"], _heads(stated)
    dims = [hidden // heads] if hidden % heads == 0 else []
    dims += [dim for dim in HEAD_DIMS if dim not in dims]
    plain_first = "experts" not in stated and stated.get("ffn", 4 * hidden) == 4 * hidden
    known = catalog.models()
    vocabs = [int(known[name].config["vocab_size"]) for name in VOCABULARIES if name in known]
    for vocab in [stated["vocab"]] if "vocab" in stated else vocabs:
        for dim in dims:
            for gated in (not plain_first, plain_first):
                yield _Reading(gated=gated, head_dim=dim, vocab=vocab)


def _heads(stated: Mapping[str, int]) -> int:
    """Return the stated heads, else the most whose width is at least 128 and divides the hidden width."""
    hidden = stated["hidden"]
    most = max(hidden // HEAD_DIMS[0], 1)
    return stated.get("heads") or next(heads for heads in range(most, 0, -1) if hidden % heads == 0)


def _model(name: str, stated: Mapping[str, int], reading: _Reading, target: float | None) -> arch.Model:
    layer = arch.Layer(blocks=(_attention(stated, reading), _feed_forward(stated, reading)), norms=2)
    plain = not reading.gated
    one = arch.Model(
        id=name,
        name=name,
        hidden=stated["hidden"],
        vocab=reading.vocab,
        layers=((layer, 1),),
        max_context_tokens=stated.get("seq_len", LARGEST),
        tied_embeddings=plain,
        norm_vectors=2 if plain else 1,
        learned_positions=stated.get("seq_len", 0) if plain else 0,
    )
    return _stacked(one, stated.get("layers") or _fitting_layers(one, target))


def _stacked(one: arch.Model, count: int) -> arch.Model:
    """Return the model of one layer with `count` of it."""
    ((layer, _),) = one.layers
    return replace(one, layers=((layer, count),), order=(0,) * count)


def _fitting_layers(one: arch.Model, target: float | None) -> int:
    """Return how many layers bring a model of one nearest to its stated parameters."""
    assert target is not None
    first = arch.count_params(one).total_params
    each = arch.count_params(_stacked(one, 2)).total_params - first
    return min(max(round((target - first) / each) + 1, 1), DEEPEST)


def _attention(stated: Mapping[str, int], reading: _Reading) -> arch.Attention:
    heads, plain = _heads(stated), not reading.gated
    kv_heads = stated.get("kv_heads", heads)
    if heads % kv_heads:
        raise InputError(f"kv_heads is {kv_heads}; allowed: a divisor of heads ({heads})")
    return arch.Attention(heads=heads, kv_heads=kv_heads, head_dim=reading.head_dim, qkv_bias=plain, output_bias=plain)


def _feed_forward(stated: Mapping[str, int], reading: _Reading) -> arch.Mlp | arch.Moe:
    ffn, experts = stated.get("ffn", 4 * stated["hidden"]), stated.get("experts", 0)
    if not experts:
        return arch.Mlp(ffn=ffn, gated=reading.gated, bias=not reading.gated)
    top_k = stated.get("experts_active")
    if top_k is None or top_k > experts:
        raise InputError(f"experts_active is {top_k}; allowed: from 1 to experts ({experts})")
    return arch.Moe(experts=experts, top_k=top_k, ffn=ffn, gated=reading.gated)


def _number(row: Mapping[str, str], column: str) -> int | None:
    text = (row.get(column) or "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 12 or not 1 <= int(text) <= LARGEST:
        raise InputError(f"{column} is {text[:40]!r}; allowed: a whole number from 1, or nothing")
    return int(text)


def _params(row: Mapping[str, str]) -> float | None:
    """Return the stated parameters (count)."""
    text = (row.get("n_params_b") or "").strip()
    if not text:
        return None
    try:
        billions = float(text)
    except ValueError:
        billions = math.nan
    if not 0 < billions < LARGEST:
        raise InputError(f"n_params_b is {text[:40]!r}; allowed: billions of parameters, or nothing")
    return billions * 1e9
