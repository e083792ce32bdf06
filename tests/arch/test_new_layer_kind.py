"""A new layer kind is one function and one registry line; a new structure too."""

from dataclasses import dataclass

from steelyard import arch
from steelyard.arch.parts import BLOCKS, Block, Core, Linear, Work
from steelyard.arch.readers import READERS
from steelyard.arch.readers.common import decoder, mlp, num_layers
from steelyard.arch.spec import Layer


@dataclass(frozen=True)
class Echo:
    """A made-up mixer: one square matrix, and a state of constant size."""

    width: int


@dataclass(frozen=True)
class EchoCore(Core):
    name: str
    width: int

    def work(self, new_tokens, context_tokens, tp, cp):
        return Work(
            flop=8 * self.width * new_tokens / cp,
            cache_elements=2 * self.width,
            activation_elements=2 * self.width * new_tokens / cp,
        )

    def full_flop(self, seq_tokens):
        return 8 * self.width * seq_tokens

    def cache_elements(self, context_tokens, tp):
        return self.width / tp + 0 * context_tokens


def echo(spec, hidden):
    matrix = Linear(name="echo", group="attention", out=((1, hidden),), into=((1, hidden),))
    return Block(linears=(matrix,), vector_params=3, cores=(EchoCore("echo.state", spec.width),))


def read_echo(fields):
    layer = Layer(blocks=(Echo(fields.count("echo_width", "width")), mlp(fields)), norms=2)
    return decoder(fields, [layer] * num_layers(fields))


def test_a_made_up_layer_kind(monkeypatch):
    monkeypatch.setitem(BLOCKS, Echo, echo)
    monkeypatch.setitem(READERS, "echo", read_echo)
    config = {
        "model_type": "echo",
        "hidden_size": 8,
        "intermediate_size": 16,
        "vocab_size": 10,
        "num_hidden_layers": 3,
        "max_position_embeddings": 64,
        "echo_width": 5,
    }
    model = arch.from_config(config, id="made-up")
    # embedding and head 2 x 80; a layer: 64 + 3, mlp 3 x 128, two norms of 8; last norm 8
    assert arch.count_params(model).total_params == 160 + 3 * (64 + 3 + 384 + 16) + 8
    assert arch.cache_bytes(model, 1e6) == 3 * 5 * 2  # a state does not grow
    ops = arch.forward_operators(model, batch=2, new_tokens=7)
    (state,) = [o for o in ops if o.name == "echo.state"]
    assert (state.count, state.flop) == (3, 2 * 8 * 5 * 7)
    assert arch.flop_per_token(model, 7.0, training=False, attention="none") == 2 * (3 * (64 + 384) + 80)
