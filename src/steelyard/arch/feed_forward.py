"""Feed-forward blocks: one dense pair (or triple) of matrices, or a mixture of experts."""

from __future__ import annotations

from steelyard.arch.parts import BLOCKS, Block, Linear, Traffic, whole
from steelyard.arch.spec import Mlp, Moe


def _pair(prefix: str, group: str, ffn: int, hidden: int, *, gated: bool, bias: bool = False) -> tuple[Linear, ...]:
    up = "up_gate" if gated else "up"
    return (
        Linear(
            name=f"{prefix}.{up}",
            group=group,
            out=((ffn, 2 if gated else 1),),
            into=((1, hidden),),
            bias=bias,
        ),
        Linear(name=f"{prefix}.down", group=group, out=((1, hidden),), into=((ffn, 1),), bias=bias),
    )


def dense(spec: Mlp, hidden: int) -> Block:
    """Return the parts of a dense feed-forward block."""
    widths = 3 if spec.gated else 2  # the activation function reads one or two tensors and writes one
    return Block(
        linears=_pair("mlp", "mlp", spec.ffn, hidden, gated=spec.gated, bias=spec.bias),
        vector_params=spec.vector_params,
        moved=((spec.ffn, widths),),
        kept={"norm": hidden, "activation": spec.ffn, "feed_forward": (widths - 1) * spec.ffn},
    )


def mixture(spec: Moe, hidden: int) -> Block:
    """Return the parts of a mixture of experts: router, routed experts, shared experts."""
    widths = 3 if spec.gated else 2
    up = ((spec.ffn, 2 if spec.gated else 1),)
    logits = spec.experts + (1 if spec.shared_gate else 0)
    router = Linear(name="moe.router", group="router", out=((1, logits),), into=((1, hidden),))
    inner = ((1, spec.latent or hidden),)
    experts = (("moe.experts_up", up, inner), ("moe.experts_down", inner, ((spec.ffn, 1),)))
    to_latent = Linear(name="moe.latent_down", group="shared_experts", out=inner, into=((1, hidden),))
    from_latent = Linear(name="moe.latent_up", group="shared_experts", out=((1, hidden),), into=inner)
    shared = _pair("moe.shared", "shared_experts", spec.shared_ffn, hidden, gated=spec.gated)
    return Block(
        linears=(
            router,
            *(
                Linear(
                    name=name,
                    group="experts",
                    out=out,
                    into=into,
                    bias=spec.bias,
                    experts=spec.experts,
                    top_k=spec.top_k,
                )
                for name, out, into in experts
            ),
            *((to_latent, from_latent) if spec.latent else ()),
            *(shared if spec.shared_ffn else ()),
        ),
        vector_params=spec.router_params,
        buffers=spec.router_buffers,
        moved=((spec.shared_ffn, widths),) if spec.shared_ffn else (),
        routed=Traffic(
            name="moe.dispatch_combine",
            residual=4 * whole(inner),  # a copy of the token goes to its expert, its result comes back
            sharded=((spec.ffn, widths),),
            experts=spec.experts,
            top_k=spec.top_k,
        ),
        kept={
            "norm": hidden,
            "activation": spec.top_k * spec.ffn + spec.shared_ffn,
            "dispatch": spec.top_k * whole(inner),
            # experts' outputs are not kept: their weights of the router are applied inside, after the activation
            "feed_forward": (widths - 1) * (spec.top_k * spec.ffn + spec.shared_ffn),
        },
    )


BLOCKS[Mlp] = dense
BLOCKS[Moe] = mixture
