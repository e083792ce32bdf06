"""lm-evaluation-harness: the share of right answers to downstream tasks, given by a Hugging Face directory.

It runs in a process of its own (`harness_worker`): its imports, its logging and what it makes of torchrun's variables
stay there. Nothing is downloaded: a task's data lies beside its file, or in the cache of `datasets` already.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from steelyard import errors
from steelyard.errors import InputError, OutsideProgramError

_OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1"}  # unless the user says else
_OF_A_GROUP = ("RANK", "WORLD_SIZE", "LOCAL_", "GROUP_", "ROLE_", "MASTER_", "TORCHELASTIC_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tasks:
    """Downstream tasks by their names, each a task, a group or a tag of the harness.

    `folder` holds task files (YAML) beside those of the harness; paths of data in them are relative to it.
    """

    names: Sequence[str]
    folder: Path | None = None

    def check(self) -> None:
        """Load all tasks with their data, so that what is wrong with one is known before a model is trained.

        Raises:
            InputError: A task cannot be loaded from what is on this machine, or has no accuracy; the folder is none.
            UnknownError: No such task; names the nearest.
            OutsideProgramError: The harness is not installed, or failed.
        """
        self._ask({})

    def accuracy(self, model: Path, *, device: str = "auto") -> dict[str, float]:
        """Return the share of right answers by task, by the first metric of its own that is such a share.

        Args:
            model: A Hugging Face directory.
            device: "cpu", "cuda", or "auto": a GPU where there is one.

        Raises:
            InputError, UnknownError, OutsideProgramError: As `check`, and what stops the model from being asked.
        """
        if not (model / "config.json").is_file():
            raise InputError(f"{model}: no model in Hugging Face's format; its folder holds config.json")
        answer = self._ask({"model": str(model.resolve()), "device": device})
        return {str(task): float(share) for task, share in answer["accuracy_ratio"].items()}

    def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        if find_spec("lm_eval") is None:
            raise OutsideProgramError("downstream tasks need lm-evaluation-harness; pip install 'steelyard[eval]'")
        if self.folder is not None and not self.folder.is_dir():
            raise InputError(f"no such folder of task files: {self.folder}")
        alone = {name: value for name, value in os.environ.items() if not name.startswith(_OF_A_GROUP)}
        done = subprocess.run(
            [sys.executable, "-m", "steelyard.runtime.harness_worker"],
            input=json.dumps({"tasks": list(self.names), "own_files": self.folder is not None, **question}),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            cwd=self.folder,
            env=_OFFLINE | alone | {"TOKENIZERS_PARALLELISM": "false"},
        )
        try:
            answer: dict[str, Any] = json.loads(done.stdout)
        except json.JSONDecodeError:
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise OutsideProgramError(f"lm-evaluation-harness ended with {done.returncode}: {last[:300]}") from None
        if "error" in answer:
            raise getattr(errors, answer["error"])(answer["text"])
        return answer
