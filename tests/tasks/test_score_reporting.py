"""Two models on the same images: better ones are found, by any task, whatever the order of the champion's classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from raytl.data.manifest import Sample
from raytl.data.targets import Box, Boxes, Labels, Mask, MaskClass, Target
from raytl.evaluation.stored import REPORT_FORMAT
from raytl.run.plain import encode
from raytl.tasks.detection.answer import Detections
from raytl.tasks.multilabel.answer import LabelsAnswer
from raytl.tasks.registry import task_named
from raytl.tasks.reporting import Evaluated, Occasion, Subject

CLASSES = ("a", "b", "c")
COUNT = 24


@dataclass(frozen=True)
class Split:
    """Images of a task, with the answers of a good and of a bad model."""

    targets: list[Target]
    truths: list[Any]
    good: list[Any]
    bad: list[Any]


def _detections(boxes: list[Box], noise: float, rng: np.random.Generator) -> Detections:
    corners = np.array([box.corners for box in boxes], np.float32).reshape(-1, 4)
    labels = np.array([CLASSES.index(box.label) for box in boxes], np.int64)
    scores = np.sort(rng.uniform(0.4, 1, len(boxes)).astype(np.float32))[::-1]
    return Detections((corners + rng.normal(0, noise, corners.shape)).astype(np.float32), scores, labels)


def detection(rng: np.random.Generator) -> Split:
    """Up to three boxes an image, found to a pixel or to six."""
    images = []
    for _ in range(COUNT):
        corners = [(*rng.uniform(0, 60, 2), *rng.uniform(10, 40, 2)) for _ in range(rng.integers(0, 4))]
        images.append([Box(CLASSES[rng.integers(0, 3)], x, y, x + w, y + h) for x, y, w, h in corners])
    truths = [Boxes(100, 100, tuple(boxes)) for boxes in images]
    good, bad = ([_detections(boxes, noise, rng) for boxes in images] for noise in (1, 6))
    return Split(truths, truths, good, bad)


def multilabel(rng: np.random.Generator) -> Split:
    """Labels with logits that are nearly certain, or noisy."""
    truths = [rng.integers(0, 2, 3) for _ in range(COUNT)]

    def answers(noise: float) -> list[LabelsAnswer]:
        logits = [4 * (truth - 0.5) + rng.normal(0, noise, 3) for truth in truths]
        return [LabelsAnswer(row.astype(np.float32), np.full(3, 0.5, np.float32)) for row in logits]

    named = [Labels(tuple(name for name, on in zip(CLASSES, truth, strict=True) if on)) for truth in truths]
    return Split(named, truths, answers(0.5), answers(8))


def segmentation(rng: np.random.Generator) -> Split:
    """Tiles of three classes, with few or many wrong pixels."""
    truths = [np.kron(rng.integers(0, 3, (3, 3)), np.ones((5, 5))).astype(np.uint8) for _ in range(COUNT)]

    def answers(wrong: float) -> list[NDArray[np.uint8]]:
        draws = [(rng.random(t.shape) < wrong, rng.integers(0, 3, t.shape)) for t in truths]
        return [np.where(at, other, t).astype(np.uint8) for t, (at, other) in zip(truths, draws, strict=True)]

    table = tuple(MaskClass(i, name) for i, name in enumerate(CLASSES))
    return Split([Mask(f"{i}.png", "/x", table) for i in range(COUNT)], truths, answers(0.05), answers(0.4))


def split_of(name: str) -> Split:
    """Return images of a task."""
    return {"detection": detection, "multilabel": multilabel, "segmentation": segmentation}[name](
        np.random.default_rng(0)
    )


def evaluated(name: str, split: Split, answers: list[Any]) -> Evaluated:
    """Return the answers as an evaluation has them."""
    samples = tuple(Sample(f"{i}", f"/{i}", target, "test", f"{i:064d}") for i, target in enumerate(split.targets))
    return Evaluated(samples, split.truths, task_named(name).evidence(answers, split.truths), CLASSES, 3)


class Reads(Sequence[Any]):
    """Truths, and how often one was read."""

    def __init__(self, truths: list[Any]) -> None:
        self.reads, self._truths = 0, truths

    def __len__(self) -> int:
        return len(self._truths)

    def __getitem__(self, place: Any) -> Any:
        self.reads += 1
        return self._truths[place]


TASKS = ["detection", "multilabel", "segmentation"]


@pytest.mark.parametrize("name", TASKS)
def test_the_better_of_two_models_gains_and_each_class_and_the_new_images_are_a_slice(name: str) -> None:
    split, reporting = split_of(name), task_named(name).reporting
    good, bad = (evaluated(name, split, each) for each in (split.good, split.bad))
    metric = reporting.gate_metrics[0]
    result = reporting.compare(bad, good, [i < 12 for i in range(COUNT)], metric, 0.95)
    assert result.paired is not None
    assert result.paired.gain == pytest.approx(result.metrics[metric] - result.champion_metrics[metric])
    assert result.paired.p_better < 0.01 < result.paired.p_worse
    assert [(part.name, part.is_class) for part in result.slices] == [
        ("a", True), ("b", True), ("c", True), ("new images", False),
    ]  # fmt: skip
    assert all(part.p_worse > 0.05 for part in result.slices)
    back = reporting.compare(good, bad, [False] * COUNT, metric, 0.95)
    assert all(part.drop > 0 for part in back.slices)
    assert min(part.p_worse for part in back.slices) < 0.05
    assert sum(image.change for image in result.images) == -sum(image.change for image in back.images) > 0


@pytest.mark.parametrize("name", TASKS)
def test_a_first_version_has_scores_alone(name: str) -> None:
    split, reporting = split_of(name), task_named(name).reporting
    result = reporting.compare(
        None, evaluated(name, split, split.good), [True] * COUNT, reporting.gate_metrics[0], 0.95
    )
    assert set(result.metrics) == set(reporting.gate_metrics)
    assert (result.champion_metrics, result.paired, result.slices) == ({}, None, ())
    assert {image.champion for image in result.images} == {None}


@pytest.mark.parametrize("name", TASKS)
def test_draws_score_as_validations_of_their_images_but_gather_facts_once(name: str) -> None:
    split, task = split_of(name), task_named(name)
    whole = evaluated(name, split, split.bad)
    draws = np.random.default_rng(1).integers(0, COUNT, (3, COUNT))
    for metric in set(task.metrics) - {"macro_f1", "micro_f1"}:  # a validation chooses the thresholds of these again
        read = Reads(split.truths)
        scored = task.reporting.resampled(replace(whole, truths=read), metric)
        assert scored is not None
        gathered, values = read.reads, scored(draws)
        assert read.reads == gathered <= COUNT + 1, "a draw reads no truths; the last read is the end"
        for draw, value in zip(draws, values, strict=True):
            truths, rows = [split.truths[i] for i in draw], tuple(column[draw] for column in whole.rows)
            assert task.validation(truths, rows, CLASSES).metrics[f"val/{metric}"] == pytest.approx(value)


@pytest.mark.parametrize(("name", "metric"), [("classification", "accuracy"), ("instances", "box_map")])
def test_without_facts_for_a_metric_there_is_nothing_to_draw_from(name: str, metric: str) -> None:
    assert task_named(name).reporting.resampled(Evaluated((), (), (), CLASSES, 3), metric) is None


def test_the_order_of_the_champions_classes_changes_nothing() -> None:
    split, reporting = split_of("detection"), task_named("detection").reporting
    good, bad = (evaluated("detection", split, each) for each in (split.good, split.bad))
    order = ("c", "a", "b")
    boxes, scores, labels, lowest = bad.rows
    numbers = np.array([*(order.index(name) for name in CLASSES), -1])
    turned = Evaluated(bad.samples, bad.truths, (boxes, scores, numbers[labels], lowest), order, 3)
    fresh = [i < 12 for i in range(COUNT)]
    assert reporting.compare(turned, good, fresh, "map", 0.95) == reporting.compare(bad, good, fresh, "map", 0.95)


def test_a_label_that_the_champion_lacks_is_one_that_it_never_predicts() -> None:
    split, reporting = split_of("multilabel"), task_named("multilabel").reporting
    good = evaluated("multilabel", split, split.good)
    rows = tuple(column[:, [1, 0]] for column in good.rows)
    former = Evaluated(good.samples, [truth[[1, 0, 2]] for truth in split.truths], rows, ("b", "a", "c"), 2)
    result = reporting.compare(former, good, [False] * COUNT, "macro_f1", 0.95)
    drops = {part.name: part.drop for part in result.slices}
    assert drops["a"] == drops["b"] == 0.0
    assert drops["c"] < -0.3


@pytest.mark.parametrize("name", TASKS)
def test_the_outcomes_of_two_evaluations_are_paired_by_image(name: str) -> None:
    split, reporting = split_of(name), task_named(name).reporting
    good, bad = ((reporting.outcomes(evaluated(name, split, each)), "x") for each in (split.good, split.bad))
    (test,), reason = reporting.paired_outcomes(bad, good)
    assert reason == ""
    assert test.gain > 0
    assert test.p_better < 0.01
    assert reporting.paired_outcomes((good[0].split(b"\n", 1)[1], "x"), bad) == (
        (), "the outcomes of the reports are of different images",
    )  # fmt: skip


@pytest.mark.parametrize("name", TASKS)
def test_images_of_a_group_are_one_witness(name: str) -> None:
    split, reporting = split_of(name), task_named(name).reporting
    of_two = np.arange(COUNT) % 2
    good, bad = (replace(evaluated(name, split, each), groups=of_two) for each in (split.good, split.bad))
    result = reporting.compare(bad, good, [i < 12 for i in range(COUNT)], reporting.gate_metrics[0], 0.95)
    assert result.paired is not None
    assert result.paired.p_better >= 1 / 4, "there are four swaps of two groups"
    assert min(part.p_worse for part in result.slices) >= 1 / 4
    (test,), _ = reporting.paired_outcomes((reporting.outcomes(bad), "x"), (reporting.outcomes(good), "x"))
    assert test.p_better >= 1 / 4


@pytest.mark.parametrize("name", TASKS)
def test_the_stored_reports_of_all_tasks_share_their_fields(name: str) -> None:
    split, reporting = split_of(name), task_named(name).reporting
    occasion = Occasion(Subject("demo", "net", "test", "e", "d", 0), 1, (), 20, "/x")
    report = reporting.report(occasion, evaluated(name, split, split.good))
    stored = REPORT_FORMAT.read(encode(report.to_json()), "report.json")
    assert {key: bounds.value for key, bounds in stored.metrics.items() if bounds.value == bounds.value} == {
        key: value for key, value in report.metrics.items() if value == value
    }
