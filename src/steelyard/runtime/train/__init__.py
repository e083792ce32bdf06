"""Training for real, with PyTorch and transformers.

load_job   a user's YAML and options -> TrainJob
train      a TrainJob -> a trained model in a folder, its events and checkpoints
launch     the same in several processes of this machine
train_on   the same on a Ray cluster
"""

from steelyard.runtime.train.cluster import train_on
from steelyard.runtime.train.event_log import read_log
from steelyard.runtime.train.job import Limits, TrainJob, load_job
from steelyard.runtime.train.prepare import prepare
from steelyard.runtime.train.ranks import is_worker, launch, rank
from steelyard.runtime.train.run import train
from steelyard.runtime.train.watch import LogLikelihoods, Watch

__all__ = [
    "Limits",
    "LogLikelihoods",
    "TrainJob",
    "Watch",
    "is_worker",
    "launch",
    "load_job",
    "prepare",
    "rank",
    "read_log",
    "train",
    "train_on",
]
