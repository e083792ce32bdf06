"""Shares a model's work over the processes of a run: DDP keeps it whole in each, FSDP2 shards it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from steelyard.runtime.train.ranks import Ranks

if TYPE_CHECKING:
    from torch import nn


def shared(model: nn.Module, ranks: Ranks, sharding: str) -> Any:
    """Return the module to call; with one process, the model itself."""
    model.to(ranks.device)
    if ranks.size == 1:
        return model
    if sharding == "fsdp":
        return _fully_sharded(model, ranks)
    from torch.nn.parallel import DistributedDataParallel

    devices = [ranks.device] if ranks.device.type == "cuda" else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the name of this option changes between releases
        return DistributedDataParallel(model, device_ids=devices, broadcast_buffers=False, gradient_as_bucket_view=True)


def _fully_sharded(model: nn.Module, ranks: Ranks) -> nn.Module:
    from torch import nn
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(ranks.device.type, (ranks.size,))
    lists = [found for found in model.modules() if isinstance(found, nn.ModuleList)]
    layers: Any = max(lists, key=len, default=())
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def full_weights(model: nn.Module) -> dict[str, Any]:
    """Return the whole weights on the CPU in the first process (all processes call it), empty in the others."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    weights: dict[str, Any] = get_model_state_dict(
        model, options=StateDictOptions(full_state_dict=True, cpu_offload=True)
    )
    return weights
