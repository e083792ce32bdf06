"""The process in which lm-evaluation-harness runs: a question in JSON on stdin, its answer in JSON on stdout.

    {"tasks": ["sums"], "own_files": true}                             -> {}, or what is wrong with them
    {"tasks": ["sums"], "own_files": true, "model": ..., "device": ...} -> {"accuracy_ratio": {"sums": 0.5}}

With `own_files` the working directory holds task files.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any

from steelyard.errors import InputError, OutsideProgramError, SteelyardError, UnknownError, first_line, unknown

_SHARES = ("acc", "acc_norm", "exact_match")  # metrics of the harness that are shares of right answers
_BATCH = 8


def answer(question: Mapping[str, Any]) -> dict[str, Any]:
    """Load the tasks, and put them to the model if there is one."""
    names: list[str] = question["tasks"]
    manager = _manager(names, own_files=question["own_files"])
    leaves = {name: _load(manager, name) for name in names}
    if "model" not in question:
        return {}
    found = _evaluate(manager, question)
    shown = [leaf for name in names for leaf in ([name] if _share(found.get(name, {})) is not None else leaves[name])]
    return {"accuracy_ratio": {leaf: _share(found[leaf]) for leaf in shown}}


def _manager(names: Sequence[str], *, own_files: bool) -> Any:
    """Return the harness's tasks; the thousands of its own are read only where a name is not among the user's."""
    from lm_eval.tasks import TaskManager

    include = "." if own_files else None
    try:
        manager = TaskManager(include_path=include, include_defaults=False)
        if not set(names) <= set(manager.all_tasks):
            manager = TaskManager(include_path=include)
    except Exception as error:  # noqa: BLE001 - a task file of any content
        raise InputError(f"the task files cannot be read: {_line(error)}") from None
    for name in names:
        if name not in manager.all_tasks:
            known = manager.all_tasks
            raise UnknownError(unknown("task", name, known, next_step="those of your own lie in --task-folder"))
    return manager


def _load(manager: Any, name: str) -> list[str]:
    """Return the names of the tasks that one name stands for.

    Raises:
        InputError: One is not on this machine as a whole, or its file is wrong, or it has no accuracy.
    """
    try:
        tasks: dict[str, Any] = manager.load([name])["tasks"]
    except (ConnectionError, FileNotFoundError) as error:
        raise InputError(
            f"task {name}: its data is not on this machine: {_line(error)}; name a local file in its data_files, "
            "or fill the cache of datasets where there is a network"
        ) from None
    except Exception as error:  # noqa: BLE001 - a task file of any content
        raise InputError(f"task {name} cannot be loaded: {_line(error)}") from None
    for leaf, task in tasks.items():
        metrics = task.aggregation()
        if not any(metric in metrics for metric in _SHARES):
            raise InputError(f"task {leaf} has no accuracy but {', '.join(metrics)}; allowed: {', '.join(_SHARES)}")
    return list(tasks)


def _evaluate(manager: Any, question: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    import lm_eval
    import torch

    device = question["device"]
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = lm_eval.simple_evaluate(
            model="hf",
            model_args={"pretrained": question["model"], "dtype": "float32" if device == "cpu" else "auto"},
            tasks=question["tasks"],
            batch_size=_BATCH,
            device=device,
            task_manager=manager,
            log_samples=False,
            bootstrap_iters=0,  # errors of the mean are not told
        )
    except Exception as error:  # noqa: BLE001 - a model of any content
        raise OutsideProgramError(f"lm-evaluation-harness failed: {_line(error)}") from None
    results: dict[str, dict[str, Any]] = found["results"]
    return results


def _share(metrics: Mapping[str, Any]) -> float | None:
    """Return the accuracy among the metrics of a task: `acc,none` is the metric acc under no filter."""
    for key, value in metrics.items():
        if key.partition(",")[0] in _SHARES and isinstance(value, (int, float)):
            return float(value)
    return None


def _line(error: BaseException) -> str:
    name, said = type(error).__name__, first_line(error)
    return name if said == name else f"{name}: {said}"


def main() -> None:
    """Answer one question; whatever the libraries print goes to stderr."""
    question = json.load(sys.stdin)
    with redirect_stdout(sys.stderr):
        try:
            told = answer(question)
        except SteelyardError as error:
            told = {"error": type(error).__name__, "text": str(error)}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
