"""One serving deployment under one load: what its sheet says."""

from __future__ import annotations

from collections.abc import Iterator

from steelyard import inference
from steelyard.compare.serving.curve import load_curve
from steelyard.compare.serving.predict import ServingPrediction
from steelyard.report import serving_figures, text
from steelyard.report import sheet as sheets
from steelyard.report.plain import middle, share
from steelyard.report.plot import Figure, stacked
from steelyard.report.prediction import prediction_document
from steelyard.report.sheet import Bullets, Part, Plot, Rows, Section, Sheet
from steelyard.units import format_quantity

SCHEMA = "steelyard/predict-serve/1"
HALF = 0.5
_STEP_PARTS = (
    ("matrix_s", "matrix products"),
    ("attention_s", "attention"),
    ("other_s", "elementwise, sampling, launches"),
    ("collective_s", "collectives"),
    ("engine_s", "engine"),
    ("host_s", "waiting for launches"),
    ("server_s", "waiting for the server"),
)
_MEMORY_ITEMS = (
    ("weight_bytes", "weights"),
    ("activation_bytes", "activation peak"),
    ("framework_bytes", "context, buffers, graphs"),
    ("kv_pool_bytes", "KV pool"),
)


def render(
    found: ServingPrediction, *, form: str | None = None, explain: bool = False, width: int | None = None
) -> str:
    """Return a prediction as text, as "json", "markdown" or "html", or the trees of terms behind it."""
    return sheets.render(
        sheet(found),
        form=form,
        document=lambda: prediction_document(found, SCHEMA, found.question.inputs()),
        explain=explain,
        width=width,
    )


def title(found: ServingPrediction) -> str:
    """Return what is served on what, in a line."""
    asked, layout = found.question, found.question.deployment
    ways = [f"{name}={ways}" for name in ("tp", "pp", "dp", "ep") if (ways := getattr(layout, name)) > 1]
    shown = f" ({', '.join(ways)})" if ways else ""
    engine = asked.serving_engine
    inside = f" ({engine.kernels} inside)" if engine.kernels != engine.name else ""
    return (
        f"{text.clean(asked.model.id)} in {layout.weight_dtype} on {layout.num_devices} x {asked.device.id}{shown}, "
        f"{engine.name}{inside}"
    )


def sheet(found: ServingPrediction) -> Sheet:
    """Return what a prediction says."""
    asked = found.question
    sections = [_section(f"Memory of a device: {_verdict(found)}", Rows(_memory_rows(found)))]
    if found.median is not None:
        sections += [
            _section(f"Under this load{_overload(found)}", Rows(_rows(found)), *_curves(found)),
            _section("A step", Rows(_step_rows(found)), Plot("Where a step goes", lambda: _step_plot(found))),
            _section("Read it so", Bullets(list(_notes(found)))),
        ]
    return Sheet(
        title=title(found),
        asked=(f"{asked.isl_tokens:,.0f} tokens in, {asked.osl_tokens:,.0f} out; {_load_text(found)}", *asked.told),
        sections=sections,
        trees=found.trees(),
        sources=found.sources,
        warnings=found.warnings,
    )


def _section(heading: str, *parts: Part) -> Section:
    return Section(heading=heading, parts=parts)


def _curves(found: ServingPrediction) -> Iterator[Plot]:
    median = found.median
    if median is None or not found.has_tpot:
        return
    asked = (1.0 / middle(median.tpot_s), middle(median.output_tokens_per_s_per_device))
    yield Plot("What more users get", lambda: serving_figures.load_curve(load_curve(found), asked))


def _step_plot(found: ServingPrediction) -> Figure:
    assert found.median is not None
    steps = {"decoding": found.median.decode_step, "with prompts": found.median.prompt_step}
    return stacked(
        {
            name: {label: 1e3 * middle(getattr(step, part)) for part, label in _STEP_PARTS}
            for name, step in steps.items()
        },
        "ms",
    )


def _load_text(found: ServingPrediction) -> str:
    asked = found.question
    if asked.users is not None:
        who = "one user who sends" if asked.users == 1 else f"{asked.users:,.0f} users who send"
        return f"{who} again when answered"
    if asked.request_rate_per_s is not None:
        return f"{asked.request_rate_per_s:g} requests/s"
    return "as many sequences at once as fit"


def _verdict(found: ServingPrediction) -> str:
    held = found.memory
    places, sequence = middle(held.max_sequences), format_quantity(middle(held.sequence_bytes), "bytes")
    if found.fits:
        return f"fits, room for {places:,.0f} sequences of {sequence}"
    short = middle(held.sequence_bytes) - middle(held.kv_pool_bytes)
    return f"DOES NOT FIT: {format_quantity(short, 'bytes')} short of one sequence of {sequence}"


def _overload(found: ServingPrediction) -> str:
    """Say that requests come faster than they are answered, where that is likelier than not."""
    chance = found.overloaded.mean()
    return f": MORE THAN IT CARRIES, in {share(chance)} of draws" if chance > HALF else ""


def _memory_rows(found: ServingPrediction) -> list[dict[str, str]]:
    budget = middle(found.memory.budget_bytes)
    rows = []
    for name, label in _MEMORY_ITEMS:
        size = middle(getattr(found.memory, name))
        rows.append({"item": label, "a device": format_quantity(size, "bytes"), "share": share(size / budget)})
    return [*rows, {"item": "what the engine takes", "a device": format_quantity(budget, "bytes"), "share": share(1.0)}]


def _rows(found: ServingPrediction) -> list[dict[str, str]]:
    rows = []
    for item in found.quantities():
        value, spread = (item.note, "") if item.value is None else text.parts(item.value, item.unit)
        rows.append({"of the replica": item.label, "median": value, "p10 to p90": spread})
    return rows


def _step_rows(found: ServingPrediction) -> list[dict[str, str]]:
    assert found.median is not None
    rows = []
    for name, label in (("total_s", "all"), *_STEP_PARTS):
        decode, prompt = (middle(getattr(step, name)) for step in (found.median.decode_step, found.median.prompt_step))
        if decode > 0 or prompt > 0:
            shown = {"decoding": format_quantity(decode, "s"), "with prompts": format_quantity(prompt, "s")}
            rows.append({"part of a step": label, **shown})
    return rows


def _notes(found: ServingPrediction) -> Iterator[str]:
    assert found.median is not None
    yield (
        f"prompts take {share(found.median.prompt_time_ratio)} of the time; the devices reach "
        f"{share(found.median.mfu_ratio)} of their printed FLOP/s"
    )
    if (chance := found.overloaded.mean()) > 0:
        yield (
            f"in {share(chance)} of draws requests come faster than they are answered: their queue, and with it TTFT, "
            "grows without limit; give more replicas or a lower rate"
        )
    yield "means over requests; percentiles need the scheduler event by event"
    yield "ranges are seeded draws of the residuals of step time and TTFT, of rental prices and of PUE"
    if found.rental is not None:
        yield text.rent(found.rental)
    yield f"not modelled: {'; '.join(inference.NOT_MODELLED)}"
