"""What one replica of a simulated fleet answers in closed form, from its own table of step times."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from steelyard.inference.simulator import Replica
from steelyard.records.workload import Lengths


def prefill_rate(replica: Replica, lengths: Lengths) -> float:
    """Return the prompts a second of a replica that does nothing else [requests/s]."""
    return 1.0 / prompt_s(replica, lengths.mean_isl_tokens)


def prompt_s(replica: Replica, isl_tokens: float) -> float:
    """Return the time of a prompt's share of full prefill steps, alone on a replica [s]."""
    table = replica.table
    full_s = np.interp(isl_tokens / 2.0, table.attended_tokens, table.step_s[0, -1, 0, :])
    return float(full_s * isl_tokens / table.prompt_tokens[-1])


def decode_rate(replica: Replica, lengths: Lengths, tpot_limit_s: float) -> tuple[float, int]:
    """Return the answers a second of a replica that only decodes, within a TPOT limit, and the batch that does it."""
    weights = lengths.osl_tokens / lengths.osl_tokens.sum()
    context = float(((lengths.isl_tokens + lengths.osl_tokens / 2.0) * weights).sum())
    batch = np.arange(1, _most(replica, context) + 1)
    times = _decode_step_s(replica, batch, context)
    rate = np.where(times <= tpot_limit_s, batch / (times * lengths.mean_osl_tokens), 0.0)
    best = int(np.argmax(rate))
    return float(rate[best]), int(batch[best])


def static_rate(replica: Replica, lengths: Lengths) -> float:
    """Return the answers a second of a replica whose batches start together and end with their longest answer.

    batch / (batch * prompt + longest answer of the batch, mean * step of the whole batch)
    """
    tokens = lengths.mean_isl_tokens + lengths.mean_osl_tokens
    batch = _most(replica, tokens)
    answers = np.sort(lengths.osl_tokens)
    below = np.linspace(0.0, 1.0, len(answers) + 1) ** batch  # chance that none of a batch is longer
    longest = float(answers @ np.diff(below))
    step_s = float(_decode_step_s(replica, np.array([batch]), tokens)[0])
    return batch / (batch * prompt_s(replica, lengths.mean_isl_tokens) + longest * step_s)


def _most(replica: Replica, tokens: float) -> int:
    """Return how many sequences of so many tokens each run at once."""
    held = replica.kv_blocks * replica.batching.block_tokens / tokens
    return max(1, int(min(replica.batching.max_sequences, held)))


def _decode_step_s(replica: Replica, batch: npt.NDArray[np.int64], context: float) -> npt.NDArray[np.float64]:
    """Return the time of a step that decodes batches [B] of this mean context [s]."""
    table = replica.table
    step_s = np.array([np.interp(context, table.context_tokens, row) for row in table.step_s[:, 0, :, 0]])
    return np.asarray(np.interp(batch, table.sequences, step_s))
