from __future__ import annotations

from dataclasses import replace

import pytest

from raytl.advice.result import Advice
from raytl.advice.words import always_unmeasured, curve_sentence, sentences
from raytl.metrics.intervals import Interval
from raytl.metrics.learning_curve import LearningCurve
from raytl.models.group_gap import GroupAccuracy, GroupGap
from tests.advice.conftest import CURVE, EXPERIMENT, advice, fit


def test_clear_advice_in_four_sentences() -> None:
    assert sentences(advice()) == (
        "Weights: big; a linear probe is right on 90.0 % (85.0 to 95.0) of the images, and each other candidate is worse "
        "beyond chance.",
        "Transfer: fine-tune every stage. Few images: every stage learns.",
        "More labels: halving the error needs about 19 x the labels (8.2 to 60).",
        "Labels: 1 of 100 are suspect, the most suspect first; the probe itself is wrong on 10 %.",
    )


def test_what_the_images_do_not_tell_is_said_and_the_smallest_network_taken() -> None:
    fits = (fit("big", 0.9), fit("small", 0.88, 500, 0.02))
    weights = sentences(advice(fits=fits, advised=fits[1].candidate))[0]
    assert weights == (
        "Weights: cannot tell big from small (2.0 points behind, -3.0 to 7.0) on 100 images. The advice takes small, the "
        "smallest of these networks."
    )


def test_one_candidate_is_the_only_one() -> None:
    assert sentences(advice(fits=(fit("big", 0.9),)))[0].startswith("Weights: big, the only candidate; a linear probe")


@pytest.mark.parametrize(
    ("depth", "words"),
    [(0, "Transfer: extract features, and train the head only."), (2, "Transfer: fine-tune the top 2 stages.")],
)
def test_the_depth_is_the_experiments(depth: int, words: str) -> None:
    transfer = EXPERIMENT.transfer.model_copy(update={"unfreeze": depth})
    given = advice(experiment=EXPERIMENT.model_copy(update={"transfer": transfer}), recipe=())
    assert sentences(given)[1] == f"{words} The experiment says so."


def test_a_curve_that_cannot_tell_says_why() -> None:
    flat = LearningCurve((1, 2), (0.1, 0.1), None, None, "the curve is flat, or may be")
    assert curve_sentence(flat) == "More labels: cannot tell what they bring; the curve is flat, or may be."
    assert "19 x" in curve_sentence(CURVE)


def test_no_suspect_label_is_said_too() -> None:
    clean: Advice = replace(advice(), suspects=())
    assert sentences(clean)[3] == "Labels: none of 100 is suspect."


def test_a_probe_that_is_mostly_wrong_suspects_no_label() -> None:
    weak = advice(fits=(fit("big", 0.33),), suspects=())
    assert sentences(weak)[3] == "Labels: cannot tell which are wrong; the probe itself is wrong on 67 % of the images."


def test_images_and_classes_that_were_left_out_are_named() -> None:
    lines = list(always_unmeasured(90, 100, [f"c{number}" for number in range(7)]))
    assert lines[0].startswith("fine-tuned accuracy")
    assert lines[2:] == ["10 of 100 training images", "classes with one training image: c0, c1, c2, c3, c4 and 2 more"]
    assert len(list(always_unmeasured(100, 100, []))) == 2


def test_each_column_of_groups_has_the_accuracy_on_groups_that_were_never_seen() -> None:
    groups = (GroupAccuracy("phone", 40, 0.55, 0.9), GroupAccuracy("slr", 60, 0.8, 0.9))
    gap = GroupGap(
        "camera", Interval(0.7, 0.6, 0.8), Interval(0.9, 0.85, 0.95), Interval(0.2, 0.1, 0.3), 0.05, groups, 0
    )
    said = sentences(advice(domains=(gap, replace(gap, column="site", p=0.4))))[4:]
    assert said[0] == (
        "Another camera: a probe that never saw it is right on 70.0 % (60.0 to 80.0) of its images, and on 90.0 % (85.0 to "
        "95.0) of those that it saw others of; worst on 'phone' (55 %). See adapt.method."
    )
    assert said[1].startswith("Another site") and "adapt.method" not in said[1]
