"""Checkpoints: complete, sharded over the processes, and on disk either whole or not at all.

    out/checkpoints/step-000000200/         written as step-000000200.part, flushed, then renamed
      .metadata, __0_0.distcp, ...          model, optimizer, random numbers (torch.distributed.checkpoint)
      progress.json                         step, tokens, time: the position in the data follows from the step

Loading shards the state anew, so a run resumes on another number of processes.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steelyard.errors import OutsideProgramError
from steelyard.runtime.train.ranks import Ranks

if TYPE_CHECKING:
    import torch

_PART = ".part"


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far a run is."""

    step: int = 0
    tokens: int = 0
    elapsed_s: float = 0.0


def latest(folder: Path) -> Path | None:
    """Return the last whole checkpoint."""
    whole = [path for path in folder.glob("step-*") if path.suffix != _PART]
    return max(whole, default=None, key=lambda path: int(path.name.removeprefix("step-")))


def is_finite(model: torch.nn.Module, optimizer: torch.optim.Optimizer, ranks: Ranks) -> bool:
    """Tell whether weights and moments, as a checkpoint would hold them, are finite. All processes call it together."""
    import torch

    weights = (parameter.detach() for parameter in model.parameters() if parameter.requires_grad)
    moments = (value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value))
    spoilt = torch.zeros((), device=ranks.device)
    for tensor in (*weights, *moments):
        mine = tensor.to_local() if hasattr(tensor, "to_local") else tensor  # of a sharded one
        spoilt += (~torch.isfinite(mine).all()).to(ranks.device)
    return not ranks.sum(spoilt).item()


def save(
    folder: Path,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    ranks: Ranks,
    *,
    keep: int,
) -> None:
    """Write a checkpoint, then drop all but the last `keep`. All processes call it together.

    Raises:
        OutsideProgramError: The disk refused; earlier checkpoints are untouched.
    """
    target = folder / f"step-{progress.step:09d}"
    draft = target.with_name(target.name + _PART)
    _agree(_refused(lambda: _begin(draft, progress)) if ranks.first else "", target, ranks)
    _agree(_refused(lambda: _write(draft, model, optimizer, ranks)), target, ranks)
    _agree(_refused(lambda: _finish(draft, target, keep)) if ranks.first else "", target, ranks)


def _begin(draft: Path, progress: Progress) -> None:
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    (draft / "progress.json").write_text(json.dumps(asdict(progress)), encoding="utf-8")


def _write(draft: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, ranks: Ranks) -> None:
    import torch.distributed.checkpoint as dcp

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save(
            _state(model, optimizer, ranks),
            storage_writer=dcp.FileSystemWriter(draft, single_file_per_rank=True, sync_files=True),
            no_dist=ranks.size == 1,
        )


def _finish(draft: Path, target: Path, keep: int) -> None:
    _sync_folder(draft)
    if target.exists():  # a run that was told to forget what came after an earlier step
        _remove(target)
    draft.rename(target)
    _sync_folder(target.parent)
    _drop_old(target.parent, keep)


def _refused(work: Callable[[], None]) -> str:
    """Do a part of the work; return why the disk refused it, or nothing."""
    import torch.distributed.checkpoint as dcp

    try:
        work()
    except (OSError, RuntimeError, dcp.api.CheckpointException) as error:
        return _reason(error)
    return ""


def _agree(trouble: str, target: Path, ranks: Ranks) -> None:
    """Wait for all processes; where one of them met trouble, none goes on to what it would wait for the others in.

    Raises:
        OutsideProgramError: One did.
    """
    if ranks.size > 1:
        import torch

        failed = ranks.sum(torch.tensor([float(bool(trouble))], device=ranks.device))
        trouble = trouble or ("another process could not write" if failed.item() else "")
    if not trouble:
        return
    if ranks.first:
        shutil.rmtree(target.with_name(target.name + _PART), ignore_errors=True)
    last = latest(target.parent)
    rest = f"the last good one is {last}" if last else "there is no earlier one"
    raise OutsideProgramError(f"checkpoint {target} cannot be written: {trouble}; {rest}")


def load(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, ranks: Ranks) -> Progress:
    """Put a checkpoint's state into model, optimizer and random numbers; return how far the run was.

    Raises:
        OutsideProgramError: It cannot be read, or is of another model.
    """
    import torch
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import set_state_dict

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader = dcp.FileSystemReader(path)
            stored = reader.read_metadata().state_dict_metadata
            state = _state(model, optimizer, ranks)
            state["rng"] = {name: value for name, value in state["rng"].items() if f"rng.{name}" in stored}
            dcp.load(state, storage_reader=reader, no_dist=ranks.size == 1)
            set_state_dict(
                model,
                optimizer,
                model_state_dict=state["model"],
                optim_state_dict=state["optimizer"],
                options=_options(model),
            )
        for name, value in state["rng"].items():
            (torch.cuda if name.startswith("cuda") else torch).set_rng_state(value)
        document = json.loads((path / "progress.json").read_text(encoding="utf-8"))
        return Progress(**document)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, dcp.api.CheckpointException) as error:
        raise OutsideProgramError(
            f"checkpoint {path} cannot be read: {_reason(error)}; remove it to resume from the one before"
        ) from None


def _options(model: torch.nn.Module) -> Any:
    from torch.distributed.checkpoint.state_dict import StateDictOptions

    adapters = any(not parameter.requires_grad for parameter in model.parameters())
    return StateDictOptions(ignore_frozen_params=adapters, strict=not adapters)


def _state(model: torch.nn.Module, optimizer: torch.optim.Optimizer, ranks: Ranks) -> dict[str, Any]:
    import torch
    from torch.distributed.checkpoint.state_dict import get_state_dict

    weights, moments = get_state_dict(model, optimizer, options=_options(model))
    rng = {f"cpu{ranks.rank}": torch.get_rng_state()}
    if ranks.device.type == "cuda":
        rng[f"cuda{ranks.rank}"] = torch.cuda.get_rng_state()
    return {"model": weights, "optimizer": moments, "rng": rng}


def _reason(error: BaseException) -> str:
    """Return the first cause in words: an operating system's error inside PyTorch's report, else its first line."""
    failures = getattr(error, "failures", None)
    if isinstance(failures, dict) and failures:
        inner = next(iter(failures.values()))
        error = inner[0] if isinstance(inner, tuple) else inner
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror
        seen = seen.__cause__ or seen.__context__
    return (str(error).strip().splitlines() or [type(error).__name__])[-1][:200]


def _sync_folder(folder: Path) -> None:
    for path in (*folder.glob("progress.json"), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _drop_old(folder: Path, keep: int) -> None:
    whole = sorted(path for path in folder.glob("step-*") if path.suffix != _PART)
    for path in whole[:-keep]:
        _remove(path)
    for path in folder.glob(f"step-*{_PART}"):
        shutil.rmtree(path, ignore_errors=True)


def _remove(path: Path) -> None:
    """Remove a checkpoint so that nobody can meet half of it."""
    away = path.with_name(path.name + _PART)
    shutil.rmtree(away, ignore_errors=True)
    path.rename(away)
    shutil.rmtree(away, ignore_errors=True)
