"""One serving deployment under one load, with its price and its energy at the meter."""

from steelyard.compare.serving.predict import ServingPrediction, predict_serving
from steelyard.compare.serving.question import ServingQuestion

__all__ = ["ServingPrediction", "ServingQuestion", "predict_serving"]
