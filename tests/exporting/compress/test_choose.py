"""What is rejected, what lies on the frontier, and which candidate is the best."""

from __future__ import annotations

from dataclasses import replace

import pytest

from raytl.exporting.compress.choose import best, frontier, judged, shortfall
from raytl.exporting.compress.outcome import Outcome, Speed
from tests.exporting.compress.outcomes import outcome

FP32 = outcome("onnx-fp32", 0.91, 8, 9)
OPENVINO = outcome("openvino-fp32", 0.91, 7, 9)
INT8 = outcome("openvino-int8", 0.905, 4, 3)


def test_a_candidate_that_is_not_faster_than_the_reference_is_rejected() -> None:
    slow = judged(outcome("onnx-int8", 0.91, 8, 3))
    assert slow.status == "rejected"
    assert slow.reason == "8.00 ms a call, not faster than onnx-fp32 on this machine (1.00 x)"
    assert judged(FP32) == FP32 and judged(INT8) == INT8


def test_a_candidate_that_the_gate_refuses_is_rejected_with_its_reason() -> None:
    refused = judged(outcome("openvino-int8", 0.86, 4, reason="may lose 7.1 points"))
    assert (refused.status, refused.reason) == ("rejected", "may lose 7.1 points")


def test_a_skipped_candidate_stays_skipped() -> None:
    skipped = Outcome("openvino-bf16", "skipped", "no bf16")
    assert judged(skipped) is skipped


def test_the_frontier_has_what_no_other_beats() -> None:
    large = outcome("large", 0.91, 9, 20)
    rejected = outcome("rejected", 0.99, 1, 1, "rejected")
    assert frontier([FP32, OPENVINO, INT8, large, rejected]) == ("openvino-fp32", "openvino-int8")


def test_equal_candidates_are_both_on_the_frontier() -> None:
    assert frontier([FP32, outcome("twin", 0.91, 8, 9)]) == ("onnx-fp32", "twin")


@pytest.mark.parametrize(
    ("target_ms", "expected"),
    [(10, "openvino-fp32"), (7, "openvino-fp32"), (5, "openvino-int8"), (None, "openvino-int8")],
)
def test_the_best_is_the_most_accurate_within_the_target_and_of_equals_the_fastest(
    target_ms: float | None, expected: str
) -> None:
    chosen = best([FP32, OPENVINO, INT8], target_ms)
    assert chosen is not None and chosen.name == expected
    assert shortfall([FP32, OPENVINO, INT8], target_ms, 0.5) == ""


def test_the_fastest_is_so_beside_the_reference_also_if_it_was_measured_in_a_busier_minute() -> None:
    busy = replace(INT8, speed=Speed(12.0, 14.0, 11.0, 380.0, 2.0))  # the reference took 24 ms then, and 8 before
    assert best([FP32, OPENVINO, busy], None) == busy
    assert frontier([replace(FP32, verdict=busy.verdict), busy]) == ("openvino-int8",)


def test_a_target_that_none_meets_says_how_close_the_search_came() -> None:
    refused = outcome("openvino-int8", 0.86, 3, 3, "rejected", -0.071, "may lose 7.1 points")
    tried = [FP32, OPENVINO, refused, Outcome("openvino-bf16", "skipped", "no bf16")]
    assert best(tried, 5) is None
    assert shortfall(tried, 5, 0.5) == (
        "the fastest that passes is openvino-fp32: 7.00 ms a call, 1.4 x the target of 5 ms; "
        "openvino-int8 is fast (3.00 ms) but may lose 7.1 points (allowed: 0.5)"
    )
    assert shortfall([], 5, 0.5) == "no candidate could be measured"
