"""The judgement of a bundle from the answers of both models."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from raytl.exporting.agreement import agreement_of, object_agreement
from raytl.exporting.parity import (
    PARITY_FORMAT,
    Agreement,
    Calibration,
    Corrupted,
    Parity,
    calibration_of,
    class_agreement,
    corrupted_of,
    label_agreement,
    parity_of,
)
from raytl.metrics.paired import mcnemar, paired
from raytl.tasks.classification.comparison import slices_of
from raytl.tasks.detection.answer import Detections
from raytl.tasks.reporting import Slice

N = 400
TARGETS = np.arange(N) % 4
CLASSES = ("a", "b", "c", "d")


def table(wrong: int, sure: float = 0.7, only: int | None = None) -> NDArray[np.float64]:
    """Probabilities for `TARGETS`, of which the first `wrong` (of the class `only`) are wrong."""
    places = np.flatnonzero(only == TARGETS) if only is not None else np.arange(N)
    classes = TARGETS.copy()
    classes[places[:wrong]] = (TARGETS[places[:wrong]] + 1) % 4
    values = np.full((N, 4), (1 - sure) / 3)
    values[np.arange(N), classes] = sure
    return values


def judged(
    new: NDArray[np.float64],
    precision: str = "int8",
    max_drop: float = 0.5,
    corrupted: Corrupted | None = None,
    sure: float = 0.7,
) -> Parity:
    """The parity of `new` beside a model that is wrong 40 times, and so `sure`."""
    old = table(40, sure)
    calibrations = calibration_of(TARGETS, np.log(old)), calibration_of(TARGETS, np.log(new))
    return parity_of(
        precision,  # type: ignore[arg-type]
        class_agreement(old, new),
        paired(TARGETS, old, new, "accuracy"),
        slices_of(CLASSES, TARGETS, old, new, np.zeros(N, bool)),
        calibrations,
        corrupted,
        max_drop,
    )


def failed(parity: Parity) -> list[str]:
    return [each.name for each in parity.checks if not each.passed]


def test_fp32_that_answers_the_same_passes() -> None:
    parity = judged(table(40, 0.7005), "fp32")
    assert parity.passed and parity.agreement == 1 and parity.difference == pytest.approx(5e-4)
    assert [each.name for each in parity.checks] == ["agreement", "probabilities"]


def test_fp32_with_other_probabilities_fails_though_all_classes_agree() -> None:
    parity = judged(table(40, 0.71), "fp32")
    assert failed(parity) == ["probabilities"]
    assert parity.failures == ("probabilities: found 0.01; expected at most 0.001 apart",)


def test_one_other_answer_of_four_hundred_fails_fp32() -> None:
    assert "agreement" in failed(judged(table(41), "fp32"))


def test_a_tie_of_the_saved_model_is_no_disagreement() -> None:
    old = np.array([[0.5001, 0.4999], [0.9, 0.1]])
    flipped = np.array([[0.4999, 0.5001], [0.9, 0.1]])
    assert class_agreement(old, flipped) == Agreement(2, 1.0, pytest.approx(2e-4), 1)
    assert class_agreement(old, flipped).fraction == 1
    assert class_agreement(old, np.array([[0.5001, 0.4999], [0.1, 0.9]])).fraction == 0.5


def test_int8_that_may_lose_too_much_fails_and_says_what_the_images_exclude() -> None:
    parity = judged(table(60), max_drop=0.5)
    assert "loss of accuracy" in failed(parity)
    (check,) = [each for each in parity.checks if each.name == "loss of accuracy"]
    assert check.value.startswith("-5.0 points, and 400 images exclude a loss of more than ")
    assert check.allowed == "a loss of more than 0.5 points excluded"


def test_int8_that_changes_no_answer_passes_and_says_how_little_the_images_show() -> None:
    check = judged(table(40)).checks[0]
    assert check.passed
    assert check.value == "no change on 400 images, so at 95 % confidence on at most 0.7 % of all"
    assert check.allowed == "no change on any image, or a loss of more than 0.5 points excluded"
    same, part = table(40), class_agreement(table(40), table(40))
    grouped = parity_of("int8", part, paired(TARGETS, same, same, "accuracy"), (), None, None, 0.5, groups=20).checks[0]
    text = "no change on 400 images of 20 groups, so at 95 % confidence on at most 13.9 % of all groups"
    assert grouped.value == text and grouped.passed


def test_int8_as_good_as_the_model_passes() -> None:
    parity = judged(table(40, 0.68))
    assert parity.passed, parity.failures
    assert (parity.least, parity.score, parity.reference) == pytest.approx((0, 0.9, 0.9))


def test_a_class_that_int8_loses_fails_though_the_average_is_allowed() -> None:
    parity = judged(table(60, only=2), max_drop=20)
    assert failed(parity)[0] == "worst class" and "class 'c' (100 images)" in parity.worst_class


def test_the_worst_class_is_judged_among_all_classes() -> None:
    def of(name: str, lost: int) -> Slice:
        return Slice(name, 30, 0.9, 0.9 - lost / 30, 0, lost, mcnemar(0, lost)[1])

    alone, many = [of("a", 6)], [of("a", 6), *(of(str(place), 0) for place in range(99))]
    same = table(40)

    def judged_by(slices: list[Slice]) -> Parity:
        pair = paired(TARGETS, same, same, "accuracy")
        return parity_of("int8", class_agreement(same, same), pair, slices, None, None, 20)

    assert failed(judged_by(alone)) == ["worst class"]
    assert failed(judged_by(many)) == [] and judged_by(many).worst_class.startswith("class 'a'")
    assert failed(judged_by([of("b", 15), *many])) == ["worst class"]


def test_int8_that_is_too_sure_fails_by_its_log_loss_and_calibration() -> None:
    assert failed(judged(table(40, 0.9999), sure=0.9)) == ["log loss", "calibration error"]
    assert judged(table(40, 0.89), sure=0.9).passed


PHOTOS = np.tile(np.arange(16), 13)
"""The photo of each answer to 16 photos under 13 corruptions."""


def test_int8_that_breaks_on_corrupted_photos_fails() -> None:
    right = np.ones(208, bool)
    broken = corrupted_of(Agreement(208, 160, 0.5), right, np.arange(208) >= 48, PHOTOS)
    assert (broken.lost, broken.gained) == (48, 0) and broken.p_worse < 0.001
    assert failed(judged(table(40), corrupted=broken)) == ["corrupted photos"]
    assert judged(table(40), corrupted=replace(broken, lost=3)).passed


def test_one_photo_that_is_lost_under_every_corruption_is_one_photo() -> None:
    right = np.ones(208, bool)
    border = corrupted_of(Agreement(208, 195, 0.1), right, PHOTOS != 0, PHOTOS)
    assert border.lost == 13 and border.p_worse == pytest.approx(0.5)
    assert judged(table(40), corrupted=border).passed
    assert corrupted_of(Agreement(208, 208, 0), right, right, PHOTOS) == Corrupted(Agreement(208, 208, 0))


def test_fp32_must_agree_on_corrupted_photos() -> None:
    assert failed(judged(table(40), "fp32", corrupted=Corrupted(Agreement(200, 190, 0.1)))) == [
        "agreement on corrupted photos"
    ]


def test_a_detector_that_reports_nothing_shows_nothing() -> None:
    quiet = Detections(np.zeros((1, 4)), np.array([0.1]), np.zeros(1, int))
    heard = replace(quiet, scores=np.array([0.4]))
    assert agreement_of("objects", [quiet], [quiet], 0.3).objects == 0
    assert agreement_of("objects", [heard], [heard], 0.3) == Agreement(1, 1.0, 0.0, objects=2)
    old = table(40)
    pair, slices = paired(TARGETS, old, old, "accuracy"), slices_of(CLASSES, TARGETS, old, old, np.zeros(N, bool))
    for precision in ("fp32", "int8"):
        parity = parity_of(precision, Agreement(9, 9.0, 0.0, objects=0), pair, slices, None, None, 5)  # type: ignore[arg-type]
        assert parity.failures == (
            "objects: found none that either model reports; expected at least one, or nothing is compared",
        )


def test_an_object_with_another_mask_is_another_object() -> None:
    full, half = np.ones((4, 4), bool), np.arange(16).reshape(4, 4) < 8
    box = {"boxes": np.array([[0.0, 0, 4, 4]]), "labels": np.array([1]), "scores": np.array([0.9])}
    assert object_agreement(box | {"masks": full[None]}, box | {"masks": full[None]}) == (1.0, 0.0)
    assert object_agreement(box | {"masks": full[None]}, box | {"masks": half[None]})[0] == 0.0


def test_labels_agree_by_their_thresholds() -> None:
    old, new = np.array([[0.6, 0.2], [0.4, 0.9]]), np.array([[0.4, 0.2], [0.4, 0.9]])
    assert label_agreement(old, new, [0.5, 0.5]).fraction == 0.75
    assert label_agreement(old, new, [0.3, 0.5]).fraction == 1.0
    undecided = label_agreement([[0.5, 0.2, 0.1]], [[0.4999, 0.2, 0.1]], [0.5, 0.5, 0.5])
    assert undecided.fraction == 1.0, "one label of several is a part of an image"


def test_objects_agree_by_class_and_overlap() -> None:
    box = np.array([[0.0, 0, 10, 10], [20, 20, 40, 40]])
    one = {"boxes": box, "labels": np.array([0, 1]), "scores": np.array([0.9, 0.8])}
    assert object_agreement(one, one) == (1.0, 0.0)
    moved = {**one, "boxes": np.add(box, [[0, 0, 0, 0], [10, 10, 10, 10]])}
    assert object_agreement(one, moved) == (0.5, 0.0)
    assert object_agreement(one, {**one, "labels": np.array([0, 0])})[0] == 0.5
    nothing = {"boxes": np.zeros((0, 4)), "labels": np.zeros(0, int), "scores": np.zeros(0)}
    assert object_agreement(nothing, nothing) == (1.0, 0.0)
    assert object_agreement(one, nothing) == (0.0, 0.0)


def test_a_stored_parity_is_read_back() -> None:
    parity = judged(table(40))
    assert PARITY_FORMAT.read(json.dumps({**parity.to_json()}).encode(), "here") == parity


def test_a_calibration_has_the_error_of_chance_beside_it() -> None:
    found = calibration_of(TARGETS, np.log(table(120)))
    assert isinstance(found, Calibration) and not found.ece.is_evidence
