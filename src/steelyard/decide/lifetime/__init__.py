"""Lifetime optimum: the size, tokens, hardware and format that reach a loss for the least money, serving included.

The laws of loss say which sizes and tokens reach a loss; training and serving predictions price each size; the cheapest
is looked up on a grid, at every draw. Beside it stand the compute-optimal model and the one that is best in FLOP.
"""

from steelyard.decide.lifetime.optimum import plan_model
from steelyard.decide.lifetime.question import ModelQuestion, Target
from steelyard.decide.lifetime.result import Candidate, ImpliedLoad, ModelPlan, Spread

__all__ = ["Candidate", "ImpliedLoad", "ModelPlan", "ModelQuestion", "Spread", "Target", "plan_model"]
