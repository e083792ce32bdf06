"""One training job in one layout: what its sheet says."""

from __future__ import annotations

from collections.abc import Iterator

from steelyard import training
from steelyard.compare.jobs import TrainingPrediction
from steelyard.compare.jobs.layouts import layout_text
from steelyard.compare.jobs.loss import Quality
from steelyard.records.estimate import Estimate
from steelyard.report import sheet as sheets
from steelyard.report import text
from steelyard.report.plain import middle, share
from steelyard.report.prediction import prediction_document
from steelyard.report.sheet import Bullets, Plot, Rows, Section, Sheet
from steelyard.report.training_figures import STEP_PARTS, memory_plot, step_plot
from steelyard.units import format_quantity

SCHEMA = "steelyard/predict-train/1"


def render(
    found: TrainingPrediction, *, form: str | None = None, explain: bool = False, width: int | None = None
) -> str:
    """Return a prediction as text, as "json", "markdown" or "html", or the trees of terms behind it."""
    return sheets.render(
        sheet(found),
        form=form,
        document=lambda: prediction_document(found, SCHEMA, found.job.inputs()),
        explain=explain,
        width=width,
    )


def title(found: TrainingPrediction) -> str:
    """Return what is trained on what, in a line."""
    job = found.job
    what = "pretraining" if job.kind == "pretrain" else f"{job.kind} fine-tuning"
    tokens = format_quantity(job.tokens, "token")
    return f"{text.clean(job.model.id)}, {what} on {tokens}, {int(found.layout.num_devices)} x {job.device.id}"


def sheet(found: TrainingPrediction) -> Sheet:
    """Return what a prediction says."""
    job = found.job
    sections = [
        Section(
            heading=f"Step: {format_quantity(middle(found.step.step_s), 's')}, {_utilisation(found.step)}",
            parts=(Rows(_step_rows(found.step)), Plot("Where a step goes", lambda: step_plot(found.step))),
        ),
        Section(
            heading=f"Memory: {_verdict(found.memory)}",
            parts=(Rows(_memory_rows(found.memory)), Plot("Memory of a device", lambda: memory_plot(found.memory))),
        ),
        Section(heading="The run", parts=(Rows(_run_rows(found)),)),
    ]
    if found.quality is not None:
        origin = "value of the default law, range over the published laws: they are of different corpora"
        sections.append(
            Section(heading="Loss to expect", parts=(Rows(_quality_rows(found.quality)), Bullets([origin])))
        )
    return Sheet(
        title=title(found),
        asked=(
            f"layout {layout_text(found.layout)}{_origin(found)}",
            f"sequences of {job.seq_tokens:,.0f} tokens, {int(found.layout.global_batch):,} of them in a step, "
            f"{int(found.layout.num_microbatches):,} micro-batches a rank, {job.compute_dtype}",
        ),
        sections=[*sections, Section(heading="Read it so", parts=(Bullets(list(_notes(found))),))],
        trees=found.trees(),
        sources=found.sources,
        warnings=found.warnings,
    )


def _origin(found: TrainingPrediction) -> str:
    if found.searched is None:
        return ""
    return f" (the simplest of the fastest, of {found.searched.num_fitting:,} that fit)"


def _utilisation(step: training.Step) -> str:
    return f"MFU {share(step.mfu_ratio)}, HFU {share(step.hfu_ratio)}"


def _verdict(memory: training.Memory) -> str:
    need, have = middle(memory.total_bytes), middle(memory.usable_bytes)
    shown = f"{format_quantity(need, 'bytes')} of {format_quantity(have, 'bytes')} usable"
    if memory.fits:
        return f"fits, {shown}"
    return f"DOES NOT FIT, {shown}: {format_quantity(need - have, 'bytes')} too much"


def _step_rows(step: training.Step) -> list[dict[str, str]]:
    total = middle(step.step_s)
    parts = [(label, middle(getattr(step, name))) for name, label in STEP_PARTS]
    return [
        {"part of a step": label, "time": format_quantity(seconds, "s"), "share": share(seconds / total)}
        for label, seconds in parts
        if seconds > 0
    ]


def _memory_rows(memory: training.Memory) -> list[dict[str, str]]:
    total = middle(memory.total_bytes)
    return [
        {"item, largest first": name, "a device": format_quantity(size, "bytes"), "share": share(size / total)}
        for name, size in memory.biggest(20)
        if size > 0
    ]


def _run_rows(found: TrainingPrediction) -> list[dict[str, str]]:
    rows = []
    for item in found.quantities():
        value, spread = ("unpriced", "") if item.value is None else text.parts(item.value, item.unit)
        rows.append({"the whole run": item.label, "median": value, "p10 to p90": spread})
    return rows


def _quality_rows(quality: Quality) -> list[dict[str, str]]:
    flop = "at the same FLOP, best"
    items: list[tuple[str, Estimate | None, str]] = [
        ("loss", quality.loss_nats_per_token, "nat_per_token"),
        ("perplexity", quality.perplexity, "count"),
        ("bits per byte", quality.bits_per_byte, "count"),
        (f"{flop} parameters", quality.best_params, "param"),
        (f"{flop} tokens", quality.best_tokens, "token"),
        ("tokens to the loss asked for", quality.target_tokens, "token"),
        ("same loss, least FLOP with serving: parameters", _point(quality.lifetime_params), "param"),
        ("same loss, least FLOP with serving: tokens", _point(quality.lifetime_tokens), "token"),
    ]
    rows = []
    for label, value, unit in items:
        if value is not None:
            mid, spread = text.parts(value, unit)
            rows.append({"quality": label, "default law": mid, "all laws": spread})
    return rows


def _point(value: float | None) -> Estimate | None:
    return None if value is None else Estimate(p10=value, p50=value, p90=value)


def _notes(found: TrainingPrediction) -> Iterator[str]:
    run, bill = found.median_run, found.bill
    yield (
        f"of every 100 device-hours {share(run.goodput_ratio)} make kept progress; reported jobs took "
        f"{middle(run.job_time_ratio):.2g} times what failures and pauses explain, and {share(_spares(found))} spares"
        " are paid"
    )
    if bill.rental is not None:
        yield text.rent(bill.rental)
    yield "ranges are seeded draws of the step's and the job's residual, failures, prices, PUE and grid"
    yield f"not modelled: {'; '.join(training.NOT_MODELLED)}"


def _spares(found: TrainingPrediction) -> float:
    run = found.median_run
    return middle(run.device_s / (run.wall_s * run.num_devices)) - 1.0
