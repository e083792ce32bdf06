"""How others count the FLOP of training: each convention by name, so that a published figure can be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from steelyard.arch.counts import as_floats, count_params
from steelyard.arch.flop import flop_per_token
from steelyard.arch.spec import Model
from steelyard.errors import UnknownError, unknown
from steelyard.units import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Convention:
    """One way to count the FLOP of a token in training."""

    label: str
    formula: str  # N active parameters, L layers, d hidden size, s tokens of a sequence, V vocabulary
    source: str
    recompute: bool  # a second forward pass is counted
    flop: Callable[[Model, Array], Array]


def _n(model: Model) -> float:
    return float(count_params(model).active_params)


def _six_n(model: Model, seq: Array) -> Array:
    return 6 * _n(model) + 0 * seq


def _six_n_full(model: Model, seq: Array) -> Array:
    return 6 * _n(model) + 12 * model.num_layers * model.hidden * seq


def _six_n_causal(model: Model, seq: Array) -> Array:
    return 6 * _n(model) + 6 * model.num_layers * model.hidden * seq


def _eight_n(model: Model, seq: Array) -> Array:
    return 8 * _n(model) + 0 * seq


def _megatron_2021(model: Model, seq: Array) -> Array:
    layers, hidden = model.num_layers, model.hidden
    return 96 * layers * hidden**2 * (1 + seq / (6 * hidden) + model.vocab / (16 * layers * hidden))


def _matrices_full(model: Model, seq: Array) -> Array:
    return flop_per_token(model, seq, training=True, attention="full")


def _matrices_causal(model: Model, seq: Array) -> Array:
    return flop_per_token(model, seq, training=True)


def _recomputed(model: Model, seq: Array) -> Array:
    return _matrices_causal(model, seq) * (4 / 3)


def _lora(model: Model, seq: Array) -> Array:
    forward = flop_per_token(model, seq, training=False)
    attention = forward - flop_per_token(model, seq, training=False, attention="none")
    return 2 * forward + attention


CONVENTIONS: dict[str, Convention] = {
    "6n": Convention(
        label="six per parameter", formula="6 N", source="Kaplan et al., arXiv 2001.08361", recompute=False, flop=_six_n
    ),
    "6n_full": Convention(
        label="six per parameter, and attention without a mask",
        formula="6 N + 12 L d s",
        source="PaLM, arXiv 2204.02311, appendix B; llm-foundry",
        recompute=False,
        flop=_six_n_full,
    ),
    "6n_causal": Convention(
        label="six per parameter, and attention halved by its mask",
        formula="6 N + 6 L d s",
        source="PaLM, arXiv 2204.02311, appendix B, halved",
        recompute=False,
        flop=_six_n_causal,
    ),
    "8n": Convention(
        label="six per parameter, and a second forward pass",
        formula="8 N",
        source="BigScience training notes, before 2022-02-21",
        recompute=True,
        flop=_eight_n,
    ),
    "megatron_2021": Convention(
        label="Megatron's closed form of a GPT, with a second forward pass",
        formula="96 L d^2 (1 + s / (6 d) + V / (16 L d))",
        source="Narayanan et al., arXiv 2104.04473, section 5.1",
        recompute=True,
        flop=_megatron_2021,
    ),
    "matrices_full": Convention(
        label="every matrix product, attention without a mask",
        formula="6 matmul parameters + 3 attention of all pairs",
        source="Korthikanti et al., arXiv 2205.05198, appendix A; MaxText before 2025-07",
        recompute=False,
        flop=_matrices_full,
    ),
    "matrices_causal": Convention(
        label="every matrix product, attention of the pairs that its mask leaves",
        formula="6 matmul parameters + 3 attention of causal pairs",
        source="MaxText since 2025-07",
        recompute=False,
        flop=_matrices_causal,
    ),
    "matrices_recomputed": Convention(
        label="every matrix product, with a second forward pass",
        formula="8 matmul parameters + 4 attention of causal pairs",
        source="hardware FLOP with full recomputation, arXiv 2205.05198, appendix A",
        recompute=True,
        flop=_recomputed,
    ),
    "lora": Convention(
        label="adapters: frozen matrices have no weight gradient",
        formula="4 matmul parameters + 3 attention of causal pairs",
        source="NVIDIA NeMo model FLOP of LoRA",
        recompute=False,
        flop=_lora,
    ),
}
"""Name -> convention."""


def training_flop_per_token(model: Model, seq_tokens: Array, convention: str = "matrices_causal") -> Array:
    """Return the FLOP of one token in training as a convention counts them (flop).

    Args:
        model: The model.
        seq_tokens: Length of the sequences (tokens, any shape).
        convention: A name of `CONVENTIONS`. The closed forms (6 N, 8 N, Megatron's) are taken as they are written,
            whatever the model: windows, latent attention and states do not enter them.

    Raises:
        UnknownError: Another convention.

    Example:
        >>> from steelyard import arch
        >>> gpt = arch.load("gpt-3-175b")  # 96 layers of 12,288, sequences of 2,048
        >>> f"{training_flop_per_token(gpt, 2048.0, '6n') / 1e12:.2f}"
        '1.05'
        >>> f"{training_flop_per_token(gpt, 2048.0, 'megatron_2021') / 1e12:.2f}"
        '1.43'
    """
    if convention not in CONVENTIONS:
        raise UnknownError(unknown("FLOP convention", convention, CONVENTIONS))
    return CONVENTIONS[convention].flop(model, as_floats(seq_tokens))
