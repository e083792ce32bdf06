"""Why a layout is not the one chosen: the rule it breaks, the memory it lacks, or the time it loses and where."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from steelyard import training
from steelyard.compare.jobs.job import TrainingJob, layout_dict

PARTS = (
    "forward_s", "backward_s", "recompute_s", "ends_s", "tp_s", "cp_s", "ep_s", "pp_s", "dp_s", "bubble_s",
    "optimizer_s", "straggler_s",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of the time for a million tokens, in both layouts."""

    label: str
    asked_s: float
    best_s: float

    @property
    def lost_s(self) -> float:
        return self.asked_s - self.best_s


@dataclass(frozen=True, kw_only=True)
class WhyNot:
    """A layout beside the fastest one on as many devices."""

    layout: training.Layout
    num_devices: int
    broken_rule: str = ""  # empty when it keeps all
    tokens_per_s: float = float("inf")  # when it keeps the rules and fits
    lacking_bytes: float = 0.0
    biggest: tuple[tuple[str, float], ...] = ()  # items of memory, largest first
    smaller_by: tuple[tuple[str, float], ...] = ()  # single changes that make it fit, and the bytes it then needs
    rank: int = 0  # among the layouts that fit, 1 = fastest
    num_fitting: int = 0
    slower_ratio: float = 0.0  # its time over the best one's, less 1
    best: training.Layout | None = None
    parts: tuple[Part, ...] = ()  # where the time is lost, most first

    @property
    def fits(self) -> bool:
        return not self.broken_rule and not self.lacking_bytes

    def against(self, job: TrainingJob, found: training.Found) -> WhyNot:
        """Return the same layout ranked among what a search of its device count found."""
        if not self.fits or found.front is None:
            return self
        best = training.layout_at(found.front, 0)
        mine, other = job.step_job.step(self.layout), job.step_job.step(best)
        labels = {item.name: item.metadata["term"]["label"] for item in dataclasses.fields(mine) if item.name in PARTS}
        parts = [
            Part(label=label, asked_s=_per_mtoken(mine, name), best_s=_per_mtoken(other, name))
            for name, label in labels.items()
        ]
        return dataclasses.replace(
            self,
            rank=found.num_faster + 1,
            num_fitting=found.num_fitting,
            slower_ratio=float(other.tokens_per_s / mine.tokens_per_s) - 1.0,
            best=best,
            parts=tuple(sorted(parts, key=lambda part: -part.lost_s)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as plain values in SI."""
        found = {
            "layout": layout_dict(self.layout),
            "fits": self.fits,
            "broken_rule": self.broken_rule,
            "lacking_bytes": self.lacking_bytes,
            "biggest": [{"item": name, "bytes": size} for name, size in self.biggest],
            "fits_with": [{"change": change, "total_bytes": size} for change, size in self.smaller_by],
        }
        if self.best is not None:
            found |= {"rank": self.rank, "num_fitting": self.num_fitting, "slower_ratio": self.slower_ratio}
            found["best"] = layout_dict(self.best)
            found["s_per_mtoken"] = [
                {"label": part.label, "asked": part.asked_s, "best": part.best_s} for part in self.parts
            ]
        return found


def why_not(job: TrainingJob, layout: training.Layout) -> WhyNot:
    """Return what stands against a layout by itself: a rule, or the memory; else its speed."""
    count = int(np.asarray(layout.num_devices))
    rule = training.first_broken_rule(job.model, layout)
    if rule:
        return WhyNot(layout=layout, num_devices=count, broken_rule=rule)
    memory = job.step_job.memory(layout)
    lacking = float(memory.total_bytes - memory.usable_bytes)
    if lacking <= 0:
        rate = float(job.step_job.step(layout).tokens_per_s)
        return WhyNot(layout=layout, num_devices=count, tokens_per_s=rate)
    return WhyNot(
        layout=layout,
        num_devices=count,
        lacking_bytes=lacking,
        biggest=tuple(memory.biggest(4)),
        smaller_by=tuple(_smaller(job, layout)),
    )


def _smaller(job: TrainingJob, layout: training.Layout) -> list[tuple[str, float]]:
    """Return single changes of a layout with which it fits, the one nearest to the limit first."""
    changes: list[dict[str, Any]] = [{"zero_stage": stage} for stage in (1, 2, 3)]
    changes += [{"recompute": kind} for kind in training.RECOMPUTE] + [{"micro_batch": 1}]
    for name in ("tp", "pp", "cp"):
        double = 2 * int(getattr(layout, name))
        changes.append({name: double, "dp": int(layout.dp) // 2} if int(layout.dp) % 2 == 0 else {})
    found = []
    for change in changes:
        other = dataclasses.replace(layout, **change)
        if other == layout or training.first_broken_rule(job.model, other):
            continue
        memory = job.step_job.memory(other)
        if memory.fits:
            name, value = next(iter(change.items()))
            found.append((f"{name.removesuffix('_stage').replace('_', '-')}={value}", float(memory.total_bytes)))
    return sorted(found, key=lambda pair: -pair[1])


def _per_mtoken(step: training.Step, name: str) -> float:
    """Return a part of a step in seconds per million tokens, so that batches rounded apart compare."""
    return float(getattr(step, name) / step.global_batch_tokens * 1e6)
