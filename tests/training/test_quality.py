"""Laws of loss, against the worked values of their papers and of hand arithmetic."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard import training
from steelyard.errors import InputError, UnknownError

BUDGETS = st.floats(1e18, 1e27)


def test_chinchilla_budget_with_the_replicated_constants():
    # Besiroglu et al.: C = 5.76e23 gives 72B parameters, 1.33T tokens, 18.4 tokens per parameter, 1.974 nats.
    best = training.compute_optimal(5.76e23)
    assert best.params == pytest.approx(72e9, rel=0.01)
    assert best.tokens == pytest.approx(1.33e12, rel=0.01)
    assert best.tokens_per_param == pytest.approx(18.4, rel=0.01)
    assert best.loss_nats_per_token == pytest.approx(1.974, abs=0.001)


@pytest.mark.parametrize(("law", "ratio"), [("muennighoff2023", 19.6), ("hoffmann2022_a3_tex", 59.0)])
def test_tokens_per_parameter_of_other_laws_at_the_same_budget(law, ratio):
    assert training.compute_optimal(5.76e23, law).tokens_per_param == pytest.approx(ratio, rel=0.02)


def test_loss_by_hand():
    # 1.8172 + 482.01 / (1e10)^0.3478 + 2085.43 / (1e12)^0.3658; 10^3.478 = 3006.1, 10^4.3896 = 24525
    # = 1.8172 + 0.16034 + 0.08503
    assert training.loss_nats_per_token(1e10, 1e12) == pytest.approx(2.06257, abs=2e-4)


@pytest.mark.parametrize(
    ("served", "params", "ratio", "saved"),
    [(1e12, 58e9, 30, 0.02), (1e13, 35e9, 108, 0.26), (1e14, 21e9, 617, 0.60)],
)
def test_lifetime_optimum_at_the_loss_of_70b_on_1400b_tokens(served, params, ratio, saved):
    loss = training.loss_nats_per_token(70e9, 1.4e12)
    best = training.lifetime_optimal(loss, served)
    assert best.params == pytest.approx(params, rel=0.02)
    assert best.tokens_per_param == pytest.approx(ratio, rel=0.02)
    total = best.training_flop + best.serving_flop
    assert 1 - total / (6 * 70e9 * 1.4e12 + 2 * 70e9 * served) == pytest.approx(saved, abs=0.005)


@given(budget=BUDGETS)
@settings(max_examples=50, deadline=None)
def test_compute_optimal_spends_the_budget_and_meets_its_first_order_condition(budget):
    law = training.get_law()
    best = training.compute_optimal(budget)
    assert best.training_flop == pytest.approx(budget)
    # d/dN of the loss along 6 N D = C vanishes: alpha A N^-alpha = beta B D^-beta
    assert law.alpha * law.A * best.params**-law.alpha == pytest.approx(
        law.beta * law.B * best.tokens**-law.beta, rel=1e-6
    )
    for factor in (0.9, 1.1):
        other = training.loss_nats_per_token(best.params * factor, best.tokens / factor)
        assert other >= best.loss_nats_per_token


@given(params=st.floats(1e7, 1e13), tokens=st.floats(1e8, 1e15), more=st.floats(1.01, 10))
@settings(max_examples=50, deadline=None)
def test_loss_falls_with_parameters_and_with_tokens(params, tokens, more):
    loss = training.loss_nats_per_token(params, tokens)
    assert training.loss_nats_per_token(params * more, tokens) < loss
    assert training.loss_nats_per_token(params, tokens * more) < loss


@given(loss=st.floats(1.9, 3.0), served=st.floats(0, 1e15), price=st.floats(0.1, 10))
@settings(max_examples=50, deadline=None)
def test_lifetime_optimum_reaches_its_loss_and_no_neighbour_is_cheaper(loss, served, price):
    best = training.lifetime_optimal(loss, served, serving_price_ratio=price)
    assert best.loss_nats_per_token == pytest.approx(loss, rel=1e-6)

    def cost(params):
        return 6 * params * training.tokens_for_loss(loss, params) + price * 2 * params * served

    assert cost(best.params * 1.05) >= cost(best.params) * (1 - 1e-9)
    assert cost(best.params * 0.95) >= cost(best.params) * (1 - 1e-9)


def test_arrays_give_the_same_as_one_at_a_time():
    losses, served = np.array([1.95, 2.0, 2.2]), np.array([0.0, 1e12, 1e14])
    together = training.lifetime_optimal(losses, served).params
    apart = [float(training.lifetime_optimal(a, b).params) for a, b in zip(losses, served, strict=True)]
    assert together == pytest.approx(apart)


def test_repeated_data():
    # Muennighoff: R* = 15.39; 4 epochs of U are worth U (1 + 15.39 (1 - exp(-3/15.39))) = 3.73 U; one epoch is itself.
    assert training.effective_tokens(4e11, 1e11) == pytest.approx(3.726e11, rel=1e-3)
    assert training.effective_tokens(5e10, 1e11) == pytest.approx(5e10)
    assert training.effective_tokens(1e16, 1e11) == pytest.approx(1e11 * 16.39, rel=1e-3)


def test_perplexity_and_bits_per_byte():
    assert training.perplexity(math.log(8.0)) == pytest.approx(8.0)
    assert training.bits_per_byte(math.log(2.0), 4.0) == pytest.approx(0.25)  # one bit a token of four bytes


def test_tokens_for_loss_turns_the_loss_around_and_knows_when_it_cannot():
    loss = training.loss_nats_per_token(8e9, 2e12)
    assert training.tokens_for_loss(loss, 8e9) == pytest.approx(2e12)
    assert training.tokens_for_loss(1.82, 1e9) == math.inf


def test_what_is_refused():
    assert "hoffmann2022_a3_rounded" not in training.laws()
    with pytest.raises(UnknownError, match="besiroglu2024"):
        training.loss_nats_per_token(1e9, 1e9, law="besiroglu2042")
    with pytest.raises(InputError):
        training.loss_nats_per_token(0.0, 1e9)
    with pytest.raises(InputError):
        training.compute_optimal(-1.0)
    with pytest.raises(InputError, match="floor"):
        training.lifetime_optimal(1.5)
