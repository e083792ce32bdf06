"""One training job by itself: predicted as it is laid out, or planned over all layouts; with money, energy and loss."""

from steelyard.compare.jobs.job import KINDS, TrainingJob
from steelyard.compare.jobs.plan import Option, TrainingPlan, plan_training
from steelyard.compare.jobs.predict import TrainingPrediction, predict_training
from steelyard.compare.jobs.why_not import WhyNot

__all__ = [
    "KINDS",
    "Option",
    "TrainingJob",
    "TrainingPlan",
    "TrainingPrediction",
    "WhyNot",
    "plan_training",
    "predict_training",
]
