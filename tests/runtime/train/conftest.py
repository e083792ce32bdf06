"""Small runs on a little text."""

import pytest


@pytest.fixture(scope="session")
def tiny(corpus):
    """Return a tiny job: eight steps of 4 x 32 tokens, saved and judged every third step."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from steelyard.runtime.train import load_job

    def job(out, **changes):
        stated = {
            "out": str(out), "data": str(corpus), "tokenizer": 400, "model": "60k", "sequence": 32, "batch": 4,
            "micro_batch": 2, "warmup": 2, "threads": 1, "device": "cpu", "limits": {"tokens": 8 * 4 * 32},
            "evaluate": {"every": 3, "sequences": 8}, "checkpoint": {"every": 3},
        }  # fmt: skip
        return load_job(None, {key: value for key, value in (stated | changes).items() if value is not None})

    return job
