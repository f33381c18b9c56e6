"""The gate's verdicts, one row per rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from raytl.config.retrain import GateConfig
from raytl.errors import ConfigError
from raytl.metrics.paired import Paired
from raytl.retraining.gate import Comparison, Keep, Promote, Reject, Slice, Verdict, gate_metric, judge
from raytl.tasks.registry import task_named

GATE = GateConfig(margin=0.0, confidence=0.95, max_class_drop=0.05, max_latency_ms=30, max_size_mb=20)


def pair(gain: float = 0.03, least: float = 0.01, p_better: float = 0.01, p_worse: float = 0.99) -> Paired:
    return Paired(
        "balanced_accuracy", 0.9, 0.9 + gain, gain, least - 0.01, gain + 0.02, least, 20, 8, p_better, p_worse
    )


def part(name: str = "glass", before: float = 0.9, after: float = 0.9, p: float = 1.0, is_class: bool = True) -> Slice:
    return Slice(name, 80, before, after, 1, 9, p, is_class)


def comparison(**values: Any) -> Comparison:
    found = Comparison(
        evaluation="e", images=400, looks=3, champion=4, challenger=5, same_weights=False, metrics={}, champion_metrics={},
        paired=pair(), slices=(), latency_ms=10.0, champion_latency_ms=10.0, size_bytes=9_000_000,
    )  # fmt: skip
    return replace(found, **values)


ROWS: list[tuple[str, Comparison, type[Verdict], str]] = [
    ("the first", comparison(champion=None, paired=None), Promote, "the first version; 400 evaluation images"),
    ("the first, too slow", comparison(champion=None, paired=None, latency_ms=31), Reject, "latency 31.0 ms exceeds gate.max_latency_ms (30)"),
    ("better", comparison(), Promote, "balanced accuracy 90.0 % -> 93.0 % (+3.0 points"),
    ("better by the bootstrap alone", comparison(paired=pair(p_better=0.125)), Keep, "not significantly better"),
    ("better by the test alone", comparison(paired=pair(least=-0.001)), Keep, "not significantly better"),
    ("exactly the margin", comparison(paired=pair(least=0.0)), Keep, "not significantly better"),
    ("a tie", comparison(paired=pair(0, 0, 1, 1)), Keep, "90.0 % -> 90.0 %"),
    ("itself", comparison(same_weights=True), Keep, "same weights as the champion"),
    ("worse, by chance", comparison(paired=pair(-0.01, -0.03, 0.9, 0.2)), Keep, "not significantly better"),
    ("worse", comparison(paired=pair(-0.05, -0.08, 1.0, 0.001)), Reject, "worse: balanced accuracy 90.0 % -> 85.0 %"),
    ("a class fell", comparison(slices=(part(after=0.8, p=0.01),)), Reject, "class 'glass' (80 images): 90.0 -> 80.0 %; the drop exceeds gate.max_class_drop (0.05"),
    ("a class fell, by chance", comparison(slices=(part(after=0.8, p=0.2),)), Promote, "worse: class 'glass' (80 images): 90.0 -> 80.0 %"),
    ("a class fell a little", comparison(slices=(part(after=0.86, p=0.01),)), Promote, "worse: class 'glass'"),
    ("the new images fell", comparison(slices=(part("new images", after=0.7, p=0.001, is_class=False),)), Promote, "worse: new images (80"),
    ("too large", comparison(size_bytes=21_000_000), Reject, "size 21.0 MB exceeds gate.max_size_mb (20)"),
    ("it has seen them", comparison(leaked=("glass/1.jpg", "x")), Reject, "trained on 2 of the evaluation images, such as 'glass/1.jpg'"),
    ("few images", comparison(images=12, paired=pair(p_better=0.4)), Keep, "only 12 images"),
    ("few groups", comparison(groups=9, paired=pair(p_better=0.4)), Keep, "only 9 groups of images"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "found", "kind", "reason"), ROWS, ids=[row[0] for row in ROWS])
def test_the_rules(what: str, found: Comparison, kind: type[Verdict], reason: str) -> None:
    verdict = judge(found, GATE)
    assert type(verdict) is kind
    assert reason in "; ".join(verdict.reasons)


def test_a_margin_has_to_be_cleared() -> None:
    assert isinstance(judge(comparison(), GATE.model_copy(update={"margin": 0.005})), Promote)
    kept = judge(comparison(), GATE.model_copy(update={"margin": 0.02}))
    assert isinstance(kept, Keep)
    assert "margin +2.0 points" in kept.reasons[0]


def test_a_limit_that_is_not_set_is_not_checked() -> None:
    lax = GATE.model_copy(update={"max_latency_ms": None, "max_size_mb": None, "max_class_drop": None})
    fell = (part(after=0.1, p=0.0),)
    assert isinstance(judge(comparison(latency_ms=99, size_bytes=10**9, slices=fell), lax), Promote)


def test_the_limit_of_a_class_is_corrected_for_the_number_of_classes() -> None:
    others = tuple(part(f"class {number}", after=0.95) for number in range(19))
    by_chance = judge(comparison(slices=(*others, part(after=0.8, p=0.01))), GATE)
    assert isinstance(by_chance, Promote) and "worse: class 'glass'" in by_chance.reasons[-1]
    fell = judge(comparison(slices=(*others, part(after=0.8, p=0.002), part("new images", is_class=False))), GATE)
    assert isinstance(fell, Reject)
    assert "gate.max_class_drop (0.05; p 0.040, corrected for 20 classes)" in fell.reasons[0]


def test_every_slice_that_got_worse_is_named_the_worst_first() -> None:
    slices = (part("a", after=0.89), part("b", after=0.95), part("c", after=0.8))
    verdict = judge(comparison(slices=slices), GATE)
    assert [text.split("'")[1] for text in verdict.worse] == ["c", "a"]
    assert verdict.reasons[-1] == "worse: class 'c' (80 images): 90.0 -> 80.0 %, and 1 more"


def test_the_metric_of_the_gate_is_the_first_of_the_task_or_one_of_its_others() -> None:
    reporting = task_named("detection").reporting
    assert gate_metric(reporting, GateConfig()) == "map"
    assert gate_metric(reporting, GateConfig(metric="map_50")) == "map_50"
    with pytest.raises(ConfigError, match=r"retrain\.gate\.metric: found 'map_5'.*did you mean 'map_[57][05]'\?"):
        gate_metric(reporting, GateConfig(metric="map_5"))
    with pytest.raises(ConfigError, match="expected balanced_accuracy, accuracy"):
        gate_metric(task_named("classification").reporting, GateConfig(metric="xyz"))
