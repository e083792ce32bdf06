"""Forward and backward passes over packed sequences: the loss of a batch, of held-out text, of single tokens."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from steelyard.runtime.train.ranks import Ranks
from steelyard.runtime.train.shards import Sequences

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Passes:
    """A model on this process's device, and how it is run there."""

    model: Any  # the module that is called: wrapped where processes share the run
    ranks: Ranks
    dtype: str  # "fp32", "bf16"
    micro_batch: int

    def train(self, rows: npt.NDArray[np.int64], *, batch: int) -> torch.Tensor:
        """Add this process's rows to the gradients; return their part of the mean loss of all `batch` sequences.

        Every process does the same number of passes, and wrappers share gradients after the last of them only.
        """
        import torch

        total = torch.zeros((), device=self.ranks.device)
        batch_tokens = batch * (rows.shape[1] - 1)
        parts = np.array_split(rows, self._parts(batch))
        for number, part in enumerate(parts):
            with self._shared(last=number == len(parts) - 1):
                loss = self._summed_loss(part) / batch_tokens
                (loss * self.ranks.size).backward()  # wrappers divide the sum of the gradients by the processes
            total += loss.detach()
        return total

    def mean_loss(self, sequences: Sequences, numbers: Sequence[int]) -> float:
        """Return the mean loss of some sequences (nats per token), shared over the processes."""
        import torch

        share = -(-len(numbers) // self.ranks.size)
        mine = [(number, True) for number in numbers[self.ranks.rank :: self.ranks.size]]
        mine += [(numbers[0], False)] * (share - len(mine))  # every process does the same number of passes
        sums = torch.zeros(2, device=self.ranks.device, dtype=torch.float64)
        self.model.eval()
        with torch.no_grad():
            for start in range(0, share, self.micro_batch):
                part = mine[start : start + self.micro_batch]
                losses = self.token_losses(sequences.rows(number for number, _ in part))
                counted = torch.tensor([[real] for _, real in part], device=losses.device)
                sums += torch.stack([(losses * counted).sum(), counted.sum() * losses.shape[1]]).double()
        self.model.train()
        nats, tokens = self.ranks.sum(sums).tolist()
        return float(nats / tokens)

    def log_likelihoods(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return the log-likelihood of every token after the first of each row (nats), [rows, length - 1]."""
        import torch

        self.model.eval()
        with torch.no_grad():
            found = [
                -self.token_losses(rows[start : start + self.micro_batch]).double().cpu().numpy()
                for start in range(0, len(rows), self.micro_batch)
            ]
        self.model.train()
        return np.concatenate(found)

    def token_losses(self, rows: npt.NDArray[np.int64]) -> torch.Tensor:
        """Return the loss of every token after the first of each row (nats), [rows, length - 1]."""
        import torch.nn.functional as F

        logits, targets = self._logits(rows)
        return F.cross_entropy(logits, targets, reduction="none").view(len(rows), -1)

    def _summed_loss(self, rows: npt.NDArray[np.int64]) -> torch.Tensor:
        import torch.nn.functional as F

        logits, targets = self._logits(rows)
        return F.cross_entropy(logits, targets, reduction="sum")

    def _logits(self, rows: npt.NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        tokens = torch.from_numpy(rows)
        if self.ranks.device.type == "cuda":
            tokens = tokens.pin_memory()
        tokens = tokens.to(self.ranks.device, non_blocking=True)
        half = torch.autocast(self.ranks.device.type, torch.bfloat16) if self.dtype == "bf16" else nullcontext()
        with half:
            logits = self.model(input_ids=tokens[:, :-1], use_cache=False).logits
        return logits.flatten(0, 1).float(), tokens[:, 1:].flatten()

    def _parts(self, batch: int) -> int:
        """Return the number of passes that a batch takes: the same in every process, none of them empty."""
        fewest, most = batch // self.ranks.size, -(-batch // self.ranks.size)  # sequences of one process
        return min(-(-most // self.micro_batch), fewest)

    def _shared(self, *, last: bool) -> AbstractContextManager[Any]:
        if self.ranks.size == 1:
            return nullcontext()
        if hasattr(self.model, "set_requires_gradient_sync"):  # FSDP2
            self.model.set_requires_gradient_sync(last)
            return nullcontext()
        return nullcontext() if last else self.model.no_sync()
