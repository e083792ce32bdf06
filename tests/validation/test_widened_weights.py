"""Weights of four bits where memory is fast for the vector units: widening them takes the time, not reading them."""

import collections
import math
import statistics

import pytest

from steelyard import device
from steelyard.validation import inference

CELL = ("source", "model_id", "engine", "engine_version", "metric", "tp", "dp", "ep", "isl", "osl", "load_value")
FAST_FOR_ITS_UNITS = 0.07  # bytes of memory a FLOP of the vector units: A100 0.10, H20 0.09, H200 0.07, H100 0.05
NARROW = ("int4", "mxfp4", "awq", "gptq", "q4", "4bit")


@pytest.fixture(scope="module")
def shipped():
    return inference.validate(refit=False)


def test_four_bit_experts_run_no_faster_on_a_card_that_only_reads_faster(shipped):
    cells = collections.defaultdict(dict)
    for point, predicted in zip(shipped.points, shipped.predicted.p50, strict=True):
        row = point.row
        if row["model_id"] == "gpt-oss-120b" and point.metric == "tpot" and row["engine_version"] == "0.18.0":
            card = device.load(row["device"]).id
            cells[tuple(row[name] for name in CELL)][card] = (point.value, float(predicted))
    both = ("h100-sxm5-80gb", "h200-sxm-141gb")
    pairs = [[cards[card] for card in both] for cards in cells.values() if set(cards) == set(both)]
    assert len(pairs) >= 40
    measured, predicted = (
        statistics.median(math.log(h200[i] / h100[i]) for h100, h200 in pairs) for i in (0, 1)
    )  # fmt: skip
    h100, h200 = (device.load(name).accelerator.hbm_bytes_per_s for name in ("h100", "h200"))
    assert abs(predicted - measured) < 0.05
    assert abs(predicted - measured) < 0.2 * abs(math.log(h100 / h200) - measured)  # than if bandwidth were all


def test_slow_units_are_told_in_every_source(shipped):
    """Single users of 4-bit models on cards with much bandwidth for their units."""
    misses = collections.defaultdict(list)
    for point, predicted in zip(shipped.points, shipped.predicted.p50, strict=True):
        row = point.row
        named = f"{row['model']} {row['model_id']} {row['weights_dtype']}".casefold()
        if point.metric not in ("tpot", "throughput") or not any(word in named for word in NARROW):
            continue
        card = device.load(row["device"]).accelerator if row["device"] else None
        vector = card.peak_flop_per_s.get("fp32", 0.0) if card and card.vendor == "NVIDIA" else 0.0
        native = card is None or "fp4" in card.peak_flop_per_s
        if vector and not native and card.hbm_bytes_per_s / vector > FAST_FOR_ITS_UNITS and row["load_value"] == "1":
            misses[point.family].append(abs(math.log(float(predicted) / point.value)))
    assert len(misses) >= 3
    assert statistics.median(statistics.median(found) for found in misses.values()) < 0.25
