"""A trial: one small model trained and served for real on this machine, one process against several."""

from steelyard.measure.trial.plan import TrialPlan
from steelyard.measure.trial.run import run_trial

__all__ = ["TrialPlan", "run_trial"]
