"""Training: layouts, memory, the time of a step, the best layout, the whole run with failures, loss and fine-tuning."""

from steelyard.training.best import Plan, best_layout, best_layouts, fastest, least_devices, simplest, why_none
from steelyard.training.finetune import FineTuning, finetune
from steelyard.training.grid import Space, in_array, layout_at
from steelyard.training.job import Job
from steelyard.training.laws import DEFAULT_LAW, Law, get_law, laws, over_laws
from steelyard.training.layout import RECOMPUTE, SCHEDULES, Layout, check, first_broken_rule
from steelyard.training.memory import Memory, memory
from steelyard.training.quality import (
    SERVING_FLOP,
    TRAINING_FLOP,
    Optimum,
    bits_per_byte,
    compute_optimal,
    effective_tokens,
    lifetime_optimal,
    loss_nats_per_token,
    perplexity,
    tokens_for_loss,
)
from steelyard.training.recipe import METHODS, Recipe
from steelyard.training.reliability import (
    Reliability,
    checkpoint_bytes,
    checkpoint_interval,
    draw_mtbf,
    goodput_ratio,
    mtbf_points,
    reliability,
)
from steelyard.training.run import Run, device_s_for_flop, run
from steelyard.training.scaling import Scaling, scaling, scaling_of
from steelyard.training.search import ALL_LAYOUTS, Found, search
from steelyard.training.step import Step, step

NOT_MODELLED: tuple[str, ...] = (
    "which experts are busy (their imbalance is an input) and dropped tokens",
    "the order of work in zero-bubble schedules (their idle time is)",
    "time of moving activations to the host (taken as hidden)",
    "how well one's own software is tuned (a recipe says it; a step is predicted as most runs are, not as benchmarks)",
    "data loading and batches of varying length",
    "which transients the allocator keeps beyond a calibrated share",
    "network congestion between jobs",
    "links of a TPU torus one by one: its pods are approximate",
    "the critical batch size: every token counts the same at any global batch",
    "downstream accuracy from loss",
)

__all__ = [
    "ALL_LAYOUTS",
    "DEFAULT_LAW",
    "METHODS",
    "NOT_MODELLED",
    "RECOMPUTE",
    "SCHEDULES",
    "SERVING_FLOP",
    "TRAINING_FLOP",
    "FineTuning",
    "Found",
    "Job",
    "Law",
    "Layout",
    "Memory",
    "Optimum",
    "Plan",
    "Recipe",
    "Reliability",
    "Run",
    "Scaling",
    "Space",
    "Step",
    "best_layout",
    "best_layouts",
    "bits_per_byte",
    "check",
    "checkpoint_bytes",
    "checkpoint_interval",
    "compute_optimal",
    "device_s_for_flop",
    "draw_mtbf",
    "effective_tokens",
    "fastest",
    "finetune",
    "first_broken_rule",
    "get_law",
    "goodput_ratio",
    "in_array",
    "laws",
    "layout_at",
    "least_devices",
    "lifetime_optimal",
    "loss_nats_per_token",
    "memory",
    "mtbf_points",
    "over_laws",
    "perplexity",
    "reliability",
    "run",
    "scaling",
    "scaling_of",
    "search",
    "simplest",
    "step",
    "tokens_for_loss",
    "why_none",
]
