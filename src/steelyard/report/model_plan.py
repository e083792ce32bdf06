"""A lifetime plan of a model: which size reaches a loss for least money, its sheet and its JSON document."""

from __future__ import annotations

from collections.abc import Iterator

from steelyard.decide.lifetime import Candidate, ImpliedLoad, ModelPlan, Spread
from steelyard.decide.lifetime.result import FLAT_RATIO
from steelyard.records.estimate import Estimate
from steelyard.report import sheet as sheets
from steelyard.report.prediction import prediction_document
from steelyard.report.sheet import Bullets, Rows, Section, Sheet
from steelyard.report.text import amount, ranged
from steelyard.units import format_quantity

SCHEMA = "steelyard/plan-model/1"


def render(plan: ModelPlan, *, form: str | None = None, explain: bool = False, width: int | None = None) -> str:
    """Return a plan as text, as "json", "markdown" or "html", or the trees of terms behind it."""
    return sheets.render(
        sheet(plan),
        form=form,
        document=lambda: prediction_document(plan, SCHEMA, plan.question.inputs()),
        explain=explain,
        width=width,
    )


def _title(plan: ModelPlan) -> str:
    target = plan.question.target
    pair = f"{format_quantity(target.params, 'param')} on {format_quantity(target.tokens, 'token')}"
    whose = f"{target.label}: {pair}" if target.label and target.label[0].isalpha() else pair
    served = plan.question.served_tokens
    load = "" if served is None else f", then {format_quantity(served, 'token')} served ({_lengths(plan)})"
    return f"Loss {plan.loss_nats:.3f} nat/token (law {plan.law}), that of {whose}{load}"


def _lengths(plan: ModelPlan) -> str:
    lengths = plan.question.lengths
    return f"{lengths.mean_isl_tokens:,.0f} in and {lengths.mean_osl_tokens:,.0f} out a request"


def sheet(plan: ModelPlan) -> Sheet:
    """Return what a plan says."""
    candidates = Section(heading="Sizes that reach it", parts=(Rows([_row(one) for one in plan.candidates]),))
    return Sheet(
        title=_title(plan),
        asked=(),
        sections=(
            *((candidates,) if plan.candidates else ()),
            *(Section(heading=name, parts=(Bullets(sentences),)) for name, sentences in _sections(plan)),
        ),
        trees=plan.trees(),
        sources=plan.sources,
        warnings=plan.warnings,
    )


def _row(one: Candidate) -> dict[str, str]:
    return {
        "model": one.name,
        "params": format_quantity(one.params, "param"),
        "tokens": format_quantity(one.tokens, "token"),
        "tokens/param": f"{one.tokens_per_param:,.0f}",
        "FLOP": f"{one.training_flop + one.serving_flop:.2e}",
        "FLOP saved": f"{one.saved_flop_ratio:.0%}",
        "training": amount(one.training_usd.p50, "usd"),
        "serving": amount(one.serving_usd.p50, "usd"),
        "in all": ranged(one.total_usd, "usd"),
        "saved": f"{one.saved_usd_ratio:.0%}",
        "trained on": f"{one.training.num_devices:,} {one.training.device_id}",
        "served on": one.serving.name,
    }


def _sections(plan: ModelPlan) -> Iterator[tuple[str, list[str]]]:
    if plan.best is not None and plan.spread is not None:
        yield "The answer", list(_answer(plan, plan.best, plan.spread))
        yield "Why money and FLOP differ", list(plan.reasons)
    if plan.implied is not None:
        yield "What load its own size implies", list(_implied(plan, plan.implied))
    yield "Assumed", list(_assumed(plan))


def _answer(plan: ModelPlan, best: Candidate, spread: Spread) -> Iterator[str]:
    yield (
        f"Train {format_quantity(best.params, 'param')} on {format_quantity(best.tokens, 'token')} "
        f"({best.tokens_per_param:,.0f} a parameter) with {best.training.device_id}, serve it in "
        f"{best.serving.deployment.weight_dtype} on {best.serving.deployment.num_devices}x {best.serving.device_id}: "
        f"{ranged(best.total_usd, 'usd')} in all, {best.saved_usd_ratio:.0%} less than {plan.candidates[0].name}."
    )
    low, high = (format_quantity(params, "param") for params in spread.flat_params)
    yield f"The optimum is flat: every size from {low} to {high} costs within {FLAT_RATIO:.0%} of it."
    yield (
        f"Over prices and prediction errors the cheapest size is {_sizes(spread.over_draws)} (p10 to p90); over "
        f"the published laws {_sizes(spread.over_laws)}, where that of least FLOP is "
        f"{_sizes(spread.least_flop_over_laws)}."
    )


def _sizes(value: Estimate) -> str:
    low, high = format_quantity(value.p10, "param"), format_quantity(value.p90, "param")
    return f"{low} to {high}" if low != high else low


def _implied(plan: ModelPlan, implied: ImpliedLoad) -> Iterator[str]:
    target, laws = plan.question.target, "the published laws"
    yield (
        f"{format_quantity(target.params, 'param')} on {format_quantity(target.tokens, 'token')} "
        f"({target.tokens / target.params:,.0f} a parameter) would itself be the best size at this load over its life:"
    )
    yield f"counted in FLOP: {_load(implied.least_flop_tokens, laws)}"
    stays = f"{laws} and the loads at which it stays the cheapest"
    yield f"counted in money, at these prices: {_load(implied.least_money_tokens, stays)}"


def _load(value: Estimate, over: str) -> str:
    if value.p90 == 0:
        return "none, it is larger than the best without any serving"
    shown = [_tokens(one) for one in (value.p50, value.p10, value.p90)]
    return f"{shown[0]} served ({shown[1]} to {shown[2]} over {over})"


def _tokens(value: float) -> str:
    if value == float("inf"):
        return "more than any load"
    return "no tokens" if value == 0 else format_quantity(value, "token")


def _assumed(plan: ModelPlan) -> Iterator[str]:
    question = plan.question
    yield (
        "A served token is one in or out, at the largest batch that memory, engine and objective allow; fleets are "
        f"sized for {question.peak_to_mean:g} times the mean load, idle time charged. Quality is the loss: what "
        f"{' or '.join(question.weight_dtypes)} weights lose in serving is not in it."
    )
    day = "the newest" if question.as_of is None else f"those of {question.as_of}"
    yield (
        f"The final run ends within {format_quantity(question.deadline_s, 's')}, in bf16, with failures and lost time "
        f"as in reported jobs; training costs {question.rd_multiplier:g} times the run. Rents: {question.pricing}, "
        f"{day}, the same over the model's life."
    )
    yield f"Shapes between: {question.shape.name}, wider and deeper in proportion. People, data and storage are apart."
