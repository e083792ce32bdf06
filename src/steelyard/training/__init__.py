"""Training: layouts, memory, the time of a step, the best layout, the whole run with failures, loss and fine-tuning."""

from steelyard.training.finetune import FineTuning, finetune
from steelyard.training.grid import Space, layout_at
from steelyard.training.laws import DEFAULT_LAW, Law, get_law, laws, over_laws
from steelyard.training.layout import RECOMPUTE, Layout, check, first_broken_rule
from steelyard.training.memory import Memory, memory
from steelyard.training.quality import (
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
from steelyard.training.scaling import Scaling, scaling
from steelyard.training.search import (
    ALL_LAYOUTS,
    Found,
    Job,
    Plan,
    best_layout,
    best_layouts,
    fastest,
    least_devices,
    search,
)
from steelyard.training.sharding import METHODS
from steelyard.training.step import Step, step

NOT_MODELLED: tuple[str, ...] = (
    "uneven load of experts and dropped tokens",
    "zero-bubble and other schedules than (interleaved) 1F1B",
    "8-bit, Muon and offloaded optimizers; fp8 weights and gradients at rest",
    "quantisation passes of fp8 and fp4 training",
    "activations moved to host memory",
    "quantised base weights under adapters (QLoRA)",
    "host-bound steps: data loading, Python, variable-length batches",
    "memory fragmentation beyond the device's usable share",
    "network congestion between jobs",
    "the critical batch size: every token counts the same at any global batch",
    "downstream accuracy from loss",
)

__all__ = [
    "ALL_LAYOUTS",
    "DEFAULT_LAW",
    "METHODS",
    "NOT_MODELLED",
    "RECOMPUTE",
    "TRAINING_FLOP",
    "FineTuning",
    "Found",
    "Job",
    "Law",
    "Layout",
    "Memory",
    "Optimum",
    "Plan",
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
    "search",
    "step",
    "tokens_for_loss",
]
